//! Bridges: made on first use, shared, left as they were found, and gone with their last container.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::cni::Plugin;
use crate::common::state::assert_unchanged;
use crate::common::{Container, HOST_V4, HOST_V6, Lab, Netns, eventually, text_of};
use crate::support::{Attached, FAMILIES, Family, addresses, assert_refused, bridged, give};

const RANGES: [&str; 2] = ["10.22.0.0/24", "2001:db8:22::/64"];

fn usual() -> Value {
    bridged(&RANGES, &json!({}))
}

/// The ports of a bridge.
fn ports(netns: &Netns, bridge: &str) -> BTreeSet<String> {
    let links = netns.ip_json("link show");
    links.iter().filter(|link| link["master"] == bridge).map(|link| text_of(&link["ifname"]).to_owned()).collect()
}

/// First use makes the bridge with the gateway of each range and its own link-local address; the last container
/// takes it away.
#[test]
fn made_on_first_use() {
    let lab = Lab::new();
    let before = lab.host_state();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let first = Attached::new(&lab, &usual(), &c1);
    let bridge = lab.host().link("br0").expect("the bridge");
    assert_eq!((&bridge["ifalias"], &bridge["group"]), (&json!("springline:bridge"), &json!("171")));
    assert_eq!((&bridge["linkinfo"]["info_kind"], &bridge["operstate"]), (&json!("bridge"), &json!("UP")));
    let found = addresses(lab.host(), "br0");
    assert_eq!(found[..2], ["10.22.0.1/24 brd 10.22.0.255 scope global", "2001:db8:22::1/64 scope global nodad"]);
    assert!(
        found.len() == 3 && found[2].starts_with("fe80::") && found[2].ends_with("/64 scope link nodad"),
        "{found:?}"
    );
    let second = Attached::new(&lab, &usual(), &c2);
    assert_eq!(ports(lab.host(), "br0"), BTreeSet::from([first.link.clone(), second.link.clone()]));
    assert_eq!(addresses(lab.host(), "br0"), found);
    first.detach();
    assert!(c2.netns().ping("10.22.0.1") && c2.netns().ping("2001:db8:22::1"));
    second.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// The container's side: addresses with the subnet's length, the gateway as its way out, and nothing on the port.
#[test]
fn sides_of_a_port() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &usual(), &c);
    let mac = text_of(&attached.inside()["address"]).to_owned();
    let local = format!("{}/64 scope link nodad", link_local(&mac));
    attached.assert_is(
        (&[], &[]),
        (
            &["10.22.0.2/24 brd 10.22.0.255 scope global", "2001:db8:22::2/64 scope global nodad", &local],
            &["default via 10.22.0.1 proto static", "default via 2001:db8:22::1 metric 1024 proto static"],
        ),
    );
    assert!(c.netns().ping(HOST_V4) && c.netns().ping(HOST_V6));
}

/// The link-local address that the kernel makes of a MAC (RFC 4291, appendix A).
fn link_local(mac: &str) -> std::net::Ipv6Addr {
    let bytes: Vec<u16> = mac.split(':').map(|byte| u16::from_str_radix(byte, 16).expect("a MAC")).collect();
    let pair = |high: u16, low: u16| high << 8 | low;
    let groups = [pair(bytes[0] ^ 2, bytes[1]), pair(bytes[2], 0xff), pair(0xfe, bytes[3]), pair(bytes[4], bytes[5])];
    [0xfe80, 0, 0, 0, groups[0], groups[1], groups[2], groups[3]].into()
}

/// The MAC does not follow the ports that come and go, lower and higher ones: else everybody's neighbour entry of
/// the gateway would be wrong.
#[test]
fn mac_is_stable() {
    let lab = Lab::new();
    let mac = || text_of(&lab.host().link("br0").expect("the bridge")["address"]).to_owned();
    let containers: Vec<Container> = (0..4).map(|number| lab.container(&format!("c{number}"))).collect();
    let keeper = Attached::new(&lab, &usual(), &containers[0]);
    let first = mac();
    let others: Vec<Attached> = containers[1..].iter().map(|c| Attached::new(&lab, &usual(), c)).collect();
    assert_eq!(mac(), first);
    lab.host().ip("link add low0 address 02:00:00:00:00:01 type veth peer name low1");
    lab.host().ip("link set low0 master br0 up");
    assert_eq!(mac(), first, "a stranger's port with a low MAC");
    lab.host().ip("link del low0");
    others.iter().for_each(Attached::detach);
    assert_eq!(mac(), first);
    keeper.detach();
    assert!(lab.host().link("br0").is_none());
    Attached::new(&lab, &usual(), &containers[0]);
    assert_eq!(mac(), first, "the bridge's second life");
}

