//! `/etc/network/interfaces`: ifupdown, ifupdown-ng and busybox read it, each with options of its own. So the stanza
//! is `manual` and consists of `ip` lines, which mean the same to all three, say every gateway scheme, and succeed on
//! an interface that has everything already (`inet static` fails there: "File exists").
//!
//! The file is the user's. Ours is a fragment in `interfaces.d` if the file sources that, otherwise a marked block at
//! its end. A stanza of the user's for the same interface, such as the `inet dhcp` that images come with, would be run
//! besides ours (interfaces(5) adds up stanzas of one name): its lines get `#springline# ` put before them, and lose
//! it again when the interface is no longer springline's.

use std::fmt::Write as _;

use super::block::{self, At};
use super::ours::header;
use super::shell::{self, Ip};
use super::{Distro, Draft, Tree};
use crate::model::{Guest, GuestInterface};

const MAIN: &str = "etc/network/interfaces";
const FRAGMENTS: &str = "etc/network/interfaces.d";
/// As many fragments are looked at, for each is held in memory, and may be large in a hostile rootfs.
const MOST: usize = 32;

/// Words by which a stanza begins, and so the one before it ends (interfaces(5), of both ifupdowns).
const STANZAS: [&str; 9] =
    ["iface", "auto", "mapping", "source", "source-directory", "rename", "template", "no-auto-down", "no-scripts"];

/// The file's edit, and the stanzas.
pub(super) fn write(guest: &Guest, distro: Distro, tree: &dyn Tree, draft: &mut Draft) {
    let ip = Ip::of(tree, if distro == Distro::Alpine { Ip::Busybox } else { Ip::Full });
    let text = tree.read(MAIN);
    if text.is_none() && tree.exists(MAIN) {
        draft.warn(format!("/{MAIN} cannot be read: it is left alone, and the guest's ifupdown does as it says"));
        return;
    }
    let names: Vec<&str> = guest.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    let user = block::without(&text.unwrap_or_else(|| "auto lo\niface lo inet loopback\n".to_owned()));
    let fragment = fragment(&user);
    let mut theirs = Vec::new();
    for path in fragments(tree, fragment.is_some()) {
        theirs.extend(tree.read(&path).map(|text| (path, block::without(&text))));
    }
    let mut stanzas = String::new();
    for interface in &guest.interfaces {
        let mut texts = theirs.iter().map(|(_, text)| text).chain([&user]);
        // busybox refuses the whole file if an interface is there twice.
        if !texts.any(|text| is_auto(text, interface.name.as_str())) {
            let _ = writeln!(stanzas, "auto {}", interface.name);
        }
        stanzas.push_str(&stanza(interface, ip, draft));
    }
    let mut edited = disable(&user, &names);
    if fragment.is_none() && !guest.interfaces.is_empty() {
        edited = block::with(&edited, &stanzas, At::Bottom);
    }
    draft.share(MAIN, edited);
    for (path, text) in theirs {
        draft.share(path, disable(&text, &names));
    }
    if let Some(path) = fragment.filter(|_| !guest.interfaces.is_empty()) {
        let content = format!("{}\n{stanzas}", header(&path));
        draft.add(path, 0o644, content);
    }
}

/// The user's files as they were before.
pub(super) fn release(tree: &dyn Tree, draft: &mut Draft) {
    for path in std::iter::once(MAIN.to_owned()).chain(fragments(tree, true)) {
        if let Some(text) = tree.read(&path) {
            let restored = block::without(&text);
            if restored != text {
                draft.share(path, restored);
            }
        }
    }
}

/// The user's own fragments.
fn fragments(tree: &dyn Tree, are_read: bool) -> Vec<String> {
    let names = if are_read { tree.names(FRAGMENTS) } else { Vec::new() };
    let theirs = names.into_iter().filter(|name| !name.starts_with("springline") && !name.starts_with('.'));
    theirs.take(MOST).map(|name| format!("{FRAGMENTS}/{name}")).collect()
}

