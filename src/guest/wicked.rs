//! wicked: SUSE's `ifcfg-`, `ifroute-` and `ifsysctl-` files (ifcfg(5), ifroute(5), ifsysctl(5)). An IPv4 route
//! through an IPv6 next hop comes by a script, which it runs when the interface is up.

use std::fmt::Write as _;

use super::ours::header;
use super::{Draft, shell};
use crate::model::{Family, Guest, GuestInterface, GuestRoute};

const DIR: &str = "etc/sysconfig/network";

/// The files.
pub(super) fn write(guest: &Guest, draft: &mut Draft) {
    for interface in &guest.interfaces {
        let name = &interface.name;
        let crossing: Vec<&GuestRoute> = interface.routes.iter().filter(|route| route.crosses_families()).collect();
        let script = format!("{DIR}/scripts/springline-{name}");
        let path = format!("{DIR}/ifcfg-{name}");
        let mut content = format!("{}\n{}", header(&path), ifcfg(interface));
        if !crossing.is_empty() {
            let _ = writeln!(content, "POST_UP_SCRIPT='compat:suse:/{script}'");
        }
        draft.add(path, 0o644, content);
        let routes: String = interface
            .routes
            .iter()
            .filter(|route| !route.crosses_families())
            .map(|route| ifroute(interface, route))
            .collect();
        if !routes.is_empty() {
            let path = format!("{DIR}/ifroute-{name}");
            let content = header(&path) + &routes;
            draft.add(path, 0o644, content);
        }
        if interface.is_static() && interface.has(Family::V6) {
            let path = format!("{DIR}/ifsysctl-{name}");
            let keys = ["accept_ra", "autoconf", "accept_dad"].map(|key| format!("net.ipv6.conf.{name}.{key} = 0\n"));
            let content = header(&path) + &keys.concat();
            draft.add(path, 0o644, content);
        }
        if !crossing.is_empty() {
            let lines: String = crossing.iter().map(|route| shell::replace_route(interface, route) + "\n").collect();
            let content = format!("#!/bin/sh\n{}\n{lines}", header(&script));
            draft.add(script, 0o755, content);
        }
        if !interface.dns.is_empty() {
            draft.warn(format!("{name}: wicked takes name servers from /{DIR}/config only: they were not written"));
        }
    }
}

fn ifcfg(interface: &GuestInterface) -> String {
    let mut text = format!("STARTMODE='auto'\nBOOTPROTO='{}'\n", if interface.is_static() { "static" } else { "dhcp" });
    if let Some(mtu) = interface.mtu {
        let _ = writeln!(text, "MTU='{mtu}'");
    }
    for (index, net) in interface.addresses.iter().enumerate() {
        let suffix = if index == 0 { String::new() } else { format!("_{index}") };
        let _ = writeln!(text, "IPADDR{suffix}='{net}'");
    }
    text
}

/// Destination, gateway, netmask (unused), interface, options.
fn ifroute(interface: &GuestInterface, route: &GuestRoute) -> String {
    let via = route.via.map_or_else(|| "-".to_owned(), |via| via.to_string());
    let options = [
        route.onlink.then(|| "onlink".to_owned()),
        route.src.map(|src| format!("src {src}")),
        (route.metric != 0).then(|| format!("metric {}", route.metric)),
        route.table.map(|table| format!("table {table}")),
        route.scope.map(|scope| format!("scope {scope}")),
        route.mtu.map(|mtu| format!("mtu {mtu}")),
        route.advmss.map(|advmss| format!("advmss {advmss}")),
    ];
    let options = options.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!("{} {via} - {} {options}", route.dst, interface.name).trim_end().to_owned() + "\n"
}
