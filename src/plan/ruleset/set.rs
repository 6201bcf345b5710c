//! The sets and maps, and the types of their fields.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Part;

/// A table, by its family; each is called `springline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// IPv4 and IPv6.
    Inet,
    /// ARP.
    Arp,
    /// Frames on bridges.
    Bridge,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
        })
    }
}

/// The type of a field, as `nft` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link's name.
    Link,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An Ethernet address.
    Mac,
    /// A transport protocol's number.
    Protocol,
    /// A port.
    Port,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "ifname",
            Self::Ipv4 => "ipv4_addr",
            Self::Ipv6 => "ipv6_addr",
            Self::Mac => "ether_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
        })
    }
}

/// What a map's elements lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// Nothing: it is a set.
    Nowhere,
    /// To a chain.
    ToChain,
    /// To an IPv4 address and port.
    ToIpv4,
    /// To an IPv6 address and port.
    ToIpv6,
}

macro_rules! sets {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $part:ident, [$($kind:ident),+], $leads:ident, $interval:literal;)+) => {
        /// A set or map. What is said of each is what an element of it means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Set {
            $($(#[$doc])* $name,)+
        }

        impl Set {
            /// Every set.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// The part of the ruleset that it belongs to.
            #[must_use]
            pub fn part(self) -> Part {
                match self { $(Self::$name => Part::$part,)+ }
            }

            /// Its name in the table.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The fields of its keys.
            #[must_use]
            pub fn key(self) -> &'static [Kind] {
                match self { $(Self::$name => &[$(Kind::$kind),+],)+ }
            }

            /// What its elements lead to.
            #[must_use]
            pub fn leads(self) -> Leads {
                match self { $(Self::$name => Leads::$leads,)+ }
            }

            /// Whether its keys may be networks.
            #[must_use]
            pub fn has_networks(self) -> bool {
                match self { $(Self::$name => $interval,)+ }
            }
        }
    };
}

sets! {
    /// A routed container's link, which may send only from the sources below.
    GuardedLinks = "guarded_links", Guard, [Link], Nowhere, false;
    /// An address that may be the source of what comes in by the link.
    Sources4 = "sources4", Guard, [Link, Ipv4], Nowhere, false;
    /// The same for IPv6.
    Sources6 = "sources6", Guard, [Link, Ipv6], Nowhere, false;
    /// A network routed to the container: its addresses may be sources too.
    SourceNetworks4 = "source_networks4", Guard, [Link, Ipv4], Nowhere, true;
    /// The same for IPv6.
    SourceNetworks6 = "source_networks6", Guard, [Link, Ipv6], Nowhere, true;
    /// A routed container's link, whose ARP is looked at.
    ArpLinks = "guarded_links", GuardArp, [Link], Nowhere, false;
    /// An address that may be the sender of ARP on the link.
    ArpSources = "sources4", GuardArp, [Link, Ipv4], Nowhere, false;
    /// A network routed to the container, any address of which may be the sender.
    ArpNetworks = "source_networks4", GuardArp, [Link, Ipv4], Nowhere, true;
    /// A port of a bridge, which may send only from the MAC and the sources below.
    GuardedPorts = "guarded_ports", GuardBridge, [Link], Nowhere, false;
    /// A port of a bridge, of which the MAC alone is looked at.
    MacGuardedPorts = "mac_guarded_ports", GuardBridge, [Link], Nowhere, false;
    /// The MAC of a port's container.
    PortMacs = "macs", GuardBridge, [Link, Mac], Nowhere, false;
    /// An address that may be the source of frames from the port.
    PortSources4 = "sources4", GuardBridge, [Link, Ipv4], Nowhere, false;
    /// The same for IPv6.
    PortSources6 = "sources6", GuardBridge, [Link, Ipv6], Nowhere, false;
    /// A source that is masqueraded when it leaves the host, wherever to.
    MasqueradeAll4 = "masquerade_all4", Nat, [Ipv4], Nowhere, false;
    /// The same for IPv6.
    MasqueradeAll6 = "masquerade_all6", Nat, [Ipv6], Nowhere, false;
    /// A source that is masqueraded when it leaves the host, with the chain that knows what it does not leave for.
    Masquerade4 = "masquerade4", Nat, [Ipv4], ToChain, false;
    /// The same for IPv6.
    Masquerade6 = "masquerade6", Nat, [Ipv6], ToChain, false;
    /// The same for any address of a network that is routed to the container behind a link.
    MasqueradeNetworks4 = "masquerade_networks4", Nat, [Link, Ipv4], ToChain, true;
    /// The same for IPv6.
    MasqueradeNetworks6 = "masquerade_networks6", Nat, [Link, Ipv6], ToChain, true;
    /// A port of the host, on each of its addresses, with the container's address and port.
    Ports4 = "ports4", Nat, [Protocol, Port], ToIpv4, false;
    /// The same for IPv6.
    Ports6 = "ports6", Nat, [Protocol, Port], ToIpv6, false;
    /// A port of the host, on one of its addresses.
    AddressPorts4 = "address_ports4", Nat, [Ipv4, Protocol, Port], ToIpv4, false;
    /// The same for IPv6.
    AddressPorts6 = "address_ports6", Nat, [Ipv6, Protocol, Port], ToIpv6, false;
    /// A link and the address behind it to which ports are mapped.
    PortTargets4 = "port_targets4", Nat, [Link, Ipv4], Nowhere, false;
    /// The same for IPv6.
    PortTargets6 = "port_targets6", Nat, [Link, Ipv6], Nowhere, false;
    /// The address to which ports are mapped, twice: from itself to itself.
    Hairpins4 = "hairpins4", Nat, [Ipv4, Ipv4], Nowhere, false;
    /// The same for IPv6.
    Hairpins6 = "hairpins6", Nat, [Ipv6, Ipv6], Nowhere, false;
    /// A link for which the kernel routes 127.0.0.0/8 (`route_localnet`), so that nobody behind it may use that.
    LoopbackLinks = "loopback_links", Nat, [Link], Nowhere, false;
    /// A link whose containers reach no other container, nor are reached by one.
    IsolatedLinks = "isolated_links", Isolation, [Link], Nowhere, false;
    /// A link whose containers reach only those of their own network, with the chain that knows them.
    IsolatedNetworks = "isolated_networks", Isolation, [Link], ToChain, false;
}
