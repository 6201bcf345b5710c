//! Addresses that come back: late to strangers, at once to the same container, and in the end from the dead.

use serde_json::{Value, json};

use crate::common::Lab;
use crate::support::{Attached, assert_refused, bridged, network};

/// A network with `count` addresses to give out, 10.22.0.10 being the first.
fn small(count: u8) -> Value {
    let range =
        json!({"subnet": "10.22.0.0/24", "rangeStart": "10.22.0.10", "rangeEnd": format!("10.22.0.{}", 9 + count)});
    network(&json!({"ipam": {"type": "springline", "ranges": [[range]]}}))
}

/// The next container gets an address that was never given, and one just released only when the others are used.
#[test]
fn released_addresses_come_last() {
    let lab = Lab::new();
    let conf = small(4);
    let containers: Vec<_> = (0..6).map(|number| lab.container(&format!("c{number}"))).collect();
    let first = Attached::new(&lab, &conf, &containers[0]);
    let second = Attached::new(&lab, &conf, &containers[1]);
    assert_eq!((first.ips(), second.ips()), (vec!["10.22.0.10".to_owned()], vec!["10.22.0.11".to_owned()]));
    second.detach();
    first.detach();
    let next = containers[2..].iter().map(|c| Attached::new(&lab, &conf, c).ips().concat()).collect::<Vec<_>>();
    assert_eq!(next, ["10.22.0.12", "10.22.0.13", "10.22.0.10", "10.22.0.11"]);
}

/// Released or not: a container whose namespace has died gets its address back with the next ADD.
#[test]
fn same_container_same_address() {
    for conf in [small(9), bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({}))] {
        let lab = Lab::new();
        let (c1, c2) = (lab.container("c1"), lab.container("c2"));
        let first = Attached::new(&lab, &conf, &c1);
        let other = Attached::new(&lab, &conf, &c2);
        c1.restart();
        let again = Attached::new(&lab, &conf, &c1);
        assert_eq!(again.ips(), first.ips());
        assert_ne!(again.ips(), other.ips());
        assert!(again.ips().iter().chain(&other.ips()).all(|ip| lab.host().ping(ip)));
        again.detach();
        other.detach();
    }
}

/// A full range is 11, with used and total; and the dead are reclaimed, with their links and records.
#[test]
fn full_range_reclaims_the_dead() {
    let lab = Lab::new();
    let before = lab.host_state();
    let conf = small(3);
    let containers: Vec<_> = (0..3).map(|number| lab.container(&format!("c{number}"))).collect();
    let held: Vec<Attached> = containers.iter().map(|c| Attached::new(&lab, &conf, c)).collect();
    let next = lab.container("next");
    assert_refused(&lab, &conf, &next, 11, &["3 used of 3"]);
    containers[1].kill();
    let given = Attached::new(&lab, &conf, &next);
    assert_eq!(given.ips(), held[1].ips(), "the address of the dead container");
    assert!(lab.host().ping("10.22.0.10") && lab.host().ping("10.22.0.11") && lab.host().ping("10.22.0.12"));
    let more = lab.container("more");
    assert_refused(&lab, &conf, &more, 11, &["3 used of 3"]);
    given.detach();
    held[0].detach();
    held[2].detach();
    crate::common::state::assert_unchanged(&before, &lab.host_state());
}

/// A plain file at the path of the namespace, as it stays after a reboot, is as dead as none.
#[test]
fn full_range_reclaims_from_behind_a_stub() {
    let lab = Lab::new();
    let conf = small(1);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    Attached::new(&lab, &conf, &c1);
    assert_refused(&lab, &conf, &c2, 11, &["1 used of 1"]);
    c1.kill_leaving_a_stub();
    assert_eq!(Attached::new(&lab, &conf, &c2).ips(), ["10.22.0.10"]);
}

/// A stranger's namespace at the same path does not keep the dead alive.
#[test]
fn full_range_reclaims_from_behind_a_new_namespace() {
    let lab = Lab::new();
    let conf = small(1);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    Attached::new(&lab, &conf, &c1);
    assert_refused(&lab, &conf, &c2, 11, &["1 used of 1"]);
    c1.restart();
    let stranger = c1.netns().state();
    assert_eq!(Attached::new(&lab, &conf, &c2).ips(), ["10.22.0.10"]);
    crate::common::state::assert_unchanged(&stranger, &c1.netns().state());
}

/// A container that lives but whose interface is gone keeps its address: it may come back to it.
#[test]
fn full_range_leaves_the_living() {
    let lab = Lab::new();
    let conf = small(1);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let first = Attached::new(&lab, &conf, &c1);
    c1.netns().ip("link del eth0");
    assert_refused(&lab, &conf, &c2, 11, &["1 used of 1"]);
    first.detach();
    Attached::new(&lab, &conf, &c2);
}
