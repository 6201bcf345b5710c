//! Gateway schemes: who reaches whom, with the first packet.

use serde_json::{Value, json};

use crate::common::{Container, HOST_V4, Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6, text_of};
use crate::support::{Attached, FAMILIES, Family, bridged, count, counted, with_addresses, with_ranges};

/// The configuration of the `number`th container under a scheme, which has both families.
type Conf = fn(usize) -> Value;

fn plain(number: usize, gateway: &Value) -> Value {
    let addresses = [format!("10.30.0.{}/32", number + 10), format!("2001:db8:30::{}/128", number + 10)];
    let conf = with_addresses(&[&addresses[0], &addresses[1]], &json!({"gateway": gateway}));
    named(conf, number)
}

/// Every container in a network of its own, for an interconnecting network has one container only.
fn named(mut conf: Value, number: usize) -> Value {
    conf["name"] = json!(format!("n{number}"));
    conf
}

fn link_local(number: usize) -> Value {
    plain(number, &json!("link-local"))
}

fn inet6(number: usize) -> Value {
    plain(number, &json!("inet6"))
}

fn shared(number: usize) -> Value {
    plain(number, &json!("shared"))
}

/// A /30 and a /126 for each container.
fn interconnect(number: usize) -> Value {
    let networks = [format!("10.100.10.{}/30", 4 * number), format!("2001:db8:100::{:x}/126", 4 * number)];
    plain(number, &json!({"network": networks}))
}

/// A /31 and a /127 for each container.
fn point_to_point(number: usize) -> Value {
    let networks = [format!("10.100.10.{}/31", 2 * number), format!("2001:db8:100::{:x}/127", 2 * number)];
    plain(number, &json!({"network": networks}))
}

/// A wide network for each container, the host's address at its end.
fn wide(number: usize) -> Value {
    let networks = [format!("10.{}.0.0/16", 100 + number), format!("2001:db8:{:x}::/64", 0x100 + number)];
    let hosts = [format!("10.{}.255.254", 100 + number), format!("2001:db8:{:x}::ffff", 0x100 + number)];
    let containers = [format!("10.{}.0.1", 100 + number), format!("2001:db8:{:x}::1", 0x100 + number)];
    plain(number, &json!({"network": networks, "host": hosts, "container": containers}))
}

/// Every direction in both families, each with the first packet that the attachment ever carries in that family.
#[track_caller]
fn assert_first_packets(lab: &Lab, conf: Conf) {
    let other = lab.container("other");
    let neighbour = Attached::new(lab, &conf(1), &other);
    let new = || lab.container("c");
    let fresh = |what: &str, ping: &dyn Fn(&Container, &Attached, Family) -> bool| {
        let container = new();
        let attached = Attached::new(lab, &conf(2), &container);
        for family in FAMILIES {
            assert!(ping(&container, &attached, family), "first {family:?} packet: {what}");
        }
        attached.detach();
    };
    let of = |family, v4: &'static str, v6: &'static str| if family == Family::V4 { v4 } else { v6 };
    fresh("out", &|c, _, family| c.netns().ping(of(family, OUTSIDE_V4, OUTSIDE_V6)));
    fresh("to the host", &|c, _, family| c.netns().ping(of(family, UPLINK_V4, UPLINK_V6)));
    fresh("in", &|_, attached, family| lab.outside().ping(&attached.ip(family)));
    fresh("from the host", &|_, attached, family| lab.host().ping(&attached.ip(family)));
    fresh("to a neighbour", &|c, _, family| c.netns().ping(&neighbour.ip(family)));
    fresh("from a neighbour", &|_, attached, family| other.netns().ping(&attached.ip(family)));
    neighbour.detach();
}

#[track_caller]
fn assert_reaches(conf: Conf) {
    let lab = Lab::with_uplink();
    assert_first_packets(&lab, conf);
    // Strict reverse path filtering drops what comes before the route back is there.
    lab.host().write_sysctl("net/ipv4/conf/all/rp_filter", "1");
    assert_first_packets(&lab, conf);
}

/// `link-local`.
#[test]
fn first_packets_link_local() {
    assert_reaches(link_local);
}

/// `inet6`.
#[test]
fn first_packets_inet6() {
    assert_reaches(inet6);
}

/// `shared`.
#[test]
fn first_packets_shared() {
    assert_reaches(shared);
}

/// `interconnect` with /30 and /126.
#[test]
fn first_packets_interconnect() {
    assert_reaches(interconnect);
}

/// `interconnect` with /31 and /127.
#[test]
fn first_packets_point_to_point() {
    assert_reaches(point_to_point);
}

/// `interconnect` with wide networks.
#[test]
fn first_packets_wide() {
    assert_reaches(wide);
}

