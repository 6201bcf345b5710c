//! `routes`: networks that the host routes to a container, and what is behind it.

use serde_json::{Value, json};

use crate::common::state::assert_unchanged;
use crate::common::{Lab, OUTSIDE_V4, eventually};
use crate::support::{Attached, Family, give, not_run, routes, with_addresses};

const V4: &str = "10.30.0.7/32";
const V6: &str = "2001:db8:30::7/128";

fn routed(networks: &Value) -> Value {
    with_addresses(&[V4, V6], &json!({"routes": networks}))
}

/// Further networks go via the container's address or link-local address, never plainly to the link.
#[test]
fn networks_have_a_next_hop() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &routed(&json!(["10.5.5.0/24", "2001:db8:5::/56"])), &c);
    let expected = [
        "10.30.0.7 proto 171 scope link",
        "10.5.5.0/24 via 10.30.0.7 proto 171 onlink",
        "2001:db8:30::7 metric 1024 proto 171",
        "2001:db8:5::/56 via fe80::2 metric 1024 proto 171",
    ];
    assert_eq!(routes(lab.host(), &attached.link), expected);
}

/// Where the container has no IPv4 address of its own, its networks go via its link-local address; across an
/// interconnecting network, via the container's address there.
#[test]
fn next_hop_follows_the_scheme() {
    let network = json!(["10.5.5.0/24"]);
    for (addresses, gateway, next_hop) in [
        (&[V6][..], json!("link-local"), "via fe80::2"),
        (&[V4], json!("inet6"), "via fe80::2"),
        (&[V4], json!("shared"), "via 10.30.0.7"),
        (&[V4], json!("none"), "via 10.30.0.7"),
        (&[V4], json!({"network": "10.100.10.100/30"}), "via 10.100.10.102"),
    ] {
        let lab = Lab::new();
        let c = lab.container("c");
        let conf = with_addresses(addresses, &json!({"gateway": gateway, "routes": network}));
        let attached = Attached::new(&lab, &conf, &c);
        let lines = routes(lab.host(), &attached.link);
        assert!(lines.iter().any(|line| line.contains(&format!("10.5.5.0/24 {next_hop} "))), "{gateway}: {lines:?}");
    }
}

/// An explicit next hop is taken as it is.
#[test]
fn next_hop_may_be_given() {
    let lab = Lab::new();
    let c = lab.container("c");
    let networks = json!([
        {"dst": "10.5.5.0/24", "via": "10.30.0.8"},
        {"dst": "10.5.6.0/24", "via": "fe80::2"},
        {"dst": "2001:db8:5::/56", "via": "2001:db8:30::7"},
        {"dst": "2001:db8:6::/56"},
    ]);
    let conf = with_addresses(&["10.30.0.7/32", "10.30.0.8/32", V6], &json!({"routes": networks}));
    let attached = Attached::new(&lab, &conf, &c);
    let expected = [
        "10.30.0.7 proto 171 scope link",
        "10.30.0.8 proto 171 scope link",
        "10.5.5.0/24 via 10.30.0.8 proto 171 onlink",
        "10.5.6.0/24 via fe80::2 proto 171",
        "2001:db8:30::7 metric 1024 proto 171",
        "2001:db8:5::/56 via 2001:db8:30::7 metric 1024 proto 171 onlink",
        "2001:db8:6::/56 via fe80::2 metric 1024 proto 171",
    ];
    assert_eq!(routes(lab.host(), &attached.link), expected);
    give(c.netns(), "lo", &["10.5.5.1/32", "10.5.6.1/32", "2001:db8:5::1/128", "2001:db8:6::1/128"]);
    for address in ["10.5.5.1", "10.5.6.1", "2001:db8:5::1", "2001:db8:6::1"] {
        assert!(lab.host().ping(address), "{address}");
    }
}

