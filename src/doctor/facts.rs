//! What is known of a host when it is judged.

use std::collections::{BTreeMap, BTreeSet};

use super::{Announcer, Overlap};
use crate::model::{Family, Forwarding, Gateway};

/// All that the checks go by. What is not known is left out, and then nothing is said of it.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// Below which folder files were looked for; empty: the host's own. Commands that mend files name it.
    pub root: String,
    /// Values below `/proc/sys/net`, of the namespace that was looked at.
    pub sysctls: BTreeMap<String, String>,
    /// Whether the kernel has IPv6. `None`: nobody has looked.
    pub has_ipv6: Option<bool>,
    /// Checks for which something could not be looked at, and why: what they do not find may be there all the same.
    pub blind: Vec<(&'static str, String)>,
    /// The host's default routes.
    pub uplinks: Vec<Uplink>,
    /// Attachments that are alive.
    pub moored: Vec<Moored>,
    /// Networks that are defined, or of which there are attachments.
    pub served: Vec<Served>,
    /// Definitions of networks that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// Addresses that two networks give out.
    pub overlaps: Vec<Overlap>,
    /// Firewalls that stop a network's traffic.
    pub walls: Vec<Wall>,
    /// The tables of iptables-legacy that are there.
    pub legacy_tables: Vec<String>,
    /// What the kernel was asked for; empty if it could not be asked.
    pub features: Vec<Feature>,
    /// Configuration of systemd-networkd, `NetworkManager` and udev; see [`HostFile`].
    pub files: Vec<HostFile>,
    /// Which of `networkd` and `NetworkManager` are running.
    pub running: BTreeSet<&'static str>,
    /// What routing daemons make of the routes of containers.
    pub announcers: Vec<Announcer>,
    /// What nobody uses any more.
    pub leftovers: Vec<Leftover>,
}

/// A default route of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uplink {
    /// Its link.
    pub link: String,
    /// Its family.
    pub family: Family,
    /// Whether it was learnt from router advertisements.
    pub is_learnt: bool,
}

/// An attachment that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moored {
    /// Its key.
    pub name: String,
    /// The link by which its packets reach the host's routing: its own, or the bridge.
    pub link: String,
    /// The families that the host routes for it.
    pub families: Vec<Family>,
    /// Its gateway scheme; `None`: it is on a bridge.
    pub gateway: Option<Gateway>,
    /// Whether its link on the host has to have IPv6.
    pub needs_ipv6: bool,
    /// Whether it may send from its own addresses only.
    pub anti_spoof: bool,
    /// An IPv4 address of it to which the host's routes lead by another link, or not at all.
    pub astray: Option<String>,
    /// How many neighbours it is to the host at least, by IPv4 and by IPv6.
    pub neighbours: [usize; 2],
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// The families that the host routes for it.
    pub families: Vec<Family>,
    /// What its configuration says of forwarding.
    pub forwarding: Forwarding,
    /// Whether its containers are on a bridge.
    pub is_bridged: bool,
    /// Whether they are in a VLAN of it.
    pub has_vlan: bool,
    /// Names of links on the host that it has, or would have.
    pub links: Vec<String>,
    /// Whether rates are limited: what containers receive, what they send.
    pub limits: [bool; 2],
}

/// A firewall of somebody else's that stops a network's traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// The network.
    pub network: String,
    /// `chain FORWARD of table ip filter`.
    pub place: String,
    /// `by its policy`.
    pub how: &'static str,
    /// The command that lets the network through.
    pub allow: String,
    /// What else is to be known of it.
    pub remark: String,
}

/// Something that a kernel may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name: that of the kind of link or discipline, `nf_tables`, or `netns cookie`.
    pub name: &'static str,
    /// Why it is not there; `None`: it is.
    pub missing: Option<String>,
}

/// A configuration file, by its path without [`HostFacts::root`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// The path.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Something that nobody uses any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// An attachment whose namespace is gone.
    Orphan(String),
    /// A record that cannot be read, by its attachment, and why.
    Unreadable(String, String),
    /// The file of a lease whose owner has no record.
    Lease(String, String),
    /// The file of a stake whose owner has no record.
    Stake(String, String),
    /// A part of our ruleset that another version has made: the table and the comment of that version.
    Ruleset(String, String),
    /// A file in `/run/netns` that is no namespace.
    Name(String),
}

impl HostFacts {
    pub(super) fn sysctl(&self, key: &str) -> Option<&str> {
        self.sysctls.get(key).map(String::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.sysctl(key)?.parse().ok()
    }

    /// The value that counts for a link where the kernel takes the greater of `all` and the link's own
    /// (`IN_DEV_MAXCONF` in `include/linux/inetdevice.h`).
    pub(super) fn greater_of_ipv4(&self, link: &str, key: &str) -> Option<u64> {
        let of = |name: &str| self.number(&format!("ipv4/conf/{name}/{key}"));
        of(link).max(of("all"))
    }

    /// Whether anybody needs a family: an attachment, or a network.
    pub(super) fn needs(&self, family: Family) -> bool {
        self.moored.iter().any(|moored| moored.families.contains(&family))
            || self.served.iter().any(|served| served.families.contains(&family))
    }

    /// Names of our links, there or to come.
    pub(super) fn our_links(&self) -> BTreeSet<&str> {
        self.served.iter().flat_map(|served| &served.links).map(String::as_str).collect()
    }
}
