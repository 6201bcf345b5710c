//! The guest's network as `ip` lines, for services that run scripts. `replace` where it can be said, so that they
//! succeed, and change nothing, where everything is there already.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Tree;
use crate::model::{Addressing, Family, GuestInterface, GuestRoute};

/// Which `ip` the guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ip {
    /// iproute2's.
    Full,
    /// busybox's, which has neither `nodad` nor `via inet6`.
    Busybox,
}

impl Ip {
    /// The one that the shell would find; if there is none, the one that `otherwise` names.
    pub(super) fn of(tree: &dyn Tree, otherwise: Self) -> Self {
        let mut found = None;
        for path in ["sbin/ip", "usr/sbin/ip", "bin/ip", "usr/bin/ip"] {
            match tree.link(path) {
                Some(target) if target.contains("busybox") => found = found.or(Some(Self::Busybox)),
                Some(_) => return Self::Full,
                None if tree.exists(path) => return Self::Full,
                None => {}
            }
        }
        found.unwrap_or(otherwise)
    }

    /// Whether it has words for the route.
    pub(super) fn can_say(self, route: &GuestRoute) -> bool {
        self == Self::Full || !route.crosses_families() && route.advmss.is_none()
    }
}

/// What comes before any address: no router advertisements, no duplicate address detection, the link up.
pub(super) fn prepare(interface: &GuestInterface) -> Vec<String> {
    let name = &interface.name;
    let mut lines = Vec::new();
    if interface.has(Family::V6) {
        // Where /proc/sys is read-only, it was set from outside already.
        for (key, value) in [("accept_ra", "0"), ("accept_dad", "0")] {
            let file = format!("/proc/sys/net/ipv6/conf/{name}/{key}");
            lines.push(format!("test ! -w {file} || echo {value} > {file}"));
        }
    }
    let mtu = interface.mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
    lines.push(format!("ip link set dev {name}{mtu} up"));
    lines
}

/// Addresses and routes.
pub(super) fn add(interface: &GuestInterface, ip: Ip) -> Vec<String> {
    let name = &interface.name;
    let address = |net: &IpNet| {
        let flag = match net {
            IpNet::V6(_) if ip == Ip::Full => " nodad",
            // As the kernel's own: none on a /31 or /32, where one would take the neighbour's address.
            IpNet::V4(net) if net.prefix_len() < 31 => " brd +",
            _ => "",
        };
        format!("ip {} address replace {net} dev {name}{flag}", family(net.family()))
    };
    let routes = interface.routes.iter().filter(|route| ip.can_say(route));
    let routes = routes.map(|route| {
        let line = replace_route(interface, route);
        // Without nodad an address is tentative until a work queue has had its turn, and until then the kernel refuses
        // it as the source of a route (ip6_route_info_create()).
        let may_be_early = ip == Ip::Busybox && route.src.is_some_and(|src| src.is_ipv6());
        if may_be_early { format!("{line} 2>/dev/null || {{ sleep 1; {line}; }}") } else { line }
    });
    interface.addresses.iter().map(address).chain(routes).collect()
}

/// One route.
pub(super) fn replace_route(interface: &GuestInterface, route: &GuestRoute) -> String {
    format!("ip {} route replace {}", family(route.dst.family()), route_arguments(interface, route))
}

/// The way back, last first. Each line may fail where somebody was there before.
pub(super) fn remove(interface: &GuestInterface, ip: Ip) -> Vec<String> {
    let name = &interface.name;
    let routes = interface.routes.iter().rev().filter(|route| ip.can_say(route)).map(|route| {
        let table = route.table.map(|table| format!(" table {table}")).unwrap_or_default();
        format!("ip {} route del {} dev {name}{table}", family(route.dst.family()), route.dst)
    });
    let addresses = interface.addresses.iter().rev();
    let addresses = addresses.map(|net| format!("ip {} address del {net} dev {name}", family(net.family())));
    routes.chain(addresses).collect()
}

fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}

/// A route as the arguments of `ip route`.
pub(super) fn route_arguments(interface: &GuestInterface, route: &GuestRoute) -> String {
    let mut words = vec![route.dst.to_string()];
    match route.via {
        Some(IpAddr::V6(via)) if route.crosses_families() => words.push(format!("via inet6 {via}")),
        Some(via) => words.push(format!("via {via}")),
        None => {}
    }
    words.push(format!("dev {}", interface.name));
    words.push("proto static".to_owned());
    words.extend(route.onlink.then(|| "onlink".to_owned()));
    words.extend(route.src.map(|src| format!("src {src}")));
    words.extend((route.metric != 0).then(|| format!("metric {}", route.metric)));
    words.extend(route.table.map(|table| format!("table {table}")));
    words.extend(route.scope.map(|scope| if scope == 253 { "scope link".into() } else { format!("scope {scope}") }));
    words.extend(route.mtu.map(|mtu| format!("mtu {mtu}")));
    words.extend(route.advmss.map(|advmss| format!("advmss {advmss}")));
    words.join(" ")
}

/// A warning for each route that the guest's `ip` has no words for.
pub(super) fn warnings(interface: &GuestInterface, ip: Ip) -> Vec<String> {
    let unsaid = interface.routes.iter().filter(|route| !ip.can_say(route));
    let warn = |route: &GuestRoute| {
        format!("{}: busybox's ip cannot set the route to {}: install iproute2 in the guest", interface.name, route.dst)
    };
    unsaid.map(warn).collect()
}
