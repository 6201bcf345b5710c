//! `springline rename`: the interface inside gets another name, while packets flow, and its runtime knows nothing of it.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::traffic::Pings;
use crate::common::{Container, Lab};
use crate::support::{Attached, addresses, bridged, network, not_run, routes, springline, with_networks, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

#[track_caller]
fn must(lab: &Lab, line: &[&str]) -> String {
    let (ok, said) = springline(lab, line);
    assert!(ok, "{line:?}: {said}");
    said
}

#[track_caller]
fn refused(lab: &Lab, c: &Container, line: &[&str], words: &[&str]) {
    let before = (lab.host_state(), c.netns().state());
    let (ok, said) = springline(lab, line);
    assert!(!ok, "{line:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{line:?}: no {word:?} in {said}");
    }
    assert_unchanged(&before.0, &lab.host_state());
    assert_unchanged(&before.1, &c.netns().state());
}

/// Whether the kernel renames links that are up: Linux 6.2 and later.
fn renames_what_is_up(lab: &Lab) -> bool {
    let trial = lab.container("trial");
    trial.netns().ip("link add trial0 up type veth peer name trial1");
    trial.netns().shell("ip link set trial0 name trial2 2>/dev/null && echo yes || echo no").trim() == "yes"
}

/// Renames, however this kernel does it.
#[track_caller]
fn rename(lab: &Lab, container: &str, from: &str, to: &str) {
    assert_eq!(must(lab, &["rename", container, from, to, "--interrupt"]), "");
}

/// Renames a link as whoever is root inside would, and has it up again with nothing missing.
fn rename_inside(lab: &Lab, c: &Container, from: &str, to: &str) {
    if renames_what_is_up(lab) {
        c.netns().ip(&format!("link set {from} name {to}"));
    } else {
        c.netns().ip(&format!("link set {from} down"));
        c.netns().ip(&format!("link set {from} name {to}"));
        c.netns().ip(&format!("link set {to} up"));
    }
}

