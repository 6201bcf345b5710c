//! A laboratory of network namespaces: what every test that touches the kernel stands on.
//!
//! A [`Lab`] is one imaginary machine: a "host" namespace in which the plugin is run, containers beside it,
//! a private state directory, and on request an uplink to an outside world. Nothing of it is shared, so that
//! tests run in parallel, and everything goes when the lab is dropped. What the tests assert is read with
//! other eyes than springline's: `ip -j`, `nft -j`, `ping`.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of the laboratory")]

pub mod cni;
pub mod netavark;
pub mod state;
pub mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use cni::{Cni, Plugin};
use state::State;

/// The host's own addresses, on its loopback link: what it speaks from when a link has none of its own.
pub const HOST_V4: &str = "198.18.7.1";
/// The IPv6 one.
pub const HOST_V6: &str = "2001:db8:fff7::1";
/// Where the outside world and the host's uplink are found, see [`Lab::with_uplink`].
pub const OUTSIDE_V4: &str = "198.18.0.1";
/// The host's own address on its uplink.
pub const UPLINK_V4: &str = "198.18.0.2";
/// The outside world's IPv6 address.
pub const OUTSIDE_V6: &str = "2001:db8:ffff::1";
/// The host's own IPv6 address on its uplink.
pub const UPLINK_V6: &str = "2001:db8:ffff::2";

/// One imaginary machine.
pub struct Lab {
    prefix: String,
    dir: TempDir,
    host: Netns,
    outside: Option<Netns>,
    daemons: Mutex<Vec<Child>>,
}

impl Lab {
    /// A host that forwards both families and has nothing but its loopback link and one address of each family.
    pub fn new() -> Self {
        assert!(is_root(), "these tests make network namespaces: run them as root");
        let prefix = unique_prefix();
        let host = Netns::add(&format!("{prefix}-host"));
        host.write_sysctl("net/ipv4/ip_forward", "1");
        host.write_sysctl("net/ipv6/conf/all/forwarding", "1");
        give_addresses(&host, "lo", &[&format!("{HOST_V4}/32"), &format!("{HOST_V6}/128")]);
        let dir = TempDir::with_prefix(&prefix).expect("make the lab's directory");
        Self { prefix, dir, host, outside: None, daemons: Mutex::default() }
    }

    /// The same with a link `uplink` to an outside world that has routes back to documentation networks
    /// and private ones alike.
    pub fn with_uplink() -> Self {
        let mut lab = Self::new();
        let outside = Netns::add(&format!("{}-outside", lab.prefix));
        lab.host.ip(&format!("link add uplink type veth peer name downlink netns {}", outside.name));
        give_addresses(&lab.host, "uplink", &[&format!("{UPLINK_V4}/24"), &format!("{UPLINK_V6}/64")]);
        give_addresses(&outside, "downlink", &[&format!("{OUTSIDE_V4}/24"), &format!("{OUTSIDE_V6}/64")]);
        lab.host.ip(&format!("route add default via {OUTSIDE_V4}"));
        lab.host.ip(&format!("-6 route add default via {OUTSIDE_V6}"));
        outside.ip(&format!("route add 10.0.0.0/8 via {UPLINK_V4}"));
        outside.ip(&format!("-6 route add 2001:db8::/36 via {UPLINK_V6}"));
        lab.outside = Some(outside);
        eventually("the uplink carries both families", || lab.host.ping(OUTSIDE_V4) && lab.host.ping(OUTSIDE_V6));
        lab
    }

    /// The namespace in which plugins are run.
    pub fn host(&self) -> &Netns {
        &self.host
    }

    /// The world beyond the uplink.
    pub fn outside(&self) -> &Netns {
        self.outside.as_ref().expect("this lab was made with an uplink")
    }

    /// A directory of this lab's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What springline is told to keep its records, leases and locks in.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A container `id` with a namespace of its own.
    pub fn container(&self, id: &str) -> Container {
        let netns = Netns::add(&format!("{}-{id}", self.prefix));
        Container { id: id.to_owned(), netns }
    }

