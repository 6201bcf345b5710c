//! `springline ls` and `inspect` show what is there.

use serde_json::{Value, json};

use crate::common::Lab;
use crate::support::{Attached, Family, both_modes, springline};

#[test]
fn what_is_plugged_where() {
    let lab = Lab::with_uplink();
    let keys = json!({
        "capabilities": {"portMappings": true}, "bandwidth": {"ingressRate": 20_000_000},
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]},
    });
    for conf in both_modes(&["10.30.0.0/24", "2001:db8:30::/64"], &keys) {
        let (c, dead) = (lab.container("c"), lab.container("dead"));
        let attached = Attached::new(&lab, &conf, &c);
        let other = crate::common::cni::merged(&conf, &json!({"runtimeConfig": {"portMappings": []}}));
        Attached::new(&lab, &other, &dead);
        dead.kill();
        assert!(lab.host().ping(&attached.ip(Family::V4)));
        let (ok, text) = springline(&lab, &["ls"]);
        let line = text.lines().find(|line| line.starts_with("n        c ")).unwrap_or_default().to_owned();
        for word in ["eth0", &attached.link, &attached.ip(Family::V4), "8080/tcp→80", "cni", "ok"] {
            assert!(ok && line.contains(word), "{word}: {text}");
        }
        assert!(text.lines().any(|line| line.contains("dead") && line.ends_with("orphaned")), "{text}");
        let (_, said) = springline(&lab, &["ls", "c", "-o", "json"]);
        let list: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((list.as_array().map(Vec::len), &list[0]["state"]), (Some(1), &json!("ok")));
        assert_eq!(list[0]["rates"], json!({"received": 20_000_000, "sent": null}));
        let counters = &list[0]["counters"];
        assert!(counters["sentBytes"].as_u64() >= Some(84) && counters["receivedBytes"].as_u64() >= Some(84), "{said}");
        lab.host().shell("nft flush map inet springline ports4");
        let (ok, text) = springline(&lab, &["inspect", "n/c"]);
        assert!(ok && text.contains("n/c/eth0  drifted") && text.contains("missing    nft add element"), "{text}");
        assert!(text.contains("receives 20 Mbit/s, sends unlimited"), "{text}");
        let (ok, text) = springline(&lab, &["inspect", "nobody"]);
        assert!(!ok && text.contains("no such attachment"), "{text}");
        springline(&lab, &["gc"]);
        attached.detach();
    }
    let (ok, text) = springline(&lab, &["ls"]);
    assert!(ok && text.lines().count() == 1, "{text}");
}
