//! `springline gc`: what dead containers have left goes, what is alive stays.

use serde_json::{Value, json};

use crate::common::Lab;
use crate::common::state::assert_unchanged;
use crate::support::{Attached, Family, both_modes, springline, with_ranges};

fn keys() -> Value {
    json!({"masquerade": true, "capabilities": {"portMappings": true},
           "bandwidth": {"ingressRate": 20_000_000, "egressRate": 10_000_000},
           "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}})
}

/// Those that nobody calls DEL for go whole: link, routes, elements, `ifb` link, leases, record.
#[test]
fn the_dead_go_and_the_living_stay() {
    let lab = Lab::new();
    for conf in both_modes(&["10.30.0.0/24", "2001:db8:30::/64"], &json!({})) {
        let (living, dead) = (lab.container("living"), lab.container("dead"));
        let living = Attached::new(&lab, &conf, &living);
        let before = lab.host_state();
        Attached::new(&lab, &crate::common::cni::merged(&conf, &keys()), &dead);
        let (ok, said) = springline(&lab, &["gc"]);
        assert!(ok && said.contains("nothing is left of dead containers"), "{said}");
        assert!(!before.changes(&lab.host_state()).is_empty(), "the control: it is attached");
        dead.kill();
        let (ok, said) = springline(&lab, &["gc"]);
        assert!(ok && said.trim() == "removed   n/dead/eth0", "{said}");
        assert_unchanged(&before, &lab.host_state());
        assert!(lab.host().ping(&living.ip(Family::V4)) && lab.host().ping(&living.ip(Family::V6)));
        living.detach();
    }
}

/// Another namespace at the path of the dead one is no sign of life.
#[test]
fn a_path_that_is_used_again() {
    let lab = Lab::new();
    let before = lab.host_state();
    for die in ["restart", "stub"] {
        let c = lab.container("c");
        Attached::new(&lab, &with_ranges(&["10.30.0.0/24"], &json!({})), &c);
        if die == "restart" {
            c.restart();
        } else {
            c.kill_leaving_a_stub();
        }
        let (ok, said) = springline(&lab, &["gc", "-o", "json"]);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert!(ok && said == json!({"removed": ["n/c/eth0"]}), "{die}: {said}");
        assert_unchanged(&before, &lab.host_state());
    }
}

/// What is to be kept is kept, dead or not; a record that cannot be read is no reason to keep anything.
#[test]
fn kept_and_damaged() {
    let lab = Lab::new();
    let (kept, damaged) = (lab.container("kept"), lab.container("damaged"));
    let conf = with_ranges(&["10.30.0.0/24"], &json!({}));
    let before = lab.host_state();
    for container in [&kept, &damaged] {
        Attached::new(&lab, &conf, container);
        container.kill();
    }
    std::fs::write(lab.state_dir().join("attachments/n/damaged@eth0.json"), "{").expect("damage the record");
    let (ok, said) = springline(&lab, &["gc", "--keep", "kept"]);
    assert!(ok && said.trim() == "removed   n/damaged/eth0", "{said}");
    assert!(lab.state_dir().join("attachments/n/kept@eth0.json").exists());
    let (ok, _) = springline(&lab, &["gc"]);
    assert!(ok);
    assert_unchanged(&before, &lab.host_state());
}
