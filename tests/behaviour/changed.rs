//! `springline ip`, `route` and `set`: an attachment is changed while packets flow.

use serde_json::{Value, json};

use crate::common::cni::Plugin;
use crate::common::state::assert_unchanged;
use crate::common::traffic::Pings;
use crate::common::{Container, Lab};
use crate::support::{Attached, addresses, bridged, routes, springline, with_ranges};

#[track_caller]
fn must(lab: &Lab, line: &[&str]) -> String {
    let (ok, said) = springline(lab, line);
    assert!(ok, "{line:?}: {said}");
    said
}

#[track_caller]
fn refused(lab: &Lab, line: &[&str], word: &str) {
    let before = lab.host_state();
    let (ok, said) = springline(lab, line);
    assert!(!ok && said.contains(word), "{line:?}: {said}");
    assert_unchanged(&before, &lab.host_state());
}

/// The seeds' own scenario: addresses and networks come and go, and all of it goes with DEL.
#[test]
fn addresses_and_networks_come_and_go() {
    let lab = Lab::with_uplink();
    let before = lab.host_state();
    let c = lab.container("myct01");
    let conf = with_ranges(&["10.30.0.0/24", "2001:db8:30::/64"], &json!({}));
    let attached = Attached::new(&lab, &conf, &c);
    let had = (routes(lab.host(), &attached.link), addresses(c.netns(), "eth0"), routes(c.netns(), "eth0"));
    for address in ["10.30.1.4/32", "10.5.6.7/32", "2001:db8:31::7"] {
        assert_eq!(must(&lab, &["ip", "add", "myct01", "eth0", address]), "");
        let plain = address.trim_end_matches("/32");
        assert!(lab.host().ping(plain) && lab.outside().ping(plain), "{address}");
    }
    let listed = must(&lab, &["ip", "ls", "myct01", "eth0"]);
    assert!(listed.contains("4        10.30.1.4/32") && listed.contains("6        2001:db8:31::7/128"), "{listed}");
    must(&lab, &["route", "add", "myct01", "eth0", "10.5.5.0/24"]);
    assert!(routes(lab.host(), &attached.link).iter().any(|route| route.starts_with("10.5.5.0/24 via ")));
    must(&lab, &["ip", "add", "myct01", "eth0", "10.5.5.1/24", "--route-as", "10.5.5.0/24"]);
    assert!(lab.outside().ping("10.5.5.1"));
    // Contained in a network, it has no route of its own.
    assert!(!routes(lab.host(), &attached.link).iter().any(|route| route.starts_with("10.5.5.1 ")));
    let listed: Value =
        serde_json::from_str(&must(&lab, &["route", "ls", "n/myct01", "eth0", "-o", "json"])).expect("JSON");
    assert_eq!(listed[0]["network"], "10.5.5.0/24");
    lab.cni(Plugin::Routed).check(&conf, &attached.result, &c, "eth0").silent();
    must(&lab, &["route", "del", "myct01", "eth0", "10.5.5.0/24"]);
    assert!(lab.outside().ping("10.5.5.1"), "it has a route of its own now");
    for address in ["10.30.1.4", "10.5.6.7", "10.5.5.1", "2001:db8:31::7"] {
        must(&lab, &["ip", "del", "myct01", "eth0", address]);
        assert!(!lab.host().ping(address), "{address}");
    }
    let now = (routes(lab.host(), &attached.link), addresses(c.netns(), "eth0"), routes(c.netns(), "eth0"));
    assert_eq!(had, now);
    must(&lab, &["ip", "add", "myct01", "eth0", "10.5.6.7"]);
    // The runtime goes on comparing with what ADD has told it: what was taken away on purpose is not amiss.
    must(&lab, &["ip", "del", "myct01", "eth0", &attached.ips()[0]]);
    lab.cni(Plugin::Routed).check(&conf, &attached.result, &c, "eth0").silent();
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// At a hundred a second, to an address that stays, nothing is lost.
#[test]
fn nothing_is_lost() {
    for conf in [
        with_ranges(&["10.30.0.0/24", "2001:db8:30::/64"], &json!({})),
        bridged(&["10.30.0.0/24", "2001:db8:30::/64"], &json!({})),
    ] {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        let pings = Pings::new(lab.outside(), &attached.ips());
        for _ in 0..4 {
            must(&lab, &["ip", "add", "c", "eth0", "10.30.0.77"]);
            must(&lab, &["ip", "add", "c", "eth0", "2001:db8:30::77"]);
            must(&lab, &["set", "c", "eth0", "--isolation", "network", "-p", "8080:80"]);
            must(&lab, &["ip", "del", "c", "eth0", "2001:db8:30::77"]);
            must(&lab, &["ip", "del", "c", "eth0", "10.30.0.77"]);
            must(&lab, &["set", "c", "eth0", "--isolation", "none", "--no-port", "8080:80"]);
        }
        pings.assert_none_lost();
        attached.detach();
    }
}

/// The last IPv4 address takes the routes with it in the kernel; a new one brings them back, and what has the old one for
/// its source moves on.
#[test]
fn the_last_address_and_the_source() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let conf = with_ranges(&["10.30.0.0/24"], &json!({}));
    let attached = Attached::new(&lab, &conf, &c);
    let (first, had) = (attached.ips()[0].clone(), routes(c.netns(), "eth0"));
    must(&lab, &["ip", "del", "c", "eth0", "all"]);
    assert_eq!(addresses(c.netns(), "eth0"), Vec::<String>::new());
    must(&lab, &["ip", "add", "c", "eth0", "10.30.0.99"]);
    assert_eq!(routes(c.netns(), "eth0"), had);
    assert!(lab.outside().ping("10.30.0.99") && !lab.host().ping(&first));
    attached.detach();
    let keys = json!({"gateway": {"network": "10.100.10.100/30"}});
    let conf = with_ranges(&["10.30.0.0/24"], &keys);
    let attached = Attached::new(&lab, &conf, &c);
    let first = attached.ips()[0].clone();
    must(&lab, &["ip", "add", "c", "eth0", "10.30.0.98"]);
    let default = |source: &str| {
        routes(c.netns(), "eth0")
            .iter()
            .any(|route| route.starts_with("default") && route.contains(&format!("src {source}")))
    };
    assert!(default(&first));
    must(&lab, &["ip", "del", "c", "eth0", &first]);
    assert!(default("10.30.0.98"), "{:?}", routes(c.netns(), "eth0"));
    assert!(c.netns().ping(crate::common::OUTSIDE_V4));
    attached.detach();
}

