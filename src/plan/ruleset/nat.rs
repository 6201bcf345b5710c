//! Masquerade and port maps.
//!
//! The chains see the first packet of each connection only; the kernel does the rest by itself.

use std::net::IpAddr;

use ipnet::IpNet;

use super::rule::{Chain, Constant, Hook, Rule, Selector, Term};
use super::{Element, Field, NetworkChain, Set, Value};
use crate::model::{Addressing, Attachment, Family, LINK_GROUP, Mode, PortMap};

use Selector::{
    Destination4, Destination6, DestinationPort, DestinationType, InLink, OutGroup, OutLink, Protocol, Source4,
    Source6, Status,
};
use Term::{Dnat, In, Is, Jump, Map, Masquerade, Return};

/// The chain that masquerades whatever comes to it.
const MASQUERADE_ALL: &str = "masquerade_all";
const PORTS: &str = "ports";
/// The chain that lets traffic to mapped ports through the isolation of containers.
pub(super) const PUBLISHED: &str = "published";

/// `IPS_DST_NAT` of `include/uapi/linux/netfilter/nf_conntrack_common.h`.
pub(super) const DESTINATION_CHANGED: Constant = Constant::Number(0x20, "dnat");

pub(super) fn chains() -> Vec<Chain> {
    let hook = |name, number, priority| Hook { kind: "nat", name, number, priority };
    // RTN_LOCAL: never what is only passing through to another host.
    let enter = || vec![vec![Is(DestinationType, Constant::Number(2, "local")), Jump(PORTS)]];
    let filter = Hook { kind: "filter", name: "prerouting", number: 0, priority: -300 };
    let from_loopback_links =
        |selector| vec![In(vec![InLink], Set::LoopbackLinks), Is(selector, Constant::net("127.0.0.0/8")), Term::Drop];
    vec![
        Chain::base("prerouting", hook("prerouting", 0, -100), enter()),
        Chain::base("output", hook("output", 3, -100), enter()),
        Chain::base("postrouting", hook("postrouting", 4, 100), postrouting()),
        // Where the kernel routes 127.0.0.0/8 for the host's own sake, it would do so for the container's, too. At
        // this point answers still have the host's address, and turn back into 127.0.0.1 later.
        Chain::base("loopback", filter, vec![from_loopback_links(Source4), from_loopback_links(Destination4)]),
        Chain::inner(PORTS, ports()),
        Chain::inner(MASQUERADE_ALL, vec![vec![Masquerade]]),
        Chain::inner(PUBLISHED, vec![vec![Is(Status, DESTINATION_CHANGED), Term::Accept]]),
    ]
}

fn ports() -> Vec<Rule> {
    vec![
        vec![Dnat(vec![Destination4, Protocol, DestinationPort], Set::AddressPorts4)],
        vec![Dnat(vec![Destination6, Protocol, DestinationPort], Set::AddressPorts6)],
        vec![Dnat(vec![Protocol, DestinationPort], Set::Ports4)],
        vec![Dnat(vec![Protocol, DestinationPort], Set::Ports6)],
    ]
}

fn postrouting() -> Vec<Rule> {
    let families = [(Destination4, Set::PortTargets4), (Destination6, Set::PortTargets6)];
    // Back out by the link that it came in by: to the container itself, or to a neighbour on its bridge. The answer
    // must come by way of the host, or it would come from an address that was never asked.
    let hairpin = families.map(|(to, targets)| {
        let changed = Is(Status, DESTINATION_CHANGED);
        vec![changed, In(vec![InLink, to], targets), In(vec![OutLink, to], targets), Masquerade]
    });
    // The same where `br_netfilter` does not let on by which link it came in.
    let to_itself = [([Source4, Destination4], Set::Hairpins4), ([Source6, Destination6], Set::Hairpins6)];
    let to_itself =
        to_itself.map(|(pair, set)| vec![Is(Status, DESTINATION_CHANGED), In(pair.into(), set), Masquerade]);
    // From the host itself to 127.0.0.1 or ::1: nobody else could answer to that.
    let local = [(Source4, "127.0.0.0/8"), (Source6, "::1/128")];
    let local = local.into_iter().zip(families).map(|((from, loopback), (to, targets))| {
        vec![Is(from, Constant::net(loopback)), In(vec![OutLink, to], targets), Masquerade]
    });
    let stays = [
        vec![Is(OutGroup, Constant::Number(LINK_GROUP, "171")), Return],
        vec![Is(Destination4, Constant::net("224.0.0.0/4")), Return],
        vec![Is(Destination6, Constant::net("ff00::/8")), Return],
    ];
    let leaves = [
        vec![In(vec![Source4], Set::MasqueradeAll4), Masquerade],
        vec![In(vec![Source6], Set::MasqueradeAll6), Masquerade],
        vec![Map(vec![Source4], Set::Masquerade4)],
        vec![Map(vec![Source6], Set::Masquerade6)],
        vec![Map(vec![InLink, Source4], Set::MasqueradeNetworks4)],
        vec![Map(vec![InLink, Source6], Set::MasqueradeNetworks6)],
    ];
    hairpin.into_iter().chain(to_itself).chain(local).chain(stays).chain(leaves).collect()
}

