//! The vocabulary of change: a closed set of nouns that are added, deleted or set.
//!
//! Steps name links by side and name; the executor binds indices. So a plan made without root is
//! complete, can be printed (`show.rs`), stored (`record.rs`) and run later by another process.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::made::{BridgeLink, BridgeVlan, Holder, Ifb, Veth, VlanLink};
use super::pool::Pool;
use super::route::Route;
use super::ruleset::{Element, NetworkChain, Part};
use crate::model::{AttachmentKey, Family, IfName, Lease, LinkFlags, Mac, PortMap, Rate};

/// In which network namespace something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The namespace in which springline runs.
    Host,
    /// The container's.
    Container,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Bring an object into being.
    Add(Object),
    /// Remove an object.
    Del(Object),
    /// Give something that exists another value.
    Set(Setting),
    /// Wait until one side can take part in traffic.
    Await(Readiness),
    /// Have the container's kernel announce its addresses (gratuitous ARP, unsolicited NA): setting a MAC,
    /// even to what it is, raises `NETDEV_CHANGEADDR`, on which `arp_notify` and `ndisc_notify` act.
    Announce(IfName, Mac),
    /// Tell everybody on a link's network that an address is found here from now on, for which the host answers.
    Proclaim(IfName, IpAddr),
    /// Have the kernel forget connections to a port of the host whose answers come from elsewhere.
    Forget(Stale),
}

/// UDP "connections" that connection tracking remembers: as long as packets keep coming, they go where they went
/// before a port map was made or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// To which port of the host.
    pub map: PortMap,
    /// The container's address.
    pub target: IpAddr,
    /// Those that lead to the container; otherwise those that lead elsewhere.
    pub here: bool,
}

/// What the kernel finishes in its own time, after the message that asked for it was answered. A packet that
/// comes earlier is dropped, and the retry costs a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Where.
    pub side: Side,
    /// Links that must carry packets: a transmit queue is activated, a bridge port enabled and the route for
    /// IPv6 multicast made from a work queue (`linkwatch_event()`) once the other end has come up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<IfName>,
    /// IPv6 addresses that the kernel must answer for: it joins their solicited-node group and inserts their
    /// local route from a work queue too, even without duplicate address detection (`addrconf_dad_work()`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<LinkAddress>,
}

/// Something that is there or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// The attachment's record: written before all else, removed last.
    Record(AttachmentKey),
    /// An address reserved in our lease store.
    Lease(Lease),
    /// What a delegated IPAM plugin keeps for the attachment.
    Delegation(String),
    /// The attachment's stake in an object that several attachments share.
    Use(Shared),
    /// A veth pair with the peer inside the container.
    Veth(Veth),
    /// A bridge of our own.
    Bridge(BridgeLink),
    /// That a port of a bridge is in a VLAN of it, or the host is.
    Vlan(BridgeVlan),
    /// The host's own link in a VLAN of a bridge.
    VlanLink(VlanLink),
    /// The link that holds the gateway address of scheme `shared`.
    Holder(Holder),
    /// An address on a link.
    Address(Side, LinkAddress),
    /// A route.
    Route(Side, Route),
    /// That a network is unreachable where no narrower route leads.
    Pool(Pool),
    /// That the host answers for an address on the network of one of its links.
    Proxy(IfName, IpAddr),
    /// A part of the nf_tables ruleset.
    Part(Part),
    /// A chain of a network's own.
    Chain(NetworkChain),
    /// An element of a set or map.
    Element(Held),
    /// A link by which what the container sends is led, so that it can be limited.
    Ifb(Ifb),
    /// A limit of what leaves by a link of the host.
    Limit(IfName, Rate),
    /// That what comes in by a link of the host leaves by another.
    Redirect(IfName, IfName),
    /// That the host's loopback addresses are good by a link of the host, for ports that are mapped on them. IPv4:
    /// `route_localnet`, without which the kernel sends nothing from 127.0.0.1 by another link (`__mkroute_output()`).
    /// IPv6: a local route for `::1` by the link, for the answer, once it is for `::1` again, must be for an address
    /// of the link that it came in by (`rt6_need_strict()` in `net/ipv6/route.c`).
    Loopback(Family, IfName),
}

/// An element with whoever holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The element.
    #[serde(flatten)]
    pub element: Element,
    /// It lets the container's other links and this one send from each other's addresses: gone with either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sibling: bool,
    /// Several attachments have a stake in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl Held {
    /// What elements that are shared have for an owner.
    pub const SHARED: &'static str = "shared";
}

