//! Where a case plays: a lab, a network in one of the modes, a container, and how all of it looked before.

use std::fs;

use serde_json::{Value, json};

use crate::common::cni::{Call, Cni, NETWORK, Outcome, Plugin, merged, reference};
use crate::common::state::State;
use crate::common::{Container, HOST_V4, HOST_V6, Lab, Netns};

/// A way to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Routed, the container's gateway being link-local.
    Routed,
    /// Routed, through one address that all containers share.
    Shared,
    /// Routed, with a network between host and container.
    Interconnect,
    /// Routed, with leases on stable storage.
    Durable,
    /// Bridged; the bridge comes and goes with its containers.
    NewBridge,
    /// Bridged, on the administrator's own bridge.
    OldBridge,
    /// Bridged, with addresses of another IPAM plugin.
    Delegated,
}

impl Mode {
    fn plugin(self) -> Plugin {
        match self {
            Self::Routed | Self::Shared | Self::Interconnect | Self::Durable => Plugin::Routed,
            Self::NewBridge | Self::OldBridge | Self::Delegated => Plugin::Bridged,
        }
    }

    /// The network's configuration.
    pub(crate) fn conf(self, lab: &Lab) -> Value {
        let more = match self {
            Self::Routed | Self::NewBridge | Self::OldBridge => json!({}),
            Self::Shared => json!({"gateway": "shared"}),
            Self::Interconnect => {
                json!({"gateway": {"scheme": "interconnect", "network": ["10.100.10.100/30", "2001:db8:100::/126"]}})
            }
            Self::Durable => json!({"ipam": {"dataDir": lab.dir().join("stable")}}),
            Self::Delegated => {
                reference("host-local");
                let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
                let data_dir = lab.dir().join("host-local");
                // Debian's host-local is older than 1.1.0.
                json!({"cniVersion": "1.0.0", "ipam": {"type": "host-local", "dataDir": data_dir, "routes": routes}})
            }
        };
        merged(&self.plugin().conf(lab), &more)
    }
}

/// Everything that an attachment may change, as comparable facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct World {
    host: State,
    container: State,
    rest: Vec<String>,
}

impl World {
    fn changes(&self, later: &Self) -> Vec<String> {
        let mark = |place: &str, changes: Vec<String>| -> Vec<String> {
            changes.into_iter().map(|change| format!("{place} {change}")).collect()
        };
        let mut changes = mark("host", self.host.changes(&later.host));
        changes.extend(mark("container", self.container.changes(&later.container)));
        changes.extend(self.rest.iter().filter(|line| !later.rest.contains(line)).map(|line| format!("- {line}")));
        changes.extend(later.rest.iter().filter(|line| !self.rest.contains(line)).map(|line| format!("+ {line}")));
        changes
    }
}

/// What a gateway needs.
const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// A lab with one network and one container.
pub(crate) struct Scene {
    /// The mode of its network.
    pub(crate) mode: Mode,
    /// The lab.
    pub(crate) lab: Lab,
    /// The network's configuration.
    pub(crate) conf: Value,
    /// The container.
    pub(crate) container: Container,
    before: World,
}

