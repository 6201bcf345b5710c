//! IP forwarding on the host: turned on without losing anything, demanded, or left alone.

use serde_json::{Value, json};

use crate::advertiser::{advertise, advertise_until, can_advertise, learnt_defaults};
use crate::common::{Lab, OUTSIDE_V4};
use crate::support::{Attached, assert_refused, bridged, network, with_addresses};

const V4: &str = "net/ipv4/ip_forward";
const V6: &str = "net/ipv6/conf/all/forwarding";
const BOTH: [&str; 2] = ["10.30.0.7/32", "2001:db8:30::7/128"];

/// A lab whose host does not forward.
fn host_that_does_not_forward(mut lab: Lab) -> Lab {
    turn_off(&mut lab);
    lab
}

fn turn_off(lab: &mut Lab) {
    lab.host().write_sysctl(V4, "0");
    lab.host().write_sysctl(V6, "0");
}

/// Forwarding of both families.
fn state(lab: &Lab) -> [String; 2] {
    [lab.host().read_sysctl(V4), lab.host().read_sysctl(V6)]
}

/// `enable`, which is the default, turns on what the attachment's families need and no more.
#[test]
fn enable_is_for_families_in_use() {
    let on_bridge = |subnets: &[&str]| bridged(subnets, &json!({}));
    let plain_port = network(&json!({"mode": "bridged", "bridge": {"name": "br0"}}));
    let no_gateway = bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({"bridge": {"gateway": false}}));
    for (conf, expected) in [
        (with_addresses(&BOTH, &json!({})), ["1", "1"]),
        (with_addresses(&BOTH, &json!({"forwarding": "enable"})), ["1", "1"]),
        (with_addresses(&BOTH[..1], &json!({})), ["1", "0"]),
        (with_addresses(&BOTH[1..], &json!({})), ["0", "1"]),
        (on_bridge(&["10.22.0.0/24"]), ["1", "0"]),
        (on_bridge(&["2001:db8:22::/64"]), ["0", "1"]),
        (no_gateway, ["0", "0"]),
        (plain_port, ["0", "0"]),
    ] {
        let lab = host_that_does_not_forward(Lab::new());
        let c = lab.container("c");
        Attached::new(&lab, &conf, &c);
        assert_eq!(state(&lab), expected, "{conf}");
    }
}

/// With forwarding on, packets go through; without, they do not: that is the control.
#[test]
fn enable_lets_packets_through() {
    for (wanted, through) in [("leave", false), ("enable", true)] {
        let lab = host_that_does_not_forward(Lab::with_uplink());
        let c = lab.container("c");
        Attached::new(&lab, &with_addresses(&BOTH, &json!({"forwarding": wanted})), &c);
        assert_eq!(c.netns().ping(OUTSIDE_V4), through, "{wanted}");
    }
}

/// A default route that the host has learnt from advertisements survives, and further advertisements are heard.
#[test]
fn learnt_default_route_survives() {
    if !can_advertise("learnt_default_route_survives") {
        return;
    }
    let learnt = ["via fe80::99 dev uplink"];
    for mode in ["routed", "bridged", "by hand"] {
        let lab = lab_that_hears_a_router();
        let c = lab.container("c");
        assert_eq!(learnt_defaults(lab.host()), learnt, "before");
        match mode {
            "by hand" => {
                lab.host().write_sysctl(V6, "1");
                assert_eq!(learnt_defaults(lab.host()), [""; 0], "the control: turned on without care, it is lost");
                continue;
            }
            "routed" => drop(Attached::new(&lab, &with_addresses(&BOTH, &json!({})), &c)),
            _ => drop(Attached::new(&lab, &bridged(&["2001:db8:22::/64"], &json!({})), &c)),
        }
        assert_eq!(
            (lab.host().read_sysctl(V6).as_str(), &learnt_defaults(lab.host())[..]),
            ("1", &learnt.map(str::to_owned)[..])
        );
        assert_eq!(lab.host().read_sysctl("net/ipv6/conf/uplink/accept_ra"), "2");
        lab.host().ip("-6 route del default");
        advertise_until(
            "another advertisement is heard",
            || advertise(lab.outside(), "downlink", None),
            || learnt_defaults(lab.host()) == learnt,
        );
    }
}

