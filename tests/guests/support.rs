//! Root file systems, and chroots of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use springline::exec::{FileState, GuestReport, configure_guest};
use springline::guest::{Distro, Tree};
use springline::model::Guest;
use tempfile::TempDir;

use crate::common::cni::{Plugin, merged};
use crate::common::{Container, Lab, Netns, tool};

/// The MAC of every container here, so that what follows from it is the same on every machine.
pub(crate) const MAC: &str = "02:00:5e:10:00:01";

/// A kind of rootfs: its distribution and the signs of its network service.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) distro: &'static str,
    /// Files and their contents; a content that begins with `->` is a symbolic link.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

const NETWORKD: (&str, &str) = (
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
    "->/lib/systemd/system/systemd-networkd.service",
);
const NETWORK_MANAGER: (&str, &str) = (
    "etc/systemd/system/multi-user.target.wants/NetworkManager.service",
    "->/usr/lib/systemd/system/NetworkManager.service",
);

/// What Debian's container images come with.
pub(crate) const DEBIAN_INTERFACES: &str = "# as it came\nsource /etc/network/interfaces.d/*\n\nauto lo\niface lo inet \
                                            loopback\n\nauto eth0\niface eth0 inet dhcp\n";
/// What Alpine's come with.
pub(crate) const ALPINE_INTERFACES: &str =
    "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\nhostname $(hostname)\n";

/// All kinds that there are tables for.
pub(crate) const KINDS: [Kind; 16] = [
    Kind { name: "alpine", distro: "alpine", files: &[("etc/network/interfaces", ALPINE_INTERFACES)] },
    Kind {
        name: "alpine-iproute2",
        distro: "alpine",
        files: &[("etc/network/interfaces", ALPINE_INTERFACES), ("sbin/ip", "")],
    },
    Kind { name: "arch", distro: "arch", files: &[NETWORKD] },
    Kind { name: "centos-7", distro: "centos", files: &[("etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n")] },
    Kind { name: "centos", distro: "centos", files: &[NETWORK_MANAGER] },
    Kind { name: "debian", distro: "debian", files: &[("etc/network/interfaces", DEBIAN_INTERFACES)] },
    Kind { name: "debian-networkd", distro: "debian", files: &[NETWORKD] },
    Kind { name: "fedora", distro: "fedora", files: &[NETWORK_MANAGER] },
    Kind { name: "fedora-networkd", distro: "fedora", files: &[NETWORKD] },
    Kind { name: "nixos", distro: "nixos", files: &[] },
    Kind { name: "nixos-networkd", distro: "nixos", files: &[NETWORKD] },
    Kind { name: "opensuse", distro: "opensuse-leap", files: &[("usr/sbin/wicked", "")] },
    Kind { name: "opensuse-networkmanager", distro: "opensuse-tumbleweed", files: &[NETWORK_MANAGER] },
    Kind { name: "ubuntu", distro: "ubuntu", files: &[("etc/netplan/50-cloud-init.yaml", "network: {version: 2}\n")] },
    Kind { name: "ubuntu-ifupdown", distro: "ubuntu", files: &[("etc/network/interfaces", DEBIAN_INTERFACES)] },
    Kind {
        name: "void",
        distro: "void",
        files: &[
            ("etc/runit/1", "#!/bin/sh\n"),
            ("etc/runit/runsvdir/default/dhcpcd", "->/etc/sv/dhcpcd"),
            ("etc/dhcpcd.conf", "hostname\n"),
        ],
    },
];

impl Kind {
    /// The kind of that name.
    pub(crate) fn named(name: &str) -> &'static Self {
        static ALL: [Kind; 16] = KINDS;
        ALL.iter().find(|kind| kind.name == name).expect("a kind of that name")
    }

    /// A rootfs of this kind on disk.
    pub(crate) fn make(&self) -> Root {
        let root = Root(TempDir::with_prefix("springline-rootfs-").expect("make a rootfs"));
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("open the rootfs");
        root.put("etc/os-release", &format!("ID={}\n", self.distro));
        for (path, content) in self.files {
            match content.strip_prefix("->") {
                Some(target) => root.link(path, target),
                None => root.put(path, content),
            }
        }
        root
    }
}