impl Scene {
    /// A host that forwards already, so that DEL has nothing to leave behind.
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(mode, |_, _| {})
    }

    /// A host that does not forward yet, so that ADD has more to undo.
    pub(crate) fn not_forwarding(mode: Mode) -> Self {
        Self::with(mode, |lab, _| {
            for key in FORWARDING {
                lab.host().write_sysctl(key, "0");
            }
        })
    }

    /// A scene whose lab and container have been prepared before it is looked at.
    pub(crate) fn with(mode: Mode, prepare: impl FnOnce(&Lab, &Container)) -> Self {
        let lab = Lab::new();
        let conf = mode.conf(&lab);
        let container = lab.container("c1");
        if mode == Mode::OldBridge {
            lab.host().ip("link add br0 address 02:00:00:00:00:b0 type bridge");
            lab.host().ip("link set br0 up");
            lab.host().ip("address add 10.22.0.1/24 dev br0");
            lab.host().ip("address add 2001:db8:22::1/64 dev br0 nodad");
        }
        prepare(&lab, &container);
        let before = look(&lab, &container);
        Self { mode, lab, conf, container, before }
    }

    /// springline in this scene.
    pub(crate) fn cni(&self) -> Cni<'_> {
        self.lab.cni(self.mode.plugin())
    }

    /// A call about the container's `eth0`.
    pub(crate) fn call(&self, verb: &str) -> Call<'_> {
        self.cni().call(verb).of(&self.container, "eth0").conf(&self.conf)
    }

    /// A DEL that knows of no namespace, as after a reboot of the runtime.
    pub(crate) fn blind_del(&self) -> Call<'_> {
        self.call("DEL").env("CNI_NETNS", "")
    }

    /// A GC for which nothing is valid.
    pub(crate) fn sweeping_gc(&self) -> Call<'_> {
        let conf = merged(&self.conf, &json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}));
        self.cni().call("GC").no_container().conf(&conf)
    }

    /// What differs from the beginning.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.before.changes(&look(&self.lab, &self.container))
    }

    /// Panics unless everything is as it was in the beginning.
    #[track_caller]
    pub(crate) fn assert_restored(&self, when: &str) {
        let changes = self.changes();
        assert!(changes.is_empty(), "{when}, there is still changed:\n  {}", changes.join("\n  "));
    }

    /// The same within some seconds: a killed process may have a child that is still at work.
    #[track_caller]
    pub(crate) fn assert_restored_soon(&self, when: &str) {
        for _ in 0..30 {
            if self.changes().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.assert_restored(when);
    }

    /// Panics unless the attachment that `added` has reported works both ways in both families.
    #[track_caller]
    pub(crate) fn assert_works(&self, added: &Outcome) {
        let addresses = addresses(&added.result());
        assert!(addresses.len() >= 2, "addresses of both families: {addresses:?}");
        let inside = self.container.netns();
        for target in [HOST_V4, HOST_V6] {
            assert!(answers(inside, target), "no answer from {target} to the container, {addresses:?}");
        }
        for address in addresses {
            assert!(answers(self.lab.host(), &address), "no answer from the container's {address}");
        }
        if self.mode != Mode::OldBridge {
            for key in FORWARDING {
                assert_eq!(self.lab.host().read_sysctl(key), "1", "{key}: the network asks for it");
            }
        }
        let checked = self.cni().check(&self.conf, &added.result(), &self.container, "eth0");
        assert!(checked.status.success(), "CHECK of what ADD reported fails: {:?}", checked.error());
    }

    /// ADD, whole, of a container that has nothing to suffer from.
    #[track_caller]
    pub(crate) fn attach(&self) -> Outcome {
        let added = self.call("ADD").run();
        self.assert_works(&added);
        added
    }

    /// Another container in the same lab works, and leaves nothing: nobody was harmed.
    #[track_caller]
    pub(crate) fn assert_others_can_attach(&self) {
        let other = self.lab.container("other");
        let add = || self.cni().add(&self.conf, &other, "eth0");
        let addresses = addresses(&add().result());
        for address in addresses {
            assert!(self.lab.host().ping(&address), "no answer from the other container's {address}");
        }
        self.cni().del(&self.conf, &other, "eth0").success();
    }
}

/// The addresses of a result, without their lengths.
pub(crate) fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().into_iter().flatten();
    let texts = ips.filter_map(|ip| ip["address"].as_str());
    texts.map(|text| text.split('/').next().unwrap_or_default().to_owned()).collect()
}

/// Whether a ping gets through; that the first one does is another test's subject.
fn answers(from: &Netns, target: &str) -> bool {
    (0..3).any(|_| from.ping(target))
}

fn look(lab: &Lab, container: &Container) -> World {
    let values = lab.host().shell("cd /proc/sys && cat net/ipv4/ip_forward net/ipv6/conf/all/forwarding");
    let sysctls = FORWARDING.iter().zip(values.lines()).map(|(key, value)| format!("{key} = {value}"));
    let names = ["stable", "host-local"].map(|dir| lab.dir().join(dir).join(NETWORK));
    let leases = names.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    let leases = leases.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let leases = leases.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).map(|name| format!("lease {name}"));
    World { host: lab.host_state(), container: container.netns().state(), rest: sysctls.chain(leases).collect() }
}
