//! `hostRoutes.vrf`: containers in a routing table of their own, where the kernel has VRFs.

use serde_json::json;

use crate::common::state::assert_unchanged;
use crate::common::{Lab, text_of};
use crate::support::{Attached, Family, assert_refused, not_run, routes, springline, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// A lab with VRFs `red` and `blue`; none if the kernel has no such links.
fn with_vrfs(test: &str) -> Option<Lab> {
    let lab = Lab::new();
    let made = lab.host().shell("ip link add red type vrf table 10 2>&1 || true");
    if lab.host().link("red").is_none() {
        not_run(test, &format!("this kernel has no VRF: {}", made.trim()));
        return None;
    }
    lab.host().ip("link add blue type vrf table 20");
    lab.host().ip("link set red up");
    // What the host speaks from there.
    lab.host().ip("address add 198.51.100.1/32 dev red");
    lab.host().ip("-6 address add 2001:db8:51::1/128 dev red nodad");
    lab.host().ip("link set blue up");
    Some(lab)
}

/// Containers of one VRF reach each other, in both families, and those of another have the same addresses.
#[test]
fn containers_are_in_the_table_of_their_vrf() {
    let Some(lab) = with_vrfs("containers_are_in_the_table_of_their_vrf") else { return };
    let before = lab.host_state();
    let network = |name: &str, vrf: &str, table: u32| {
        let marks = json!({"name": name, "hostRoutes": {"vrf": vrf, "table": table}, "antiSpoof": true});
        with_ranges(&SUBNETS, &marks)
    };
    let (red, blue) = (network("red", "red", 10), network("blue", "blue", 20));
    let (a, b, c) = (lab.container("a"), lab.container("b"), lab.container("c"));
    let in_a = Attached::new(&lab, &red, &a);
    let in_b = Attached::new(&lab, &red, &b);
    let in_c = Attached::new(&lab, &blue, &c);
    assert_eq!(in_a.ip(Family::V4), in_c.ip(Family::V4), "each VRF has addresses of its own");
    assert_eq!(text_of(&in_a.outside()["master"]), "red");
    let all = routes(lab.host(), &in_a.link);
    assert!(all.iter().all(|route| route.contains("table red") || route.contains("table 10")), "{all:?}");
    for family in [Family::V4, Family::V6] {
        assert!(a.netns().ping(&in_b.ip(family)), "within the VRF, {family:?}");
        assert!(!c.netns().ping(&in_b.ip(family)), "from another VRF, {family:?}");
        assert!(!lab.host().ping(&in_b.ip(family)), "from outside of any VRF, {family:?}");
    }
    for family in [Family::V4, Family::V6] {
        lab.host().shell(&format!("ping -n -q -c 1 -W 5 -I red {}", in_b.ip(family)));
    }
    assert!(springline(&lab, &["check"]).0);
    lab.host().ip(&format!("link set {} nomaster", in_a.link));
    let (ok, said) = springline(&lab, &["check"]);
    assert!(!ok, "{said}");
    [&in_a, &in_b, &in_c].into_iter().for_each(Attached::detach);
    assert_unchanged(&before, &lab.host_state());
}

/// A VRF that is not there, or that has another table.
#[test]
fn what_is_no_vrf_is_refused() {
    let lab = Lab::new();
    let c = lab.container("c");
    let network = |marks| with_ranges(&SUBNETS, &json!({ "hostRoutes": marks }));
    assert_refused(
        &lab,
        &network(json!({"vrf": "red", "table": 10})),
        &c,
        7,
        &["red", "none of this name", "type vrf"],
    );
    assert_refused(&lab, &network(json!({"vrf": "lo", "table": 10})), &c, 7, &["lo", "it is a"]);
    assert_refused(&lab, &network(json!({"vrf": "red"})), &c, 7, &["hostRoutes.table"]);
    let Some(lab) = with_vrfs("what_is_no_vrf_is_refused") else { return };
    let c = lab.container("c");
    assert_refused(&lab, &network(json!({"vrf": "red", "table": 11})), &c, 7, &["its table is 10"]);
}