/// Where a fragment would be read: `None` if the file sources none. `source-directory` takes names of letters, digits,
/// `_` and `-` only, `source` what the pattern says.
fn fragment(main: &str) -> Option<String> {
    let mut words = main.lines().map(|line| line.split_whitespace());
    words.find_map(|mut line| {
        let (keyword, argument) = (line.next()?, line.next()?);
        let argument = argument.strip_prefix("/etc/network/").unwrap_or(argument).trim_end_matches('/');
        match (keyword, argument) {
            ("source-directory", "interfaces.d") | ("source", "interfaces.d/*") => {
                Some(format!("{FRAGMENTS}/springline"))
            }
            ("source", "interfaces.d/*.cfg") => Some(format!("{FRAGMENTS}/springline.cfg")),
            ("source", "interfaces.d/*.conf") => Some(format!("{FRAGMENTS}/springline.conf")),
            _ => None,
        }
    })
}

/// Whether the text has an interface brought up as the guest starts.
fn is_auto(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("auto") && words.any(|word| word == name)
    })
}

/// The text with the stanzas of these interfaces out of force. `auto` lines stay: they may name others, too.
fn disable(text: &str, names: &[&str]) -> String {
    let mut inside = false;
    let mut continued = false;
    block::disable(text, |line| {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !continued && (STANZAS.contains(&first) || first.starts_with("allow-")) {
            inside = first == "iface" && words.next().is_some_and(|name| names.contains(&name));
        }
        let is_comment = !continued && first.starts_with('#');
        continued = !is_comment && line.trim_end_matches('\n').ends_with('\\');
        inside && !first.is_empty() && !is_comment
    })
}

fn stanza(interface: &GuestInterface, ip: Ip, draft: &mut Draft) -> String {
    let name = &interface.name;
    let mut text = format!("iface {name} inet {}\n", if interface.is_static() { "manual" } else { "dhcp" });
    let mut option = |keyword: &str, value: &str| {
        let _ = writeln!(text, "    {keyword} {value}");
    };
    if interface.is_static() {
        for line in shell::prepare(interface) {
            option("pre-up", &line);
        }
        for line in shell::add(interface, ip) {
            option("up", &line);
        }
        for line in shell::remove(interface, ip) {
            option("down", &format!("{line} || true"));
        }
        draft.warnings.extend(shell::warnings(interface, ip));
    }
    let list = |items: Vec<String>| items.join(" ");
    if !interface.dns.nameservers.is_empty() {
        option("dns-nameservers", &list(interface.dns.nameservers.iter().map(ToString::to_string).collect()));
    }
    if !interface.dns.search.is_empty() {
        option("dns-search", &list(interface.dns.search.iter().map(ToString::to_string).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stanzas_of_our_interfaces_are_disabled() {
        let user = "# eth0 is mine\nauto lo eth0\niface lo inet loopback\n\nallow-hotplug eth0\niface eth0 inet dhcp\n    \
                    up echo a \\\n      b\n# a comment\n\n    metric 5\niface eth1 inet dhcp\n    metric 6\niface eth0 inet6 auto\n";
        let expected = "# eth0 is mine\nauto lo eth0\niface lo inet loopback\n\nallow-hotplug eth0\n\
                        #springline# iface eth0 inet dhcp\n#springline#     up echo a \\\n#springline#       b\n\
                        # a comment\n\n#springline#     metric 5\niface eth1 inet dhcp\n    metric 6\n\
                        #springline# iface eth0 inet6 auto\n";
        assert_eq!(disable(user, &["eth0"]), expected);
        assert_eq!(block::without(expected), user);
        assert_eq!(disable(user, &[]), user);
    }

    #[test]
    fn a_fragment_is_used_where_it_is_read() {
        let of = |main: &str| fragment(main).unwrap_or_default();
        assert_eq!(of("source /etc/network/interfaces.d/*\n"), "etc/network/interfaces.d/springline");
        assert_eq!(of("source-directory /etc/network/interfaces.d\n"), "etc/network/interfaces.d/springline");
        assert_eq!(of("source interfaces.d/*.cfg"), "etc/network/interfaces.d/springline.cfg");
        assert_eq!(of("# source /etc/network/interfaces.d/*\nsource /etc/other/*\n"), "");
    }
}
