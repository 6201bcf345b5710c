//! The container's side, in both modes.

use super::builder::Builder;
use super::route::Route;
use super::routed::{self, CONTAINER_V6, link_local, with_length_of};
use super::step::{LinkAddress, Object, Setting, Side, Step, Sysctl};
use crate::error::{Code, Error, Result};
use crate::model::{
    Addressing, Attachment, ContainerRoute, DefaultRoute, Family, Gateway, IfName, Mode, Network, single,
};

/// The steps inside the container: quiet IPv6, addresses, link up, routes.
pub(super) fn plan(builder: &mut Builder<'_>, attachment: &Attachment) -> Result<()> {
    let link = attachment.ifname();
    let routed = matches!(attachment.network.mode, Mode::Routed(_));
    if routed || attachment.network.ipam.is_some() || !attachment.addresses.is_empty() {
        quiet_autoconfiguration(builder, attachment);
    }
    tune(builder, attachment);
    builder.set(Setting::State { side: Side::Container, link: IfName::loopback(), up: true });
    for net in addresses(attachment) {
        let address = LinkAddress { link: link.clone(), net, host_scope: false };
        builder.add(Object::Address(Side::Container, address));
    }
    builder.set(Setting::State { side: Side::Container, link: link.clone(), up: true });
    for route in routes(attachment)? {
        let route = match attachment.network.default_route {
            DefaultRoute::Lead if route.dst.prefix_len() == 0 => before_others(builder, route),
            _ => behind_others(builder, route),
        };
        builder.add(Object::Route(Side::Container, route));
    }
    Ok(())
}

/// The addresses are ours to choose, so the kernel shall not add its own: an automatic link-local address
/// is tentative for a second or two, and on a bridge a stray router advertisement would add a default route. (At the
/// other end of a routed link is the host alone; to forbid it what it does not do would be a walk through `/proc`.) A
/// plain port without `ipam` is left alone: there, SLAAC may be just what is wanted.
fn quiet_autoconfiguration(builder: &mut Builder<'_>, attachment: &Attachment) {
    let link = attachment.ifname();
    let has_ipv6 = builder.facts.container_ipv6;
    let bridged = matches!(attachment.network.mode, Mode::Bridged(_));
    let announces = bridged && !attachment.addresses.is_empty();
    if has_ipv6 {
        let has_neighbours = announces && attachment.uses(Family::V6);
        let precautions = [("ndisc_notify", "1", has_neighbours), ("accept_ra", "0", bridged)];
        for (name, value, _) in precautions.into_iter().filter(|(_, _, wanted)| *wanted) {
            let sysctl = Sysctl::ipv6(Side::Container, link, name, value).precaution(true);
            builder.set(Setting::Sysctl(sysctl));
        }
        builder.set(Setting::AddressGeneration { side: Side::Container, link: link.clone(), on: false });
    }
    if announces {
        builder.set(Setting::StrictArp { side: Side::Container, link: link.clone() });
    }
}

/// What the network asks for of the link and its namespace.
fn tune(builder: &mut Builder<'_>, attachment: &Attachment) {
    let link = attachment.ifname();
    for sysctl in sysctls(attachment) {
        builder.set(Setting::Sysctl(sysctl));
    }
    let flags = attachment.network.flags;
    builder.set(Setting::Flags { side: Side::Container, link: link.clone(), flags });
}

/// Those sysctls that the network asks for and that do not belong to the new link.
#[must_use]
pub fn asked_sysctls(attachment: &Attachment) -> Vec<String> {
    let own = |sysctl: &Sysctl| sysctl.link() == Some(attachment.ifname().as_str());
    sysctls(attachment).into_iter().filter(|sysctl| !own(sysctl)).map(|sysctl| sysctl.key).collect()
}

