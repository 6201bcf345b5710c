//! netplan: one file after the user's, whose scalars win over theirs (netplan(5): lists are joined). What netplan has
//! no words for goes into a drop-in to the file that it makes for networkd.

use std::fmt::Write as _;

use super::ours::header;
use super::{Draft, networkd};
use crate::model::{Guest, GuestInterface, GuestRoute};

const PATH: &str = "etc/netplan/90-springline.yaml";

/// The file, and the drop-ins.
pub(super) fn write(guest: &Guest, draft: &mut Draft) {
    if guest.interfaces.is_empty() {
        return;
    }
    let interfaces: String = guest.interfaces.iter().map(ethernet).collect();
    // Others than root are not to read it: netplan complains otherwise.
    draft.add(PATH, 0o600, format!("{}\nnetwork:\n  version: 2\n  ethernets:\n{interfaces}", header(PATH)));
    for interface in guest.interfaces.iter().filter(|interface| interface.is_static()) {
        let path = format!("etc/systemd/network/10-netplan-{}.network.d/springline.conf", interface.name);
        let unsaid: String = interface.routes.iter().filter(|route| !can_say(route)).map(networkd::route).collect();
        let content =
            format!("{}\n[Network]\nKeepConfiguration=yes\nIPv6DuplicateAddressDetection=0\n{unsaid}", header(&path));
        draft.add(path, 0o644, content);
    }
}

/// netplan refuses a next hop of another family, has no `advmss`, and of the scopes only those with a name.
fn can_say(route: &GuestRoute) -> bool {
    !route.crosses_families()
        && route.advmss.is_none()
        && route.scope.is_none_or(|scope| scope == 253)
        && (route.via.is_some() || route.scope.is_some())
}

fn ethernet(interface: &GuestInterface) -> String {
    let mut text = format!("    {}:\n", interface.name);
    let mut line = |indent: usize, words: String| {
        let _ = writeln!(text, "{:indent$}{words}", "");
    };
    let automatic = !interface.is_static();
    line(6, format!("dhcp4: {automatic}"));
    line(6, format!("dhcp6: {automatic}"));
    line(6, format!("accept-ra: {automatic}"));
    line(6, format!("link-local: [{}]", if automatic { "ipv6" } else { "" }));
    if let Some(mtu) = interface.mtu {
        line(6, format!("mtu: {mtu}"));
    }
    if !interface.addresses.is_empty() {
        line(6, "addresses:".to_owned());
        interface.addresses.iter().for_each(|net| line(8, format!("- \"{net}\"")));
    }
    let routes: Vec<&GuestRoute> = interface.routes.iter().filter(|route| can_say(route)).collect();
    if !routes.is_empty() {
        line(6, "routes:".to_owned());
    }
    for route in routes {
        line(8, format!("- to: \"{}\"", route.dst));
        let keys = [
            ("via", route.via.map(|via| format!("\"{via}\""))),
            ("on-link", route.onlink.then(|| "true".to_owned())),
            ("from", route.src.map(|src| format!("\"{src}\""))),
            ("metric", (route.metric != 0).then(|| route.metric.to_string())),
            ("table", route.table.map(|table| table.to_string())),
            ("scope", route.scope.map(|_| "link".to_owned())),
            ("mtu", route.mtu.map(|mtu| mtu.to_string())),
        ];
        for (key, value) in keys {
            if let Some(value) = value {
                line(10, format!("{key}: {value}"));
            }
        }
    }
    if !interface.dns.is_empty() {
        line(6, "nameservers:".to_owned());
        let list = |items: Vec<String>| items.join(", ");
        let servers = interface.dns.nameservers.iter().map(|server| format!("\"{server}\"")).collect();
        line(8, format!("addresses: [{}]", list(servers)));
        let search = interface.dns.search.iter().map(|domain| format!("\"{domain}\"")).collect();
        line(8, format!("search: [{}]", list(search)));
    }
    text
}
