//! `springline doctor`: each fault that is planted in a lab is found, and what it prints mends it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::{Container, Lab, OUTSIDE_V4, OUTSIDE_V6, text_of, tool};
use crate::support::{Attached, bridged, networks, nft, not_run, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// What `doctor` says, and its exit status.
struct Diagnosis {
    status: Option<i32>,
    findings: Vec<Value>,
}

impl Diagnosis {
    fn of(lab: &Lab) -> Self {
        let root = root(lab);
        let output = shell(lab, &format!("springline doctor -o json --root {}", root.display()));
        let text = String::from_utf8_lossy(&output.stdout);
        let said: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let findings = said["findings"].as_array().cloned().unwrap_or_default();
        Self { status: output.status.code(), findings }
    }

    /// The findings of a check, as they are.
    fn by(&self, check: &str) -> Vec<&Value> {
        self.findings.iter().filter(|finding| finding["check"] == check && finding["level"] != "ok").collect()
    }

    /// The finding of a check of which one word is.
    fn finding(&self, check: &str, word: &str) -> Option<&Value> {
        self.by(check).into_iter().find(|finding| finding.to_string().contains(word))
    }

    fn is_bad(&self) -> bool {
        self.findings.iter().any(|finding| matches!(text_of(&finding["level"]), "warning" | "error"))
    }
}

/// A folder in the place of `/`, where files are looked for: other labs have names in the machine's `/run/netns`.
fn root(lab: &Lab) -> PathBuf {
    let root = lab.dir().join("root");
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&root).expect("make the root folder");
    root
}

fn put(lab: &Lab, path: &str, text: &str) {
    let path = root(lab).join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
    fs::write(path, text).expect("write a file");
}

/// Runs a line on the lab's host with the `springline` that is tested.
fn shell(lab: &Lab, line: &str) -> std::process::Output {
    let own = Path::new(crate::common::cni::springline_binary()).parent().expect("a folder");
    let mut command = lab.host().command(Path::new("/bin/sh"));
    command.args(["-c", line]).env("SPRINGLINE_STATE_DIR", lab.state_dir()).env("NETCONFPATH", networks(lab));
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", own.display()));
    command.output().expect("run a shell")
}

/// A host with one container.
struct Scene<'a> {
    lab: &'a Lab,
    container: &'a Container,
    attached: Attached<'a>,
}

impl Scene<'_> {
    fn set(&self, key: &str, value: &str) {
        self.lab.host().write_sysctl(&format!("net/{}", key.replace("LINK", &self.attached.link)), value);
    }
}

/// A fault.
struct Fault {
    /// What the network has beside its addresses.
    keys: Value,
    is_bridged: bool,
    plant: fn(&Scene<'_>),
    /// Which check finds it, how bad it is, and a word of what is said.
    check: &'static str,
    level: &'static str,
    word: &'static str,
    /// Whether there is a command that mends it, and it can be run here.
    is_mended: bool,
    /// Whether the container reaches the outside when it is mended.
    reaches: bool,
}

fn fault(check: &'static str, level: &'static str, word: &'static str, plant: fn(&Scene<'_>)) -> Fault {
    Fault { keys: json!({}), is_bridged: false, plant, check, level, word, is_mended: true, reaches: true }
}

