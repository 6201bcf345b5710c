//! Void: a script of runit's first stage, which reads it into its own shell, so that nothing in it may exit. Where
//! dhcpcd is enabled, it is told to keep its hands off.

use super::block::{self, At};
use super::ours::header;
use super::shell::{self, Ip};
use super::{Draft, Tree};
use crate::model::Guest;

const SCRIPT: &str = "etc/runit/core-services/90-springline-network.sh";
const DHCPCD: &str = "etc/dhcpcd.conf";
const DHCPCD_ENABLED: &str = "etc/runit/runsvdir/default/dhcpcd";

/// The script, and dhcpcd's part.
pub(super) fn write(guest: &Guest, tree: &dyn Tree, draft: &mut Draft) {
    let ip = Ip::of(tree, Ip::Full);
    let mut lines = String::new();
    let mut denied = Vec::new();
    for interface in &guest.interfaces {
        let name = &interface.name;
        if !interface.is_static() {
            if !tree.exists(DHCPCD_ENABLED) {
                draft.warn(format!("{name}: addresses come by DHCP, but the guest's dhcpcd is not enabled"));
            }
            continue;
        }
        denied.push(name.as_str());
        let script = shell::prepare(interface).into_iter().chain(shell::add(interface, ip));
        script.for_each(|line| lines.push_str(&(line + "\n")));
        draft.warnings.extend(shell::warnings(interface, ip));
        if !interface.dns.is_empty() {
            draft.warn(format!("{name}: this script sets no name servers"));
        }
    }
    if denied.is_empty() {
        return;
    }
    if let Some(text) = tree.read(DHCPCD).filter(|_| tree.exists(DHCPCD_ENABLED)) {
        let lines = format!("denyinterfaces {}\n", denied.join(" "));
        // At the top: further down it may be taken for a part of an "interface" block (dhcpcd.conf(5)).
        draft.share(DHCPCD, block::with(&block::without(&text), &lines, At::Top));
    }
    draft.add(SCRIPT, 0o644, format!("{}\n{lines}", header(SCRIPT)));
}

/// dhcpcd's file as it was before.
pub(super) fn release(tree: &dyn Tree, draft: &mut Draft) {
    if let Some(text) = tree.read(DHCPCD) {
        let restored = block::without(&text);
        if restored != text {
            draft.share(DHCPCD, restored);
        }
    }
}
