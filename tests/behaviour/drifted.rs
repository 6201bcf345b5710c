//! CHECK sees what has drifted in nf_tables and in rates, and `springline check --repair` puts it right.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::{Lab, OUTSIDE_V4};
use crate::support::{Attached, Family, bridged, springline, with_ranges};

fn keys() -> Value {
    json!({"masquerade": {"except": ["198.51.100.0/24"]}, "isolation": ["ports", "network"],
           "bandwidth": {"ingressRate": 20_000_000, "egressRate": 10_000_000},
           "capabilities": {"portMappings": true},
           "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}})
}

/// Damages, each with a word that CHECK says of it.
fn damages(attached: &Attached<'_>) -> Vec<(String, &'static str)> {
    let (link, address) = (&attached.link, attached.ip(Family::V4));
    let nft = |line: String| format!("nft '{line}'");
    vec![
        (nft("flush ruleset".into()), "nft add guard in table"),
        (nft("delete table inet springline".into()), "nft add nat in table inet springline"),
        (nft("flush chain inet springline postrouting".into()), "nft add nat in table inet springline"),
        (nft("flush chain inet springline ports".into()), "nft add nat in table inet springline"),
        (nft("flush map inet springline ports4".into()), "ports4 { tcp . 8080"),
        (nft(format!("delete element inet springline masquerade4 {{ {address} }}")), "masquerade4"),
        (
            nft(format!(
                "delete element inet springline ports4 {{ tcp . 8080 }}; add element inet springline ports4 {{ tcp . 8080 : {address} . 81 }}"
            )),
            "ports4 { tcp . 8080",
        ),
        (format!("tc qdisc del dev {link} root"), "20000000bit"),
        (format!("tc qdisc del dev {link} ingress"), "redirect dev ifb"),
    ]
}

#[test]
fn everything_is_put_right() {
    for conf in [with_ranges(&["10.30.0.0/24"], &keys()), bridged(&["10.30.0.0/24"], &keys())] {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        let check = || lab.cni(Plugin::Routed).check(&conf, &attached.result, &c, "eth0");
        check().silent();
        let whole = lab.host_state();
        for (damage, word) in damages(&attached) {
            lab.host().shell(&damage);
            let error = check().error().with_code(101);
            assert!(error.text().contains(word), "{damage}: {}", error.text());
            let (ok, seen) = springline(&lab, &["check"]);
            assert!(!ok && seen.contains("drifted   n/c/eth0") && seen.contains(word), "{damage}: {seen}");
            let (ok, repaired) = springline(&lab, &["check", "--repair", "c"]);
            assert!(ok && repaired.contains("repaired  n/c/eth0"), "{damage}: {repaired}");
            check().silent();
            crate::common::state::assert_unchanged(&whole, &lab.host_state());
            assert!(c.netns().ping(OUTSIDE_V4), "{damage}");
            let (ok, seen) = springline(&lab, &["check", "n/c", "-o", "json"]);
            assert!(ok, "{seen}");
            let seen: Value = serde_json::from_str(&seen).expect("JSON");
            assert_eq!(seen, json!([{"attachment": "n/c/eth0", "missing": [], "state": "ok"}]));
        }
        attached.detach();
    }
}

/// An address that the first container's ADD has put on the bridge, or on the link that holds the shared gateway, is the
/// gateway of all others, too: each misses it, and any of them puts it back as it was.
#[test]
fn everybody_misses_a_gateway_that_is_shared() {
    let shared = with_ranges(&["10.30.0.0/24"], &json!({"gateway": "shared"}));
    let cases = [
        (bridged(&["10.30.0.0/24"], &json!({})), "10.30.0.1/24 dev br0"),
        (shared, "255.255.255.254/32 dev springline0"),
    ];
    for (conf, gateway) in cases {
        let lab = Lab::with_uplink();
        let containers = ["first", "second"].map(|name| lab.container(name));
        let attached = containers.each_ref().map(|container| Attached::new(&lab, &conf, container));
        let whole = lab.host_state();
        for (container, attached) in containers.iter().zip(&attached) {
            let check = || lab.cni(Plugin::Routed).check(&conf, &attached.result, container, "eth0");
            check().silent();
            lab.host().ip(&format!("address del {gateway}"));
            check().error().with_code(101).saying(gateway);
            let (ok, repaired) = springline(&lab, &["check", "--repair", &container.id]);
            assert!(ok && repaired.contains("repaired"), "{repaired}");
            check().silent();
            crate::common::state::assert_unchanged(&whole, &lab.host_state());
        }
        for attached in attached {
            attached.detach();
        }
    }
}

/// Links, addresses, routes and sysctls, on both sides: what is expected stands beside what there is, and is put right.
#[test]
fn every_kind_of_drift() {
    let lab = Lab::with_uplink();
    lab.host().write_sysctl("net/ipv4/ip_forward", "0");
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&["10.30.0.0/24", "2001:db8:30::/64"], &json!({})), &c);
    let (link, v4, v6) = (&attached.link, attached.ip(Family::V4), attached.ip(Family::V6));
    let whole = (lab.host_state(), c.netns().state());
    let host = |line: String| (true, line);
    let inside = |line: String| (false, line);
    let cases = [
        (host(format!("ip link set dev {link} down")), format!("missing: ip link set dev {link} up"), true),
        (host(format!("ip address flush dev {link}")), "missing: ip address add 169.254.0.1/32".into(), false),
        (host(format!("ip -6 address flush dev {link}")), "missing: ip address add fe80::1/64".into(), false),
        (host(format!("ip route del {v4}")), format!("missing: ip route add {v4}/32"), false),
        (host(format!("ip -6 route del {v6}")), format!("missing: ip route add {v6}/128"), false),
        (host("echo 0 > /proc/sys/net/ipv4/ip_forward".into()), "ip_forward=1".into(), true),
        (inside("ip link set eth0 down".into()), "missing: [container] ip link set dev eth0 up".into(), true),
        (
            inside(format!("ip address del {v4}/32 dev eth0")),
            format!("missing: [container] ip address add {v4}/32"),
            false,
        ),
        (inside("ip address flush dev eth0".into()), format!("ip address add {v6}/128"), false),
        (
            inside("ip route del default".into()),
            "missing: [container] ip route add default via 169.254.0.1".into(),
            false,
        ),
        (inside("ip -6 route replace default via fe80::99 dev eth0".into()), "via fe80::1".into(), true),
    ];
    for ((on_host, damage), missing, has_instead) in cases {
        let side = if on_host { lab.host() } else { c.netns() };
        side.shell(&damage);
        let (ok, seen) = springline(&lab, &["check"]);
        assert!(!ok && seen.contains(&missing), "{damage}: {seen}");
        assert_eq!(seen.contains("instead: "), has_instead, "{damage}: {seen}");
        let (ok, repaired) = springline(&lab, &["check", "--repair"]);
        assert!(ok && repaired.contains("repaired"), "{damage}: {repaired}");
        let (ok, seen) = springline(&lab, &["check"]);
        assert!(ok, "{damage}: {seen}");
        if !damage.contains("replace") {
            crate::common::state::assert_unchanged(&whole.0, &lab.host_state());
            crate::common::state::assert_unchanged(&whole.1, &c.netns().state());
        }
        assert!(c.netns().ping(OUTSIDE_V4) && c.netns().ping(crate::common::OUTSIDE_V6), "{damage}");
    }
    attached.detach();
}