/// Plants each fault in a lab of its own, and has it found and mended.
fn plant(faults: Vec<Fault>) {
    for fault in faults {
        let Fault { check, level, word, .. } = fault;
        let what = format!("{check}: {word}");
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let conf = if fault.is_bridged { bridged(&SUBNETS, &fault.keys) } else { with_ranges(&SUBNETS, &fault.keys) };
        let scene = Scene { lab: &lab, container: &c, attached: Attached::new(&lab, &conf, &c) };
        let before = Diagnosis::of(&lab);
        assert!(before.finding(check, word).is_none(), "{what}: the control: {:?}", before.by(check));
        (fault.plant)(&scene);
        let after = Diagnosis::of(&lab);
        let found = after.finding(check, word).unwrap_or_else(|| panic!("{what}: not found: {:#?}", after.findings));
        assert_eq!(found["level"], level, "{what}: {found}");
        assert!(!text_of(&found["what"]).is_empty() && !text_of(&found["why"]).is_empty(), "{found}");
        let expected = match level {
            "note" => 0,
            "warning" => 3,
            _ => 4,
        };
        assert!(after.status >= Some(expected) && (expected != 0 || !after.is_bad()), "{what}: {:?}", after.status);
        if !fault.is_mended {
            continue;
        }
        let output = shell(&lab, text_of(&found["mend"]));
        assert!(output.status.success(), "{what}: {found}: {}", String::from_utf8_lossy(&output.stderr));
        let mended = Diagnosis::of(&lab);
        assert!(mended.finding(check, word).is_none(), "{what}: mended by {}: {:?}", found["mend"], mended.by(check));
        if fault.reaches {
            assert!(scene.container.netns().ping(OUTSIDE_V4), "{what}: IPv4 after {}", found["mend"]);
            assert!(scene.container.netns().ping(OUTSIDE_V6), "{what}: IPv6 after {}", found["mend"]);
        }
    }
}

/// The positive control of all: nothing is wrong with a healthy host, routed and bridged, with and without containers.
#[test]
fn a_healthy_host_has_no_warnings() {
    let lab = Lab::with_uplink();
    let empty = Diagnosis::of(&lab);
    assert!(!empty.is_bad() && empty.status == Some(0), "{:#?}", empty.findings);
    let folder = networks(&lab);
    fs::create_dir_all(&folder).expect("make the folder of networks");
    for (number, conf) in
        [with_ranges(&SUBNETS, &json!({})), bridged(&SUBNETS, &json!({"name": "b"}))].iter().enumerate()
    {
        fs::write(folder.join(format!("{number}.conf")), conf.to_string()).expect("define a network");
    }
    let (c, d) = (lab.container("c"), lab.container("d"));
    Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    Attached::new(&lab, &bridged(&["10.31.0.0/24"], &json!({"name": "b"})), &d);
    let well = Diagnosis::of(&lab);
    assert!(!well.is_bad() && well.status == Some(0), "{:#?}", well.findings);
    let quiet = shell(&lab, &format!("springline doctor --quiet --root {}", root(&lab).display()));
    assert!(quiet.status.success() && quiet.stdout.is_empty(), "{}", String::from_utf8_lossy(&quiet.stdout));
    let text = shell(&lab, &format!("springline doctor --root {}", root(&lab).display()));
    assert!(String::from_utf8_lossy(&text.stdout).contains("ok       forwarding: on wherever"), "{text:?}");
}

/// It looks, and changes nothing: neither the host nor the state, and makes no folder for it either.
#[test]
fn nothing_is_changed() {
    let lab = Lab::with_uplink();
    let before = lab.host_state();
    Diagnosis::of(&lab);
    crate::common::state::assert_unchanged(&before, &lab.host_state());
    assert!(!lab.state_dir().exists());
}

#[test]
fn faults_of_forwarding() {
    plant(vec![
        fault("forwarding", "error", "IPv4 forwarding is off\"", |scene| scene.set("ipv4/ip_forward", "0")),
        fault("forwarding", "error", "IPv4 forwarding is off on veth", |scene| {
            scene.set("ipv4/conf/LINK/forwarding", "0");
        }),
        fault("forwarding", "warning", "off on uplink", |scene| scene.set("ipv4/conf/uplink/forwarding", "0")),
        fault("forwarding", "error", "IPv6 forwarding is off\"", |scene| scene.set("ipv6/conf/all/forwarding", "0")),
        Fault {
            is_bridged: true,
            ..fault("forwarding", "error", "IPv4 forwarding is off on br0", |scene| {
                scene.set("ipv4/conf/br0/forwarding", "0");
            })
        },
        Fault {
            reaches: false, // by a router that is not there
            ..fault("router-advertisements", "warning", "uplink", |scene| {
                scene.set("ipv6/conf/uplink/accept_ra", "1");
                scene.lab.host().ip("-6 route replace default via fe80::99 dev uplink proto ra");
            })
        },
    ]);
}

