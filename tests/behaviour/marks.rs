//! How routes are marked and measured: `hostRoutes`, `ipam.routes` and `mtu`.

use serde_json::{Value, json};

use crate::common::state::assert_unchanged;
use crate::common::{HOST_V4, HOST_V6, Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, text_of};
use crate::support::{Attached, bridged, routes, with_addresses};

const BOTH: [&str; 2] = ["10.30.0.7/32", "2001:db8:30::7/128"];

/// The host's routes have the table, metric and protocol that were asked for, further networks too.
#[test]
fn host_routes_are_marked() {
    let lab = Lab::new();
    let before = lab.host_state();
    let c = lab.container("c");
    let marks = json!({"hostRoutes": {"table": 100, "metric": 50, "protocol": 200}, "routes": ["10.5.5.0/24"]});
    let attached = Attached::new(&lab, &with_addresses(&BOTH, &marks), &c);
    let expected = [
        "10.30.0.7 metric 50 table 100 proto 200 scope link",
        "10.5.5.0/24 via 10.30.0.7 metric 50 table 100 proto 200 onlink",
        "2001:db8:30::7 metric 50 table 100 proto 200",
    ];
    assert_eq!(routes(lab.host(), &attached.link), expected);
    lab.host().ip("rule add to 10.30.0.0/16 lookup 100");
    lab.host().ip("-6 rule add to 2001:db8:30::/48 lookup 100");
    assert!(lab.host().ping("10.30.0.7") && lab.host().ping("2001:db8:30::7"));
    lab.host().ip("rule del to 10.30.0.0/16 lookup 100");
    lab.host().ip("-6 rule del to 2001:db8:30::/48 lookup 100");
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// Each mark alone; what is not given stays usual.
#[test]
fn host_routes_are_marked_one_by_one() {
    for (marks, v4, v6) in [
        (json!({"metric": 7}), "metric 7 proto 171 scope link", "metric 7 proto 171"),
        (json!({"table": 7777}), "table 7777 proto 171 scope link", "metric 1024 table 7777 proto 171"),
        (json!({"protocol": 201}), "proto 201 scope link", "metric 1024 proto 201"),
    ] {
        let lab = Lab::new();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &with_addresses(&BOTH, &json!({"hostRoutes": marks})), &c);
        let expected = [format!("10.30.0.7 {v4}"), format!("2001:db8:30::7 {v6}")];
        assert_eq!(routes(lab.host(), &attached.link), expected, "{marks}");
    }
}

fn with_container_routes(asked: &Value) -> Value {
    with_addresses(&BOTH, &json!({"ipam": {"routes": asked}}))
}

/// Attributes of routes inside the container are applied, not only repeated in the result.
#[test]
fn container_routes_have_their_attributes() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let conf = with_container_routes(&json!([
        {"dst": "0.0.0.0/0", "mtu": 1400, "advmss": 1360, "priority": 50},
        {"dst": "::/0", "mtu": 1390, "advmss": 1330, "priority": 60},
        {"dst": "10.8.0.0/16", "scope": 253},
        {"dst": "10.9.0.0/16", "table": 100},
        {"dst": "2001:db8:9::/48", "table": 100, "priority": 5},
        {"dst": "192.0.2.0/24", "gw": "169.254.0.1", "priority": 9},
        {"dst": "2001:db8:8::/48", "gw": "fe80::1"},
    ]));
    let attached = Attached::new(&lab, &conf, &c);
    let expected = [
        "10.8.0.0/16 proto static scope link",
        "10.9.0.0/16 via 169.254.0.1 table 100 proto static onlink",
        "192.0.2.0/24 via 169.254.0.1 metric 9 proto static onlink",
        "2001:db8:8::/48 via fe80::1 metric 1024 proto static",
        "2001:db8:9::/48 via fe80::1 metric 5 table 100 proto static",
        "default via 169.254.0.1 metric 50 proto static mtu 1400 advmss 1360 onlink",
        "default via fe80::1 metric 60 proto static mtu 1390 advmss 1330",
    ];
    assert_eq!(routes(c.netns(), "eth0"), expected);
    let told = attached.result["routes"].as_array().expect("routes");
    assert_eq!(told.len(), 7);
    let default = told.iter().find(|route| route["dst"] == "0.0.0.0/0").expect("the default route");
    assert_eq!((&default["mtu"], &default["advmss"], &default["priority"]), (&json!(1400), &json!(1360), &json!(50)));
    assert!(c.netns().ping(OUTSIDE_V4) && c.netns().ping(OUTSIDE_V6));
}