/// A host with forwarding off that has its IPv6 default route from a router outside.
fn lab_that_hears_a_router() -> Lab {
    let lab = host_that_does_not_forward(Lab::with_uplink());
    lab.host().ip("-6 route del default");
    lab.host().write_sysctl("net/ipv6/conf/uplink/accept_ra", "1");
    lab.outside().ip("address add fe80::99/64 dev downlink nodad");
    let own = lab.outside().ip_json("-6 address show dev downlink scope link");
    for info in own.iter().flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default()) {
        let local = info["local"].as_str().unwrap_or_default().to_owned();
        if !local.is_empty() && local != "fe80::99" {
            lab.outside().ip(&format!("address del {local}/64 dev downlink"));
        }
    }
    advertise_until(
        "the host learns its default route",
        || advertise(lab.outside(), "downlink", None),
        || !learnt_defaults(lab.host()).is_empty(),
    );
    lab
}

/// Where forwarding is on already, nothing is written: a write would set every interface's own value.
#[test]
fn values_of_interfaces_are_kept() {
    let lab = Lab::with_uplink();
    let keys = ["net/ipv4/conf/uplink/forwarding", "net/ipv6/conf/uplink/forwarding", "net/ipv4/conf/uplink/rp_filter"];
    for key in keys {
        lab.host().write_sysctl(key, "0");
    }
    let values = || keys.map(|key| lab.host().read_sysctl(key));
    for (number, conf) in
        [with_addresses(&BOTH, &json!({})), bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({}))]
            .into_iter()
            .enumerate()
    {
        let c = lab.container(&format!("c{number}"));
        let attached = Attached::new(&lab, &conf, &c);
        assert_eq!(values(), ["0", "0", "0"]);
        attached.detach();
        assert_eq!(values(), ["0", "0", "0"]);
    }
    turn_off_and_on(&lab);
    assert_eq!(values(), ["1", "1", "0"], "the control: a write sets all");
}

fn turn_off_and_on(lab: &Lab) {
    for key in [V4, V6] {
        lab.host().write_sysctl(key, "0");
        lab.host().write_sysctl(key, "1");
    }
}

/// `require` refuses while it is off, with the key's name, and changes nothing; only families in use matter.
#[test]
fn require_refuses() {
    let require = |addresses: &[&str]| with_addresses(addresses, &json!({"forwarding": "require"}));
    let on_bridge = |subnet: &str| bridged(&[subnet], &json!({"forwarding": "require"}));
    for (off, other, word, conf, fine) in [
        (V4, V6, "ip_forward", require(&BOTH), require(&BOTH[1..])),
        (V6, V4, "forwarding", require(&BOTH), require(&BOTH[..1])),
        (V4, V6, "ip_forward", on_bridge("10.22.0.0/24"), on_bridge("2001:db8:22::/64")),
    ] {
        let lab = Lab::new();
        let c = lab.container("c");
        Attached::new(&lab, &conf, &c).detach();
        lab.host().write_sysctl(off, "0");
        let before = state(&lab);
        assert_refused(&lab, &conf, &c, 7, &[word, "require"]);
        assert_eq!(state(&lab), before, "{other} and {off}");
        Attached::new(&lab, &fine, &c);
        assert_eq!(state(&lab), before);
    }
}

/// `leave` does nothing, on or off.
#[test]
fn leave_does_nothing() {
    for (number, value) in ["0", "1"].into_iter().enumerate() {
        let lab = Lab::new();
        lab.host().write_sysctl(V4, value);
        lab.host().write_sysctl(V6, value);
        let c = lab.container(&format!("c{number}"));
        let attached = Attached::new(&lab, &with_addresses(&BOTH, &json!({"forwarding": "leave"})), &c);
        assert_eq!(state(&lab), [value, value]);
        assert!(lab.host().ping("10.30.0.7"), "the host itself reaches the container");
        attached.detach();
        assert_eq!(state(&lab), [value, value]);
    }
}

/// DEL does not turn off what others may rely on by now.
#[test]
fn del_leaves_it_on() {
    let lab = host_that_does_not_forward(Lab::new());
    let c = lab.container("c");
    let conf: Value = with_addresses(&BOTH, &json!({}));
    Attached::new(&lab, &conf, &c).detach();
    assert_eq!(state(&lab), ["1", "1"]);
}