#[test]
fn faults_of_sysctls() {
    plant(vec![
        Fault {
            keys: json!({"antiSpoof": false}),
            ..fault("rp_filter", "warning", "antiSpoof", |scene| scene.set("ipv4/conf/all/rp_filter", "1"))
        },
        Fault {
            keys: json!({"hostRoutes": {"table": 100}}),
            reaches: false, // nobody has made a rule for the table
            ..fault("rp_filter", "error", "the way back", |scene| scene.set("ipv4/conf/LINK/rp_filter", "1"))
        },
        fault("arp_ignore", "error", "link-local", |scene| scene.set("ipv4/conf/all/arp_ignore", "2")),
        fault("arp_ignore", "error", "link-local", |scene| scene.set("ipv4/conf/LINK/arp_ignore", "8")),
        Fault {
            keys: json!({"gateway": "shared"}),
            ..fault("arp_ignore", "error", "shared", |scene| scene.set("ipv4/conf/all/arp_ignore", "1"))
        },
        fault("disable_ipv6", "error", "n/c/eth0", |scene| scene.set("ipv6/conf/LINK/disable_ipv6", "1")),
        fault("disable_ipv6", "error", "new links", |scene| scene.set("ipv6/conf/default/disable_ipv6", "1")),
        Fault {
            reaches: false, // the uplink's addresses are its owner's business
            ..fault("disable_ipv6", "warning", "uplink", |scene| scene.set("ipv6/conf/uplink/disable_ipv6", "1"))
        },
    ]);
}

fn closed(scene: &Scene<'_>) {
    nft(scene.lab, "table inet t { chain f { type filter hook forward priority 0; policy drop; } }");
}

#[test]
fn faults_of_firewalls() {
    let mut faults = vec![
        fault("firewall", "error", "chain f of table inet t", closed),
        Fault { is_bridged: true, ..fault("firewall", "error", "chain f of table inet t", closed) },
    ];
    if Path::new("/usr/sbin/iptables-legacy").exists() {
        let legacy = |scene: &Scene<'_>| drop(scene.lab.host().shell("/usr/sbin/iptables-legacy -S FORWARD"));
        let found = fault("firewall", "note", "legacy", legacy);
        faults.push(Fault { is_mended: false, ..found });
    } else {
        not_run("iptables-legacy", "not installed: it is in the package iptables");
    }
    if Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() {
        let bridged = |scene: &Scene<'_>| {
            scene.set("bridge/bridge-nf-call-iptables", "1");
            closed(scene);
        };
        let found = fault("br_netfilter", "warning", "off from each other", bridged);
        // The control: without the firewall it is no more than a note; and the firewall stays.
        faults.push(Fault { is_bridged: true, reaches: false, word: "\"warning\"", ..found });
    } else {
        not_run("br_netfilter", "the kernel has none");
    }
    plant(faults);
}

#[test]
fn faults_of_network_services() {
    plant(vec![
        fault("networkd", "warning", "50-all.network", |scene| {
            put(scene.lab, "/run/systemd/netif/state", "");
            put(scene.lab, "/etc/systemd/network/50-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n");
        }),
        fault("NetworkManager", "warning", "veth", |scene| {
            put(scene.lab, "/run/NetworkManager/NetworkManager.pid", "1\n");
            put(scene.lab, "/etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\n");
        }),
        fault("udev", "warning", "line 2", |scene| {
            let rules = "# all\nSUBSYSTEM==\"net\", ACTION==\"add\", RUN+=\"/usr/local/bin/dhcp-on %k\"\n";
            put(scene.lab, "/etc/udev/rules.d/70-all.rules", rules);
        }),
        fault("udev", "warning", "MTUBytes", |scene| {
            put(scene.lab, "/etc/systemd/network/20-jumbo.link", "[Match]\nDriver=veth\n[Link]\nMTUBytes=9000\n");
        }),
        Fault {
            is_mended: false,
            ..fault("udev", "note", "99-default.link", |scene| {
                let text = "[Match]\nOriginalName=*\n[Link]\nMACAddressPolicy=persistent\n";
                put(scene.lab, "/usr/lib/systemd/network/99-default.link", text);
            })
        },
    ]);
}

