//! What a container may send: from its own addresses, with its own MAC on a bridge, no router advertisements.
//!
//! `rp_filter` does not do this: it is IPv4's only, a host-wide 2 makes it void (the kernel takes the greater of
//! `all` and the link's own, `IN_DEV_RPFILTER()` in `include/linux/inetdevice.h`), and on a bridge it cannot tell
//! ports apart.

use std::net::IpAddr;

use ipnet::IpNet;

use super::rule::{Chain, Constant, Hook, Rule, Selector, Term};
use super::{Element, Field, Set};
use crate::model::{Attachment, IfName, Mode};
use crate::plan::container;

use Selector::{
    ArpSender, ArpSenderMac, ArpTarget, EtherSource, EtherType, Icmp6Type, InLink, NeighbourTarget, Source4, Source6,
};
use Term::{Accept, Drop, Goto, In, Is, Jump, NotIn, Return};

/// The chain that checks MAC and addresses.
const GUARD: &str = "guard";
/// The chain that checks the MAC only: whose addresses are not ours to know.
const GUARD_MAC: &str = "guard_mac";

const ROUTER_ADVERTISEMENT: Constant = Constant::Number(134, "nd-router-advert");
const REDIRECT: Constant = Constant::Number(137, "nd-redirect");
const NEIGHBOUR_SOLICITATION: Constant = Constant::Number(135, "nd-neighbor-solicit");
const NEIGHBOUR_ADVERTISEMENT: Constant = Constant::Number(136, "nd-neighbor-advert");
const LISTENER_REPORT: Constant = Constant::Number(143, "mld2-listener-report");

/// `::`, which duplicate address detection and the first listener report come from.
fn unspecified() -> Term {
    Is(Source6, Constant::net("::/128"))
}

/// What is decided about IPv6 before its source is looked at, and after: `pass` is the verdict for what is the
/// container's own.
fn ipv6(sources: Set, pass: &Term) -> Vec<Rule> {
    let own = |selector| In(vec![InLink, selector], sources);
    vec![
        vec![Is(Icmp6Type, ROUTER_ADVERTISEMENT), Drop],
        vec![Is(Icmp6Type, REDIRECT), Drop],
        // Whoever answers for somebody else's address takes their traffic.
        vec![Is(Icmp6Type, NEIGHBOUR_ADVERTISEMENT), NotIn(vec![InLink, NeighbourTarget], sources), Drop],
        vec![own(Source6), pass.clone()],
        // Asking for somebody else's address from `::` would make them give it up (RFC 4862, section 5.4).
        vec![unspecified(), Is(Icmp6Type, NEIGHBOUR_SOLICITATION), own(NeighbourTarget), pass.clone()],
        vec![unspecified(), Is(Icmp6Type, LISTENER_REPORT), pass.clone()],
    ]
}

/// An ARP packet's sender must be the container; a probe (RFC 5227) for its own address has none.
fn arp(sources: Set, pass: &Term) -> Vec<Rule> {
    vec![
        vec![In(vec![InLink, ArpSender], sources), pass.clone()],
        vec![Is(ArpSender, Constant::net("0.0.0.0/32")), In(vec![InLink, ArpTarget], sources), pass.clone()],
    ]
}

/// Table `inet`: before connection tracking, so that what is dropped costs nothing more.
pub(super) fn routed() -> Vec<Chain> {
    let hook = Hook { kind: "filter", name: "prerouting", number: 0, priority: -300 };
    let enter = vec![In(vec![InLink], Set::GuardedLinks), Jump(GUARD)];
    let mut rules = vec![vec![In(vec![InLink, Source4], Set::Sources4), Return]];
    rules.extend(ipv6(Set::Sources6, &Return));
    rules.push(vec![In(vec![InLink, Source4], Set::SourceNetworks4), Return]);
    rules.push(vec![In(vec![InLink, Source6], Set::SourceNetworks6), Return]);
    rules.push(vec![Drop]);
    vec![Chain::base("guarding", hook, vec![enter]), Chain::inner(GUARD, rules)]
}

/// Table `arp`.
pub(super) fn routed_arp() -> Vec<Chain> {
    let hook = Hook { kind: "filter", name: "input", number: 0, priority: 0 };
    let enter = vec![In(vec![InLink], Set::ArpLinks), Jump(GUARD)];
    let mut rules = arp(Set::ArpSources, &Return);
    rules.push(vec![In(vec![InLink, ArpSender], Set::ArpNetworks), Return]);
    rules.push(vec![Drop]);
    vec![Chain::base("guarding", hook, vec![enter]), Chain::inner(GUARD, rules)]
}