/// `none`: there is no way out, but to whom the container has a route it can talk.
#[test]
fn none_has_no_way_out() {
    let lab = Lab::with_uplink();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let control = Attached::new(&lab, &link_local(1), &c1);
    assert!(c1.netns().ping(OUTSIDE_V4) && c1.netns().ping(OUTSIDE_V6));
    control.detach();
    let attached = Attached::new(&lab, &plain(2, &json!("none")), &c2);
    assert!(!c2.netns().ping(OUTSIDE_V4) && !c2.netns().ping(OUTSIDE_V6));
    c2.netns().ip(&format!("route add {HOST_V4} dev eth0"));
    assert!(lab.host().ping(&attached.ip(Family::V4)), "the host's way in is there");
}

/// A host that answers ARP only within a subnet (`arp_ignore=2`) has no say in `inet6`, where nobody asks.
#[test]
fn inet6_works_under_arp_ignore() {
    let lab = Lab::with_uplink();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    lab.host().write_sysctl("net/ipv4/conf/all/arp_ignore", "2");
    Attached::new(&lab, &link_local(1), &c1);
    assert!(!c1.netns().ping(OUTSIDE_V4), "the control: link-local needs ARP");
    let attached = Attached::new(&lab, &inet6(2), &c2);
    assert!(c2.netns().ping(OUTSIDE_V4) && c2.netns().ping(OUTSIDE_V6));
    assert!(lab.outside().ping(&attached.ip(Family::V4)));
}

/// Toward the container the host speaks as itself, never as 169.254.0.1, which is nobody's.
#[test]
fn host_speaks_as_itself() {
    let lab = Lab::new();
    for (number, conf) in [link_local, inet6, shared].into_iter().enumerate() {
        let container = lab.container(&format!("c{number}"));
        let attached = Attached::new(&lab, &conf(number), &container);
        count_sources(&container, &[HOST_V4, "169.254.0.1", "255.255.255.254"]);
        let route = lab.host().ip_json(&format!("route get {}", attached.ip(Family::V4)));
        assert_eq!(route[0]["prefsrc"], HOST_V4);
        assert!(lab.host().ping(&attached.ip(Family::V4)));
        assert_eq!(counted(container.netns(), "inet"), [1, 0, 0], "packets from {HOST_V4} and from the gateways");
    }
}

/// With an uplink the host speaks as its uplink does.
#[test]
fn host_speaks_as_its_uplink() {
    let lab = Lab::with_uplink();
    lab.host().ip(&format!("address del {HOST_V4}/32 dev lo"));
    let container = lab.container("c");
    let attached = Attached::new(&lab, &link_local(1), &container);
    count_sources(&container, &[UPLINK_V4, "169.254.0.1"]);
    assert!(lab.host().ping(&attached.ip(Family::V4)));
    assert_eq!(counted(container.netns(), "inet"), [1, 0]);
}

/// In the example the container speaks as its routed address, not as that of the interconnect.
#[test]
fn interconnect_speaks_as_the_routed_address() {
    let lab = Lab::with_uplink();
    lab.outside().ip(&format!("route add 1.2.3.4/32 via {UPLINK_V4}"));
    let container = lab.container("c");
    let conf = with_addresses(&["1.2.3.4/32"], &json!({"gateway": {"network": "10.100.10.100/30"}}));
    Attached::new(&lab, &conf, &container);
    let route = container.netns().ip_json(&format!("route get {OUTSIDE_V4}"));
    assert_eq!((text_of(&route[0]["prefsrc"]), text_of(&route[0]["gateway"])), ("1.2.3.4", "10.100.10.101"));
    assert!(container.netns().ping(OUTSIDE_V4) && lab.outside().ping("1.2.3.4"));
    assert!(lab.host().ping("1.2.3.4") && lab.host().ping("10.100.10.102"));
    assert!(container.netns().ping("10.100.10.101"));
}

/// A container hears nothing of what is broadcast in another, as it would on a bridge.
#[test]
fn containers_share_no_link() {
    let on_a_bridge = bridged(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({}));
    let routed = with_ranges(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({}));
    for (conf, expected) in [(on_a_bridge, [1, 1]), (routed, [0, 0])] {
        let lab = Lab::new();
        let (c1, c2) = (lab.container("c1"), lab.container("c2"));
        Attached::new(&lab, &conf, &c1);
        let second = Attached::new(&lab, &conf, &c2);
        assert!(c1.netns().ping(&second.ip(Family::V4)) && c1.netns().ping(&second.ip(Family::V6)));
        count(c2.netns(), "inet", "input", &["icmp type echo-request", "icmpv6 type echo-request"]);
        c1.netns().shell("ping -n -q -b -I eth0 -c1 -W1 255.255.255.255 >/dev/null 2>&1 || true");
        c1.netns().shell("ping -n -q -I eth0 -c1 -W1 ff02::1 >/dev/null 2>&1 || true");
        assert_eq!(
            counted(c2.netns(), "inet"),
            expected,
            "broadcasts that reach the other container: {}",
            conf["mode"]
        );
    }
}

/// Counts the packets that a container gets from each of `sources`.
fn count_sources(container: &Container, sources: &[&str]) {
    let matches: Vec<String> = sources.iter().map(|source| format!("ip saddr {source}")).collect();
    count(container.netns(), "inet", "input", &matches.iter().map(String::as_str).collect::<Vec<_>>());
}