/// The files that are shipped do what the printed commands do.
#[test]
fn the_shipped_files_keep_services_away() {
    let lab = Lab::with_uplink();
    let (c, d) = (lab.container("c"), lab.container("d"));
    Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    Attached::new(&lab, &bridged(&["10.31.0.0/24"], &json!({"name": "b", "bridge": {"name": "spring0"}})), &d);
    put(&lab, "/run/systemd/netif/state", "");
    put(&lab, "/run/NetworkManager/NetworkManager.pid", "1\n");
    put(&lab, "/etc/systemd/network/50-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n");
    let found = Diagnosis::of(&lab);
    assert!(!found.by("networkd").is_empty() && !found.by("NetworkManager").is_empty(), "{:#?}", found.findings);
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks");
    let text = |file: &str| fs::read_to_string(hooks.join(file)).expect("a shipped file");
    put(
        &lab,
        "/etc/systemd/network/10-springline-unmanaged.network",
        &text("networkd/10-springline-unmanaged.network"),
    );
    put(&lab, "/etc/NetworkManager/conf.d/springline.conf", &text("NetworkManager/springline.conf"));
    let well = Diagnosis::of(&lab);
    assert!(!well.is_bad() && well.status == Some(0), "{:#?}", well.findings);
}

/// What a file says that belongs to an attachment, if it were that of one that nobody knows.
fn of_ghost(file: &Path) -> String {
    let own = fs::read_to_string(file).expect("the file of an attachment");
    let others = own.replace("\"container\":\"c\"", "\"container\":\"ghost\"");
    assert_ne!(own, others);
    others
}

#[test]
fn what_the_dead_have_left() {
    plant(vec![
        Fault {
            reaches: false,
            ..fault("state", "warning", "the namespace of n/c/eth0 is gone", |scene| scene.container.kill())
        },
        Fault {
            reaches: false,
            ..fault("state", "warning", "cannot be read", |scene| {
                fs::write(scene.lab.state_dir().join("attachments/n/c@eth0.json"), "{").expect("damage the record");
            })
        },
        fault("state", "warning", "lease of n/ghost/eth0", |scene| {
            let leases = scene.lab.state_dir().join("leases/n");
            let own = scene.attached.ips().into_iter().next().expect("an address");
            let others = of_ghost(&leases.join(own));
            fs::write(leases.join("10.30.0.77"), others).expect("write a lease");
        }),
        fault("state", "warning", "stake of n/ghost/eth0", |scene| {
            let folder = scene.lab.state_dir().join("shared/bridge-br9");
            fs::create_dir_all(&folder).expect("make a folder");
            let record = scene.lab.state_dir().join("attachments/n/c@eth0.json");
            fs::write(folder.join("0".repeat(32)), of_ghost(&record)).expect("write a stake");
        }),
        Fault {
            is_mended: false,
            ..fault("state", "note", "another version", |scene| {
                // The chain by which the version is known, as if another one had made it.
                let nft = tool("nft");
                let nft = nft.display();
                let first = "/chain/ {c = $2} /comment \"springline 2\"/ {print c; exit}";
                let line = format!(
                    "c=$({nft} list table inet springline | awk '{first}') && {nft} delete table inet springline && \
                     {nft} add table inet springline && \
                     {nft} add chain inet springline $c '{{ comment \"springline 0\"; }}'"
                );
                scene.lab.host().shell(&line);
            })
        },
        fault("netns", "warning", "run/netns/junk", |scene| put(scene.lab, "/run/netns/junk", "")),
        Fault {
            is_mended: false,
            ..fault("networks", "warning", "10-broken.conf", |scene| {
                fs::create_dir_all(networks(scene.lab)).expect("make the folder of networks");
                let broken = merged(&with_ranges(&SUBNETS, &json!({})), &json!({"mode": "rooted"}));
                fs::write(networks(scene.lab).join("10-broken.conf"), broken.to_string()).expect("write a definition");
            })
        },
    ]);
}

