//! What systemd's and `NetworkManager`'s files have in common: sections, keys, patterns for names.

/// One `key=value` with the section that it is in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) section: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// The entries of a file, in order.
pub(super) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once('=') {
            found.push(Entry { section, key: key.trim(), value: value.trim() });
        }
    }
    found
}

/// Whether a shell pattern matches all of a text: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`, as in glob(7).
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last star does not fit: one character further.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match step(&pattern[p..], text[t]) {
            Some(Step::Star) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Step::One(length)) => {
                p += length;
                t += 1;
            }
            None => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

enum Step {
    Star,
    /// One character fits so many of the pattern.
    One(usize),
}

fn step(pattern: &[char], character: char) -> Option<Step> {
    match pattern {
        ['*', ..] => Some(Step::Star),
        ['?', ..] => Some(Step::One(1)),
        ['[', rest @ ..] => {
            let (negated, set) = match rest {
                ['!' | '^', set @ ..] => (true, set),
                set => (false, set),
            };
            // A bracket that comes first is one of the set.
            let end = set.iter().skip(1).position(|character| *character == ']')? + 1;
            let is_in = in_set(&set[..end], character);
            (is_in != negated).then_some(Step::One(pattern.len() - rest.len() + usize::from(negated) + end + 1))
        }
        [own, ..] if *own == character => Some(Step::One(1)),
        _ => None,
    }
}

fn in_set(set: &[char], character: char) -> bool {
    let mut rest = set;
    loop {
        rest = match rest {
            [from, '-', to, tail @ ..] => {
                if (*from..=*to).contains(&character) {
                    return true;
                }
                tail
            }
            [one, tail @ ..] => {
                if *one == character {
                    return true;
                }
                tail
            }
            [] => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_comments() {
        let text = "# a\n[Match]\nName = veth* eth0\n;b=c\n\n[Link]\nUnmanaged=yes\nnonsense\n";
        let found = entries(text);
        assert_eq!(found[0], Entry { section: "Match", key: "Name", value: "veth* eth0" });
        assert_eq!(found[1], Entry { section: "Link", key: "Unmanaged", value: "yes" });
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "veth1", true),
            ("*", "", true),
            ("veth*", "veth1", true),
            ("veth*", "eth1", false),
            ("*eth*1", "veth1", true),
            ("*eth*1", "veth12", false),
            ("veth?", "veth1", true),
            ("veth?", "veth12", false),
            ("veth[0-9a-f]", "vethb", true),
            ("veth[0-9a-f]", "vethx", false),
            ("veth[!0-9]", "vethb", true),
            ("veth[!0-9]", "veth1", false),
            ("veth[]x]", "veth]", true),
            ("veth[", "veth[", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
