//! systemd-networkd: a `.network` file for each interface, before all others by its name, for the first that matches
//! counts. It says all that there is, and `KeepConfiguration=yes` besides: without it networkd takes away, as it
//! starts, what it finds and does not know from its files (systemd.network(5)).

use std::fmt::Write as _;

use super::Draft;
use super::ours::header;
use crate::model::{Guest, GuestInterface, GuestRoute};

const DIR: &str = "etc/systemd/network";

/// The files.
pub(super) fn write(guest: &Guest, draft: &mut Draft) {
    for interface in &guest.interfaces {
        let path = format!("{DIR}/05-springline-{}.network", interface.name);
        let content = format!("{}\n{}", header(&path), network(interface));
        draft.add(path, 0o644, content);
    }
}

fn network(interface: &GuestInterface) -> String {
    let mut text = format!("[Match]\nName={}\n\n[Link]\n", interface.name);
    if let Some(mtu) = interface.mtu {
        let _ = writeln!(text, "MTUBytes={mtu}");
    }
    if interface.is_static() && interface.addresses.is_empty() {
        // Without an address it never becomes more than this, and boot would wait for it.
        text.push_str("RequiredForOnline=carrier\n");
    }
    text.push_str("\n[Network]\n");
    if interface.is_static() {
        text.push_str("DHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\nKeepConfiguration=yes\n");
    } else {
        text.push_str("DHCP=yes\nIPv6AcceptRA=yes\nLinkLocalAddressing=ipv6\n");
    }
    for server in &interface.dns.nameservers {
        let _ = writeln!(text, "DNS={server}");
    }
    if !interface.dns.search.is_empty() {
        let domains: Vec<String> = interface.dns.search.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "Domains={}", domains.join(" "));
    }
    for net in &interface.addresses {
        let _ = writeln!(text, "\n[Address]\nAddress={net}");
        if net.addr().is_ipv6() {
            text.push_str("DuplicateAddressDetection=none\n");
        }
    }
    text.extend(interface.routes.iter().map(route));
    text
}

/// A `[Route]` section, with an empty line before it.
pub(super) fn route(route: &GuestRoute) -> String {
    let mut text = format!("\n[Route]\nDestination={}\n", route.dst);
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{key}={value}");
        }
    };
    set("Gateway", route.via.map(|via| via.to_string()));
    set("GatewayOnLink", route.onlink.then(|| "yes".to_owned()));
    set("PreferredSource", route.src.map(|src| src.to_string()));
    set("Metric", (route.metric != 0).then(|| route.metric.to_string()));
    set("Table", route.table.map(|table| table.to_string()));
    set("Scope", route.scope.map(|scope| scope.to_string()));
    set("MTUBytes", route.mtu.map(|mtu| mtu.to_string()));
    set("TCPAdvertisedMaximumSegmentSize", route.advmss.map(|advmss| advmss.to_string()));
    text
}