/// The sysctls that the network asks for.
pub(super) fn sysctls(attachment: &Attachment) -> Vec<Sysctl> {
    let sysctl = |(path, value): &(String, String)| {
        let named =
            |part: &str| if part == Network::IFNAME { attachment.ifname().to_string() } else { part.to_owned() };
        let key = path.split('/').map(named).collect::<Vec<_>>().join("/");
        Sysctl { side: Side::Container, key, value: value.clone(), precaution: false }
    };
    attachment.network.sysctls.iter().map(sysctl).collect()
}

/// What the container's link holds: its link-local address, an interconnect's, its own.
pub(super) fn addresses(attachment: &Attachment) -> Vec<ipnet::IpNet> {
    let own = attachment.addresses.iter().map(|address| address.net);
    match &attachment.network.mode {
        Mode::Bridged(_) => {
            let local = attachment.uses(Family::V6).then(|| link_local(attachment.mac.link_local()));
            local.into_iter().chain(own).collect()
        }
        Mode::Routed(gateway) => {
            let local = attachment.needs_ipv6().then(|| link_local(CONTAINER_V6));
            let interconnects = match gateway {
                Gateway::Interconnect(nets) => nets.as_slice(),
                _ => &[],
            };
            let interconnects = interconnects.iter().map(|net| with_length_of(net.container, net.net));
            // Whatever length it came with: a wider one would promise neighbours that are not on the link.
            local.into_iter().chain(interconnects).chain(own.map(|net| single(net.addr()))).collect()
        }
    }
}

/// The container's routes: those asked for, or a default route for each family in use.
fn routes(attachment: &Attachment) -> Result<Vec<Route>> {
    let asked = attachment.asked_routes();
    asked.iter().map(|route| to_route(attachment, route)).collect()
}

impl Attachment {
    /// The routes inside the container that were asked for, or else the default routes that go without
    /// saying; next hops are still open.
    #[must_use]
    pub(super) fn asked_routes(&self) -> Vec<ContainerRoute> {
        if self.awaits_addresses() {
            return Vec::new();
        }
        let mut routes = self.container_routes.clone().unwrap_or_else(|| {
            let families = Family::BOTH.into_iter().filter(|family| self.uses(*family));
            let reachable = families.filter(|family| self.next_hop(*family).is_some());
            reachable.map(|family| ContainerRoute::plain(family.default_route())).collect()
        });
        if self.network.default_route == DefaultRoute::Never {
            routes.retain(|route| route.dst.prefix_len() != 0);
        }
        for route in routes.iter_mut().filter(|route| route.dst.prefix_len() == 0) {
            route.priority = route.priority.or(self.network.metric);
        }
        routes
    }

    /// The container's next hop for a family, if it has one.
    #[must_use]
    pub(super) fn next_hop(&self, family: Family) -> Option<std::net::IpAddr> {
        match &self.network.mode {
            Mode::Routed(gateway) => routed::next_hop_of_container(gateway, family),
            Mode::Bridged(_) => {
                let mut own = self.addresses.iter().filter(|address| address.net.family() == family);
                own.find_map(|address| address.gateway)
            }
        }
    }
}

fn to_route(attachment: &Attachment, asked: &ContainerRoute) -> Result<Route> {
    let family = asked.dst.family();
    let on_link = asked.scope.is_some_and(|scope| scope >= 253); // RT_SCOPE_LINK
    let via = asked.gw.or_else(|| attachment.next_hop(family).filter(|_| !on_link));
    if via.is_none() && !on_link {
        let why = format!("route to {} has no next hop, and the network has no gateway of that family", asked.dst);
        return Err(Error::new(Code::InvalidConfig, why)
            .context("invalid configuration: ipam.routes")
            .hint("give the route a \"gw\", or \"scope\": 253 if the destination is on the link"));
    }
    // A gateway that the network names is on the link, whether or not the address's prefix covers it.
    let ours = matches!(attachment.network.mode, Mode::Routed(_)) || asked.gw.is_none();
    let connected = addresses(attachment).iter().any(|net| via.is_some_and(|via| net.contains(&via)));
    Ok(Route {
        via,
        onlink: ours && !connected && via.is_some_and(|via| !routed::is_link_local(via)),
        src: source(attachment, family),
        table: asked.table_number(),
        metric: asked.priority.unwrap_or(0),
        scope: asked.scope,
        mtu: asked.mtu,
        advmss: asked.advmss,
        ..Route::on(attachment.ifname(), asked.dst)
    })
}

