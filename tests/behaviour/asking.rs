//! Addresses and MACs that are asked for by name: `runtimeConfig`, `args` and `CNI_ARGS`, in this order.

use serde_json::{Value, json};

use crate::common::cni::{Outcome, Plugin, merged};
use crate::common::{Container, Lab, text_of};
use crate::support::{Attached, assert_refused, bridged, network, with_ranges};

const RANGES: [&str; 2] = ["10.22.0.0/24", "2001:db8:22::/64"];

/// ADD with `CNI_ARGS`.
fn add_with_args(lab: &Lab, conf: &Value, container: &Container, args: &str) -> Outcome {
    lab.cni(Plugin::Routed).call("ADD").of(container, "eth0").conf(conf).env("CNI_ARGS", args).run()
}

fn runtime(ips: &Value) -> Value {
    json!({"runtimeConfig": {"ips": ips}})
}

fn args(ips: &Value) -> Value {
    json!({"args": {"cni": {"ips": ips}}})
}

/// Each place is heard, and an earlier one silences the later ones.
#[test]
fn addresses_have_an_order_of_precedence() {
    let (first, second, third) = (json!(["10.22.0.101"]), json!(["10.22.0.102"]), "IgnoreUnknown=1;IP=10.22.0.103;X=Y");
    for (keys, environment, expected) in [
        (merged(&runtime(&first), &args(&second)), third, "10.22.0.101"),
        (args(&second), third, "10.22.0.102"),
        (json!({}), third, "10.22.0.103"),
        (runtime(&json!([])), third, "10.22.0.103"),
        (json!({}), "", "10.22.0.2"),
    ] {
        for conf in [with_ranges(&RANGES[..1], &keys), bridged(&RANGES[..1], &keys)] {
            let lab = Lab::new();
            let c = lab.container("c");
            let result = add_with_args(&lab, &conf, &c, environment).result();
            let attached = Attached::of(&lab, &conf, &c, "eth0", result);
            assert_eq!(attached.ips(), [expected], "{conf}");
            assert!(lab.host().ping(expected));
        }
    }
}

/// Of two families one may be asked for; the other comes out of its range.
#[test]
fn addresses_of_one_family() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let both = with_ranges(&RANGES, &runtime(&json!(["10.22.0.9/24", "2001:db8:22::9/64"])));
    assert_eq!(Attached::new(&lab, &both, &c1).ips(), ["10.22.0.9", "2001:db8:22::9"]);
    let one = with_ranges(&RANGES, &runtime(&json!(["2001:db8:22::a"])));
    assert_eq!(Attached::new(&lab, &one, &c2).ips()[1], "2001:db8:22::a");
}

/// A network without ranges takes what is asked for as it is.
#[test]
fn addresses_without_a_range() {
    let lab = Lab::new();
    let c = lab.container("c");
    let conf = network(&merged(&json!({"ipam": {"type": "springline"}}), &runtime(&json!(["10.9.9.9/32"]))));
    Attached::new(&lab, &conf, &c);
    assert!(lab.host().ping("10.9.9.9"));
}

/// What is excluded from a range may still be asked for by name.
#[test]
fn excluded_addresses_may_be_asked_for() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let range = json!([[{"subnet": "10.22.0.0/24", "exclude": ["10.22.0.0/28"]}]]);
    let conf = merged(&network(&json!({})), &json!({"ipam": {"type": "springline", "ranges": range}}));
    assert_eq!(Attached::new(&lab, &conf, &c1).ips(), ["10.22.0.16"]);
    let asking = merged(&conf, &runtime(&json!(["10.22.0.5"])));
    assert_eq!(Attached::new(&lab, &asking, &c2).ips(), ["10.22.0.5"]);
}

/// An address outside of the ranges, the gateway, somebody's address, and no address at all.
#[test]
fn what_cannot_be_had() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let conf = |ip: &str| with_ranges(&RANGES, &runtime(&json!([ip])));
    let first = Attached::new(&lab, &conf("10.22.0.9"), &c1);
    for (ip, word) in
        [("10.22.0.9", "n/c1/eth0"), ("10.33.0.9", "10.22.0."), ("10.22.0.1", "gateway"), ("nonsense", "nonsense")]
    {
        assert_refused(&lab, &conf(ip), &c2, 7, &[ip, word]);
    }
    first.detach();
    Attached::new(&lab, &conf("10.22.0.9"), &c2);
}

/// Each place is heard, and an earlier one silences the later ones.
#[test]
fn macs_have_an_order_of_precedence() {
    let mac = |last: &str| format!("02:00:00:00:00:{last}");
    let (first, second) = (json!({"runtimeConfig": {"mac": mac("01")}}), json!({"args": {"cni": {"mac": mac("02")}}}));
    let third = format!("MAC={};IgnoreUnknown=1", mac("03"));
    for (keys, expected) in [(merged(&first, &second), "01"), (second.clone(), "02"), (json!({}), "03")] {
        for conf in [with_ranges(&RANGES, &keys), bridged(&RANGES, &keys)] {
            let lab = Lab::new();
            let c = lab.container("c");
            let result = add_with_args(&lab, &conf, &c, &third).result();
            let attached = Attached::of(&lab, &conf, &c, "eth0", result);
            assert_eq!(text_of(&attached.inside()["address"]), mac(expected), "{conf}");
            let interfaces = attached.result["interfaces"].as_array().expect("interfaces");
            assert_eq!(text_of(&interfaces.last().expect("the container's")["mac"]), mac(expected));
            assert!(lab.host().ping(&attached.ips()[0]) && lab.host().ping(&attached.ips()[1]));
        }
    }
}

/// Unless one is asked for, a container keeps its MAC over restarts, and no two have the same.
#[test]
fn macs_are_stable() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    for conf in [with_ranges(&RANGES, &json!({})), bridged(&RANGES, &json!({}))] {
        let (first, second) = (Attached::new(&lab, &conf, &c1), Attached::new(&lab, &conf, &c2));
        let macs =
            [first.inside(), second.inside(), first.outside(), second.outside()].map(|link| link["address"].clone());
        assert!((1..4).all(|at| !macs[..at].contains(&macs[at])), "{macs:?}");
        first.detach();
        c1.restart();
        let again = Attached::new(&lab, &conf, &c1);
        assert_eq!(
            [again.inside()["address"].clone(), again.outside()["address"].clone()],
            [macs[0].clone(), macs[2].clone()]
        );
        again.detach();
        second.detach();
    }
}

/// A MAC that no interface can have.
#[test]
fn macs_that_cannot_be_had() {
    let lab = Lab::new();
    let c = lab.container("c");
    for mac in ["01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00", "nonsense"] {
        assert_refused(&lab, &with_ranges(&RANGES, &json!({"runtimeConfig": {"mac": mac}})), &c, 7, &[mac]);
    }
}