/// Routes that are given replace the default routes; an empty list means none.
#[test]
fn container_routes_replace_the_default() {
    let lab = Lab::with_uplink();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let some = with_container_routes(&json!([{"dst": "198.18.7.0/24"}]));
    let first = Attached::new(&lab, &some, &c1);
    assert_eq!(routes(c1.netns(), "eth0"), ["198.18.7.0/24 via 169.254.0.1 proto static onlink"]);
    assert!(c1.netns().ping(HOST_V4), "the control: what has a route is reached");
    assert!(!c1.netns().ping(OUTSIDE_V4) && !c1.netns().ping(HOST_V6));
    first.detach();
    Attached::new(&lab, &with_container_routes(&json!([])), &c2);
    assert_eq!(routes(c2.netns(), "eth0"), [""; 0]);
}

/// A route's attributes apply on a bridge as well.
#[test]
fn container_routes_on_a_bridge() {
    let lab = Lab::new();
    let c = lab.container("c");
    let asked = json!({"ipam": {"routes": [
        {"dst": "0.0.0.0/0", "mtu": 1400, "priority": 50},
        {"dst": "10.9.0.0/16", "gw": "10.22.0.9", "table": 100, "advmss": 1200},
        {"dst": "10.8.0.0/16", "scope": 253},
    ]}});
    Attached::new(&lab, &bridged(&["10.22.0.0/24"], &asked), &c);
    let expected = [
        "10.8.0.0/16 proto static scope link",
        "10.9.0.0/16 via 10.22.0.9 table 100 proto static advmss 1200",
        "default via 10.22.0.1 metric 50 proto static mtu 1400",
    ];
    assert_eq!(routes(c.netns(), "eth0"), expected);
    assert!(c.netns().ping(HOST_V4));
}

/// `auto`: the uplink's MTU on both sides, and in the result.
#[test]
fn mtu_follows_the_uplink() {
    let lab = Lab::with_uplink();
    for mtu in [1500, 1400, 9000] {
        lab.host().ip(&format!("link set uplink mtu {mtu}"));
        // IPv6 goes from a link with less than 1280 only; the routes stay.
        let c = lab.container(&format!("c{mtu}"));
        let attached = Attached::new(&lab, &with_addresses(&BOTH, &json!({"mtu": "auto"})), &c);
        assert_mtu(&attached, mtu, mtu);
        attached.detach();
    }
}

/// `auto` with an uplink of IPv6 only.
#[test]
fn mtu_follows_an_ipv6_uplink() {
    let lab = Lab::with_uplink();
    lab.host().ip("route del default");
    lab.host().ip(&format!("address del {UPLINK_V4}/24 dev uplink"));
    lab.host().ip("link set uplink mtu 1350");
    let c = lab.container("c");
    assert_mtu(&Attached::new(&lab, &with_addresses(&BOTH, &json!({})), &c), 1350, 1350);
}

/// `auto` without an uplink: 1500. A network that is routed somewhere else is no uplink.
#[test]
fn mtu_without_an_uplink() {
    let lab = Lab::with_uplink();
    lab.host().ip("route del default");
    lab.host().ip("-6 route del default");
    lab.host().ip("link set uplink mtu 1350");
    let c = lab.container("c");
    assert_mtu(&Attached::new(&lab, &with_addresses(&BOTH, &json!({})), &c), 1500, 1500);
}

/// A number: that, whatever the uplink's.
#[test]
fn mtu_may_be_fixed() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_addresses(&BOTH, &json!({"mtu": 1300})), &c);
    assert_mtu(&attached, 1300, 1300);
    let big = "-M do -s 1272 -c1 -W1 -q -n"; // with 28 bytes of headers, 1300
    c.netns().shell(&format!("ping {big} {OUTSIDE_V4} >/dev/null"));
    c.netns().shell(&format!("! ping {} {OUTSIDE_V4} >/dev/null 2>&1 || false", big.replace("1272", "1273")));
}

#[track_caller]
fn assert_mtu(attached: &Attached, host: u64, container: u64) {
    assert_eq!((&attached.outside()["mtu"], &attached.inside()["mtu"]), (&json!(host), &json!(container)));
    for interface in attached.result["interfaces"].as_array().expect("interfaces") {
        let inside = !text_of(&interface["sandbox"]).is_empty();
        assert_eq!(interface["mtu"], if inside { container } else { host }, "{interface}");
    }
}
