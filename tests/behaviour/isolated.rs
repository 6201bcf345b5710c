//! Isolation: which containers reach which.

use serde_json::{Value, json};

use crate::common::traffic::{Server, ask};
use crate::common::{Container, Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4};
use crate::support::{Attached, FAMILIES, Family, bridged, ready, with_ranges};

fn routed(name: &str, number: u8, isolation: &Value) -> Value {
    let subnets = [format!("10.{number}.0.0/24"), format!("2001:db8:{number}::/64")];
    with_ranges(&[&subnets[0], &subnets[1]], &json!({"name": name, "isolation": isolation}))
}

fn on_bridge(name: &str, number: u8, isolation: &Value) -> Value {
    let subnets = [format!("10.{number}.0.0/24"), format!("2001:db8:{number}::/64")];
    let keys = json!({"name": name, "isolation": isolation, "bridge": {"name": name}});
    bridged(&[&subnets[0], &subnets[1]], &keys)
}

/// Three containers, two of one network, and whether they reach each other, in both directions and families.
struct Trio<'a> {
    lab: &'a Lab,
    containers: [Container; 3],
}

impl<'a> Trio<'a> {
    fn new(lab: &'a Lab) -> Self {
        Self { lab, containers: ["a1", "a2", "b"].map(|id| lab.container(id)) }
    }

    #[track_caller]
    fn assert(&self, [a, b]: [&Value; 2], [same, other]: [bool; 2]) {
        let [a1, a2, b1] = &self.containers;
        let attached = [(a1, a), (a2, a), (b1, b)].map(|(container, conf)| Attached::new(self.lab, conf, container));
        let reaches =
            |from: usize, to: usize, family: Family| self.containers[from].netns().ping(&attached[to].ip(family));
        for family in FAMILIES {
            for (from, to) in [(0, 1), (1, 0)] {
                assert_eq!(reaches(from, to, family), same, "{family:?} {from} to {to} in one network: {a}");
            }
            for (from, to) in [(0, 2), (2, 0), (1, 2), (2, 1)] {
                assert_eq!(reaches(from, to, family), other, "{family:?} {from} to {to} across networks: {a} {b}");
            }
            let outside = if family == Family::V4 { OUTSIDE_V4 } else { OUTSIDE_V6 };
            for container in &self.containers {
                assert!(container.netns().ping(outside), "{family:?} out: {a}");
                assert!(self.lab.host().ping(&attached[0].ip(family)), "{family:?} from the host: {a}");
            }
        }
        attached.iter().rev().for_each(Attached::detach);
    }
}

#[test]
fn none_ports_network() {
    for make in [routed, on_bridge] {
        for (isolation, reached) in [
            (json!("none"), [true, true]),
            (json!("ports"), [false, false]),
            (json!("network"), [true, false]),
            (json!(["ports", "network"]), [false, false]),
        ] {
            let lab = Lab::with_uplink();
            let trio = Trio::new(&lab);
            trio.assert([&make("a", 30, &isolation), &make("b", 31, &json!("none"))], reached);
        }
    }
}

/// Between a network on a bridge and a routed one.
#[test]
fn across_modes() {
    let lab = Lab::with_uplink();
    let trio = Trio::new(&lab);
    trio.assert([&on_bridge("a", 30, &json!("network")), &routed("b", 31, &json!("none"))], [true, false]);
    trio.assert([&routed("a", 30, &json!("network")), &on_bridge("b", 31, &json!("none"))], [true, false]);
}

/// On a bridge, the way around by the gateway is closed too.
#[test]
fn not_by_way_of_the_gateway() {
    for (isolation, reached) in [(json!("none"), true), (json!("ports"), false)] {
        let lab = Lab::with_uplink();
        let [a, b] = ["a", "b"].map(|id| lab.container(id));
        let conf = on_bridge("a", 30, &isolation);
        let (first, second) = (Attached::new(&lab, &conf, &a), Attached::new(&lab, &conf, &b));
        for (container, peer) in [(&a, &second), (&b, &first)] {
            container.netns().ip(&format!("route add {} via 10.30.0.1", peer.ip(Family::V4)));
        }
        assert_eq!(a.netns().ping(&second.ip(Family::V4)), reached, "{isolation}");
        second.detach();
        first.detach();
    }
}

/// What an isolated container publishes is for everybody.
#[test]
fn published_ports_are_reached() {
    if !ready("published_ports_are_reached") {
        return;
    }
    for make in [routed, on_bridge] {
        let lab = Lab::with_uplink();
        // With it, what goes to a neighbour's published port crosses the bridge, between ports that are isolated.
        crate::mapped::set_bridge_netfilter(&lab, "0");
        let [a, b] = ["a", "b"].map(|id| lab.container(id));
        let mut conf = make("a", 30, &json!("ports"));
        let other = Attached::new(&lab, &conf, &b);
        conf["capabilities"] = json!({"portMappings": true});
        conf["runtimeConfig"] = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80}]});
        let attached = Attached::new(&lab, &conf, &a);
        let _server = Server::new(a.netns(), "tcp", 80);
        assert!(ask(b.netns(), "tcp", UPLINK_V4, 8080).is_some(), "{conf}");
        assert!(ask(b.netns(), "tcp", &attached.ip(Family::V4), 80).is_none(), "{conf}: not directly");
        attached.detach();
        other.detach();
    }
}
