//! Which network service a rootfs has: a table, of which the first line that fits counts.

use std::fmt;

use super::distro::value;
use super::{Distro, Tree};

/// A network service, by the form of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// ifupdown, ifupdown-ng and busybox: `/etc/network/interfaces`.
    Ifupdown,
    /// netplan, with networkd behind it.
    Netplan,
    /// `NetworkManager`'s keyfiles.
    NetworkManager,
    /// Red Hat's initscripts: `ifcfg-`, `route-` and `route6-` files.
    Ifcfg,
    /// wicked: SUSE's `ifcfg-` and `ifroute-` files.
    Wicked,
    /// systemd-networkd.
    Networkd,
    /// `/ifcfg.add` and `/ifcfg.del`, which a unit of vpsAdminOS' `NixOS` images runs.
    NixosScripts,
    /// A script of runit's first stage.
    Runit,
}

/// By what a service is found.
enum Sign {
    /// systemd starts the unit: one of the links that `systemctl enable` makes is there, and no link to `/dev/null`.
    Enabled(&'static str),
    /// One of these is there.
    Any(&'static [&'static str]),
    /// `VERSION_ID` is lower than this, and `NetworkManager` is enabled: it reads `ifcfg-` files there, and keyfiles
    /// only if told to.
    NetworkManagerBefore(u32),
    /// Whatever is there.
    Always,
}

const IFUPDOWN: Sign = Sign::Any(&["sbin/ifup", "usr/sbin/ifup", "etc/network/interfaces"]);
const NETPLAN: Sign = Sign::Any(&["usr/sbin/netplan", "etc/netplan"]);
const NETWORKD: Sign = Sign::Enabled("systemd-networkd.service");
const NETWORK_MANAGER: Sign = Sign::Enabled("NetworkManager.service");
const WICKED: Sign = Sign::Any(&["usr/sbin/wicked", "etc/systemd/system/multi-user.target.wants/wicked.service"]);
const INITSCRIPTS: Sign = Sign::Any(&["etc/sysconfig/network-scripts", "etc/rc.d/init.d/network"]);

/// The services of each distribution, in the order in which they are looked for.
fn table(distro: Distro) -> &'static [(Service, Sign)] {
    match distro {
        Distro::Alpine => &[(Service::Ifupdown, IFUPDOWN)],
        Distro::Arch => &[(Service::Networkd, NETWORKD), (Service::NetworkManager, NETWORK_MANAGER)],
        Distro::CentOs => &[
            (Service::Ifcfg, Sign::NetworkManagerBefore(8)),
            (Service::NetworkManager, NETWORK_MANAGER),
            (Service::Networkd, NETWORKD),
            (Service::Ifcfg, INITSCRIPTS),
        ],
        Distro::Debian | Distro::Ubuntu => &[
            (Service::Netplan, NETPLAN),
            (Service::Networkd, NETWORKD),
            (Service::Ifupdown, IFUPDOWN),
            (Service::NetworkManager, NETWORK_MANAGER),
        ],
        Distro::Fedora => {
            &[(Service::NetworkManager, NETWORK_MANAGER), (Service::Networkd, NETWORKD), (Service::Ifcfg, INITSCRIPTS)]
        }
        Distro::NixOs => &[(Service::Networkd, NETWORKD), (Service::NixosScripts, Sign::Always)],
        Distro::OpenSuse => {
            &[(Service::NetworkManager, NETWORK_MANAGER), (Service::Networkd, NETWORKD), (Service::Wicked, WICKED)]
        }
        Distro::Void => &[(Service::Runit, Sign::Any(&["etc/runit"]))],
    }
}

/// The network service of a rootfs.
pub(super) fn find(distro: Distro, tree: &dyn Tree) -> Option<Service> {
    table(distro).iter().find(|(_, sign)| sign.holds(tree)).map(|(service, _)| *service)
}

impl Sign {
    fn holds(&self, tree: &dyn Tree) -> bool {
        match self {
            Self::Enabled(unit) => is_enabled(tree, unit),
            Self::Any(paths) => paths.iter().any(|path| tree.exists(path)),
            Self::NetworkManagerBefore(version) => {
                let os_release = read_os_release(tree).unwrap_or_default();
                let text = value(&os_release, "VERSION_ID").unwrap_or_default();
                let major = text.split('.').next().and_then(|major| major.parse::<u32>().ok());
                major.is_some_and(|major| major < *version) && is_enabled(tree, "NetworkManager.service")
            }
            Self::Always => true,
        }
    }
}

/// The rootfs' `os-release`.
pub(super) fn read_os_release(tree: &dyn Tree) -> Option<String> {
    tree.read("etc/os-release").or_else(|| tree.read("usr/lib/os-release"))
}

/// Whether systemd starts a unit. The links lead to `/lib` or `/usr/lib`, or nowhere as seen from outside: it counts
/// that they are there.
fn is_enabled(tree: &dyn Tree, unit: &str) -> bool {
    let masked = tree.link(&format!("etc/systemd/system/{unit}")).is_some_and(|target| target == "/dev/null");
    let wanted = ["multi-user", "network-online", "network", "default", "sockets", "basic"].iter().any(|target| {
        tree.exists(&format!("etc/systemd/system/{target}.target.wants/{unit}"))
            || tree.exists(&format!("usr/lib/systemd/system/{target}.target.wants/{unit}"))
    });
    wanted && !masked
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ifupdown => "ifupdown",
            Self::Netplan => "netplan",
            Self::NetworkManager => "NetworkManager",
            Self::Ifcfg => "initscripts",
            Self::Wicked => "wicked",
            Self::Networkd => "systemd-networkd",
            Self::NixosScripts => "ifcfg.add",
            Self::Runit => "runit",
        })
    }
}
