//! The host's side of a routed attachment, for every gateway scheme.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::builder::Builder;
use super::link::LinkKind;
use super::made::{Holder, Veth};
use super::route::Route;
use super::step::{LinkAddress, Object, Setting, Shared, Side, Sysctl};
use super::{filter, forwarding, pool};
use crate::error::{Code, Error, Result};
use crate::model::{Addressing, Attachment, Family, Gateway, IfName, Mtu, single};

/// The IPv4 gateway of scheme `link-local`. Held on every host-side link with scope host: with scope global
/// the host would choose it as its source address toward the container.
pub(super) const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
/// The IPv6 gateway of every scheme but `interconnect` and `none`.
pub(super) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The container's link-local address, fixed so that the host's routes can name it.
pub(super) const CONTAINER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// A link-local address with its /64.
pub(super) fn link_local(address: Ipv6Addr) -> IpNet {
    Ipv6Net::new(address, 64).unwrap_or_else(|_| address.into()).into()
}

/// The steps on the host, up to and with the routes toward the container.
pub(super) fn plan(builder: &mut Builder<'_>, attachment: &Attachment, gateway: &Gateway) -> Result<()> {
    let host = &attachment.host_link;
    refuse_missing_vrf(builder, attachment)?;
    forwarding::plan(builder, attachment.network.forwarding, |family| attachment.uses(family))?;
    if let (Gateway::Shared(address), true) = (gateway, attachment.uses(Family::V4)) {
        hold_shared_address(builder, *address)?;
    }
    let mtu = match attachment.network.mtu {
        Mtu::Fixed(mtu) => mtu,
        Mtu::Auto => builder.facts.uplink_mtu.unwrap_or(1500).clamp(68, 65535),
    };
    pool::plan(builder, attachment);
    builder.add(Object::Veth(Veth {
        host: host.clone(),
        host_mac: attachment.host_mac,
        host_mtu: mtu,
        alias: attachment.key.alias(),
        bridge: attachment.network.host_routes.vrf.clone(),
        peer: attachment.ifname().clone(),
        mac: attachment.mac,
        mtu,
        txqueuelen: attachment.network.txqueuelen,
    }));
    if builder.facts.host_ipv6 {
        // Before the link is up: a container's router advertisement would become the host's default route.
        let sysctl = Sysctl::ipv6(Side::Host, host, "accept_ra", "0").precaution(forwarding::forwards_ipv6(builder));
        builder.set(Setting::Sysctl(sysctl));
    }
    builder.set(Setting::Alias { link: host.clone(), alias: attachment.key.alias() });
    if builder.facts.host_ipv6 {
        // An automatic link-local address would be tentative, and what must be sent from it waits 2 s.
        builder.set(Setting::AddressGeneration { side: Side::Host, link: host.clone(), on: false });
    }
    filter::open_loopback(builder, attachment, Family::V4);
    filter::limit(builder, attachment)?;
    for (net, host_scope) in host_addresses(attachment, gateway) {
        builder.add(Object::Address(Side::Host, LinkAddress { link: host.clone(), net, host_scope }));
    }
    builder.set(Setting::State { side: Side::Host, link: host.clone(), up: true });
    filter::open_loopback(builder, attachment, Family::V6);
    for route in host_routes(attachment, gateway) {
        builder.add(Object::Route(Side::Host, route));
    }
    Ok(())
}

/// A VRF is the administrator's, with whatever else is in it.
fn refuse_missing_vrf(builder: &Builder<'_>, attachment: &Attachment) -> Result<()> {
    let marks = &attachment.network.host_routes;
    let Some(vrf) = &marks.vrf else { return Ok(()) };
    let table = marks.table;
    let why = match builder.facts.host_link(vrf).map(|link| &link.kind) {
        Some(LinkKind::Vrf(own)) if *own == table => return Ok(()),
        Some(LinkKind::Vrf(own)) => format!("its table is {own}, not {table} as hostRoutes.table says"),
        Some(kind) => format!("it is a {kind}"),
        None => "the host has none of this name".to_owned(),
    };
    Err(Error::new(Code::InvalidConfig, why)
        .context(format!("containers cannot be put into VRF {vrf}"))
        .hint(format!("ip link add {vrf} type vrf table {table} && ip link set {vrf} up makes one")))
}

/// One address on one link of the host for all containers of scheme `shared`.
fn hold_shared_address(builder: &mut Builder<'_>, address: Ipv4Addr) -> Result<()> {
    let name = holder_name()?;
    if builder.facts.host_link(&name).is_some_and(|link| !link.is_ours(Holder::ALIAS)) {
        return Err(Error::new(Code::InvalidConfig, "a link of this name exists on the host and is not ours")
            .context(format!("cannot create link {name}, which holds {address}")));
    }
    let net = single(address.into());
    let is_new = builder.facts.host_link(&name).is_none();
    builder.claim(Shared::Holder(name.clone()));
    builder.add(Object::Holder(Holder { name: name.clone() }));
    builder.set(Setting::Alias { link: name.clone(), alias: Holder::ALIAS.to_owned() });
    if is_new && builder.facts.host_ipv6 {
        // It holds one address and nothing else: none of its own making, which a routing daemon would announce.
        builder.set(Setting::AddressGeneration { side: Side::Host, link: name.clone(), on: false });
    }
    builder.set(Setting::State { side: Side::Host, link: name.clone(), up: true });
    // Another network may share the holder under another address: each has stakes of its own.
    builder.hold_address(LinkAddress { link: name, net, host_scope: true });
    Ok(())
}

