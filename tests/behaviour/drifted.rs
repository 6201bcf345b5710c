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
