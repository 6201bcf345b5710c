//! By what springline's own files are known, and where there may be any.

use super::Tree;

const MARK: &str = "# This file is managed by springline";

/// The first lines of a file at `path`.
pub(super) fn header(path: &str) -> String {
    format!(
        "{MARK}, which writes it anew when the container's network changes.\n\
         # To keep a version of your own: chmod u-w /{path}\n"
    )
}

/// Whether a file with this text is springline's.
#[must_use]
pub fn is_ours(text: &str) -> bool {
    text.lines().take(3).any(|line| line.starts_with(MARK))
}

/// Where files of springline's may be: folder, how the name begins, how it ends.
const PLACES: [(&str, &str, &str); 17] = [
    ("", "ifcfg.", ""),
    ("etc/network/interfaces.d", "springline", ""),
    ("etc/netplan", "90-springline", ".yaml"),
    ("etc/systemd/network", "05-springline-", ".network"),
    ("etc/NetworkManager/system-connections", "springline-", ".nmconnection"),
    ("etc/NetworkManager/conf.d", "90-springline", ".conf"),
    ("etc/NetworkManager/dispatcher.d", "90-springline", ""),
    ("etc/udev/rules.d", "86-springline", ".rules"),
    ("etc/sysconfig/network-scripts", "ifcfg-", ""),
    ("etc/sysconfig/network-scripts", "route-", ""),
    ("etc/sysconfig/network-scripts", "route6-", ""),
    ("etc/sysconfig/network", "ifcfg-", ""),
    ("etc/sysconfig/network", "ifroute-", ""),
    ("etc/sysconfig/network", "ifsysctl-", ""),
    ("etc/sysconfig/network/scripts", "springline-", ""),
    ("etc/runit/core-services", "90-springline-", ".sh"),
    (NETPLAN_DROP_INS, "springline", ".conf"),
];

/// Of each place, as many files are looked at: more than interfaces, and fewer than a hostile guest could put there.
const MOST: usize = 256;

/// Stands for every folder of drop-ins to what netplan makes for networkd.
const NETPLAN_DROP_INS: &str = "etc/systemd/network/10-netplan-*.network.d";

/// The paths of all files of springline's in a rootfs.
#[must_use]
pub fn ours(tree: &dyn Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (dir, begin, end) in PLACES {
        for dir in dirs(tree, dir) {
            let fits = |name: &String| name.starts_with(begin) && name.ends_with(end);
            let paths = tree.names(&dir).into_iter().filter(fits).take(MOST);
            let paths = paths.map(|name| if dir.is_empty() { name } else { format!("{dir}/{name}") });
            found.extend(paths.filter(|path| tree.head(path).is_some_and(|text| is_ours(&text))));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn dirs(tree: &dyn Tree, dir: &str) -> Vec<String> {
    let Some((parent, pattern)) = dir.rsplit_once('/').filter(|(_, pattern)| pattern.contains('*')) else {
        return vec![dir.to_owned()];
    };
    let (begin, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    let names = tree.names(parent).into_iter().filter(|name| name.starts_with(begin) && name.ends_with(end));
    names.take(MOST).map(|name| format!("{parent}/{name}")).collect()
}
