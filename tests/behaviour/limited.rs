//! Rate limits, measured.

use serde_json::{Value, json};

use crate::common::state::assert_unchanged;
use crate::common::traffic::rate;
use crate::common::{Container, Lab, Netns, OUTSIDE_V4};
use crate::support::{Attached, Family, both_modes, ready, with_ranges};

const MEGABIT: f64 = 1e6;

/// What a link carries of TCP is so much more than what arrives: 1514 octets of each frame, 1448 of them payload.
const FRAMES: f64 = 1514.0 / 1448.0;

/// Megabits a second from one to another, as the links carry them.
fn megabits(from: &Netns, to: &Netns, address: &str) -> f64 {
    rate(from, to, address) * FRAMES / MEGABIT
}

/// Whether the rate is that of the limit, give or take a tenth. A machine that is busy with other things may be slower
/// than the limit, or see late what came in time: hence a second and third chance.
#[track_caller]
fn assert_about(limit: f64, what: &str, measure: impl Fn() -> f64) {
    let measured: Vec<f64> = (0..3).map(|_| measure()).take_while(|rate| (rate / limit - 1.0).abs() > 0.1).collect();
    assert!(measured.len() < 3, "{what}: {measured:.2?} Mbit/s, not {limit}");
}

/// Toward the outside and from there, with rates of their own; without a limit it is far more.
#[test]
fn both_directions() {
    if !ready("both_directions") {
        return;
    }
    for conf in
        both_modes(&["10.30.0.0/24"], &json!({"bandwidth": {"ingressRate": 20_000_000, "egressRate": 10_000_000}}))
    {
        let lab = Lab::with_uplink();
        let (c, free) = (lab.container("c"), lab.container("free"));
        let mut unlimited = conf.clone();
        unlimited["bandwidth"] = json!({});
        let beside = Attached::new(&lab, &unlimited, &free);
        let attached = Attached::new(&lab, &conf, &c);
        assert!(megabits(free.netns(), lab.outside(), OUTSIDE_V4) > 100.0, "the control");
        assert_about(10.0, "sent", || megabits(c.netns(), lab.outside(), OUTSIDE_V4));
        let own = attached.ip(Family::V4);
        assert_about(20.0, "received", || megabits(lab.outside(), c.netns(), &own));
        attached.detach();
        beside.detach();
    }
}

/// What the runtime fills in goes before the configuration; in the spelling of CRI, with its idea of no burst.
#[test]
fn as_the_runtime_says() {
    if !ready("as_the_runtime_says") {
        return;
    }
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let rates = json!({"IngressRate": 5_000_000, "IngressBurst": u32::MAX, "EgressRate": 0, "EgressBurst": 0});
    let keys = json!({"bandwidth": {"ingressRate": 50_000_000}, "capabilities": {"bandwidth": true},
                      "runtimeConfig": {"bandwidth": rates}});
    let attached = Attached::new(&lab, &with_ranges(&["10.30.0.0/24"], &keys), &c);
    let own = attached.ip(Family::V4);
    assert_about(5.0, "received", || megabits(lab.outside(), c.netns(), &own));
    attached.detach();
}

/// Two interfaces of one container are limited each by itself; nothing of either stays.
#[test]
fn two_interfaces_of_one_container() {
    let lab = Lab::new();
    let idle = lab.host_state();
    let c: Container = lab.container("c");
    let conf = |name: &str, subnet: &str, rate: u64| {
        with_ranges(&[subnet], &json!({"name": name, "bandwidth": {"ingressRate": rate, "egressRate": rate}}))
    };
    let first = Attached::new(&lab, &conf("a", "10.30.0.0/24", 1_000_000), &c);
    let second = Attached::named(&lab, &conf("a", "10.30.0.0/24", 2_000_000), &c, "eth1");
    let third = Attached::named(&lab, &conf("b", "10.31.0.0/24", 3_000_000), &c, "eth2");
    let ifbs = || lab.host().ip_json("link show type ifb").len();
    assert_eq!(ifbs(), 3);
    let qdiscs = lab.host().shell("tc qdisc show");
    for rate in ["1Mbit", "2Mbit", "3Mbit"] {
        assert_eq!(qdiscs.matches(&format!(" {rate} ")).count(), 2, "{rate}: {qdiscs}");
    }
    second.detach();
    assert_eq!(ifbs(), 2);
    c.kill();
    crate::common::eventually("the links are gone", || lab.host().link(&first.link).is_none());
    assert_eq!(ifbs(), 2, "an ifb link does not go by itself");
    first.detach();
    third.detach();
    assert_unchanged(&idle, &lab.host_state());
}

/// Limits that nobody can mean.
#[test]
fn odd_rates_are_refused() {
    let lab = Lab::new();
    let c = lab.container("c");
    let refused = |rates: Value, why: &str| {
        let conf = with_ranges(&["10.30.0.0/24"], &json!({ "bandwidth": rates }));
        let error = crate::support::add(&lab, &conf, &c, "eth0").error().with_code(7);
        assert!(error.text().contains(why), "{}", error.text());
    };
    refused(json!({"ingressRate": 100}), "less than 8000 bits a second");
    refused(json!({"egressBurst": 1000}), "there is no egressRate");
}