/// An address inside a routed network has no route of its own, and is reached.
#[test]
fn addresses_may_be_covered() {
    let lab = Lab::new();
    let before = lab.host_state();
    let c = lab.container("c");
    let conf = routed(&json!(["10.30.0.0/29", "2001:db8:30::/64"]));
    let attached = Attached::new(&lab, &conf, &c);
    let expected =
        ["10.30.0.0/29 via 10.30.0.7 proto 171 onlink", "2001:db8:30::/64 via fe80::2 metric 1024 proto 171"];
    assert_eq!(routes(lab.host(), &attached.link), expected);
    assert!(lab.host().ping("10.30.0.7") && lab.host().ping("2001:db8:30::7"));
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// A single address may be a routed network too: it is on the link, once.
#[test]
fn network_may_be_one_address() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &routed(&json!([V4, "10.30.0.9/32"])), &c);
    let expected =
        ["10.30.0.7 proto 171 scope link", "10.30.0.9 proto 171 scope link", "2001:db8:30::7 metric 1024 proto 171"];
    assert_eq!(routes(lab.host(), &attached.link), expected);
    give(c.netns(), "lo", &["10.30.0.9/32"]);
    assert!(lab.host().ping("10.30.0.9"));
}

/// What is behind a container that forwards is reached from outside and from another container.
#[test]
fn networks_behind_the_container() {
    let lab = Lab::with_uplink();
    let (c, inner, other) = (lab.container("c"), lab.container("inner"), lab.container("other"));
    for gateway in [json!("link-local"), json!("inet6"), json!({"network": ["10.100.10.100/30", "2001:db8:100::/126"]})]
    {
        let networks = json!({"gateway": gateway, "routes": ["10.5.5.0/24", "2001:db8:5::/56"]});
        let attached = Attached::new(&lab, &with_addresses(&[V4, V6], &networks), &c);
        let beside = with_addresses(&["10.30.0.8/32", "2001:db8:30::8/128"], &json!({"name": "beside"}));
        let beside = Attached::new(&lab, &beside, &other);
        c.netns().write_sysctl("net/ipv4/ip_forward", "1");
        c.netns().write_sysctl("net/ipv6/conf/all/forwarding", "1");
        let inner_netns = inner.path().rsplit('/').next().expect("a name").to_owned();
        c.netns().ip(&format!("link add in0 type veth peer name eth0 netns {inner_netns}"));
        give(c.netns(), "in0", &["10.5.5.1/24", "2001:db8:5::1/64"]);
        give(inner.netns(), "eth0", &["10.5.5.5/24", "2001:db8:5::5/64"]);
        inner.netns().ip("route add default via 10.5.5.1");
        inner.netns().ip("-6 route add default via 2001:db8:5::1");
        eventually("the inner link carries both families", || {
            c.netns().ping("10.5.5.5") && c.netns().ping("2001:db8:5::5")
        });
        for address in ["10.5.5.5", "2001:db8:5::5"] {
            assert!(lab.outside().ping(address), "{gateway}: {address} from outside");
            assert!(other.netns().ping(address), "{gateway}: {address} from another container");
        }
        assert!(inner.netns().ping(OUTSIDE_V4), "{gateway}: out");
        c.netns().ip("link del in0");
        beside.detach();
        attached.detach();
    }
}

/// Probing a routed network fills no neighbour table, which is the whole host's; one routed plainly to the link
/// does: that is the control.
#[test]
fn scan_leaves_no_neighbours() {
    let bash = std::path::Path::new("/bin/bash");
    if !bash.is_file() {
        return not_run("scan_leaves_no_neighbours", "no bash to send UDP with");
    }
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &routed(&json!(["10.5.5.0/24", "2001:db8:5::/64"])), &c);
    assert!(lab.host().ping(&attached.ip(Family::V4)) && lab.host().ping(&attached.ip(Family::V6)));
    lab.host().ip(&format!("route add 10.6.6.0/24 dev {}", attached.link));
    lab.host().ip(&format!("-6 route add 2001:db8:6::/64 dev {}", attached.link));
    let scan = |prefix: &str| {
        let line = format!("for i in {{1..200}}; do echo probe >/dev/udp/{prefix}$i/9; done 2>/dev/null; true");
        let mut command = lab.host().command(bash);
        assert!(command.args(["-c", &line]).status().expect("run bash").success());
    };
    let entries = |family: &str| lab.host().ip_json(&format!("{family} neighbour show dev {}", attached.link)).len();
    let before = [entries("-4"), entries("-6")];
    scan("10.5.5.");
    scan("2001:db8:5::");
    assert!(entries("-4") <= before[0] + 1 && entries("-6") <= before[1] + 1, "neighbours after a scan");
    scan("10.6.6.");
    scan("2001:db8:6::");
    assert!(entries("-4") > 100 && entries("-6") > 100, "the control: a route to the link alone");
}