    /// Runs `plugin` in this lab.
    pub fn cni(&self, plugin: Plugin) -> Cni<'_> {
        Cni::new(self, plugin)
    }

    /// All that plugins may leave on a host: links, addresses, routes, rules, set elements, records and leases.
    pub fn host_state(&self) -> State {
        self.host.state().with_set_elements(&self.host).with_files(&self.state_dir())
    }

    /// Starts a program that serves in `netns` until the lab is dropped.
    pub fn daemon(&self, netns: &Netns, program: &Path, args: &[&str]) {
        let mut command = netns.command(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        self.daemons.lock().expect("no daemon panics").push(child);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let daemons = self.daemons.get_mut().map(std::mem::take).unwrap_or_default();
        for mut daemon in daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A container as a runtime sees it: an id and a namespace with a path.
pub struct Container {
    /// The container's id, as in `CNI_CONTAINERID`.
    pub id: String,
    netns: Netns,
}

impl Container {
    /// The path that a runtime passes as `CNI_NETNS`.
    pub fn path(&self) -> String {
        self.netns.path()
    }

    /// The container's namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The same container under another id, as if the runtime had started it anew in this namespace.
    pub fn renamed(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// The container dies, and its namespace and path with it.
    pub fn kill(&self) {
        self.netns.delete();
    }

    /// The container dies and leaves a plain file at its namespace's path, as a reboot does.
    pub fn kill_leaving_a_stub(&self) {
        self.netns.delete();
        fs::write(self.path(), "").expect("leave a stub at the path of the namespace");
    }

    /// The container dies and a new namespace takes its path.
    pub fn restart(&self) {
        self.netns.delete();
        self.netns.make();
    }
}

/// A named network namespace, deleted when dropped.
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with its loopback link up.
    fn add(name: &str) -> Self {
        let netns = Self { name: name.to_owned() };
        netns.make();
        netns
    }

    fn make(&self) {
        // The first `ip netns add` of a machine also mounts /run/netns: that is not a thing to do twice.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let guard = ONE_AT_A_TIME.lock();
        ip(&format!("netns add {}", self.name));
        drop(guard);
        self.ip("link set lo up");
    }

    fn delete(&self) {
        ip(&format!("netns del {}", self.name));
    }

    /// The path through /var/run, as containerd spells it.
    pub fn path(&self) -> String {
        format!("/var/run/netns/{}", self.name)
    }

    /// Runs `ip ARGUMENTS` in this namespace and returns what it prints; it must succeed.
    pub fn ip(&self, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// The same, with `-json -details`, parsed.
    pub fn ip_json(&self, arguments: &str) -> Vec<Value> {
        let text = self.ip(&format!("-json -details {arguments}"));
        if text.trim().is_empty() {
            return Vec::new(); // what older iproute2 prints for an empty list
        }
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("ip {arguments} printed no JSON list ({error}): {text}"))
    }

    /// The link `name`, if there is one.
    pub fn link(&self, name: &str) -> Option<Value> {
        self.ip_json("link show").into_iter().find(|link| link["ifname"] == name)
    }

    /// The addresses of link `name`, with their prefix lengths, link-local ones left out.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let links = self.ip_json("address show");
        let of_link = links.iter().filter(|link| link["ifname"] == name);
        let all = of_link.flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default());
        let global = all.filter(|info| info["scope"] == "global");
        global.map(|info| format!("{}/{}", text_of(&info["local"]), info["prefixlen"])).collect()
    }

    /// The routes of one table for `family` ("-4" or "-6").
    pub fn routes(&self, family: &str, table: &str) -> Vec<Value> {
        // iproute2 fails when asked for a table that nothing has ever been put in.
        let all = self.ip_json(&format!("{family} route show table all"));
        all.into_iter().filter(|route| route["table"].as_str().unwrap_or("main") == table).collect()
    }

    /// Everything that somebody chose in this namespace.
    pub fn state(&self) -> State {
        State::of(self)
    }

    /// A command to be run in this namespace.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = new_command(&tool("nsenter"));
        command.arg(format!("--net=/run/netns/{}", self.name)).arg(program);
        command
    }

    /// Runs a shell command line in this namespace; it must succeed.
    pub fn shell(&self, line: &str) -> String {
        let output = self.command(Path::new("/bin/sh")).args(["-c", line]).output().expect("run a shell");
        printed(line, &output)
    }

    /// Sets `/proc/sys/KEY`.
    pub fn write_sysctl(&self, key: &str, value: &str) {
        self.shell(&format!("echo {value} > /proc/sys/{key}"));
    }

    /// Reads `/proc/sys/KEY`.
    pub fn read_sysctl(&self, key: &str) -> String {
        self.shell(&format!("cat /proc/sys/{key}")).trim().to_owned()
    }

    /// Whether one echo request is answered within a second: there is no second one, so that what is said
    /// to be ready at return has to be.
    pub fn ping(&self, address: &str) -> bool {
        let mut command = self.command(&tool("ping"));
        command.args(["-n", "-q", "-c1", "-W1", address]);
        command.output().expect("run ping").status.success()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let path = format!("/run/netns/{}", self.name);
        let _ = new_command(&tool("ip")).args(["netns", "del", &self.name]).output();
        let _ = fs::remove_file(path); // a stub that is no namespace
    }
}

/// The path of an installed program; panics with the Debian package to install if there is none.
pub fn tool(name: &str) -> PathBuf {
    let packages = BTreeMap::from([
        ("bridge", "iproute2"),
        ("dnsmasq", "dnsmasq-base"),
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("nsenter", "util-linux"),
        ("ping", "iputils-ping"),
        ("sleep", "coreutils"),
        ("tc", "iproute2"),
        ("touch", "coreutils"),
        ("unshare", "util-linux"),
    ]);
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("these tests need `{name}`: install the package {}", packages.get(name).unwrap_or(&name))
    })
}

/// Waits until `condition` holds, for what the kernel does in its own time; panics after five seconds.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < end, "still not so after 5 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The text of a JSON string; empty for anything else.
pub fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn give_addresses(netns: &Netns, link: &str, addresses: &[&str]) {
    for address in addresses {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        netns.ip(&format!("address add {address} dev {link} {nodad}"));
    }
    netns.ip(&format!("link set {link} up"));
}

fn ip(arguments: &str) -> String {
    let output = new_command(&tool("ip")).args(arguments.split_whitespace()).output().expect("run ip");
    printed(&format!("ip {arguments}"), &output)
}

#[track_caller]
fn printed(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "springline runs no other program; its tests do little else")]
fn new_command(program: &Path) -> Command {
    Command::new(program)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn unique_prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("sl-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
