//! Where a crash plays: one attachment on one host, with all that an attachment can have, and how everything looks
//! before it, with it, with a change of it, and after it.

use std::path::PathBuf;

use nix::errno::Errno;
use serde_json::{Value, json};

use super::tracer::{self, Point, Run, Strike};
use super::world::World;
use crate::common::cni::{Call, Outcome, Plugin, merged};
use crate::common::{Container, Lab};

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// Routed.
    Routed,
    /// Bridged; the bridge comes and goes with its only container.
    Bridged,
    /// In a VLAN of somebody else's bridge, on which the host holds the gateway: the host's part in it comes and goes.
    Vlan,
}

/// What is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// ADD.
    Add,
    /// DEL.
    Del,
    /// GC for which nothing is valid.
    Gc,
    /// `springline ip add`.
    IpAdd,
    /// `springline set`.
    Set,
}

impl Verb {
    /// Whether it changes an attachment that stays.
    pub(super) fn is_change(self) -> bool {
        matches!(self, Self::IpAdd | Self::Set)
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Del | Self::Gc => &[],
            Self::IpAdd => &["ip", "add", "c1", "eth0", "10.5.6.7"],
            Self::Set => &["set", "c1", "eth0", "--ingress-rate", "5M", "--port", "8081:81", "--isolation", "network"],
        }
    }
}

/// A host, a network, a container, and how they look.
pub(super) struct Stage {
    lab: Lab,
    container: Container,
    network: Network,
    conf: Value,
    /// Before anything.
    before: World,
    /// With the attachment.
    pub(super) attached: World,
    /// With the attachment, changed by each of the verbs that change something.
    changed: Vec<(Verb, World)>,
    /// After it has gone, in whatever way it had been changed: what is there for all attachments has stayed.
    after: World,
}

/// What a gateway needs.
const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

impl Stage {
    /// A host on which nothing has ever been attached, and which does not forward; goes through it all once.
    pub(super) fn new(network: Network) -> Self {
        let lab = Lab::new();
        let container = lab.container("c1");
        let one = |subnet: &str, address: &str| json!([{"subnet": subnet, "rangeStart": address, "rangeEnd": address}]);
        let change = json!({
            "cniVersion": "1.1.0",
            "masquerade": true,
            // The same addresses each time, whoever had them last.
            "ipam": {"ranges": [one("10.22.0.0/24", "10.22.0.2"), one("2001:db8:22::/64", "2001:db8:22::2")]},
            "bandwidth": {"ingressRate": 50_000_000, "egressRate": 40_000_000},
            "capabilities": {"portMappings": true},
            "runtimeConfig": {"portMappings": [
                {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 5353, "containerPort": 53, "protocol": "udp"},
            ]},
        });
        let plugin = if network == Network::Routed { Plugin::Routed } else { Plugin::Bridged };
        let mut conf = merged(&plugin.conf(&lab), &change);
        if network == Network::Vlan {
            lab.host().ip("link add br0 address 02:00:00:00:00:99 type bridge vlan_filtering 1");
            lab.host().ip("link set br0 up");
            conf["bridge"] = json!({"name": "br0", "vlan": 7, "gateway": true});
        }
        let nothing = World(std::collections::BTreeSet::new());
        let (attached, after) = (nothing.clone(), nothing.clone());
        let mut stage = Self { lab, container, network, conf, before: nothing, attached, changed: Vec::new(), after };
        stage.cool_down();
        stage.before = stage.look();
        stage.attach();
        stage.attached = stage.look();
        stage.call("DEL").run().silent();
        stage.after = stage.look();
        for verb in [Verb::IpAdd, Verb::Set] {
            stage.cool_down();
            stage.attach();
            stage.again(verb).expect("the change works");
            stage.changed.push((verb, stage.look()));
            stage.call("DEL").run().silent();
            stage.after.0.extend(stage.look().0);
        }
        stage
    }

    /// Everything, now.
    pub(super) fn look(&self) -> World {
        World::of(&self.lab, &self.container)
    }

    /// As on a host that has just been started.
    pub(super) fn cool_down(&self) {
        let [v4, v6] = FORWARDING;
        let nft = crate::common::tool("nft").display().to_string();
        self.lab.host().shell(&format!("{nft} flush ruleset; echo 0 > /proc/sys/{v4}; echo 0 > /proc/sys/{v6}"));
    }

    fn plugin(&self) -> Plugin {
        if self.network == Network::Routed { Plugin::Routed } else { Plugin::Bridged }
    }