impl Tree for Kind {
    fn read(&self, path: &str) -> Option<String> {
        let found = self.files.iter().find(|(name, _)| *name == path);
        found.map(|(_, content)| (*content).to_owned()).filter(|content| !content.starts_with("->"))
    }

    fn link(&self, path: &str) -> Option<String> {
        let found = self.files.iter().find(|(name, _)| *name == path);
        found.and_then(|(_, content)| content.strip_prefix("->")).map(str::to_owned)
    }

    fn exists(&self, path: &str) -> bool {
        self.files.iter().any(|(name, _)| *name == path || name.starts_with(&format!("{path}/")))
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let inside = self.files.iter().filter_map(|(name, _)| name.strip_prefix(&format!("{dir}/")));
        inside.map(|rest| rest.split('/').next().unwrap_or_default().to_owned()).collect()
    }
}

/// A rootfs on disk.
pub(crate) struct Root(TempDir);

impl Root {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file, and makes what leads to it.
    pub(crate) fn put(&self, path: &str, content: &str) {
        self.make_parent(path);
        fs::write(self.at(path), content).expect("write into the rootfs");
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        self.make_parent(path);
        symlink(target, self.at(path)).expect("make a link in the rootfs");
    }

    fn make_parent(&self, path: &str) {
        fs::create_dir_all(self.at(path).parent().expect("a parent")).expect("make a folder in the rootfs");
    }

    /// The text of a file.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Has springline write it.
    #[track_caller]
    pub(crate) fn configure(&self, guest: &Guest) -> GuestReport {
        configure_guest(self.path(), None, guest).expect("configure the guest")
    }

    /// All files and links below, with their contents, as one text.
    pub(crate) fn listing(&self) -> BTreeMap<String, String> {
        listing(self.path())
    }
}

/// All files and links below a folder, with contents and modes.
pub(crate) fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let kind = entry.file_type().expect("a type");
            let path = entry.path();
            let text = if kind.is_dir() {
                folders.push(path.clone());
                continue;
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("a link").display())
            } else if kind.is_file() {
                let mode = entry.metadata().expect("metadata").permissions().mode() & 0o7777;
                format!("{mode:o} {}", String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()))
            } else {
                format!("{kind:?}")
            };
            all.insert(path.strip_prefix(root).expect("below").display().to_string(), text);
        }
    }
    all
}

/// What became of a path.
pub(crate) fn state_of<'a>(report: &'a GuestReport, path: &str) -> Option<&'a FileState> {
    report.files.iter().find(|(name, _)| name == path).map(|(_, state)| state)
}

/// A guest from JSON, as `--config` reads it.
pub(crate) fn guest(value: &Value) -> Guest {
    serde_json::from_value(value.clone()).expect("a guest")
}

/// The guest of most tests: both families by the link-local scheme.
pub(crate) fn dual() -> Guest {
    guest(&json!({"interfaces": [dual_interface("eth0")]}))
}

pub(crate) fn dual_interface(name: &str) -> Value {
    json!({"name": name, "mac": MAC, "mtu": 1500,
        "addresses": ["fe80::2/64", "10.30.0.7/32", "2001:db8:30::7/128"],
        "routes": [{"dst": "0.0.0.0/0", "via": "169.254.0.1", "onlink": true}, {"dst": "::/0", "via": "fe80::1"}]})
}

pub(crate) fn distro(name: &str) -> Distro {
    Distro::named(name).expect("a known distribution")
}

/// The configuration of a network with both families, with `keys` over it.
pub(crate) fn network(keys: &Value) -> Value {
    let basis = json!({"cniVersion": "1.1.0", "name": "n", "type": "springline", "runtimeConfig": {"mac": MAC},
        "dns": {"nameservers": ["192.0.2.53", "2001:db8::53"], "search": ["guests.example"]},
        "ipam": {"type": "springline", "addresses": ["10.30.0.7/32", "2001:db8:30::7/128"]}});
    merged(&basis, keys)
}

