//! `NetworkManager`: a keyfile for each interface, with a priority above the user's own, and the word that it is to be
//! managed at all: the rules that it comes with leave out every veth (`85-nm-unmanaged.rules`), so its own
//! configuration and udev's are both told otherwise. It runs scripts when an interface has come up: by one of these
//! comes what keyfiles have no words for, an IPv4 route through an IPv6 next hop.

use std::fmt::Write as _;

use super::ours::header;
use super::{Draft, shell};
use crate::model::{Addressing, Family, Guest, GuestInterface, GuestRoute, stable_hash};

const CONF: &str = "etc/NetworkManager/conf.d/90-springline.conf";
const UDEV: &str = "etc/udev/rules.d/86-springline.rules";
const DISPATCHER: &str = "etc/NetworkManager/dispatcher.d/90-springline";

/// The keyfiles, and what makes `NetworkManager` heed them.
pub(super) fn write(guest: &Guest, draft: &mut Draft) {
    if guest.interfaces.is_empty() {
        return;
    }
    let (mut conf, mut udev, mut dispatcher) = (header(CONF), header(UDEV), String::new());
    for interface in &guest.interfaces {
        let name = &interface.name;
        let path = format!("etc/NetworkManager/system-connections/springline-{name}.nmconnection");
        let content = format!("{}\n{}", header(&path), keyfile(interface));
        draft.add(path, 0o600, content); // a file that others can read is passed over
        let _ = write!(conf, "\n[device-springline-{name}]\nmatch-device=interface-name:={name}\nmanaged=1\n");
        let _ = writeln!(udev, "ENV{{INTERFACE}}==\"{name}\", ENV{{NM_UNMANAGED}}=\"0\"");
        let unsaid = interface.routes.iter().filter(|route| !can_say(route));
        let lines: Vec<String> = unsaid.map(|route| shell::replace_route(interface, route)).collect();
        if !lines.is_empty() {
            let _ = write!(dispatcher, "{name}:up)\n    {}\n    ;;\n", lines.join("\n    "));
        }
    }
    draft.add(CONF, 0o644, conf);
    draft.add(UDEV, 0o644, udev);
    if !dispatcher.is_empty() {
        let head = header(DISPATCHER);
        draft.add(DISPATCHER, 0o755, format!("#!/bin/sh\n{head}\ncase $1:$2 in\n{dispatcher}esac\n"));
    }
}

fn can_say(route: &GuestRoute) -> bool {
    !route.crosses_families()
}

fn keyfile(interface: &GuestInterface) -> String {
    let name = &interface.name;
    let mut text = format!(
        "[connection]\nid=springline-{name}\nuuid={}\ntype=ethernet\ninterface-name={name}\nautoconnect=true\n\
         autoconnect-priority=999\n",
        uuid(interface)
    );
    text.push_str("\n[ethernet]\ncloned-mac-address=preserve\n");
    if let Some(mtu) = interface.mtu {
        let _ = writeln!(text, "mtu={mtu}");
    }
    for family in Family::BOTH {
        text.push_str(&section(interface, family));
    }
    text
}

fn section(interface: &GuestInterface, family: Family) -> String {
    let (title, nothing) = match family {
        Family::V4 => ("ipv4", "disabled"),
        // Not "disabled", which sets disable_ipv6: whoever has no IPv6 today may be given some tomorrow.
        Family::V6 => ("ipv6", "ignore"),
    };
    let method = match () {
        () if !interface.is_static() => "auto",
        () if interface.has(family) => "manual",
        () => nothing,
    };
    let mut text = format!("\n[{title}]\nmethod={method}\n");
    if interface.is_static() && interface.has(family) {
        // The metrics that the kernel itself gives to connected routes; NetworkManager's own would be 100.
        let _ = writeln!(text, "route-metric={}", if family == Family::V4 { 0 } else { 256 });
    }
    let addresses = interface.addresses.iter().filter(|net| net.family() == family);
    for (index, net) in addresses.enumerate() {
        let _ = writeln!(text, "address{}={net}", index + 1);
    }
    let routes = interface.routes.iter().filter(|route| route.dst.family() == family && can_say(route));
    for (index, route) in routes.enumerate() {
        let number = index + 1;
        let via = route.via.map(|via| via.to_string()).unwrap_or_default();
        let _ = writeln!(text, "route{number}={},{via},{}", route.dst, route.effective_metric());
        let options = options(route);
        if !options.is_empty() {
            let _ = writeln!(text, "route{number}_options={options}");
        }
    }
    let servers = interface.dns.nameservers.iter().filter(|server| server.family() == family);
    let servers: Vec<String> = servers.map(ToString::to_string).collect();
    if !servers.is_empty() {
        let _ = writeln!(text, "dns={};", servers.join(";"));
        let search: Vec<String> = interface.dns.search.iter().map(ToString::to_string).collect();
        if !search.is_empty() {
            let _ = writeln!(text, "dns-search={};", search.join(";"));
        }
    }
    text
}

fn options(route: &GuestRoute) -> String {
    let options = [
        route.onlink.then(|| "onlink=true".to_owned()),
        route.src.map(|src| format!("src={src}")),
        route.table.map(|table| format!("table={table}")),
        route.scope.map(|scope| format!("scope={scope}")),
        route.mtu.map(|mtu| format!("mtu={mtu}")),
        route.advmss.map(|advmss| format!("advmss={advmss}")),
    ];
    options.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// The same for the same interface, and in the form of a random one (RFC 9562, version 8: made in a way of one's own).
fn uuid(interface: &GuestInterface) -> String {
    let mac = interface.mac.map(|mac| mac.to_string()).unwrap_or_default();
    let digits = format!("{:032x}", stable_hash(&["NetworkManager", interface.name.as_str(), &mac]));
    let part = |from: usize, to: usize| &digits[from..to];
    format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}
