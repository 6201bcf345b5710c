//! `NixOS` without networkd: `/ifcfg.add` and `/ifcfg.del`, which a unit of vpsAdminOS' images runs as it starts and
//! stops. (With networkd, `NixOS` is like the others: entries of `/etc/systemd/network` that are not in the store stay.)

use super::Draft;
use super::ours::header;
use super::shell::{self, Ip};
use crate::model::Guest;

/// Both scripts.
pub(super) fn write(guest: &Guest, draft: &mut Draft) {
    if guest.interfaces.is_empty() {
        return;
    }
    let (mut add, mut del) = (String::new(), String::new());
    for interface in &guest.interfaces {
        let name = &interface.name;
        if !interface.is_static() {
            draft.warn(format!("{name}: addresses come by DHCP, which the image itself must be set to"));
            continue;
        }
        let lines = shell::prepare(interface).into_iter().chain(shell::add(interface, Ip::Full));
        lines.for_each(|line| add.push_str(&(line + "\n")));
        for line in shell::remove(interface, Ip::Full) {
            del.push_str(&(line + " || true\n"));
        }
        if !interface.dns.is_empty() {
            draft.warn(format!("{name}: these scripts set no name servers"));
        }
    }
    for (path, lines) in [("ifcfg.add", add), ("ifcfg.del", del)] {
        draft.add(path, 0o755, format!("#!/bin/sh\n{}\n{lines}", header(path)));
    }
}