/// Across an interconnecting network the container's own address must be named as the source, or the
/// kernel would take the one of the interconnect, which nobody else has a route to.
fn source(attachment: &Attachment, family: Family) -> Option<std::net::IpAddr> {
    match &attachment.network.mode {
        Mode::Routed(Gateway::Interconnect(_)) => {
            attachment.addresses.iter().map(|address| address.net.addr()).find(|address| address.family() == family)
        }
        _ => None,
    }
}

/// A route before those that other interfaces of the container have to the same destination: by a lower metric; or where
/// there is none, theirs get higher ones. First the new, then the old goes: at no time is there none.
fn before_others(builder: &mut Builder<'_>, route: Route) -> Route {
    let rivals = |builder: &Builder<'_>| -> Vec<Route> {
        let there = builder.facts.container.routes.iter();
        there
            .filter(|other| (&other.dst, other.table) == (&route.dst, route.table) && other.link != route.link)
            .cloned()
            .collect()
    };
    let Some(first) = rivals(builder).iter().map(Route::effective_metric).min() else { return route };
    let there = builder
        .facts
        .container
        .routes
        .iter()
        .filter(|there| there.collides(&Route { metric: there.metric, ..route.clone() }));
    let own = there.filter(|there| (&there.link, there.via) == (&route.link, route.via));
    if let Some(own) = own.map(Route::effective_metric).find(|metric| *metric < first) {
        return Route { metric: own, ..route };
    }
    if route.effective_metric() < first {
        return route;
    }
    // Metric 0 means 1024 to IPv6, so 1 is its lowest.
    let lowest = u32::from(route.dst.addr().is_ipv6());
    if first > lowest {
        return Route { metric: first - 1, ..route };
    }
    // One step back for all that stand close together, the last of them first: their order stays.
    let mut in_a_row: Vec<Route> = Vec::new();
    let mut rivals = rivals(builder);
    rivals.sort_by_key(Route::effective_metric);
    for rival in rivals {
        let next = in_a_row.last().map_or(lowest, |last| last.effective_metric() + 1);
        if rival.effective_metric() <= next {
            in_a_row.push(rival);
        }
    }
    for rival in in_a_row.into_iter().rev() {
        let moved = Route { metric: rival.effective_metric() + 1, ..rival.clone() };
        builder.add(Object::Route(Side::Container, moved));
        builder.push(Step::Del(Object::Route(Side::Container, rival)));
    }
    Route { metric: lowest, ..route }
}

/// A route behind those that other interfaces of the container have to the same destination: what was
/// there first keeps carrying the traffic, and ours takes over when it goes. A metric that was asked for is
/// kept unless it is taken.
fn behind_others(builder: &Builder<'_>, route: Route) -> Route {
    let there = builder.facts.container.routes.iter();
    let rivals: Vec<&Route> = there
        .filter(|other| (&other.dst, other.table) == (&route.dst, route.table))
        .filter(|other| (&other.link, other.via) != (&route.link, route.via))
        .collect();
    let others = rivals.iter().filter(|other| other.link != route.link).map(|other| other.effective_metric());
    let worst = others.max();
    let with = |metric: u32| Route { metric, ..route.clone() };
    let is_free = |metric: &u32| !rivals.iter().any(|other| other.collides(&with(*metric)));
    let is_behind = worst.is_none_or(|worst| worst < route.effective_metric());
    if is_free(&route.metric) && (is_behind || route.metric != 0) {
        return route;
    }
    let first = worst.unwrap_or(route.effective_metric()).saturating_add(100);
    with((first..=u32::MAX).find(is_free).unwrap_or(u32::MAX))
}