/// The same on a bridge.
pub(crate) fn bridged() -> Value {
    let ipam = json!({"type": "springline", "ranges": [[{"subnet": "10.31.0.0/24"}], [{"subnet": "2001:db8:31::/64"}]],
        "addresses": null});
    network(&json!({"mode": "bridged", "bridge": {"name": "br0"}, "ipam": ipam}))
}

/// The gateway schemes under which a guest's service must agree with the kernel, and a bridge.
pub(crate) fn schemes() -> Vec<(&'static str, Value)> {
    let interconnect = json!({"network": ["10.100.10.100/30", "2001:db8:9::/126"]});
    vec![
        ("link-local", network(&json!({}))),
        ("inet6", network(&json!({"gateway": "inet6"}))),
        ("shared", network(&json!({"gateway": "shared"}))),
        ("interconnect", network(&json!({"gateway": interconnect}))),
        ("none", network(&json!({"gateway": "none"}))),
        ("bridged", bridged()),
    ]
}

/// ADD, which must succeed.
#[track_caller]
pub(crate) fn add(lab: &Lab, conf: &Value, container: &Container, ifname: &str) {
    lab.cni(Plugin::Routed).add(conf, container, ifname).result();
}

/// A command of springline's: whether it succeeded, stdout, stderr.
pub(crate) fn springline(lab: &Lab, arguments: &[&str]) -> (bool, String, String) {
    let mut command = lab.host().command(Path::new(crate::common::cni::springline_binary()));
    command.args(arguments).env("SPRINGLINE_STATE_DIR", lab.state_dir());
    let Output { status, stdout, stderr } = command.output().expect("run springline");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.success(), text(stdout), text(stderr))
}

/// Where `tests/guests/tools` has put the programs.
pub(crate) fn tools() -> PathBuf {
    let dir = std::env::var_os("SPRINGLINE_GUEST_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest-tools"), PathBuf::from);
    assert!(dir.join("libs").exists(), "no programs in {}: run tests/guests/tools", dir.display());
    dir.canonicalize().expect("the folder of programs")
}

/// Runs a shell line with `root` for its root, in `netns`, over this machine's /usr and that of `packages`, which is
/// also at /tools. Nothing of it is seen outside: all mounts are in a namespace of their own.
#[track_caller]
pub(crate) fn in_chroot(netns: &Netns, root: &Root, packages: &[&str], line: &str) -> String {
    let tools = tools();
    let lower: Vec<String> = packages.iter().map(|package| format!("{}/{package}/usr:", tools.display())).collect();
    // Libraries have a place in /lib, too.
    let lower = format!("{}{1}/libs/usr:", lower.concat(), tools.display());
    let script = format!(
        "set -e; cd {root}; mkdir -p usr proc sys run var tmp dev tools root
for dir in bin sbin lib lib64; do ln -sfn usr/$dir $dir; done
mkdir -p etc/network/if-pre-up.d etc/network/if-up.d etc/network/if-down.d etc/network/if-post-down.d
[ -e etc/passwd ] || printf '%s\\n' root:x:0:0::/root:/bin/sh messagebus:x:100:100::/: systemd-network:x:101:101::/: > etc/passwd
[ -e etc/group ] || printf '%s\\n' root:x:0: messagebus:x:100: systemd-network:x:101: > etc/group
[ -z '{lower}' ] && mount --bind /usr usr || mount -t overlay overlay -o lowerdir={lower}/usr usr
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys
for dir in run var tmp; do mount -t tmpfs tmpfs $dir; done; ln -s /run var/run; mkdir -p run/network run/dbus run/systemd/netif/links run/systemd/netif/leases; chown -R 101:101 run/systemd/netif
[ -e etc/machine-id ] || echo 171d7a3b6fd04e21a0c2f6ad1ca5d171 > etc/machine-id
mount --bind /dev dev; mount --bind {tools} tools
exec chroot . /bin/sh -c \"$LINE\"",
        root = root.path().display(),
        tools = tools.display(),
    );
    let mut command = netns.command(&tool("unshare"));
    command.args(["-m", "--propagation", "private", "/bin/sh", "-c", &script]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LINE", line);
    let output = command.output().expect("run a chroot");
    let text = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{line}: {}\n{text}", output.status);
    text
}