#[test]
fn routes_by_wish() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&["10.30.0.0/24"], &json!({})), &c);
    refused(&lab, &["ip", "add", "c", "eth0", "10.7.0.1", "--no-route"], "no network that is routed");
    refused(&lab, &["ip", "add", "c", "eth0", "10.7.0.1", "--route-as", "10.8.0.0/24"], "is not in 10.8.0.0/24");
    must(&lab, &["route", "add", "c", "eth0", "10.7.0.0/24"]);
    must(&lab, &["ip", "add", "c", "eth0", "10.7.0.1", "--no-route"]);
    assert!(lab.outside().ping("10.7.0.1"));
    must(&lab, &["ip", "add", "c", "eth0", "10.9.0.1"]);
    must(&lab, &["ip", "del", "c", "eth0", "10.9.0.1", "--keep-route"]);
    assert!(routes(lab.host(), &attached.link).iter().any(|route| route.starts_with("10.9.0.1 ")));
    must(&lab, &["route", "del", "c", "eth0", "10.9.0.1"]);
    assert!(!routes(lab.host(), &attached.link).iter().any(|route| route.starts_with("10.9.0.1 ")));
    must(&lab, &["route", "add", "c", "eth0", "10.10.0.0/24", "--via", "10.7.0.1"]);
    refused(&lab, &["ip", "del", "c", "eth0", "10.7.0.1"], "10.10.0.0/24 is routed via 10.7.0.1");
    refused(&lab, &["route", "del", "c", "eth0", "10.11.0.0/24"], "none of the networks");
    attached.detach();
}