/// The rules of a chain that masquerades, but not toward `nets`.
pub(super) fn except(nets: &[IpNet]) -> Vec<Rule> {
    let destination = |net: &IpNet| match net.family() {
        Family::V4 => Destination4,
        Family::V6 => Destination6,
    };
    let leave = |net: &IpNet| vec![Is(destination(net), Constant::Net(*net)), Return];
    nets.iter().map(leave).chain([vec![Masquerade]]).collect()
}

/// The elements of one attachment. `chain` is the network's own, if there is something that it leaves alone.
pub(in crate::plan) fn elements(attachment: &Attachment, chain: Option<&NetworkChain>) -> Vec<Element> {
    let masquerade = attachment.network.masquerade.as_ref().map(|_| masquerade(attachment, chain));
    masquerade.into_iter().flatten().chain(port_maps(attachment)).collect()
}

fn masquerade(attachment: &Attachment, chain: Option<&NetworkChain>) -> Vec<Element> {
    let value = || Value::Goto(chain.map_or(MASQUERADE_ALL, |chain| &chain.name).to_owned());
    let routed = attachment.network.routes.iter().map(|route| route.dst);
    let (single, wide): (Vec<IpNet>, Vec<IpNet>) = routed.partition(|net| net.prefix_len() == net.max_prefix_len());
    let own = attachment.routable_addresses().into_iter().chain(single.iter().map(IpNet::addr)).map(|address| {
        // Into a map of verdicts only if need be: for a new one, the kernel looks at all that are there, lest they lead in
        // circles (nft_table_validate()).
        match (chain.is_some(), address.is_ipv4()) {
            (false, true) => Element::of(Set::MasqueradeAll4, [Field::Address(address)]),
            (false, false) => Element::of(Set::MasqueradeAll6, [Field::Address(address)]),
            (true, true) => Element::leading(Set::Masquerade4, [Field::Address(address)], value()),
            (true, false) => Element::leading(Set::Masquerade6, [Field::Address(address)], value()),
        }
    });
    let link = || Field::Link(attachment.host_link.clone());
    let networks = wide.iter().map(|net| {
        let set = if net.addr().is_ipv4() { Set::MasqueradeNetworks4 } else { Set::MasqueradeNetworks6 };
        Element::leading(set, [link(), Field::Network(*net)], value())
    });
    own.chain(networks).collect()
}

fn port_maps(attachment: &Attachment) -> Vec<Element> {
    let mut elements = Vec::new();
    let link = attachment.port_link();
    for family in Family::BOTH {
        let Some(target) = attachment.port_target(family) else { continue };
        let maps: Vec<&PortMap> = attachment.ports.iter().filter(|map| map.is_of(family)).collect();
        if maps.is_empty() {
            continue;
        }
        let (targets, hairpins) = match family {
            Family::V4 => (Set::PortTargets4, Set::Hairpins4),
            Family::V6 => (Set::PortTargets6, Set::Hairpins6),
        };
        elements.push(Element::of(targets, [Field::Link(link.clone()), Field::Address(target)]));
        elements.push(Element::of(hairpins, [Field::Address(target), Field::Address(target)]));
        elements.extend(maps.into_iter().map(|map| port_map(map, target)));
    }
    elements
}

/// The element of one port map toward one address of the container's.
fn port_map(map: &PortMap, target: IpAddr) -> Element {
    let ports = [Field::Protocol(map.protocol), Field::Port(map.host_port)];
    let value = Value::To(target, map.container_port);
    match (map.host.filter(|_| !map.is_on_all_addresses()), target) {
        (None, IpAddr::V4(_)) => Element::leading(Set::Ports4, ports, value),
        (None, IpAddr::V6(_)) => Element::leading(Set::Ports6, ports, value),
        (Some(host), _) => {
            let set = if host.is_ipv4() { Set::AddressPorts4 } else { Set::AddressPorts6 };
            let key: Vec<Field> = [Field::Address(host)].into_iter().chain(ports).collect();
            Element::leading(set, key, value)
        }
    }
}

impl Attachment {
    /// The addresses by which others know the container: all but the link-local ones.
    #[must_use]
    pub fn routable_addresses(&self) -> Vec<IpAddr> {
        let nets = crate::plan::container::addresses(self).into_iter().map(|net| net.addr());
        nets.filter(|address| !crate::plan::routed::is_link_local(*address)).collect()
    }

    /// The address of a family to which the host's ports lead.
    #[must_use]
    pub fn port_target(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(|address| address.net.addr()).find(|address| address.family() == family)
    }

    /// The link of the host behind which the container is.
    #[must_use]
    pub fn port_link(&self) -> crate::model::IfName {
        match &self.network.mode {
            Mode::Routed(_) => self.host_link.clone(),
            Mode::Bridged(bridge) => bridge.ip_link(),
        }
    }
}
