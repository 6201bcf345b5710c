//! What may be changed of an attachment that is in use, and by which rules.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::model::{
    Address, Addressing, Attachment, AttachmentKey, IfName, Ipam, Isolation, Lease, Mode, Mtu, PortMap, Rate,
    RoutedNetwork, single,
};
use crate::plan::Step;

/// One change.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Another address, with or without prefix length, and how the host routes it.
    AddAddress(IpNet, AddressRoute),
    /// An address less; with `keep_route` the host goes on routing it to the container.
    DelAddress {
        /// The address.
        address: IpAddr,
        /// Whether its route stays.
        keep_route: bool,
    },
    /// All addresses less; with `keep_route` the host goes on routing them to the container.
    DelAddresses {
        /// Whether their routes stay.
        keep_route: bool,
    },
    /// Another network that the host routes to the container.
    AddRoute(RoutedNetwork),
    /// A network less; addresses inside keep routes of their own.
    DelRoute(IpNet),
    /// Another limit of what it receives; none lifts it.
    Received(Option<Rate>),
    /// Another limit of what it sends; none lifts it.
    Sent(Option<Rate>),
    /// Another MTU on both ends.
    Mtu(Mtu),
    /// Another isolation.
    Isolation(Isolation),
    /// More ports of the host.
    AddPorts(Vec<PortMap>),
    /// Fewer.
    DelPorts(Vec<PortMap>),
    /// Another name of the interface, inside.
    Rename {
        /// The name.
        name: IfName,
        /// Whether the link may be taken down for it, where the kernel renames no other.
        interrupt: bool,
    },
}

/// How the host routes an address that is added.
#[derive(Debug, Clone, Default)]
pub enum AddressRoute {
    /// By a route of its own, unless one to the container covers it.
    #[default]
    Own,
    /// By a route to this network, or through this next hop.
    As(RoutedNetwork),
    /// Not by a new route: one that there is must cover it.
    Covered,
}

impl Engine {
    /// Makes all the changes, or none. The steps that it took.
    pub fn edit(&self, key: &AttachmentKey, edits: &[Edit]) -> Result<Vec<Step>> {
        let doing = || format!("change attachment {key}");
        let applied = |wanted: &mut Attachment| edits.iter().try_for_each(|edit| self.apply(edit, wanted));
        let may_interrupt = edits.iter().any(|edit| matches!(edit, Edit::Rename { interrupt: true, .. }));
        self.change(key, applied, may_interrupt).map_err(|error| error.context(doing()))
    }

    fn apply(&self, edit: &Edit, wanted: &mut Attachment) -> Result<()> {
        match edit {
            Edit::AddAddress(net, route) => self.add_address(*net, route, wanted),
            Edit::DelAddress { address, keep_route } => del_address(*address, *keep_route, wanted),
            Edit::DelAddresses { keep_route } => {
                let all: Vec<IpAddr> = wanted.addresses.iter().map(|there| there.net.addr()).collect();
                all.into_iter().try_for_each(|address| del_address(address, *keep_route, wanted))
            }
            Edit::AddRoute(route) => add_route(*route, wanted),
            Edit::DelRoute(dst) => del_route(*dst, wanted),
            Edit::Received(rate) => {
                wanted.rates.received.clone_from(rate);
                Ok(())
            }
            Edit::Sent(rate) => {
                wanted.rates.sent.clone_from(rate);
                Ok(())
            }
            Edit::Mtu(mtu) => {
                wanted.network.mtu = *mtu;
                Ok(())
            }
            Edit::Isolation(isolation) => {
                wanted.network.isolation = *isolation;
                Ok(())
            }
            Edit::AddPorts(maps) => add_ports(maps, wanted),
            Edit::DelPorts(maps) => del_ports(maps, wanted),
            Edit::Rename { name, .. } => rename(name, wanted),
        }
    }

    fn add_address(&self, net: IpNet, route: &AddressRoute, wanted: &mut Attachment) -> Result<()> {
        let address = net.addr();
        if wanted.addresses.iter().any(|there| there.net.addr() == address) {
            return Err(wrong(format!("{address} is there already")));
        }
        let has_length = net.prefix_len() != net.max_prefix_len();
        let sets = match &wanted.network.ipam {
            Some(Ipam::BuiltIn { ranges, .. }) => ranges.as_slice(),
            _ => &[],
        };
        let set = sets.iter().find(|set| set.0.iter().any(|range| range.contains(address)));
        let range = sets.iter().flat_map(|set| &set.0).find(|range| range.subnet.contains(&address));
        let slot = set.and_then(|set| self.store.slot_of(set, address));
        let (subnet, gateway) = (range.map(|range| range.subnet), range.and_then(|range| range.gateway));
        if gateway == Some(address) {
            return Err(wrong(format!("{address} is the range's gateway")));
        }
        match &wanted.network.mode {
            Mode::Routed(_) => route_address(address, route, wanted)?,
            Mode::Bridged(_) if matches!(route, AddressRoute::Own) => {}
            Mode::Bridged(_) => return Err(not_routed(wanted)),
        }
        let length = subnet.filter(|_| !has_length).map_or(net.prefix_len(), |subnet| subnet.prefix_len());
        let net = IpNet::new(address, length).unwrap_or(net);
        let data_dir = match &wanted.network.ipam {
            Some(Ipam::BuiltIn { data_dir, .. }) => data_dir.clone(),
            _ => None,
        };
        wanted.addresses.push(Address { net, gateway });
        wanted.leases.push(Lease { network: wanted.key.network.clone(), address, data_dir, slot });
        Ok(())
    }
}