/// Several containers at once on first use: all are attached, to one bridge, and reach each other.
#[test]
fn several_at_once() {
    let lab = Lab::new();
    let before = lab.host_state();
    let conf = usual();
    let containers: Vec<Container> = (0..8).map(|number| lab.container(&format!("c{number}"))).collect();
    let cni = lab.cni(Plugin::Bridged);
    let running: Vec<_> = containers.iter().map(|c| cni.call("ADD").of(c, "eth0").conf(&conf).spawn()).collect();
    let results: Vec<Value> = running.into_iter().map(|call| call.finish().result()).collect();
    let pairs = containers.iter().zip(results);
    let attached: Vec<Attached> = pairs.map(|(c, result)| Attached::of(&lab, &conf, c, "eth0", result)).collect();
    assert_eq!(ports(lab.host(), "br0").len(), 8);
    assert_eq!(addresses(lab.host(), "br0").len(), 3);
    for family in FAMILIES {
        let all: BTreeSet<String> = attached.iter().map(|one| one.ip(family)).collect();
        assert_eq!(all.len(), 8, "{all:?}");
        assert!(all.iter().all(|ip| lab.host().ping(ip)));
        assert!(containers[7].netns().ping(&attached[0].ip(family)));
    }
    let running: Vec<_> = containers.iter().map(|c| cni.call("DEL").of(c, "eth0").conf(&conf).spawn()).collect();
    for call in running {
        call.finish().silent();
    }
    assert_unchanged(&before, &lab.host_state());
}

/// A bridge that was there is left as it is: its MTU, its MAC, its addresses; and it stays.
#[test]
fn found_is_left_as_it_is() {
    let lab = Lab::new();
    lab.host().ip("link add br0 address 02:00:00:00:00:99 type bridge");
    lab.host().ip("link set br0 mtu 9000"); // by a later message: the kernel keeps only such an MTU
    give(lab.host(), "br0", &["10.22.0.250/24", "192.0.2.1/24", "2001:db8:22::fa/64"]);
    let before = lab.host_state();
    for conf in [usual(), bridged(&RANGES, &json!({"mtu": 1400}))] {
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        assert_unchanged(&before.about("br0"), &lab.host_state().about("br0"));
        assert!(c.netns().ping("10.22.0.250") && c.netns().ping("2001:db8:22::fa"));
        attached.detach();
        assert_unchanged(&before, &lab.host_state());
    }
}

/// Jumbo frames stay: a container takes the bridge's MTU, or less, and the bridge keeps its own.
#[test]
fn mtu_is_never_lowered() {
    let lab = Lab::new();
    lab.host().ip("link add br0 mtu 9000 type bridge");
    lab.host().ip("link set br0 up");
    lab.host().ip("link add old0 mtu 9000 type veth peer name old1");
    lab.host().ip("link set old0 master br0 up");
    let mtu = || lab.host().link("br0").expect("the bridge")["mtu"].as_u64().expect("an MTU");
    assert_eq!(mtu(), 9000);
    for (keys, inside) in [(json!({}), 9000), (json!({"mtu": "auto"}), 9000), (json!({"mtu": 1400}), 1400)] {
        let c = lab.container(&format!("c{inside}"));
        let attached = Attached::new(&lab, &bridged(&["10.22.0.0/24"], &keys), &c);
        assert_eq!((mtu(), attached.inside()["mtu"].as_u64()), (9000, Some(inside)), "{keys}");
        attached.detach();
        assert_eq!(mtu(), 9000, "after {keys}");
    }
    let c = lab.container("c");
    assert_refused(&lab, &bridged(&["10.22.0.0/24"], &json!({"mtu": 9001})), &c, 7, &["9001", "9000"]);
    lab.host().ip("link add low0 mtu 1300 type veth peer name low1");
    lab.host().ip("link set low0 master br0 up");
    eventually("the control: a port of the usual kind lowers the MTU of its bridge", || mtu() == 1300);
}

/// Nor when the container was the bridge's only port. (The MTU is set by a message of its own: one that was only given
/// at creation is the kernel's to change when the last port leaves, and back to 1500 it goes.)
#[test]
fn mtu_of_an_empty_bridge() {
    let lab = Lab::new();
    lab.host().ip("link add br0 address 02:00:00:00:00:99 type bridge");
    lab.host().ip("link set br0 mtu 9000 up");
    let c = lab.container("c");
    let attached = Attached::new(&lab, &bridged(&["10.22.0.0/24"], &json!({})), &c);
    assert_eq!(lab.host().link("br0").expect("the bridge")["mtu"], 9000);
    attached.detach();
    assert_eq!(lab.host().link("br0").expect("the bridge")["mtu"], 9000);
}

