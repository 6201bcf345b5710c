//! Addresses and networks that are somebody else's: refused, with the owner's name, and nothing changed.

use serde_json::{Value, json};

use crate::common::{HOST_V4, HOST_V6, Lab, UPLINK_V4, UPLINK_V6};
use crate::support::{Attached, add, assert_refused, with_addresses};

/// A network of its own with fixed addresses and further networks.
fn network(name: &str, addresses: &[&str], routes: &[&str]) -> Value {
    with_addresses(addresses, &json!({"name": name, "routes": routes}))
}

/// `wanted` can be had as long as nobody has `taken`, and then no more: the owner is named.
#[track_caller]
fn assert_conflict(taken: &Value, wanted: &Value, words: &[&str]) {
    let lab = Lab::new();
    let (owner, other) = (lab.container("owner"), lab.container("other"));
    Attached::new(&lab, wanted, &other).detach();
    let first = Attached::new(&lab, taken, &owner);
    let named = format!("{}/owner/eth0", taken["name"].as_str().expect("a name"));
    assert_refused(&lab, wanted, &other, 7, &[&[named.as_str()], words].concat());
    first.detach();
    Attached::new(&lab, wanted, &other);
}

/// The same address in another network.
#[test]
fn address_of_another_network() {
    for address in ["10.30.0.7/32", "2001:db8:30::7/128"] {
        let bare = address.split('/').next().expect("an address");
        assert_conflict(&network("a", &[address], &[]), &network("b", &[address], &[]), &[bare]);
    }
}

/// The same address in the same network.
#[test]
fn address_of_another_container() {
    for address in ["10.30.0.7/32", "2001:db8:30::7/128"] {
        let bare = address.split('/').next().expect("an address");
        assert_conflict(&network("a", &[address], &[]), &network("a", &[address], &[]), &[bare]);
    }
}

/// An address inside a network that is routed to another container.
#[test]
fn address_inside_another_network() {
    for (net, address) in [("10.5.0.0/16", "10.5.5.5/32"), ("2001:db8:5::/48", "2001:db8:5:1::1/128")] {
        let taken = network("a", &["10.30.0.7/32", "2001:db8:30::7/128"], &[net]);
        assert_conflict(&taken, &network("b", &[address], &[]), &[net]);
    }
}

/// A network that contains another container's address.
#[test]
fn network_around_another_address() {
    for (net, address) in [("10.5.0.0/16", "10.5.5.5/32"), ("2001:db8:5::/48", "2001:db8:5:1::1/128")] {
        let wanted = network("b", &["10.30.0.7/32", "2001:db8:30::7/128"], &[net]);
        let bare = address.split('/').next().expect("an address");
        assert_conflict(&network("a", &[address], &[]), &wanted, &[bare]);
    }
}

/// The same network, a network inside another's, and one around another's.
#[test]
fn network_of_another() {
    for (taken, wanted) in [
        ("10.5.0.0/16", "10.5.0.0/16"),
        ("10.5.0.0/16", "10.5.5.0/24"),
        ("10.5.5.0/24", "10.5.0.0/16"),
        ("2001:db8:5::/48", "2001:db8:5::/48"),
        ("2001:db8:5::/48", "2001:db8:5:1::/64"),
        ("2001:db8:5:1::/64", "2001:db8:5::/48"),
    ] {
        let taken = network("a", &["10.30.0.7/32", "2001:db8:30::7/128"], &[taken]);
        let wanted = network("b", &["10.30.0.8/32", "2001:db8:30::8/128"], &[wanted]);
        assert_conflict(&taken, &wanted, &[]);
    }
}

/// The kernel would take the same address under another metric: two routes, of which the lower one wins.
#[test]
fn address_at_another_metric() {
    for metric in [1, 2000] {
        for address in ["10.30.0.7/32", "2001:db8:30::7/128"] {
            let mut wanted = network("b", &[address], &[]);
            wanted["hostRoutes"] = json!({"metric": metric});
            assert_conflict(&network("a", &[address], &[]), &wanted, &[]);
        }
    }
}

/// In a table of their own two containers cannot have the same either: addresses and networks.
#[test]
fn address_in_a_table_of_its_own() {
    let in_table = |mut conf: Value, metric: u32| {
        conf["hostRoutes"] = json!({"table": 100, "metric": metric});
        conf
    };
    for (taken, wanted) in [
        (network("a", &["10.30.0.7/32"], &[]), network("b", &["10.30.0.7/32"], &[])),
        (network("a", &["2001:db8:30::7/128"], &[]), network("b", &["2001:db8:30::7/128"], &[])),
        (network("a", &["10.30.0.7/32"], &["10.5.0.0/16"]), network("b", &["10.5.5.5/32"], &[])),
        (network("a", &["10.5.5.5/32"], &[]), network("b", &["10.30.0.7/32"], &["10.5.0.0/16"])),
    ] {
        assert_conflict(&in_table(taken.clone(), 0), &in_table(wanted.clone(), 0), &[]);
        assert_conflict(&in_table(taken, 0), &in_table(wanted, 500), &[]);
    }
}

/// An address that is routed to one container by the main table is not given to another in a table of its own.
#[test]
fn address_in_another_table() {
    for address in ["10.30.0.7/32", "2001:db8:30::7/128"] {
        let mut wanted = network("b", &[address], &[]);
        wanted["hostRoutes"] = json!({"table": 100});
        assert_conflict(&network("a", &[address], &[]), &wanted, &[]);
    }
}