    fn call(&self, verb: &str) -> Call<'_> {
        self.lab.cni(self.plugin()).call(verb).of(&self.container, "eth0").conf(&self.conf)
    }

    /// ADD, which works.
    pub(super) fn attach(&self) {
        self.call("ADD").run().result();
    }

    /// ADD.
    pub(super) fn add(&self) -> Outcome {
        self.call("ADD").run()
    }

    /// DEL, as after a restart of the runtime.
    pub(super) fn delete(&self) -> Outcome {
        self.call("DEL").env("CNI_NETNS", "").run()
    }

    /// GC for which nothing is valid.
    pub(super) fn collect(&self) -> Outcome {
        self.lab.cni(self.plugin()).call("GC").no_container().conf(&self.empty_list()).run()
    }

    fn empty_list(&self) -> Value {
        merged(&self.conf, &json!({"cni.dev/valid-attachments": []}))
    }

    /// A command line; what it says if it fails.
    pub(super) fn command(&self, words: &[&str]) -> Result<(), String> {
        let mut command = self.lab.host().command(&self.plugin().binary());
        let output = command.args(words).env_clear().env("SPRINGLINE_STATE_DIR", self.lab.state_dir()).output();
        let output = output.expect("run springline");
        let said =
            || format!("{} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(()) } else { Err(said()) }
    }

    /// A change, without anything that goes wrong.
    pub(super) fn again(&self, verb: Verb) -> Result<(), String> {
        self.command(verb.words())
    }

    /// Compares what was attached with its record, and puts it right.
    pub(super) fn repair(&self) -> Result<(), String> {
        self.command(&["check", "--repair"])
    }

    /// Runs a verb into bad luck, until all its processes have ended.
    pub(super) fn struck(&self, verb: Verb, strike: Option<(Point, Strike)>) -> Run {
        let program: PathBuf = std::fs::canonicalize(self.plugin().binary()).expect("a binary");
        let mut command = self.lab.host().command("/bin/sh".as_ref());
        command.args(["-c", "read -r _; exec \"$0\" \"$@\""]).arg(&program).args(verb.words());
        command.env_clear().env("SPRINGLINE_STATE_DIR", self.lab.state_dir()).current_dir("/");
        let conf = if verb == Verb::Gc { self.empty_list() } else { self.conf.clone() };
        let netns = self.container.path();
        let (id, netns, ifname) = match verb {
            Verb::Gc => ("", "", ""),
            _ => ("c1", netns.as_str(), "eth0"),
        };
        let name = match verb {
            Verb::Add => "ADD",
            Verb::Del => "DEL",
            Verb::Gc => "GC",
            Verb::IpAdd | Verb::Set => return tracer::run(command, &program, b"", strike),
        };
        command.env("CNI_COMMAND", name).env("CNI_CONTAINERID", id).env("CNI_NETNS", netns);
        command.env("CNI_IFNAME", ifname).env("CNI_PATH", "/nowhere");
        tracer::run(command, &program, conf.to_string().as_bytes(), strike)
    }

    /// Removes what somebody could have removed who was told that he cannot.
    pub(super) fn remove_empty_folders(&self) {
        let shared = self.lab.state_dir().join("shared");
        let attachments = self.lab.state_dir().join("attachments");
        let (shared, attachments) = (shared.display(), attachments.display());
        let line = format!("find {shared} {attachments} -mindepth 1 -type d -empty -delete; rmdir {shared}");
        self.lab.host().shell(&format!("{{ {line}; }} 2>/dev/null; true"));
    }

    /// The errors that a call on this file may meet beside those that any call may.
    pub(super) fn errors_of(&self, file: &str) -> &'static [Errno] {
        let is_state = self.lab.dir().to_str().is_some_and(|dir| file.starts_with(dir));
        match file {
            _ if is_state => &[Errno::ENOSPC],
            _ if file.starts_with("/proc/sys/") => &[Errno::EROFS],
            _ => &[],
        }
    }

    /// What is left of an attachment that is gone, or missing. The ruleset and forwarding, which are there for all
    /// attachments, may have stayed, also in part.
    pub(super) fn left(&self) -> Vec<String> {
        self.left_in(&self.look())
    }

    fn left_in(&self, now: &World) -> Vec<String> {
        let (before, after) = (&self.before.0, &self.after.0);
        let missing = before.intersection(after).filter(|fact| !now.0.contains(*fact)).map(|fact| format!("- {fact}"));
        let more = now.0.iter().filter(|fact| !before.contains(*fact) && !after.contains(*fact));
        missing.chain(more.map(|fact| format!("+ {fact}"))).collect()
    }

    /// The same after an undo: what was set for all is as before, too.
    pub(super) fn not_undone(&self) -> Vec<String> {
        let now = self.look();
        let mut left = self.left_in(&now);
        let changes = self.before.changes(&now);
        left.extend(changes.into_iter().filter(|change| change.contains(" sysctl ")));
        left
    }

    /// What differs from the finished work of a verb.
    pub(super) fn unfinished(&self, verb: Verb) -> Vec<String> {
        let finished = self.changed.iter().find(|(change, _)| *change == verb);
        let mut changes = finished.map_or(&self.attached, |(_, world)| world).changes(&self.look());
        // Of a change that was taken back, rules may have stayed that others may need.
        let is_for_all = |fact: &str| fact.contains(" ruleset ") && self.after.0.contains(fact);
        changes.retain(|change| !change.strip_prefix("+ ").is_some_and(is_for_all));
        changes
    }
}