/// With the spanning tree protocol on, a bridge has no carrier for half a minute: that is not waited for.
#[test]
fn spanning_tree_is_not_waited_for() {
    let lab = Lab::new();
    lab.host().ip("link add br0 type bridge stp_state 1");
    lab.host().ip("link set br0 up");
    let c = lab.container("c");
    let attached = Attached::new(&lab, &bridged(&["10.22.0.0/24"], &json!({})), &c);
    assert_eq!(attached.inside()["operstate"], "UP");
}

/// On a bridge of springline's own likewise: the second container's MTU is not everybody's.
#[test]
fn mtu_of_an_own_bridge() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let first = Attached::new(&lab, &bridged(&["10.22.0.0/24"], &json!({"mtu": 1450})), &c1);
    let second = Attached::new(&lab, &bridged(&["10.22.0.0/24"], &json!({"mtu": 1350})), &c2);
    let bridge = lab.host().link("br0").expect("the bridge");
    assert_eq!((&bridge["mtu"], &first.inside()["mtu"]), (&json!(1450), &json!(1450)));
    assert_eq!(second.inside()["mtu"], 1350);
}

/// A stranger's bridge gets the gateway only if that is asked for; then the address goes and the bridge stays.
#[test]
fn gateway_on_a_strangers_bridge() {
    let lab = Lab::new();
    lab.host().ip("link add br0 address 02:00:00:00:00:99 type bridge");
    lab.host().ip("link set br0 up");
    let before = lab.host_state();
    let global = || lab.host().addresses("br0");
    for (gateway, expected) in [
        (json!({}), &[][..]),
        (json!({"bridge": {"gateway": false}}), &[]),
        (json!({"bridge": {"gateway": true}}), &["10.22.0.1/24", "2001:db8:22::1/64"]),
    ] {
        let c = lab.container("c");
        let attached = Attached::new(&lab, &bridged(&RANGES, &gateway), &c);
        assert_eq!(global(), expected, "{gateway}");
        attached.detach();
        assert_unchanged(&before, &lab.host_state());
    }
}

/// A gateway address that the stranger had already is used, and stays.
#[test]
fn gateway_that_was_there() {
    let lab = Lab::new();
    lab.host().ip("link add br0 address 02:00:00:00:00:99 type bridge");
    give(lab.host(), "br0", &["10.22.0.1/24"]);
    let before = lab.host_state();
    let c = lab.container("c");
    let conf = bridged(&["10.22.0.0/24"], &json!({"bridge": {"gateway": true}}));
    let attached = Attached::new(&lab, &conf, &c);
    assert!(c.netns().ping("10.22.0.1") && c.netns().ping(HOST_V4));
    assert_unchanged(&before.about("br0"), &lab.host_state().about("br0"));
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// An own bridge without a gateway has none, and containers still reach each other.
#[test]
fn gateway_may_be_left_out() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let conf = bridged(&RANGES, &json!({"bridge": {"gateway": false}}));
    Attached::new(&lab, &conf, &c1);
    let second = Attached::new(&lab, &conf, &c2);
    assert_eq!(lab.host().addresses("br0"), [""; 0]);
    assert!(c1.netns().ping(&second.ip(Family::V4)) && c1.netns().ping(&second.ip(Family::V6)));
}

/// Two networks on one bridge: each gateway goes with its own last container, the bridge with the last of all.
#[test]
fn two_networks_on_one_bridge() {
    let lab = Lab::new();
    let before = lab.host_state();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let first = Attached::new(&lab, &usual(), &c1);
    let second = Attached::new(&lab, &bridged(&["10.33.0.0/24"], &json!({"name": "other"})), &c2);
    assert!(c1.netns().ping(&second.ip(Family::V4)), "by way of the host");
    first.detach();
    assert_eq!(lab.host().addresses("br0"), ["10.33.0.1/24"]);
    assert!(c2.netns().ping("10.33.0.1"));
    second.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// An own bridge stays as long as a stranger's port is on it, and goes with the next last container.
#[test]
fn own_bridge_with_a_strangers_port() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &usual(), &c);
    lab.host().ip("link add port0 type veth peer name port1");
    lab.host().ip("link set port0 master br0 up");
    attached.detach();
    assert_eq!(ports(lab.host(), "br0"), BTreeSet::from(["port0".to_owned()]), "the stranger's port stays");
    lab.host().ip("link del port0");
    let again = Attached::new(&lab, &usual(), &c);
    assert!(c.netns().ping("10.22.0.1"));
    again.detach();
    assert!(lab.host().link("br0").is_none());
}
