//! An address that moves to another container on a bridge: neighbours learn it without having to ask.

use serde_json::{Value, json};

use crate::common::{Lab, eventually, text_of};
use crate::ports::plug_in;
use crate::support::{Attached, FAMILIES, Family, bridged, count, counted, give, neighbour};

/// The configuration with both addresses asked for by name.
fn asking(bridge: &Value) -> Value {
    let ips = json!({"runtimeConfig": {"ips": ["10.22.0.77/24", "2001:db8:22::77/64"]}, "bridge": bridge});
    bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &ips)
}

fn mac(attached: &Attached) -> String {
    text_of(&attached.inside()["address"]).to_owned()
}

/// A third namespace on the bridge has talked to the first holder, and says nothing any more: after ADD of the
/// second holder its neighbour entries have the second's MAC.
#[test]
fn neighbours_learn_the_new_holder() {
    let lab = Lab::new();
    let (c1, c2, watcher) = (lab.container("c1"), lab.container("c2"), lab.container("watcher"));
    let first = Attached::new(&lab, &asking(&json!({})), &c1);
    plug_in(&lab, &watcher, "br0");
    give(watcher.netns(), "eth0", &["10.22.0.250/24", "2001:db8:22::fa/64"]);
    eventually("the watcher's port forwards", || watcher.netns().ping("10.22.0.1"));
    for family in FAMILIES {
        assert!(watcher.netns().ping(&first.ip(family)));
        assert_eq!(neighbour(watcher.netns(), &first.ip(family)), Some(mac(&first)), "before: the first holder");
    }
    let old = mac(&first);
    first.detach();
    // The watcher does not ask by itself: its questions from here on are counted.
    let solicitation = "icmpv6 type nd-neighbor-solicit ip6 daddr { 2001:db8:22::77, ff02::1:ff00:77 }";
    count(watcher.netns(), "arp", "output", &["arp operation request arp daddr ip 10.22.0.77"]);
    count(watcher.netns(), "ip6", "output", &[solicitation]);
    let asked = || [counted(watcher.netns(), "arp"), counted(watcher.netns(), "ip6")].concat();
    for family in FAMILIES {
        let ip = first.ip(family);
        watcher.netns().ip(&format!("neighbour replace {ip} lladdr {old} dev eth0 nud stale"));
    }
    let second = Attached::new(&lab, &asking(&json!({})), &c2);
    assert_ne!(mac(&second), old);
    for family in FAMILIES {
        eventually(&format!("the watcher knows the new holder of the {family:?} address"), || {
            neighbour(watcher.netns(), &second.ip(family)) == Some(mac(&second))
        });
    }
    assert_eq!(asked(), [0, 0], "questions of the watcher");
    for family in FAMILIES {
        watcher.netns().ip(&format!("neighbour del {} dev eth0", second.ip(family)));
        assert!(watcher.netns().ping(&second.ip(family)));
    }
    assert_eq!(asked(), [1, 1], "the control: who has no entry asks");
}

/// The host's own neighbour entries on the bridge likewise.
#[test]
fn host_learns_the_new_holder() {
    let lab = Lab::new();
    let (keeper, c1, c2) = (lab.container("keeper"), lab.container("c1"), lab.container("c2"));
    Attached::new(&lab, &bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({})), &keeper);
    let first = Attached::new(&lab, &asking(&json!({})), &c1);
    for family in FAMILIES {
        assert!(lab.host().ping(&first.ip(family)));
        assert_eq!(neighbour(lab.host(), &first.ip(family)), Some(mac(&first)));
    }
    first.detach();
    let second = Attached::new(&lab, &asking(&json!({})), &c2);
    for family in FAMILIES {
        eventually(&format!("the host knows the new holder of the {family:?} address"), || {
            neighbour(lab.host(), &second.ip(family)) == Some(mac(&second))
        });
        assert!(lab.host().ping(&second.ip(family)));
    }
}

/// Where another machine is the gateway, its entry counts: a neighbour on somebody else's bridge reaches the new
/// holder with its first packet.
#[test]
fn neighbours_reach_the_new_holder_at_once() {
    let lab = Lab::new();
    lab.host().ip("link add br0 type bridge");
    lab.host().ip("link set br0 up");
    let (c1, c2, gateway) = (lab.container("c1"), lab.container("c2"), lab.container("gateway"));
    plug_in(&lab, &gateway, "br0");
    give(gateway.netns(), "eth0", &["10.22.0.1/24", "2001:db8:22::1/64"]);
    let first = Attached::new(&lab, &asking(&json!({})), &c1);
    eventually("the gateway's port forwards", || gateway.netns().ping(&first.ip(Family::V4)));
    assert!(gateway.netns().ping(&first.ip(Family::V6)) && c1.netns().ping("10.22.0.1"));
    first.detach();
    let second = Attached::new(&lab, &asking(&json!({})), &c2);
    for family in FAMILIES {
        assert!(gateway.netns().ping(&second.ip(family)), "the first {family:?} packet");
    }
}