/// What cannot be put right is said.
#[test]
fn what_is_gone_for_good() {
    let lab = Lab::new();
    let c = lab.container("c");
    let conf = with_ranges(&["10.30.0.0/24"], &json!({}));
    let attached = Attached::new(&lab, &conf, &c);
    lab.host().ip(&format!("link del {}", attached.link));
    let (ok, seen) = springline(&lab, &["check", "--repair"]);
    assert!(!ok && seen.contains("failed    n/c/eth0") && seen.contains("has lost its link"), "{seen}");
    c.kill();
    let (ok, seen) = springline(&lab, &["check"]);
    assert!(!ok && seen.contains("its namespace is gone"), "{seen}");
    let (ok, seen) = springline(&lab, &["check", "nobody"]);
    assert!(!ok && seen.contains("no such attachment"), "{seen}");
    attached.detach();
}

/// With the last attachment gone, GC takes the tables away; one that has elements of somebody else's stays.
#[test]
fn gc_takes_empty_tables_away() {
    let lab = Lab::new();
    let c = lab.container("c");
    let conf = with_ranges(&["10.30.0.0/24"], &keys());
    let attached = Attached::new(&lab, &conf, &c);
    let tables = || lab.host().shell("nft list tables");
    let gc = || lab.cni(Plugin::Routed).gc(&merged(&conf, &json!({"cni.dev/valid-attachments": []}))).silent();
    lab.host().shell("nft add element arp springline sources4 '{ \"other\" . 192.0.2.1 }'");
    attached.detach();
    assert!(tables().contains("inet springline") && tables().contains("arp springline"), "the control");
    gc();
    assert_eq!(tables().trim(), "table arp springline");
    lab.host().shell("nft delete element arp springline sources4 '{ \"other\" . 192.0.2.1 }'");
    gc();
    assert_eq!(tables().trim(), "");
    Attached::new(&lab, &conf, &c).detach();
}
