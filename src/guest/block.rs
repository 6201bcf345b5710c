//! Springline's part of a file that is the user's: a block between two marks, and lines that are put out of force.

const BEGIN: &str = "# springline begin: written by springline, do not edit (to opt out: chmod u-w this file)";
const BEGIN_WORDS: &str = "# springline begin";
const END: &str = "# springline end";
/// What stands before a line of the user's that is out of force as long as springline has the interface.
const DISABLED: &str = "#springline# ";

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Top,
    Bottom,
}

/// The text without springline's block, and with every line in force again: byte for byte what it was before.
pub(super) fn without(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with(BEGIN_WORDS) {
            inside = true;
        } else if inside {
            inside = line.trim_end() != END;
        } else {
            kept.push_str(line.strip_prefix(DISABLED).unwrap_or(line));
        }
    }
    kept
}

/// The text with a block.
pub(super) fn with(text: &str, block: &str, at: At) -> String {
    let block = format!("{BEGIN}\n{block}{END}\n");
    match at {
        At::Top => format!("{block}{text}"),
        At::Bottom if text.is_empty() || text.ends_with('\n') => format!("{text}{block}"),
        // The newline is lost on the way back: a text file ends with one.
        At::Bottom => format!("{text}\n{block}"),
    }
}

/// The text with those lines out of force of which `is_meant` says so.
pub(super) fn disable(text: &str, mut is_meant: impl FnMut(&str) -> bool) -> String {
    let lines = text.split_inclusive('\n');
    lines.map(|line| if is_meant(line) { format!("{DISABLED}{line}") } else { line.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_again() {
        let user = "auto lo\niface lo inet loopback\n\n# mine\niface eth0 inet dhcp\n";
        let edited = disable(user, |line| line.contains("eth0"));
        assert!(edited.contains("\n#springline# iface eth0 inet dhcp\n"), "{edited}");
        for at in [At::Top, At::Bottom] {
            let edited = with(&edited, "auto eth0\n", at);
            assert_eq!(without(&edited), user);
            assert_eq!(without(&without(&edited)), user);
        }
    }

    #[test]
    fn a_file_without_a_last_newline_gets_one() {
        assert_eq!(without(&with("a", "b\n", At::Bottom)), "a\n");
    }
}
