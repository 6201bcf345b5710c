//! Several networks of one container: which one leads out, and what remains when one goes.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6, text_of};
use crate::support::{Attached, FAMILIES, bridged, with_ranges};

fn first() -> Value {
    with_ranges(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({}))
}

fn second_routed() -> Value {
    with_ranges(&["10.33.0.0/24", "2001:db8:33::/64"], &json!({"name": "other"}))
}

fn second_bridged() -> Value {
    bridged(&["10.33.0.0/24", "2001:db8:33::/64"], &json!({"name": "other"}))
}

/// The links of the default routes, best first.
fn ways_out(container: &Container, family: &str) -> Vec<String> {
    let mut routes = container.netns().ip_json(&format!("{family} route show default"));
    routes.sort_by_key(|route| route["metric"].as_u64().unwrap_or(0));
    let metrics: Vec<_> = routes.iter().map(|route| route["metric"].as_u64().unwrap_or(0)).collect();
    assert!(metrics.windows(2).all(|pair| pair[0] < pair[1]), "two defaults of one metric: {routes:?}");
    routes.iter().map(|route| text_of(&route["dev"]).to_owned()).collect()
}

fn reaches_outside(container: &Container) -> bool {
    container.netns().ping(OUTSIDE_V4) && container.netns().ping(OUTSIDE_V6)
}

/// The network that was there first leads out; the second takes over when the first is detached.
#[test]
fn second_takes_over() {
    for second in [second_routed(), second_bridged()] {
        let lab = lab();
        let c = lab.container("c");
        let one = Attached::named(&lab, &first(), &c, "eth0");
        assert!(reaches_outside(&c));
        let two = Attached::named(&lab, &second, &c, "eth1");
        for family in ["-4", "-6"] {
            assert_eq!(ways_out(&c, family), ["eth0", "eth1"], "{family}");
        }
        assert!(reaches_outside(&c));
        assert!(two.ips().iter().all(|ip| lab.host().ping(ip)), "the second is reached beside the first");
        one.detach();
        for family in ["-4", "-6"] {
            assert_eq!(ways_out(&c, family), ["eth1"], "{family}");
        }
        assert!(reaches_outside(&c), "by the second");
        two.detach();
    }
}

/// The first comes back behind the second, and the other way round.
#[test]
fn first_comes_back() {
    let lab = lab();
    let before = lab.host_state();
    let c = lab.container("c");
    let one = Attached::named(&lab, &first(), &c, "eth0");
    let two = Attached::named(&lab, &second_routed(), &c, "eth1");
    one.detach();
    let one = Attached::named(&lab, &first(), &c, "eth0");
    assert_eq!(ways_out(&c, "-4"), ["eth1", "eth0"]);
    two.detach();
    assert_eq!(ways_out(&c, "-6"), ["eth0"]);
    assert!(reaches_outside(&c));
    one.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// Three networks stand in a row.
#[test]
fn three_networks() {
    let lab = lab();
    let c = lab.container("c");
    let third = with_ranges(&["10.44.0.0/24", "2001:db8:44::/64"], &json!({"name": "third", "gateway": "inet6"}));
    let attached: Vec<Attached> = [first(), second_bridged(), third]
        .iter()
        .zip(["eth0", "eth1", "eth2"])
        .map(|(conf, ifname)| Attached::named(&lab, conf, &c, ifname))
        .collect();
    for (gone, left) in [(0, &["eth0", "eth1", "eth2"][..]), (1, &["eth1", "eth2"]), (2, &["eth2"])] {
        if gone > 0 {
            attached[gone - 1].detach();
        }
        assert_eq!((ways_out(&c, "-4"), ways_out(&c, "-6")), (strings(left), strings(left)));
        assert!(reaches_outside(&c), "by {left:?}");
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A metric that was asked for is kept where it is free, also before the first's.
#[test]
fn metric_that_was_asked_for() {
    let lab = lab();
    let c = lab.container("c");
    let preferred = |conf: Value, metric: u32| {
        let routes = json!([{"dst": "0.0.0.0/0", "priority": metric}, {"dst": "::/0", "priority": metric}]);
        merged(&conf, &json!({"ipam": {"routes": routes}}))
    };
    Attached::named(&lab, &preferred(first(), 200), &c, "eth0");
    let two = Attached::named(&lab, &preferred(second_routed(), 100), &c, "eth1");
    for family in ["-4", "-6"] {
        assert_eq!(ways_out(&c, family), ["eth1", "eth0"], "{family}");
    }
    assert!(reaches_outside(&c));
    two.detach();
    assert!(reaches_outside(&c));
}

/// A second interface on the same network has addresses of its own, and both are reached.
#[test]
fn second_interface_on_one_network() {
    for conf in [first(), bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({}))] {
        let lab = lab();
        let c = lab.container("c");
        let one = Attached::named(&lab, &conf, &c, "eth0");
        let two = Attached::named(&lab, &conf, &c, "eth1");
        assert_ne!(one.link, two.link);
        assert_ne!(one.inside()["address"], two.inside()["address"]);
        for ip in one.ips().iter().chain(&two.ips()) {
            assert!(lab.host().ping(ip), "{ip}: {}", conf["mode"]);
        }
        assert_eq!(ways_out(&c, "-4"), ["eth0", "eth1"]);
        one.detach();
        assert!(two.ips().iter().all(|ip| lab.host().ping(ip)) && reaches_outside(&c));
        two.detach();
    }
}

/// Two networks at once, as containerd attaches them: both are there, with one way out and one in reserve.
#[test]
fn two_networks_at_once() {
    for second in [second_routed(), second_bridged()] {
        let lab = lab();
        let before = lab.host_state();
        for round in 0..8 {
            let c = lab.container(&format!("c{round}"));
            let confs = [("eth0", first()), ("eth1", second.clone())];
            let cni = lab.cni(Plugin::Routed);
            let calls = confs.each_ref().map(|(ifname, conf)| cni.call("ADD").of(&c, ifname).conf(conf).spawn());
            let results = calls.map(|call| call.finish().result());
            for ((ifname, conf), result) in confs.iter().zip(results) {
                let attached = Attached::of(&lab, conf, &c, ifname, result);
                for family in FAMILIES {
                    let ip = attached.ip(family);
                    assert!(lab.host().ping(&ip), "round {round}: {ifname} at {ip}");
                }
            }
            for family in ["-4", "-6"] {
                let mut ways = ways_out(&c, family);
                ways.sort();
                assert_eq!(ways, ["eth0", "eth1"], "round {round}");
            }
            assert!(reaches_outside(&c));
            let calls = confs.each_ref().map(|(ifname, conf)| cni.call("DEL").of(&c, ifname).conf(conf).spawn());
            for call in calls {
                call.finish().silent();
            }
            assert!(c.netns().link("eth0").is_none() && c.netns().link("eth1").is_none());
        }
        assert_unchanged(&before, &lab.host_state());
    }
}

/// A lab whose outside world knows the way back to all the networks above.
fn lab() -> Lab {
    let lab = Lab::with_uplink();
    assert!(lab.outside().ping(UPLINK_V4) && lab.outside().ping(UPLINK_V6));
    lab
}