/// Leases are each network's own: on one bridge, nothing else keeps two of them apart.
#[test]
fn networks_that_give_out_the_same() {
    let lab = Lab::with_uplink();
    fs::create_dir_all(networks(&lab)).expect("make the folder of networks");
    let define = |file: &str, conf: &Value| fs::write(networks(&lab).join(file), conf.to_string()).expect("define it");
    let ranges = |range: Value| json!({"ipam": {"type": "springline", "ranges": [[range]]}});
    let with = |name: &str, keys: &Value| merged(&bridged(&[], &json!({ "name": name })), keys);
    define("one.conf", &with("one", &ranges(json!({"subnet": "10.22.0.0/24", "exclude": ["10.22.0.0/25"]}))));
    // The controls: parts of the subnet that are apart, another VLAN, another bridge, routed.
    let whole = ranges(json!({"subnet": "10.22.0.0/24"}));
    for apart in [
        ranges(json!({"subnet": "10.22.0.0/24", "rangeEnd": "10.22.0.127"})),
        ranges(json!({"subnet": "10.22.0.0/24", "exclude": ["10.22.0.128/26", "10.22.0.192/26"]})),
        merged(&whole, &json!({"bridge": {"vlan": 7}})),
        merged(&whole, &json!({"bridge": {"name": "br1"}})),
        merged(&whole, &json!({"mode": "routed", "bridge": null})),
    ] {
        define("two.conf", &with("two", &apart));
        let found = Diagnosis::of(&lab);
        assert!(found.by("addresses").is_empty(), "{apart}: {:?}", found.by("addresses"));
    }
    let fixed = json!({"ipam": {"type": "springline", "addresses": ["10.22.0.200/24"], "ranges": null}});
    for (keys, address) in [(whole, "10.22.0.128"), (fixed, "10.22.0.200")] {
        define("two.conf", &with("two", &keys));
        let found = Diagnosis::of(&lab);
        let words = format!("networks one and two on bridge br0 both give out {address}");
        let finding = found.finding("addresses", &words).unwrap_or_else(|| panic!("{:?}", found.by("addresses")));
        assert_eq!((&finding["level"], found.status), (&json!("warning"), Some(3)), "{finding}");
    }
    // What it warns of: each gives out its first address.
    define("two.conf", &with("two", &ranges(json!({"subnet": "10.22.0.0/24", "exclude": ["10.22.0.0/25"]}))));
    let (c, d) = (lab.container("c"), lab.container("d"));
    let conf = |name| with(name, &ranges(json!({"subnet": "10.22.0.0/24", "exclude": ["10.22.0.0/25"]})));
    let (first, second) = (Attached::new(&lab, &conf("one"), &c), Attached::new(&lab, &conf("two"), &d));
    assert_eq!((first.ips(), second.ips()), (vec!["10.22.0.128".into()], vec!["10.22.0.128".into()]));
}

/// Networks that are defined count, before there is a container of theirs; so does what their lists have beside us.
#[test]
fn networks_without_containers() {
    let lab = Lab::with_uplink();
    lab.host().write_sysctl("net/ipv4/ip_forward", "0");
    assert!(Diagnosis::of(&lab).by("forwarding").is_empty(), "nobody needs it");
    fs::create_dir_all(networks(&lab)).expect("make the folder of networks");
    for (forwarding, level) in [("enable", "note"), ("require", "warning"), ("leave", "warning")] {
        let plugin = with_ranges(&SUBNETS, &json!({"forwarding": forwarding}));
        let list = json!({"cniVersion": "1.0.0", "name": "n", "plugins": [plugin, {"type": "tuning"}]});
        fs::write(networks(&lab).join("10-n.conflist"), list.to_string()).expect("define a network");
        let found = Diagnosis::of(&lab);
        let found = found.finding("forwarding", "IPv4").expect("a finding");
        assert_eq!(found["level"], level, "{found}");
    }
}
