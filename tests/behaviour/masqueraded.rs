//! Masquerade: who sees whom by which address.

use serde_json::json;

use crate::common::traffic::{Server, ask};
use crate::common::{Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6};
use crate::support::{Attached, Family, both_modes, give, ready, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// What leaves the host has the host's address; what does not, keeps its own. Without the key, so does everything.
#[test]
fn what_leaves_the_host() {
    if !ready("what_leaves_the_host") {
        return;
    }
    for masquerade in [json!(false), json!(true)] {
        for conf in both_modes(&SUBNETS, &json!({"masquerade": masquerade})) {
            let lab = Lab::with_uplink();
            let (c, other) = (lab.container("c"), lab.container("other"));
            let neighbour = with_ranges(&["10.31.0.0/24", "2001:db8:31::/64"], &json!({"name": "beside"}));
            let neighbour = Attached::new(&lab, &neighbour, &other);
            let attached = Attached::new(&lab, &conf, &c);
            let _servers = [lab.outside(), lab.host(), other.netns()].map(|netns| Server::new(netns, "tcp", 7));
            for (family, outside, uplink) in [(Family::V4, OUTSIDE_V4, UPLINK_V4), (Family::V6, OUTSIDE_V6, UPLINK_V6)]
            {
                let own = attached.ip(family);
                let seen = |address: &str| ask(c.netns(), "tcp", address, 7).expect("an answer");
                assert_eq!(seen(outside), if masquerade == json!(true) { uplink } else { &own }, "{conf}: outside");
                assert_eq!(seen(uplink), own, "{conf}: by the host itself");
                assert_eq!(seen(&neighbour.ip(family)), own, "{conf}: by a container of another network");
            }
            attached.detach();
            neighbour.detach();
        }
    }
}

/// Toward the networks that are excepted, the container keeps its address; another network's exceptions are not its own.
#[test]
fn exceptions() {
    if !ready("exceptions") {
        return;
    }
    let lab = Lab::with_uplink();
    give(lab.outside(), "lo", &["198.51.100.1/32", "2001:db8:fffe::1/128"]);
    let (c, other) = (lab.container("c"), lab.container("other"));
    let excepted = json!({"masquerade": {"except": ["198.51.100.0/24", "2001:db8:fffe::/48", "203.0.113.0/24"]}});
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &excepted), &c);
    let beside = json!({"name": "beside", "masquerade": {"except": ["203.0.113.0/24"]}});
    let beside = Attached::new(&lab, &with_ranges(&["10.31.0.0/24"], &beside), &other);
    let _server = Server::new(lab.outside(), "tcp", 7);
    let seen = |who: &Attached<'_>, container: &crate::common::Container, family, address: &str| {
        let seen = ask(container.netns(), "tcp", address, 7).expect("an answer");
        (seen == who.ip(family), seen)
    };
    assert_eq!(seen(&attached, &c, Family::V4, OUTSIDE_V4), (false, UPLINK_V4.to_owned()));
    assert!(seen(&attached, &c, Family::V4, "198.51.100.1").0);
    assert_eq!(seen(&attached, &c, Family::V6, OUTSIDE_V6), (false, UPLINK_V6.to_owned()));
    assert!(seen(&attached, &c, Family::V6, "2001:db8:fffe::1").0);
    assert_eq!(seen(&beside, &other, Family::V4, "198.51.100.1"), (false, UPLINK_V4.to_owned()));
    let chains = || {
        lab.host().shell("nft list chains inet | grep -c -E 'chain masquerade_[0-9a-f]{12}' || true").trim().to_owned()
    };
    assert_eq!(chains(), "2");
    attached.detach();
    assert_eq!(chains(), "1", "a network's own chain goes with its last container");
    beside.detach();
    assert_eq!(chains(), "0");
}

/// What is behind a container, in a network that is routed to it, is hidden with it.
#[test]
fn networks_behind_the_container() {
    if !ready("networks_behind_the_container") {
        return;
    }
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let keys = json!({"masquerade": true, "routes": ["10.5.5.0/24"]});
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &keys), &c);
    give(c.netns(), "lo", &["10.5.5.7/32"]);
    c.netns().ip("route replace default via 169.254.0.1 dev eth0 onlink src 10.5.5.7");
    let _server = Server::new(lab.outside(), "tcp", 7);
    assert_eq!(ask(c.netns(), "tcp", OUTSIDE_V4, 7).as_deref(), Some(UPLINK_V4));
    attached.detach();
}

/// A host that only routes tracks no connections: that is what `nat` chains cost, and nobody has asked for any.
#[test]
fn without_it_no_connection_is_tracked() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &json!({})), &c);
    let ruleset = lab.host().shell("nft list ruleset");
    assert!(ruleset.contains("chain guarding"), "the control");
    assert!(!ruleset.contains("type nat") && !ruleset.contains("\tct ") && !ruleset.contains(" ct "), "{ruleset}");
    attached.detach();
}