/// The name of the link that holds the address of scheme `shared`.
pub fn holder_name() -> Result<IfName> {
    IfName::parse("springline0").map_err(|why| Error::new(Code::Internal, why.to_string()))
}

impl Shared {
    /// The address that it is, as whoever put it there did so: with scope host on the holder, but not on a bridge.
    pub(super) fn address(&self) -> Option<LinkAddress> {
        let Self::Address(link, net) = self else { return None };
        let host_scope = holder_name().is_ok_and(|holder| holder == *link);
        Some(LinkAddress { link: link.clone(), net: *net, host_scope })
    }
}

/// What the host side's link holds: address, and whether with scope host.
fn host_addresses(attachment: &Attachment, gateway: &Gateway) -> Vec<(IpNet, bool)> {
    let mut addresses = Vec::new();
    if attachment.needs_ipv6() {
        // In scheme `none` too: neighbour solicitations toward the container need a source on the link.
        addresses.push((link_local(GATEWAY_V6), false));
    }
    match gateway {
        Gateway::LinkLocal if attachment.uses(Family::V4) => addresses.push((single(GATEWAY_V4.into()), true)),
        Gateway::Interconnect(nets) => {
            addresses.extend(nets.iter().map(|net| (with_length_of(net.host, net.net), false)));
        }
        Gateway::LinkLocal | Gateway::Inet6 | Gateway::Shared(_) | Gateway::None => {}
    }
    addresses
}

/// `address` with the prefix length of `net`.
pub(super) fn with_length_of(address: IpAddr, net: IpNet) -> IpNet {
    IpNet::new(address, net.prefix_len()).unwrap_or_else(|_| single(address))
}

/// The host's routes to the container: one for each address that no routed network covers, and the routed
/// networks.
pub(super) fn host_routes(attachment: &Attachment, gateway: &Gateway) -> Vec<Route> {
    if attachment.awaits_addresses() {
        return Vec::new();
    }
    let networks = &attachment.network.routes;
    let covered = |address: IpNet| networks.iter().any(|network| network.dst.contains(&address));
    let addresses = attachment.addresses.iter().map(|address| single(address.net.addr()));
    let addresses = addresses.filter(|address| !covered(*address)).map(|address| (address, None));
    let wanted = addresses.chain(networks.iter().map(|network| (network.dst, network.via)));
    let marks = &attachment.network.host_routes;
    let mut routes: Vec<Route> = Vec::new();
    for (dst, via) in wanted {
        let via = via.or_else(|| next_hop_of_host(attachment, gateway, dst));
        let route = Route {
            via,
            // The next hop is in the container, whatever the host's own routes say about its address. A
            // link-local one is on the link by nature, and the kernel refuses the flag with an IPv4 route.
            onlink: via.is_some_and(|via| !is_link_local(via) && !is_connected(gateway, via)),
            table: marks.table,
            metric: marks.metric,
            protocol: marks.protocol,
            ..Route::on(&attachment.host_link, dst)
        };
        if !routes.iter().any(|there| there.collides(&route)) {
            routes.push(route);
        }
    }
    routes
}

/// Whether a connected route leads to the next hop already.
fn is_connected(gateway: &Gateway, via: IpAddr) -> bool {
    matches!(gateway, Gateway::Interconnect(nets) if nets.iter().any(|net| net.net.contains(&via)))
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Through what the host reaches `dst` in the container; `None`: it is on the link itself.
fn next_hop_of_host(attachment: &Attachment, gateway: &Gateway, dst: IpNet) -> Option<IpAddr> {
    let family = dst.family();
    let via_ipv6 = match gateway {
        Gateway::Interconnect(nets) => match nets.iter().find(|net| net.net.family() == family) {
            Some(net) => return Some(net.container),
            None => true,
        },
        _ => matches!(gateway, Gateway::Inet6),
    };
    let wide = dst.prefix_len() < dst.max_prefix_len();
    match family {
        Family::V4 if via_ipv6 => Some(CONTAINER_V6.into()),
        // Wider than one address: never plainly on the link, for each address that a scan probes would
        // become a neighbour entry, and the table that fills up (gc_thresh3) is the whole host's.
        Family::V6 if wide => Some(CONTAINER_V6.into()),
        Family::V4 if wide => {
            let own = attachment.addresses.iter().map(|address| address.net.addr()).find(IpAddr::is_ipv4);
            own.or(Some(CONTAINER_V6.into()))
        }
        _ => None,
    }
}

/// The container's next hop for everything of a family.
pub(super) fn next_hop_of_container(gateway: &Gateway, family: Family) -> Option<IpAddr> {
    match (gateway, family) {
        (Gateway::None, _) => None,
        (Gateway::LinkLocal, Family::V4) => Some(GATEWAY_V4.into()),
        (Gateway::Shared(address), Family::V4) => Some((*address).into()),
        (Gateway::Interconnect(nets), _) => {
            let own = nets.iter().find(|net| net.net.family() == family).map(|net| net.host);
            own.or(Some(GATEWAY_V6.into()))
        }
        (Gateway::Inet6, _) | (_, Family::V6) => Some(GATEWAY_V6.into()),
    }
}
