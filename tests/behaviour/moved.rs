//! `detach --moved`: what the host remembers of flows of an address goes with it.
//!
//! Seen by packets: as long as connection tracking remembers a flow, it is masqueraded as when it began, whatever the
//! rules say by now.

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::traffic::{Server, ask_from};
use crate::common::{Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6};
use crate::support::{Attached, ready, springline, with_addresses};

const ADDRESSES: [&str; 2] = ["10.30.0.7", "2001:db8:30::7"];

fn network(keys: &Value) -> Value {
    merged(&with_addresses(&["10.30.0.7/32", "2001:db8:30::7/128"], &json!({})), keys)
}

#[test]
fn flows_are_forgotten() {
    if !ready("flows_are_forgotten") {
        return;
    }
    let lab = Lab::with_uplink();
    let _server = Server::new(lab.outside(), "udp", 53);
    let hidden = network(&json!({"masquerade": true}));
    let plain = network(&json!({"name": "plain"}));
    // An attachment that stays: the rules, and with them connection tracking, are there all along.
    let keeper = lab.container("keeper");
    Attached::new(&lab, &with_addresses(&["10.30.0.99/32"], &json!({"name": "k", "masquerade": true})), &keeper);
    for (options, is_forgotten) in [(&["detach", "n/c"][..], false), (&["detach", "--moved", "n/c"], true)] {
        let c = lab.container("c");
        Attached::new(&lab, &hidden, &c);
        // A port for each round: the first one's flow is remembered.
        let port = 40_000 + u16::from(is_forgotten);
        let ask = |container: &crate::common::Container, address: &str| {
            ask_from(container.netns(), "udp", address, 53, port).unwrap_or_default()
        };
        let seen = [OUTSIDE_V4, OUTSIDE_V6].map(|address| ask(&c, address));
        assert_eq!(seen, [UPLINK_V4, UPLINK_V6], "masqueraded");
        let (ok, said) = springline(&lab, options);
        assert!(ok, "{said}");
        drop(c);
        let next = lab.container("next");
        let attached = Attached::new(&lab, &plain, &next);
        let seen = [OUTSIDE_V4, OUTSIDE_V6].map(|address| ask(&next, address));
        // The control: without `--moved` the flow goes on as it was.
        assert_eq!(seen, if is_forgotten { ADDRESSES } else { [UPLINK_V4, UPLINK_V6] }, "{options:?}");
        attached.detach();
    }
}

/// Others' flows go on.
#[test]
fn others_are_remembered() {
    if !ready("others_are_remembered") {
        return;
    }
    let lab = Lab::with_uplink();
    let _server = Server::new(lab.outside(), "udp", 53);
    let other = |keys: &Value| with_addresses(&["10.30.0.8/32"], &merged(&json!({"name": "other"}), keys));
    let (c, d) = (lab.container("c"), lab.container("d"));
    Attached::new(&lab, &network(&json!({"masquerade": true})), &c);
    let hidden = Attached::new(&lab, &other(&json!({"masquerade": true})), &d);
    let ask = || ask_from(d.netns(), "udp", OUTSIDE_V4, 53, 40_000).unwrap_or_default();
    assert_eq!(ask(), UPLINK_V4);
    hidden.detach();
    Attached::new(&lab, &other(&json!({})), &d);
    assert!(springline(&lab, &["detach", "--moved", "n/c"]).0);
    assert_eq!(ask(), UPLINK_V4, "it is remembered still");
}