/// What is somebody else's is refused, and what is wrong is told; nothing has changed then.
#[test]
fn what_is_taken() {
    let lab = Lab::with_uplink();
    let (c, d) = (lab.container("c"), lab.container("d"));
    let keys = json!({"capabilities": {"portMappings": true}, "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}});
    let other = Attached::new(&lab, &with_ranges(&["10.30.0.0/24"], &keys), &d);
    let attached = Attached::new(&lab, &with_ranges(&["10.30.0.0/24"], &json!({})), &c);
    let cases: [(&[&str], &str); 10] = [
        (&["ip", "add", "c", "eth0", &other.ips()[0]], "n/d/eth0"),
        (&["ip", "add", "c", "eth0", &attached.ips()[0]], "is there already"),
        (&["ip", "add", "c", "eth0", crate::common::HOST_V4], "address of the host"),
        (&["ip", "add", "c", "eth0", "10.30.0.1"], "is the range's gateway"),
        (&["ip", "del", "c", "eth0", "10.30.0.200"], "is not there, but ["),
        (&["route", "add", "c", "eth0", "198.18.0.0/24"], "198.18.0.0/24"),
        (&["set", "c", "eth0", "-p", "8080:80"], "n/d/eth0"),
        (&["set", "c", "eth0", "--no-port", "8081:80"], "is not mapped"),
        (&["ip", "ls", "c", "eth1"], "of c there are [n/c/eth0]"),
        (&["ip", "add", "nobody", "eth0", "10.30.0.9"], "no attachment nobody eth0"),
    ];
    for (line, word) in cases {
        refused(&lab, line, word);
    }
    attached.detach();
    other.detach();
}

/// Rates, MTU, isolation and ports, up, down and away.
#[test]
fn settings() {
    for conf in [with_ranges(&["10.30.0.0/24"], &json!({})), bridged(&["10.30.0.0/24"], &json!({}))] {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        let before = lab.host_state();
        let tc = || lab.host().shell("tc qdisc show");
        must(&lab, &["set", "c", "eth0", "--ingress-rate", "20M", "--egress-rate", "1.5M"]);
        assert!(tc().contains("20Mbit") && tc().contains("1500Kbit"), "{}", tc());
        must(&lab, &["set", "c", "eth0", "--ingress-rate", "30M", "--egress-rate", "2M"]);
        assert!(tc().contains("30Mbit") && tc().contains("2Mbit") && !tc().contains("20Mbit"), "{}", tc());
        must(&lab, &["set", "c", "eth0", "--ingress-rate", "none", "--egress-rate", "none"]);
        assert!(!tc().contains("bit"), "{}", tc());
        must(&lab, &["set", "c", "eth0", "-p", "8080:80", "--isolation", "ports"]);
        assert!(lab.host().shell("nft list map inet springline ports4").contains("8080"));
        must(&lab, &["set", "c", "eth0", "-p", "8081:81/udp", "--no-port", "8080:80", "--isolation", "none"]);
        let ports = lab.host().shell("nft list map inet springline ports4");
        assert!(ports.contains("8081") && !ports.contains("8080"), "{ports}");
        must(&lab, &["set", "c", "eth0", "--no-port", "8081:81/udp"]);
        must(&lab, &["check"]);
        // A stake in what a bridge does for ports is kept for the container's lifetime.
        let is_stake = |change: &String| change.contains("shared/loopback-br0/");
        let left: Vec<String> =
            before.changes(&lab.host_state()).into_iter().filter(|change| !is_stake(change)).collect();
        assert_eq!(left, Vec::<String>::new());
        let is_routed = attached.outside()["master"].is_null();
        if is_routed {
            must(&lab, &["set", "c", "eth0", "--mtu", "1400"]);
            assert_eq!(
                (attached.outside()["mtu"].clone(), attached.inside()["mtu"].clone()),
                (json!(1400), json!(1400))
            );
            must(&lab, &["set", "c", "eth0", "--mtu", "auto"]);
        }
        attached.detach();
    }
}

/// A network whose default route leads goes on to do so, whatever is done to the container's other interface.
#[test]
fn the_default_route_of_another_network() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let named = |name: &str, subnets: &[&str], keys: &Value| {
        crate::common::cni::merged(&with_ranges(subnets, keys), &json!({ "name": name }))
    };
    let other = named("other", &["10.30.0.0/24", "2001:db8:30::/64"], &json!({}));
    let leads = named("leads", &["10.31.0.0/24", "2001:db8:31::/64"], &json!({"defaultRoute": true}));
    let a = Attached::named(&lab, &other, &c, "eth0");
    let b = Attached::named(&lab, &leads, &c, "eth1");
    let both = || (routes(c.netns(), "eth0"), routes(c.netns(), "eth1"));
    let had = both();
    assert!(had.1.iter().filter(|route| route.starts_with("default")).count() == 2, "{had:?}");
    must(&lab, &["ip", "add", "c", "eth0", "10.30.0.77"]);
    assert_eq!(both(), had);
    must(&lab, &["ip", "del", "c", "eth0", "10.30.0.77"]);
    assert_eq!(both(), had);
    c.netns().ip("link set eth0 down");
    c.netns().ip("link set eth0 up");
    must(&lab, &["check", "--repair"]);
    assert_eq!(both(), had);
    must(&lab, &["check"]);
    b.detach();
    a.detach();
}

/// Whatever fails, all of it is undone: here the container's link is gone, which `ip add` finds out half way.
#[test]
fn undone_as_a_whole() {
    let lab = Lab::with_uplink();
    let c: Container = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&["10.30.0.0/24"], &json!({})), &c);
    // A stranger has the address inside already: the kernel refuses it, after lease, guard and route were made.
    c.netns().ip("link add other type bridge");
    c.netns().write_sysctl("net/ipv6/conf/eth0/disable_ipv6", "1");
    refused(&lab, &["ip", "add", "c", "eth0", "2001:db8:30::5"], "");
    must(&lab, &["check"]);
    attached.detach();
}