/// An interconnecting network is not shared, nor does it overlap with a routed one.
#[test]
fn interconnect_of_another() {
    let between = |name: &str, address: &str, net: &str| {
        with_addresses(&[address], &json!({"name": name, "gateway": {"network": net}}))
    };
    let taken = between("a", "10.30.0.7/32", "10.100.10.100/30");
    assert_conflict(&taken, &between("b", "10.30.0.8/32", "10.100.10.100/30"), &[]);
    assert_conflict(&taken, &between("b", "10.30.0.8/32", "10.100.10.0/24"), &[]);
    assert_conflict(&taken, &network("b", &["10.100.10.102/32"], &[]), &[]);
    assert_conflict(&taken, &network("b", &["10.30.0.8/32"], &["10.100.0.0/16"]), &[]);
    assert_conflict(&network("b", &["10.100.10.102/32"], &[]), &taken, &[]);
}

/// The host's own addresses: table `local` comes first, and the route would do nothing.
#[test]
fn address_of_the_host() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    Attached::new(&lab, &network("n", &["10.30.0.7/32"], &[]), &c).detach();
    for address in [HOST_V4, UPLINK_V4, HOST_V6, UPLINK_V6] {
        let length = if address.contains(':') { 128 } else { 32 };
        assert_refused(&lab, &network("n", &[&format!("{address}/{length}")], &[]), &c, 7, &[address, "host"]);
    }
}

/// A network with one of the host's addresses in it, and one that the host is connected to.
#[test]
fn network_around_the_host() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let fine = network("n", &["10.30.0.7/32", "2001:db8:30::7/128"], &["198.19.0.0/16"]);
    Attached::new(&lab, &fine, &c).detach();
    for (net, word) in
        [("198.18.0.0/16", "198.18."), ("198.18.0.0/24", "198.18.0."), ("2001:db8:fff0::/44", "2001:db8:fff7::1")]
    {
        let conf = network("n", &["10.30.0.7/32", "2001:db8:30::7/128"], &[net]);
        assert_refused(&lab, &conf, &c, 7, &[net, word]);
    }
}

/// Somebody else's route to the same destination is named by its link.
#[test]
fn address_with_a_route() {
    for (destination, more, conf) in [
        ("10.40.0.5/32", "", network("n", &["10.40.0.5/32"], &[])),
        ("10.40.0.5/32", "metric 500", network("n", &["10.40.0.5/32"], &[])),
        ("10.40.0.0/16", "", network("n", &["10.30.0.7/32"], &["10.40.0.0/16"])),
        ("10.40.0.0/16", "metric 500", network("n", &["10.30.0.7/32"], &["10.40.0.0/16"])),
        ("2001:db8:40::5/128", "metric 500", network("n", &["2001:db8:40::5/128"], &[])),
        ("2001:db8:40::/48", "", network("n", &["2001:db8:30::7/128"], &["2001:db8:40::/48"])),
    ] {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        Attached::new(&lab, &conf, &c).detach();
        let family = if destination.contains(':') { "-6" } else { "-4" };
        lab.host().ip(&format!("{family} route add {destination} dev uplink {more}"));
        assert_refused(&lab, &conf, &c, 7, &[destination.trim_end_matches("/32").trim_end_matches("/128"), "uplink"]);
    }
}

/// The same in a table of its own.
#[test]
fn address_with_a_route_in_its_table() {
    let conf = with_addresses(&["10.40.0.5/32"], &json!({"hostRoutes": {"table": 100}}));
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    Attached::new(&lab, &conf, &c).detach();
    lab.host().ip("route add 10.40.0.5/32 dev uplink table 100");
    assert_refused(&lab, &conf, &c, 7, &["10.40.0.5", "uplink", "100"]);
}

/// A wider route of the host's is no conflict: that the container's is narrower is what routing is about. Nor is a
/// route that catches what containers have left.
#[test]
fn wider_routes_are_no_conflict() {
    let lab = Lab::with_uplink();
    lab.host().ip("route add 10.40.0.0/16 dev uplink");
    lab.host().ip("route add unreachable 10.41.0.0/16 metric 4294967295");
    let c = lab.container("c");
    let attached = Attached::new(&lab, &network("n", &["10.40.0.5/32", "10.41.0.5/32"], &["10.40.1.0/24"]), &c);
    assert!(lab.host().ping("10.40.0.5") && lab.host().ping("10.41.0.5"));
    attached.detach();
}

/// On a bridge an address is taken by an attachment of any mode, and by the host.
#[test]
fn address_on_a_bridge() {
    let lab = Lab::new();
    let (owner, other) = (lab.container("owner"), lab.container("other"));
    let on_bridge = with_addresses(&["10.30.0.7/24"], &json!({"name": "b", "mode": "bridged"}));
    Attached::new(&lab, &on_bridge, &other).detach();
    let routed = Attached::new(&lab, &network("a", &["10.30.0.7/32"], &[]), &owner);
    assert_refused(&lab, &on_bridge, &other, 7, &["10.30.0.7", "a/owner/eth0"]);
    routed.detach();
    lab.host().ip("address add 10.30.0.7/32 dev lo");
    assert_refused(&lab, &on_bridge, &other, 7, &["10.30.0.7", "host"]);
    lab.host().ip("address del 10.30.0.7/32 dev lo");
    assert!(add(&lab, &on_bridge, &other, "eth0").status.success());
}