/// A value of something that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// A link's administrative state.
    State {
        /// Where.
        side: Side,
        /// The link.
        link: IfName,
        /// Up or down.
        up: bool,
    },
    /// Whether the kernel makes IPv6 link-local addresses for a link by itself (`addrgenmode`).
    AddressGeneration {
        /// Where.
        side: Side,
        /// The link.
        link: IfName,
        /// Off is `addrgenmode none`.
        on: bool,
    },
    /// A link's alias, by which it is known as ours. Not part of the link's creation: there the kernel passes
    /// over it (`rtnl_create_link()` in `net/core/rtnetlink.c`).
    Alias {
        /// The link, on the host.
        link: IfName,
        /// The alias.
        alias: String,
    },
    /// ARP for the link's own addresses only (`arp_ignore=1`, `arp_announce=2`), announced when the link comes
    /// up (`arp_notify=1`). Two interfaces of one container on one bridge would else answer for each other,
    /// and leave their neighbours with a MAC that goes when the other one does. By netlink
    /// (`IFLA_INET_CONF`), so that a read-only `/proc/sys` is no obstacle.
    StrictArp {
        /// Where.
        side: Side,
        /// The link.
        link: IfName,
    },
    /// A link's name, inside the container. Before Linux 6.2 only that of a link that is down (`dev_change_name()` in
    /// `net/core/dev.c`); addresses, routes and sysctls stay with the link under its new name.
    Name {
        /// How it is called.
        link: IfName,
        /// How it is to be called.
        name: IfName,
    },
    /// Flags of a link.
    Flags {
        /// Where.
        side: Side,
        /// The link.
        link: IfName,
        /// The flags.
        flags: LinkFlags,
    },
    /// A link's MTU in bytes.
    Mtu {
        /// Where.
        side: Side,
        /// The link.
        link: IfName,
        /// In bytes.
        mtu: u32,
    },
    /// Flags of a bridge port.
    Port(Port),
    /// Whether a bridge keeps its VLANs apart (`vlan_filtering`).
    VlanFiltering {
        /// The bridge.
        bridge: IfName,
        /// Whether it does.
        on: bool,
    },
    /// Next hop, source and the like of a route that is there: same destination, table and metric. One message
    /// (`NLM_F_REPLACE`), so at no time is there none.
    Route(Side, Route),
    /// A value below `/proc/sys/net`.
    Sysctl(Sysctl),
}

/// An object that outlives the attachment that made it, as long as another one uses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shared {
    /// A bridge that springline made.
    Bridge(IfName),
    /// That the host is in a VLAN of a bridge.
    Vlan(IfName, u16),
    /// The host's own link in a VLAN of a bridge.
    VlanLink(IfName),
    /// The holder of a shared gateway address.
    Holder(IfName),
    /// An address that springline put on a link of the host.
    Address(IfName, IpNet),
    /// A network's own chain in nf_tables, by its name.
    Chain(String),
    /// That the host's loopback addresses are good by a bridge.
    Loopback(IfName),
    /// That what is behind a bridge is isolated.
    Isolated(IfName),
    /// The route that makes a network unreachable where no container is.
    Pool(Pool),
}

/// An address on a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkAddress {
    /// The link.
    pub link: IfName,
    /// The address with its prefix length.
    pub net: IpNet,
    /// Scope host: usable as a gateway, never chosen as a source address toward others.
    #[serde(default)]
    pub host_scope: bool,
}

/// Flags of a bridge port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port's link.
    pub link: IfName,
    /// It may not talk to other isolated ports.
    pub isolated: bool,
    /// Frames may leave by the port they came in.
    pub hairpin: bool,
}

/// A value below `/proc/sys/net`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Where.
    pub side: Side,
    /// The path below `/proc/sys/net`, e.g. `ipv6/conf/eth0/accept_ra`. A path, not a dotted name: link
    /// names may contain dots.
    pub key: String,
    /// The value, as written.
    pub value: String,
    /// A precaution that a read-only `/proc/sys` may deny without harm; anything else must succeed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub precaution: bool,
}

impl Sysctl {
    /// The IPv6 setting `name` of `link`.
    #[must_use]
    pub fn ipv6(side: Side, link: &IfName, name: &str, value: &str) -> Self {
        Self { side, key: format!("ipv6/conf/{link}/{name}"), value: value.to_owned(), precaution: false }
    }

    /// The same, as a precaution only, if `is_precaution`.
    #[must_use]
    pub fn precaution(self, is_precaution: bool) -> Self {
        Self { precaution: is_precaution, ..self }
    }

    /// The link that the setting belongs to, and vanishes with.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        let mut parts = self.key.split('/').skip(1);
        (parts.next() == Some("conf")).then(|| parts.next()).flatten()
    }
}

impl Step {
    /// The link that the step is about and whose end makes it moot.
    #[must_use]
    pub fn link(&self) -> Option<(Side, &str)> {
        match self {
            Self::Add(object) | Self::Del(object) => match object {
                Object::Address(side, address) => Some((*side, address.link.as_str())),
                Object::Route(side, route) => Some((*side, route.link.as_str())),
                Object::Limit(link, _)
                | Object::Redirect(link, _)
                | Object::Loopback(_, link)
                | Object::Vlan(BridgeVlan { link, .. }) => Some((Side::Host, link.as_str())),
                _ => None,
            },
            Self::Set(setting) => match setting {
                Setting::State { side, link, .. }
                | Setting::AddressGeneration { side, link, .. }
                | Setting::Flags { side, link, .. }
                | Setting::Mtu { side, link, .. }
                | Setting::StrictArp { side, link } => Some((*side, link.as_str())),
                Setting::Alias { link, .. } | Setting::VlanFiltering { bridge: link, .. } => {
                    Some((Side::Host, link.as_str()))
                }
                Setting::Name { link, .. } => Some((Side::Container, link.as_str())),
                Setting::Port(port) => Some((Side::Host, port.link.as_str())),
                Setting::Route(side, route) => Some((*side, route.link.as_str())),
                Setting::Sysctl(sysctl) => sysctl.link().map(|link| (sysctl.side, link)),
            },
            Self::Await(_) | Self::Forget(_) | Self::Proclaim(..) => None,
            Self::Announce(link, _) => Some((Side::Container, link.as_str())),
        }
    }
}

/// Whose link it is that has `alias`, if it is one of ours: `network/container/ifname`, or what the shared
/// link is for.
#[must_use]
pub fn owner_of_alias(alias: &str) -> Option<&str> {
    alias.strip_prefix("springline:")
}
