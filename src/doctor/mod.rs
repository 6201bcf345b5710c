//! The diagnosis of a host: what is wrong with it for containers, why that matters, and the command that mends it.
//!
//! Pure: `exec` reads [`HostFacts`], [`judge`] says what follows from them. Every check says something, if only that
//! nothing is wrong; one that cannot be made for lack of facts keeps silent rather than guess.
//!
//! ```text
//! warning  rp_filter  strict on vethb1f6ac3ec5d, by which its container may send from any address
//!          why:   the kernel drops what comes from addresses that it would not answer by that link
//!          mend:  sysctl -w net.ipv4.conf.vethb1f6ac3ec5d.rp_filter=2
//! ```

mod facts;
mod firewall;
mod forwarding;
mod ini;
mod kernel;
mod leftovers;
mod ranges;
mod routing;
mod services;
mod sysctls;

use std::fmt;

use serde::Serialize;

pub use facts::{Feature, HostFacts, HostFile, Leftover, Moored, Served, Uplink, Wall};
pub use ranges::Overlap;
pub use routing::Announcer;

/// How bad it is. The order is that of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// It will hurt under circumstances, or somebody else is likely to interfere.
    Warning,
    /// Containers do not work as configured, or cannot be attached.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check has found it: a word that does not change from version to version.
    pub check: &'static str,
    /// What it is about: a link, a sysctl, a file, an attachment. Empty for the host as a whole.
    pub about: String,
    /// What is the matter.
    pub what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// A line for a shell that mends it. `None`: there is nothing to mend, or no line can do it; `why` says what can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    fn new(level: Level, about: impl Into<String>, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { level, check: "", about: about.into(), what: what.into(), why: why.into(), mend: None }
    }

    fn mended_by(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }
}

/// One check: its name, what is to be said if it finds nothing, and how it looks.
type Check = (&'static str, &'static str, fn(&HostFacts) -> Vec<Finding>);

/// All checks, in the order in which they are printed.
const CHECKS: [Check; 17] = [
    ("forwarding", "on wherever it is needed", forwarding::forwarding),
    ("router-advertisements", "no default route is at risk", forwarding::router_advertisements),
    ("rp_filter", "not in the way", sysctls::rp_filter),
    ("arp_ignore", "every gateway answers", sysctls::arp_ignore),
    ("disable_ipv6", "IPv6 is there wherever it is needed", sysctls::disable_ipv6),
    ("neighbours", "the neighbour tables have room", sysctls::neighbours),
    ("firewall", "nobody drops what containers send and receive", firewall::firewall),
    ("br_netfilter", "no container on a bridge is concerned", firewall::br_netfilter),
    ("networkd", "leaves the links of containers alone", services::networkd),
    ("NetworkManager", "leaves the links of containers alone", services::network_manager),
    ("udev", "leaves the links of containers alone", services::udev),
    ("routing", "whatever routing daemon there is announces containers", routing::routing),
    ("kernel", "has all that springline uses", kernel::kernel),
    ("networks", "all definitions can be read", leftovers::networks),
    ("addresses", "no two networks on one bridge give out the same", ranges::addresses),
    ("state", "nothing is left of dead containers", leftovers::state),
    ("netns", "every name in /run/netns is a namespace", leftovers::names),
];

/// What follows from the facts: for each check what it has found, or that all is well.
#[must_use]
pub fn judge(facts: &HostFacts) -> Vec<Finding> {
    let checked = CHECKS.iter().flat_map(|(check, well, look)| {
        let mut found = look(facts);
        let blind = facts.blind.iter().filter(|(blind, _)| blind == check);
        found.extend(blind.map(|(_, why)| Finding::new(Level::Note, "", "could not be looked at in whole", why)));
        if found.is_empty() {
            found.push(Finding::new(Level::Ok, "", *well, ""));
        }
        found.into_iter().map(move |finding| Finding { check, ..finding })
    });
    checked.collect()
}

/// The worst level among findings.
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

/// The line that sets a sysctl, by its path below `/proc/sys/net`. With slashes where a link's name has a dot in it,
/// which `sysctl(8)` would take for a separator.
fn set_sysctl(key: &str, value: impl fmt::Display) -> String {
    let key = if key.contains('.') { format!("net/{key}") } else { format!("net.{}", key.replace('/', ".")) };
    format!("sysctl -w {key}={value}")
}

/// Commands of which each is to be run if the one before it has succeeded.
fn all_of(commands: &[String]) -> String {
    commands.join(" && ")
}

/// A few of many names.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_which_nothing_is_known_is_not_blamed() {
        let findings = judge(&HostFacts::default());
        assert_eq!(findings.len(), CHECKS.len());
        assert_eq!(worst(&findings), Level::Ok, "{findings:?}");
    }

    #[test]
    fn what_was_not_looked_at_is_not_called_well() {
        let facts = HostFacts { blind: vec![("firewall", "EPERM".into())], ..HostFacts::default() };
        let findings = judge(&facts);
        let found = findings.iter().find(|finding| finding.check == "firewall");
        assert_eq!(found.map(|finding| (finding.level, finding.why.as_str())), Some((Level::Note, "EPERM")));
    }

    #[test]
    fn levels_are_in_order() {
        assert!(Level::Ok < Level::Note && Level::Note < Level::Warning && Level::Warning < Level::Error);
    }

    #[test]
    fn links_with_dots_are_named_so_that_sysctl_understands() {
        assert_eq!(set_sysctl("ipv4/conf/eth0/rp_filter", 2), "sysctl -w net.ipv4.conf.eth0.rp_filter=2");
        assert_eq!(set_sysctl("ipv4/conf/eth0.5/rp_filter", 2), "sysctl -w net/ipv4/conf/eth0.5/rp_filter=2");
    }

    #[test]
    fn many_names_are_cut_short() {
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).into();
        assert_eq!(some_of(&names), "a, b, c and 2 more");
        assert_eq!(some_of(&names[..3]), "a, b, c");
    }
}
