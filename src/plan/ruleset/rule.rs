//! Rules as data, in the words of `nft`.

use std::borrow::Cow;
use std::fmt;

use ipnet::IpNet;

use super::Set;
use super::set::Leads;
use crate::model::IfName;

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name in the table.
    pub name: Cow<'static, str>,
    /// Where packets enter it; `None`: from other chains only.
    pub hook: Option<Hook>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Where packets enter a base chain. The policy is always to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// The hook's name.
    pub name: &'static str,
    /// The hook's number in its family (`NF_INET_PRE_ROUTING` and so on).
    pub number: u32,
    /// The priority among the chains of the hook.
    pub priority: i32,
}

/// A rule: terms that must all hold, the last of which says what happens then.
pub type Rule = Vec<Term>;

/// One term of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// The selectors' values are, or are not, in a set.
    In(Vec<Selector>, Set),
    /// They are not.
    NotIn(Vec<Selector>, Set),
    /// Go where the selectors' values lead in a map.
    Map(Vec<Selector>, Set),
    /// A selector's value is this.
    Is(Selector, Constant),
    /// The connection's destination is changed to what the selectors' values lead to in a map.
    Dnat(Vec<Selector>, Set),
    /// The connection's source is changed to an address of the host's.
    Masquerade,
    /// Go to a chain and come back.
    Jump(&'static str),
    /// Go to a chain for good.
    Goto(&'static str),
    /// Go back.
    Return,
    /// Let it pass.
    Accept,
    /// Drop it.
    Drop,
}

/// A value taken from the packet, or from what the kernel knows about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// The name of the link that it came in by.
    InLink,
    /// The name of the link that it goes out by.
    OutLink,
    /// The group of the link that it came in by.
    InGroup,
    /// The group of the link that it goes out by.
    OutGroup,
    /// The source MAC.
    EtherSource,
    /// The EtherType; of a frame with a VLAN tag, the tag's.
    EtherType,
    /// The IPv4 source.
    Source4,
    /// The IPv4 destination.
    Destination4,
    /// The IPv6 source.
    Source6,
    /// The IPv6 destination.
    Destination6,
    /// The sender of an ARP packet.
    ArpSender,
    /// The target of an ARP packet.
    ArpTarget,
    /// The sender's MAC in an ARP packet.
    ArpSenderMac,
    /// The type of an ICMPv6 message.
    Icmp6Type,
    /// The target of a neighbour solicitation or advertisement (RFC 4861, sections 4.3 and 4.4).
    NeighbourTarget,
    /// The transport protocol.
    Protocol,
    /// The destination port, of whichever transport protocol.
    DestinationPort,
    /// The destination port of UDP.
    UdpDestinationPort,
    /// What kind of address the destination is to the host.
    DestinationType,
    /// The state of the connection: whether its destination was changed.
    Status,
}

/// What a selector's value is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// A number, and `nft`'s word for it.
    Number(u32, &'static str),
    /// An address or network.
    Net(IpNet),
    /// A link's name.
    Link(IfName),
}

impl Constant {
    /// The network that `text` says.
    pub(super) fn net(text: &str) -> Self {
        text.parse().map_or(Self::Number(0, "0"), Self::Net)
    }
}

impl Selector {
    /// Its name in `nft`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InLink => "iifname",
            Self::OutLink => "oifname",
            Self::InGroup => "iifgroup",
            Self::OutGroup => "oifgroup",
            Self::EtherSource => "ether saddr",
            Self::EtherType => "ether type",
            Self::Source4 => "ip saddr",
            Self::Destination4 => "ip daddr",
            Self::Source6 => "ip6 saddr",
            Self::Destination6 => "ip6 daddr",
            Self::ArpSender => "arp saddr ip",
            Self::ArpTarget => "arp daddr ip",
            Self::ArpSenderMac => "arp saddr ether",
            Self::Icmp6Type => "icmpv6 type",
            // Newer versions of nft print it as `icmpv6 taddr`.
            Self::NeighbourTarget => "@th,64,128",
            Self::Protocol => "meta l4proto",
            Self::DestinationPort => "th dport",
            Self::UdpDestinationPort => "udp dport",
            Self::DestinationType => "fib daddr type",
            Self::Status => "ct status",
        }
    }
}

fn concatenation(selectors: &[Selector]) -> String {
    selectors.iter().map(|selector| selector.name()).collect::<Vec<_>>().join(" . ")
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(selectors, set) => write!(f, "{} @{}", concatenation(selectors), set.name()),
            Self::NotIn(selectors, set) => write!(f, "{} != @{}", concatenation(selectors), set.name()),
            Self::Map(selectors, set) => write!(f, "{} vmap @{}", concatenation(selectors), set.name()),
            Self::Is(selector, Constant::Number(_, word)) => write!(f, "{} {word}", selector.name()),
            Self::Is(selector, Constant::Net(net)) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "{} {}", selector.name(), net.addr())
            }
            Self::Is(selector, Constant::Net(net)) => write!(f, "{} {net}", selector.name()),
            Self::Is(selector, Constant::Link(link)) => write!(f, "{} \"{link}\"", selector.name()),
            Self::Dnat(selectors, set) => {
                let family = if set.leads() == Leads::ToIpv4 { "ip" } else { "ip6" };
                write!(f, "dnat {family} to {} map @{}", concatenation(selectors), set.name())
            }
            Self::Masquerade => f.write_str("masquerade"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Return => f.write_str("return"),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
        }
    }
}

impl Chain {
    /// A chain that other chains lead to.
    pub(super) fn inner(name: &'static str, rules: Vec<Rule>) -> Self {
        Self { name: name.into(), hook: None, rules }
    }

    /// A chain that packets enter at a hook.
    pub(super) fn base(name: &'static str, hook: Hook, rules: Vec<Rule>) -> Self {
        Self { name: name.into(), hook: Some(hook), rules }
    }
}