/// Table `bridge`: every frame that a port brings in, whether it is for the host or for another port.
pub(super) fn bridged() -> Vec<Chain> {
    let hook = Hook { kind: "filter", name: "prerouting", number: 0, priority: -200 };
    let is_type = |number, word| Is(EtherType, Constant::Number(number, word));
    let own_mac = |selector| vec![NotIn(vec![InLink, selector], Set::PortMacs), Drop];
    let guard = vec![
        own_mac(EtherSource),
        vec![is_type(0x0800, "ip"), Goto("guard_ipv4")],
        vec![is_type(0x86dd, "ip6"), Goto("guard_ipv6")],
        vec![is_type(0x0806, "arp"), Goto("guard_arp")],
        // Nor anything else, tagged frames above all: inside of them could be anything.
        vec![Drop],
    ];
    let ipv4 = vec![
        vec![In(vec![InLink, Source4], Set::PortSources4), Accept],
        // Whoever asks for an address has none yet (RFC 2131, section 4.1).
        vec![
            Is(Source4, Constant::net("0.0.0.0/32")),
            Is(Selector::UdpDestinationPort, Constant::Number(67, "67")),
            Accept,
        ],
        vec![Drop],
    ];
    let drop = || [vec![Drop]];
    let ipv6: Vec<Rule> = ipv6(Set::PortSources6, &Accept).into_iter().chain(drop()).collect();
    let arp = arp(Set::PortSources4, &Accept);
    let arp = [own_mac(ArpSenderMac)].into_iter().chain(arp).chain(drop()).collect();
    let enter = vec![
        vec![In(vec![InLink], Set::GuardedPorts), Goto(GUARD)],
        vec![In(vec![InLink], Set::MacGuardedPorts), Goto(GUARD_MAC)],
    ];
    let mac_only = vec![own_mac(EtherSource), vec![Is(Icmp6Type, ROUTER_ADVERTISEMENT), Drop]];
    vec![
        Chain::base("guarding", hook, enter),
        Chain::inner(GUARD, guard),
        Chain::inner("guard_ipv4", ipv4),
        Chain::inner("guard_ipv6", ipv6),
        Chain::inner("guard_arp", arp),
        Chain::inner(GUARD_MAC, mac_only),
    ]
}

/// A link of the host whose container is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedLink {
    /// The link.
    pub link: IfName,
    /// Whether it is a port of a bridge.
    pub is_port: bool,
}

impl GuardedLink {
    /// The elements that let `address` be a source behind the link.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> Vec<Element> {
        let sets: &[Set] = match (self.is_port, address) {
            (false, IpAddr::V4(_)) => &[Set::Sources4, Set::ArpSources],
            (false, IpAddr::V6(_)) => &[Set::Sources6],
            (true, IpAddr::V4(_)) => &[Set::PortSources4],
            (true, IpAddr::V6(_)) => &[Set::PortSources6],
        };
        sets.iter().map(|set| Element::of(*set, [self.field(), Field::Address(address)])).collect()
    }

    /// The elements that let any address of `net` be a source behind a routed link.
    fn source_network(&self, net: IpNet) -> Vec<Element> {
        let sets: &[Set] = match net {
            IpNet::V4(_) => &[Set::SourceNetworks4, Set::ArpNetworks],
            IpNet::V6(_) => &[Set::SourceNetworks6],
        };
        sets.iter().map(|set| Element::of(*set, [self.field(), Field::Network(net)])).collect()
    }

    fn field(&self) -> Field {
        Field::Link(self.link.clone())
    }
}

impl Attachment {
    /// Its link, if it is guarded.
    #[must_use]
    pub fn guarded_link(&self) -> Option<GuardedLink> {
        let is_port = matches!(self.network.mode, Mode::Bridged(_));
        self.network.anti_spoof.then(|| GuardedLink { link: self.host_link.clone(), is_port })
    }
}

/// The elements of one attachment.
pub(in crate::plan) fn elements(attachment: &Attachment) -> Vec<Element> {
    let Some(guarded) = attachment.guarded_link() else { return Vec::new() };
    let is_single = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    let routed = attachment.network.routes.iter().map(|route| route.dst);
    let (single, wide): (Vec<IpNet>, Vec<IpNet>) = routed.partition(is_single);
    let own = container::addresses(attachment).into_iter().chain(single);
    let sources = own.flat_map(|net| guarded.source(net.addr()));
    let sources = sources.chain(wide.into_iter().flat_map(|net| guarded.source_network(net)));
    // The link itself last, for it is what the others are looked up by.
    if guarded.is_port {
        let unknown = attachment.network.ipam.is_none() && attachment.addresses.is_empty();
        let guards = if unknown { Set::MacGuardedPorts } else { Set::GuardedPorts };
        let mac = Element::of(Set::PortMacs, [guarded.field(), Field::Mac(attachment.mac)]);
        let guard = Element::of(guards, [guarded.field()]);
        [mac].into_iter().chain(sources).chain([guard]).collect()
    } else {
        let links = [Set::GuardedLinks, Set::ArpLinks].map(|set| Element::of(set, [guarded.field()]));
        sources.chain(links).collect()
    }
}