fn route_address(address: IpAddr, route: &AddressRoute, wanted: &mut Attachment) -> Result<()> {
    let routes = &mut wanted.network.routes;
    match route {
        AddressRoute::Own => Ok(()),
        AddressRoute::As(network) if !network.dst.contains(&address) => {
            Err(wrong(format!("{address} is not in {}, by which it is to be routed", network.dst)))
        }
        AddressRoute::As(network) => {
            if !routes.iter().any(|there| there == network) {
                add_route(*network, wanted)?;
            }
            Ok(())
        }
        AddressRoute::Covered if routes.iter().any(|there| there.dst.contains(&address)) => Ok(()),
        AddressRoute::Covered => Err(wrong(format!("no network that is routed to the container contains {address}"))
            .hint("springline route add puts one there; without --no-route the address gets a route of its own")),
    }
}

fn del_address(address: IpAddr, keep_route: bool, wanted: &mut Attachment) -> Result<()> {
    if !wanted.addresses.iter().any(|there| there.net.addr() == address) {
        let there: Vec<String> = wanted.addresses.iter().map(|there| there.net.addr().to_string()).collect();
        return Err(wrong(format!("{address} is not there, but [{}]", there.join(", "))));
    }
    let routes = &mut wanted.network.routes;
    if let Some(route) = routes.iter().find(|route| route.via == Some(address) && route.dst != single(address)) {
        return Err(wrong(format!("{} is routed via {address}", route.dst))
            .hint(format!("springline route del … {} takes that route away first", route.dst)));
    }
    wanted.addresses.retain(|there| there.net.addr() != address);
    wanted.leases.retain(|lease| lease.address != address);
    if keep_route && !routes.iter().any(|route| route.dst.contains(&address)) {
        if matches!(wanted.network.mode, Mode::Bridged(_)) {
            return Err(not_routed(wanted));
        }
        routes.push(RoutedNetwork { dst: single(address), via: None });
    }
    if !keep_route {
        routes.retain(|route| route.dst != single(address));
    }
    Ok(())
}

fn add_route(route: RoutedNetwork, wanted: &mut Attachment) -> Result<()> {
    if matches!(wanted.network.mode, Mode::Bridged(_)) {
        return Err(not_routed(wanted));
    }
    if wanted.network.routes.iter().any(|there| there.dst == route.dst) {
        return Err(wrong(format!("{} is routed to it already", route.dst)));
    }
    if route.via.is_some_and(|via| via.is_ipv4() && route.dst.family() != via.family()) {
        return Err(wrong(format!("{} cannot have an IPv4 next hop", route.dst)));
    }
    wanted.network.routes.push(route);
    Ok(())
}

fn del_route(dst: IpNet, wanted: &mut Attachment) -> Result<()> {
    let routes = &mut wanted.network.routes;
    if let Some(at) = routes.iter().position(|there| there.dst == dst) {
        routes.remove(at);
        return Ok(());
    }
    let of_address = wanted.addresses.iter().any(|there| single(there.net.addr()) == dst);
    let there: Vec<String> = routes.iter().map(|route| route.dst.to_string()).collect();
    let error = wrong(format!("{dst} is none of the networks that are routed to it: [{}]", there.join(", ")));
    Err(if of_address { error.hint("it is the route of an address: springline ip del takes both away") } else { error })
}

fn add_ports(maps: &[PortMap], wanted: &mut Attachment) -> Result<()> {
    for map in maps {
        if let Some(there) = wanted.ports.iter().find(|there| there.overlaps(map)) {
            return Err(wrong(format!("port {there} leads to its port {} already", there.container_port)));
        }
        wanted.ports.push(*map);
    }
    Ok(())
}

fn del_ports(maps: &[PortMap], wanted: &mut Attachment) -> Result<()> {
    for map in maps {
        let at = wanted.ports.iter().position(|there| there == map);
        let missing = || {
            let there: Vec<String> =
                wanted.ports.iter().map(|there| format!("{there} to {}", there.container_port)).collect();
            wrong(format!("port {map} to {} is not mapped, but [{}]", map.container_port, there.join(", ")))
        };
        let at = at.ok_or_else(missing)?;
        wanted.ports.remove(at);
    }
    Ok(())
}

fn rename(name: &IfName, wanted: &mut Attachment) -> Result<()> {
    // Its daemon asks for a new lease through the link that has the name of then, in later versions (`newDHCPClient()` in
    // its lease.go), and takes the link down when that fails.
    if matches!(&wanted.network.ipam, Some(Ipam::Delegated { plugin }) if plugin == "dhcp") {
        return Err(wrong("IPAM plugin dhcp finds the interface by its name when it renews the lease".to_owned())
            .context(format!("{} cannot be renamed to {name}", wanted.ifname())));
    }
    wanted.renamed = (*name != wanted.key.ifname).then(|| name.clone());
    Ok(())
}

fn wrong(why: String) -> Error {
    Error::new(Code::InvalidConfig, why)
}

fn not_routed(wanted: &Attachment) -> Error {
    wrong(format!("network {} is bridged: the host routes nothing to a container of it", wanted.key.network))
}
