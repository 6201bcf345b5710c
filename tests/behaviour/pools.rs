//! `hostRoutes.pool`: networks of containers are unreachable where no container is.

use serde_json::json;

use crate::common::state::assert_unchanged;
use crate::common::{Lab, Netns, OUTSIDE_V4, text_of};
use crate::support::{Attached, assert_refused, bridged, springline, with_addresses, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// The unreachable networks of a table, with metric and protocol.
fn pools(host: &Netns, table: &str) -> Vec<String> {
    let lines = |family: &str| -> Vec<String> {
        let text = host.shell(&format!("ip {family} route show table {table} type unreachable || true"));
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let mut found: Vec<String> = [lines("-4"), lines("-6")].concat();
    found.retain(|line| !line.contains("unreachable default"));
    for line in &mut found {
        *line = line.replace(" dev lo", "").replace(" pref medium", "");
    }
    found
}

fn expected(protocol: &str) -> Vec<String> {
    SUBNETS.map(|net| format!("unreachable {net} proto {protocol} metric 4294967295")).into()
}

/// Made with the first, gone with the last, whoever made it; in the network's own table.
#[test]
fn it_lasts_as_long_as_there_are_containers() {
    for (marks, table, protocol) in [
        (json!({"pool": true}), "main", "171"),
        (json!({"pool": SUBNETS, "table": 100, "protocol": 201}), "100", "201"),
    ] {
        let lab = Lab::new();
        let before = lab.host_state();
        let conf = with_ranges(&SUBNETS, &json!({ "hostRoutes": marks }));
        let (a, b) = (lab.container("a"), lab.container("b"));
        let a = Attached::new(&lab, &conf, &a);
        assert_eq!(pools(lab.host(), table), expected(protocol));
        let with_one = lab.host_state();
        let b = Attached::new(&lab, &conf, &b);
        a.detach();
        assert_eq!(pools(lab.host(), table), expected(protocol));
        let a = lab.container("a2");
        let a = Attached::new(&lab, &conf, &a);
        b.detach();
        assert_eq!(pools(lab.host(), table), expected(protocol));
        assert!(!with_one.changes(&lab.host_state()).is_empty(), "another container is there");
        a.detach();
        assert_unchanged(&before, &lab.host_state());
    }
}

/// Nobody answers for addresses without container; with the pool the host says so, and does not send them back.
#[test]
fn what_no_container_has_is_not_sent_back() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({"hostRoutes": {"pool": true}})), &c);
    let way = |address: &str| lab.host().shell(&format!("ip route get {address} 2>&1 || true"));
    for free in ["10.30.0.200", "2001:db8:30::200"] {
        assert!(way(free).contains("No route to host") || way(free).contains("unreachable"), "{}", way(free));
    }
    assert!(lab.host().ping(&attached.ips()[0]) && c.netns().ping(OUTSIDE_V4));
    attached.detach();
    // The control: without it they go to the default gateway.
    for free in ["10.30.0.200", "2001:db8:30::200"] {
        assert!(way(free).contains("uplink"), "{}", way(free));
    }
}

/// Somebody else's route to the network is neither replaced nor deleted, whatever its metric and type.
#[test]
fn a_route_of_somebody_elses_stays() {
    for route in [
        "blackhole 10.30.0.0/24 metric 4294967295 proto static",
        "unreachable 10.30.0.0/24 metric 4294967295 proto static",
        "10.30.0.0/24 dev lo proto static",
    ] {
        let lab = Lab::new();
        lab.host().ip(&format!("route add {route}"));
        let before = lab.host_state();
        let (a, b) = (lab.container("a"), lab.container("b"));
        let conf = with_ranges(&["10.30.0.0/24"], &json!({"hostRoutes": {"pool": true}}));
        let a = Attached::new(&lab, &conf, &a);
        let b = Attached::new(&lab, &conf, &b);
        a.detach();
        b.detach();
        assert_unchanged(&before, &lab.host_state());
    }
}

/// It is drift if it is gone, and put back; a dead container's share in it goes by `gc`.
#[test]
fn it_is_looked_after() {
    let lab = Lab::new();
    let before = lab.host_state();
    let (a, b) = (lab.container("a"), lab.container("b"));
    let conf = with_ranges(&SUBNETS, &json!({"hostRoutes": {"pool": true}}));
    let first = Attached::new(&lab, &conf, &a);
    let _second = Attached::new(&lab, &conf, &b);
    first.detach();
    lab.host().ip("route del unreachable 10.30.0.0/24 metric 4294967295");
    let (ok, said) = springline(&lab, &["check"]);
    assert!(!ok && said.contains("ip route add unreachable 10.30.0.0/24 metric 4294967295 proto 171"), "{said}");
    let (ok, said) = springline(&lab, &["check", "--repair"]);
    assert!(ok, "{said}");
    assert_eq!(pools(lab.host(), "main"), expected("171"));
    b.kill();
    let (ok, said) = springline(&lab, &["gc"]);
    assert!(ok && said.contains("n/b/eth0"), "{said}");
    assert_unchanged(&before, &lab.host_state());
}

/// The state is lost: what the stakes say is enough.
#[test]
fn it_goes_without_a_record() {
    let lab = Lab::new();
    let before = lab.host_state();
    let c = lab.container("c");
    let conf = with_ranges(&SUBNETS, &json!({"hostRoutes": {"pool": true}}));
    let attached = Attached::new(&lab, &conf, &c);
    std::fs::remove_dir_all(lab.state_dir().join("attachments")).expect("lose the records");
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// What makes no sense is refused.
#[test]
fn what_is_no_pool_is_refused() {
    let lab = Lab::new();
    let c = lab.container("c");
    let pool = |pool| json!({"hostRoutes": { "pool": pool }});
    let all = [
        (with_addresses(&["10.30.0.7/32"], &pool(json!(true))), "no ranges"),
        (with_ranges(&SUBNETS, &pool(json!(["10.30.0.1/24"]))), "bits set beyond"),
        (with_ranges(&SUBNETS, &pool(json!(["::/0"]))), "everything"),
        (with_ranges(&SUBNETS, &pool(json!([]))), "no ranges"),
        (with_ranges(&SUBNETS, &pool(json!("10.30.0.0/24"))), "true, false or a list"),
        (bridged(&SUBNETS, &pool(json!(true))), "mode \"routed\""),
    ];
    for (conf, word) in all {
        assert_refused(&lab, &conf, &c, 7, &[word]);
    }
    // Nothing but itself in the way: an address of it can be given.
    let attached = Attached::new(&lab, &with_ranges(&["10.30.0.7/32"], &pool(json!(false))), &c);
    assert_eq!(text_of(&attached.result["ips"][0]["address"]), "10.30.0.7/32");
}