fn with_everything() -> Value {
    json!({"masquerade": true, "bandwidth": {"ingressRate": 20_000_000, "egressRate": 10_000_000},
           "sysctl": {"net.ipv4.conf.IFNAME.log_martians": "1"},
           "capabilities": {"portMappings": true},
           "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}})
}

#[test]
fn everything_goes_by_the_new_name() {
    for conf in [with_ranges(&SUBNETS, &with_everything()), bridged(&SUBNETS, &with_everything())] {
        let lab = Lab::with_uplink();
        let before = lab.host_state();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        let inside = |ifname: &str| {
            let martians = c.netns().read_sysctl(&format!("net/ipv4/conf/{ifname}/log_martians"));
            let accept_ra = c.netns().read_sysctl(&format!("net/ipv6/conf/{ifname}/accept_ra"));
            (addresses(c.netns(), ifname), routes(c.netns(), ifname), martians, accept_ra)
        };
        let outside = |lab: &Lab| (addresses(lab.host(), &attached.link), routes(lab.host(), &attached.link));
        let (had, host_had) = (inside("eth0"), outside(&lab));
        rename(&lab, "c", "eth0", "lan0");
        assert!(c.netns().link("eth0").is_none());
        assert_eq!(inside("lan0"), had);
        assert_eq!(outside(&lab), host_had);
        for ip in attached.ips() {
            assert!(lab.outside().ping(&ip), "{ip}");
        }
        // Whoever has attached it goes on calling it eth0.
        lab.cni(Plugin::Routed).check(&conf, &attached.result, &c, "eth0").silent();
        must(&lab, &["check", "n/c/eth0"]);
        assert!(must(&lab, &["ls"]).contains("lan0 (eth0)"));
        let listed: Value = serde_json::from_str(&must(&lab, &["ls", "-o", "json"])).expect("JSON");
        assert_eq!((&listed[0]["interface"], &listed[0]["attachment"]), (&json!("lan0"), &json!("n/c/eth0")));
        assert_eq!(listed[0]["state"], "ok");
        assert!(must(&lab, &["inspect", "c"]).contains("lan0 (eth0)"));
        assert!(must(&lab, &["graph"]).contains("lan0"));
        // Both names will do, as long as only one link is meant.
        assert_eq!(must(&lab, &["ip", "ls", "c", "lan0"]), must(&lab, &["ip", "ls", "c", "eth0"]));
        must(&lab, &["ip", "add", "c", "lan0", "10.30.0.77"]);
        assert!(lab.outside().ping("10.30.0.77"));
        must(&lab, &["ip", "del", "c", "eth0", "10.30.0.77"]);
        must(&lab, &["set", "c", "lan0", "--mtu", "1400"]);
        assert_eq!(c.netns().link("lan0").expect("the link")["mtu"], 1400);
        must(&lab, &["set", "c", "lan0", "--mtu", "auto"]);
        rename(&lab, "c", "lan0", "wan0");
        rename(&lab, "c", "wan0", "eth0");
        assert_eq!(inside("eth0"), had);
        assert!(!must(&lab, &["ls"]).contains('('));
        rename(&lab, "c", "eth0", "lan0");
        attached.detach();
        assert!(c.netns().link("lan0").is_none());
        assert_unchanged(&before, &lab.host_state());
    }
}

/// At a hundred a second, both families, nothing is lost.
#[test]
fn nothing_is_lost() {
    for conf in [with_ranges(&SUBNETS, &json!({})), bridged(&SUBNETS, &json!({}))] {
        let lab = Lab::with_uplink();
        if !renames_what_is_up(&lab) {
            return not_run("renamed::nothing_is_lost", "this kernel renames only links that are down");
        }
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        let pings = Pings::new(lab.outside(), &attached.ips());
        for _ in 0..6 {
            assert_eq!(must(&lab, &["rename", "c", "eth0", "lan0"]), "");
            assert_eq!(must(&lab, &["rename", "c", "lan0", "eth0"]), "");
        }
        pings.assert_none_lost();
        attached.detach();
    }
}

#[test]
fn what_is_taken_or_wrong() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    c.netns().ip("link add other0 type veth peer name other1");
    c.netns().ip("link property add dev other1 altname a-name-besides");
    let line = |to: &'static str| ["rename", "c", "eth0", to];
    refused(&lab, &c, &line("other0"), &["eth0 cannot be renamed to other0", "already exists in", "veth"]);
    refused(&lab, &c, &line("a-name-besides"), &["other1 in", "as an alternative name"]);
    refused(&lab, &c, &line("lo"), &["already exists in"]);
    for name in ["", "longer-than-15-bytes", "a/b", "a b", "eth%d", "all", ".."] {
        refused(&lab, &c, &["rename", "c", "eth0", "--", name], &["the new name"]);
    }
    refused(&lab, &c, &["rename", "c", "eth7", "lan0"], &["no attachment c eth7", "n/c/eth0"]);
    refused(&lab, &c, &["rename", "d", "eth0", "lan0"], &["no attachment d eth0"]);
    // To what it is called already is nothing.
    let before = (lab.host_state(), c.netns().state());
    must(&lab, &["rename", "c", "eth0", "eth0"]);
    assert_unchanged(&before.0, &lab.host_state());
    assert_unchanged(&before.1, &c.netns().state());
    rename(&lab, "c", "eth0", "lan0");
    refused(&lab, &c, &["ip", "ls", "c", "eth9"], &["n/c/eth0, which is called lan0 now"]);
    attached.detach();
}

/// The daemon of IPAM plugin `dhcp` would look for the old name when it renews the lease, and take the link down at last.
#[test]
fn leases_by_name() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let plugins = lab.dir().join("plugins");
    let script = "#!/bin/sh\ncat > /dev/null\n[ \"$CNI_COMMAND\" != ADD ] || \
                  echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.30.0.5/24\"}]}'\n";
    std::fs::create_dir(&plugins).expect("make a folder");
    for plugin in ["dhcp", "static"] {
        let path = plugins.join(plugin);
        std::fs::write(&path, script).expect("write a plugin");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("make it executable");
        let conf = network(&json!({"cniVersion": "1.0.0", "ipam": {"type": plugin}}));
        let cni = lab.cni(Plugin::Routed);
        let call = cni.call("ADD").of(&c, "eth0").conf(&conf).env("CNI_PATH", &plugins.to_string_lossy());
        call.run().result();
        if plugin == "dhcp" {
            refused(&lab, &c, &["rename", "c", "eth0", "lan0"], &["IPAM plugin dhcp", "by its name"]);
        } else {
            rename(&lab, "c", "eth0", "lan0");
        }
        must(&lab, &["detach", "c"]);
    }
}

