//! Red Hat's initscripts, and `NetworkManager` where it is so old that it reads their files: `ifcfg-`, `route-` and
//! `route6-`. Routes are in the form of arguments to `ip route add`, which the scripts pass on as they are.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::ours::header;
use super::{Draft, Tree, shell};
use crate::model::{Addressing, Family, Guest, GuestInterface, GuestRoute};

const DIR: &str = "etc/sysconfig/network-scripts";

/// The files.
pub(super) fn write(guest: &Guest, tree: &dyn Tree, draft: &mut Draft) {
    let read_by_network_manager = tree.exists("etc/systemd/system/multi-user.target.wants/NetworkManager.service");
    for interface in &guest.interfaces {
        let path = format!("{DIR}/ifcfg-{}", interface.name);
        let content = format!("{}\n{}", header(&path), ifcfg(interface));
        draft.add(path, 0o644, content);
        for (family, prefix) in [(Family::V4, "route"), (Family::V6, "route6")] {
            let routes = interface.routes.iter().filter(|route| route.dst.family() == family);
            let (routes, unsaid): (Vec<&GuestRoute>, Vec<&GuestRoute>) =
                routes.partition(|route| !(read_by_network_manager && route.crosses_families()));
            for route in unsaid {
                draft.warn(format!(
                    "{}: this NetworkManager has no words for the IPv4 route to {} through an IPv6 next hop",
                    interface.name, route.dst
                ));
            }
            if !routes.is_empty() {
                let path = format!("{DIR}/{prefix}-{}", interface.name);
                let lines = routes.iter().map(|route| shell::route_arguments(interface, route) + "\n");
                let content = header(&path) + &lines.collect::<String>();
                draft.add(path, 0o644, content);
            }
        }
    }
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

fn ifcfg(interface: &GuestInterface) -> String {
    let mut text = format!("DEVICE={}\nTYPE=Ethernet\nONBOOT=yes\n", interface.name);
    if interface.is_static() {
        // The check for duplicates (arping) would ask an empty link, and wait.
        text.push_str("BOOTPROTO=none\nARPCHECK=no\nIPV6_AUTOCONF=no\nDEFROUTE=no\nIPV6_DEFROUTE=no\n");
    } else {
        text.push_str("BOOTPROTO=dhcp\nIPV6_AUTOCONF=yes\n");
    }
    if let Some(mtu) = interface.mtu {
        let _ = writeln!(text, "MTU={mtu}");
    }
    let of = |family: Family| interface.addresses.iter().filter(move |net| net.family() == family);
    for (index, net) in of(Family::V4).enumerate() {
        let _ = writeln!(text, "IPADDR{index}={}\nPREFIX{index}={}", net.addr(), net.prefix_len());
    }
    let ipv6 = interface.has(Family::V6) || !interface.is_static();
    let _ = writeln!(text, "IPV6INIT={}", if ipv6 { "yes" } else { "no" });
    // The one that it is known by first.
    let (local, global): (Vec<&IpNet>, Vec<&IpNet>) = of(Family::V6).partition(|net| is_link_local(net));
    let mut addresses = global.into_iter().chain(local).map(ToString::to_string);
    if let Some(first) = addresses.next() {
        let _ = writeln!(text, "IPV6ADDR={first}");
        let _ = writeln!(text, "IPV6ADDR_SECONDARIES=\"{}\"", addresses.collect::<Vec<_>>().join(" "));
    }
    for (index, server) in interface.dns.nameservers.iter().enumerate() {
        let _ = writeln!(text, "DNS{}={server}", index + 1);
    }
    if !interface.dns.search.is_empty() {
        let search: Vec<String> = interface.dns.search.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "DOMAIN=\"{}\"", search.join(" "));
    }
    text
}
