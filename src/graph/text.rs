//! Texts, and how much room they need.

use std::cmp::Ordering;

/// The text, without what would move a terminal's cursor, turn the direction of writing, or be no character of XML.
pub(super) fn clean(text: &str) -> String {
    let is_bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().map(|c| if is_bad(c) { '\u{fffd}' } else { c }).collect()
}

/// The text as content or attribute of XML.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// How many columns of a font of fixed width it needs at most: what is not Latin may come from another font.
pub(super) fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

fn cells_of(c: char) -> usize {
    if u32::from(c) < 0x300 { 1 } else { 2 }
}

/// The text, or its beginning and its end: ids differ in the beginning, names often in the end.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let text = clean(text);
    if cells(&text) <= most {
        return text;
    }
    let room = most.saturating_sub(cells_of('…'));
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut left = room;
        let fits = |c: &char| {
            let fits = cells_of(*c) <= left;
            left -= if fits { cells_of(*c) } else { 0 };
            fits
        };
        chars.take_while(fits).collect::<Vec<char>>()
    };
    let end = take(&mut text.chars().rev(), room / 3);
    let begin = take(&mut text.chars(), room - room / 3);
    begin.into_iter().chain(['…']).chain(end.into_iter().rev()).collect()
}

/// Lines of at most `width` columns that hold the items in turn. One that is too long for a line is broken where it is
/// best read, and goes on indented.
pub(super) fn fill(items: &[String], separator: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items.iter().filter(|item| !item.is_empty()) {
        let mut rest = clean(item);
        if let Some(last) = lines.last_mut()
            && cells(last) + cells(separator) + cells(&rest) <= width
        {
            last.push_str(separator);
            last.push_str(&rest);
            continue;
        }
        while cells(&rest) > width {
            let cut = cut(&rest, width);
            let tail = format!("  {}", rest[cut..].trim_start());
            rest.truncate(cut);
            lines.push(rest.trim_end().to_owned());
            rest = tail;
        }
        lines.push(rest);
    }
    lines
}

/// Where to break a text that is longer than `width`: behind a separator in the second half, or where there is no more room.
fn cut(text: &str, width: usize) -> usize {
    let mut used = 0;
    let mut best = None;
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        used += cells_of(c);
        if used > width {
            end = at;
            break;
        }
        if used > width / 2 && matches!(c, ' ' | ':' | '/' | '-' | '.' | ',') {
            best = Some(at + c.len_utf8());
        }
    }
    best.unwrap_or(end).max(text.chars().next().map_or(0, char::len_utf8))
}

/// The same in at most `most` lines: the last then says how many of the items are left out.
pub(super) fn fill_at_most(items: &[String], separator: &str, width: usize, most: usize) -> Vec<String> {
    let lines = fill(items, separator, width);
    if lines.len() <= most {
        return lines;
    }
    let fits = |count: &usize| fill(&items[..*count], separator, width).len() < most;
    let shown = (1..items.len()).take_while(fits).last();
    let mut lines = fill(&items[..shown.unwrap_or(1)], separator, width);
    lines.truncate(most.saturating_sub(1));
    lines.push(match (shown, items.len() - shown.unwrap_or(1)) {
        (Some(_), left_out) => format!("and {left_out} more"),
        (None, 0) => "…".to_owned(),
        (None, left_out) => format!("… and {left_out} more"),
    });
    lines
}

/// The order in which people count: `web2` before `web10`.
#[must_use]
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (number, other) = (digits(left), digits(right));
        let order = if number > 0 && other > 0 {
            let (one, two) = (left[..number].trim_start_matches('0'), right[..other].trim_start_matches('0'));
            one.len().cmp(&two.len()).then_with(|| one.cmp(two))
        } else {
            left.chars().next().cmp(&right.chars().next())
        };
        if order.is_ne() {
            return order;
        }
        left = &left[number.max(first(left))..];
        right = &right[other.max(first(right))..];
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_texts_keep_both_ends() {
        assert_eq!(shortened("web", 10), "web");
        assert_eq!(shortened("production-frontend-01", 14), "producti…d-01");
        for most in 2..40 {
            for text in ["0123456789abcdef0123456789abcdef", "容器容器容器容器容器容器容器", "a\u{202e}b\u{1b}[31mc"]
            {
                assert!(cells(&shortened(text, most)) <= most.max(cells("…")), "{text} {most}");
            }
        }
    }

    #[test]
    fn lines_are_never_too_wide() {
        let items: Vec<String> =
            ["2001:db8:1234:5678:9abc:def0:1234:5678/128", "10.0.0.1/32", "", "容器容器容器容器容器"]
                .map(str::to_owned)
                .to_vec();
        for width in 4..50 {
            let lines = fill(&items, ", ", width);
            assert!(lines.iter().all(|line| cells(line) <= width), "{width}: {lines:?}");
            let all = lines.concat().replace([' ', ','], "");
            assert_eq!(all, items.concat(), "{width}");
        }
        assert_eq!(fill(&["a".into(), "b".into(), "c".into()], ", ", 4), ["a, b", "c"]);
    }

    #[test]
    fn people_count_so() {
        let mut names = ["web10", "web2", "web", "db", "web02", "2", "10", "é"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["2", "10", "db", "web", "web02", "web2", "web10", "é"]);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let items: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
        assert_eq!(fill_at_most(&items, " ", 3, 3), ["1 2", "3 4", "and 5 more"]);
        assert_eq!(fill_at_most(&items, " ", 3, 5), ["1 2", "3 4", "5 6", "7 8", "9"]);
        let long = ["0123456789".to_owned(), "1".to_owned()];
        assert_eq!(fill_at_most(&long, " ", 4, 2), ["0123", "… and 1 more"]);
        assert_eq!(fill_at_most(&long[..1], " ", 4, 2), ["0123", "…"]);
    }

    #[test]
    fn hostile_texts_are_only_texts() {
        assert_eq!(xml("<a b='\"'>&\u{1b}\u{0}"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}\u{fffd}");
    }
}