/// Whoever is root inside may rename the interface, too: that is seen, and put right, or made the name that is wanted.
#[test]
fn renamed_behind_our_back() {
    let lab = Lab::with_uplink();
    let before = lab.host_state();
    let c = lab.container("c");
    let conf = with_ranges(&["10.30.0.0/24"], &json!({}));
    let attached = Attached::new(&lab, &conf, &c);
    let had = (addresses(c.netns(), "eth0"), routes(c.netns(), "eth0"));
    let live = renames_what_is_up(&lab);
    rename_inside(&lab, &c, "eth0", "odd0");
    let (ok, said) = springline(&lab, &["check"]);
    assert!(!ok && said.contains("ip link set dev odd0 name eth0") && said.contains("it is called odd0"), "{said}");
    lab.cni(Plugin::Routed).check(&conf, &attached.result, &c, "eth0").error().with_code(101).saying("odd0 name eth0");
    if live {
        must(&lab, &["check", "--repair"]);
    } else {
        refused(&lab, &c, &["check", "--repair"], &["odd0 cannot become eth0 while it is up", "--interrupt"]);
        rename(&lab, "c", "eth0", "eth0");
    }
    assert_eq!((addresses(c.netns(), "eth0"), routes(c.netns(), "eth0")), had);
    must(&lab, &["check"]);
    rename_inside(&lab, &c, "eth0", "odd0");
    must(&lab, &["rename", "c", "eth0", "odd0"]);
    must(&lab, &["check"]);
    assert_eq!((addresses(c.netns(), "odd0"), routes(c.netns(), "odd0")), had);
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// Before Linux 6.2 it takes a word from whoever asks: the link goes down, and gets everything back that it had.
#[test]
fn a_kernel_that_renames_only_what_is_down() {
    for conf in [with_ranges(&SUBNETS, &json!({})), bridged(&SUBNETS, &json!({}))] {
        let lab = Lab::with_uplink();
        if renames_what_is_up(&lab) {
            return not_run("renamed::a_kernel_that_renames_only_what_is_down", "this kernel renames others, too");
        }
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        let words = ["eth0 cannot become lan0 while it is up", "rename --interrupt", "everything was undone"];
        refused(&lab, &c, &["rename", "c", "eth0", "lan0"], &words);
        // What the container itself has put there.
        c.netns().ip("address add 2001:db8:99::1/64 dev eth0 nodad");
        c.netns().ip("address add 10.99.0.1/24 dev eth0");
        c.netns().ip("route add 10.98.0.0/24 via 10.99.0.2 dev eth0 metric 7");
        c.netns().ip("route add 2001:db8:98::/64 dev eth0 table 100");
        let all = |ifname: &str| (addresses(c.netns(), ifname), routes(c.netns(), ifname));
        let (had, host_had) = (all("eth0"), routes(lab.host(), &attached.link));
        for keeps in ["0", "1"] {
            c.netns().write_sysctl("net/ipv6/conf/all/keep_addr_on_down", keeps);
            for (from, to) in [("eth0", "lan0"), ("lan0", "eth0")] {
                rename(&lab, "c", from, to);
                assert_eq!(all(to), had);
                assert_eq!(routes(lab.host(), &attached.link), host_had);
                for ip in attached.ips() {
                    assert!(lab.outside().ping(&ip), "{ip} after {from} became {to}");
                }
            }
        }
        lab.cni(Plugin::Routed).check(&conf, &attached.result, &c, "eth0").silent();
        attached.detach();
    }
}

/// A network whose default route leads has moved the other's, and knows its link by name. And the name that has come free
/// may go to another network's interface.
#[test]
fn others_of_the_same_container() {
    let lab = Lab::with_uplink();
    let before = lab.host_state();
    let c = lab.container("c");
    let named = |name: &str, subnet: &str, keys: &Value| {
        merged(&with_ranges(&[subnet], keys), &json!({"name": name, "cniVersion": "1.1.0"}))
    };
    let first = named("first", "10.30.0.0/24", &json!({}));
    let leads = named("leads", "10.31.0.0/24", &json!({"defaultRoute": true}));
    let third = named("third", "10.32.0.0/24", &json!({}));
    let a = Attached::named(&lab, &first, &c, "eth0");
    let b = Attached::named(&lab, &leads, &c, "eth1");
    rename(&lab, "c", "eth0", "lan0");
    must(&lab, &["check"]);
    lab.cni(Plugin::Routed).check(&leads, &b.result, &c, "eth1").silent();
    let d = Attached::named(&lab, &third, &c, "eth0");
    // The name is that of the link which has it now.
    assert!(must(&lab, &["ip", "ls", "c", "eth0"]).contains(&d.ips()[0]));
    assert!(must(&lab, &["ip", "ls", "c", "lan0"]).contains(&a.ips()[0]));
    assert!(must(&lab, &["ip", "ls", "first/c", "eth0"]).contains(&a.ips()[0]));
    refused(&lab, &c, &["rename", "c", "lan0", "eth0"], &["eth0 already exists in"]);
    must(&lab, &["check"]);
    let rootfs = lab.dir().join("rootfs");
    for (folder, file) in [("usr/sbin", "ifup"), ("etc/network", "interfaces")] {
        std::fs::create_dir_all(rootfs.join(folder)).expect("make a rootfs");
        std::fs::write(rootfs.join(folder).join(file), "").expect("make a rootfs");
    }
    let rootfs = rootfs.to_string_lossy().into_owned();
    let files = must(&lab, &["distconfig", "--rootfs", &rootfs, "--id", "c", "--distro", "debian", "--dry-run"]);
    for name in ["lan0", "eth1", "eth0"] {
        assert!(files.contains(&format!("iface {name} inet ")), "{files}");
    }
    a.detach();
    must(&lab, &["check"]);
    b.detach();
    d.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// What was attached by hand goes by both names, too, and is detached by its key.
#[test]
fn by_hand() {
    let lab = with_networks();
    for network in ["a", "b"] {
        let before = lab.host_state();
        let c = lab.container(&format!("by-hand-{network}"));
        let netns = c.path();
        must(&lab, &["attach", network, "--netns", &netns, "--id", "h"]);
        rename(&lab, "h", "eth0", "lan0");
        assert!(c.netns().link("lan0").is_some());
        must(&lab, &["check", "h"]);
        let (ok, said) = springline(&lab, &["attach", network, "--netns", &netns, "--id", "h"]);
        assert!(!ok && said.contains("exists already"), "{said}");
        must(&lab, &["detach", "h"]);
        assert!(c.netns().link("lan0").is_none());
        assert_unchanged(&before, &lab.host_state());
    }
}
