//! Anti-spoofing: what a container sends under a name that is not its own does not arrive; the same packet does
//! where nothing prevents it.

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::traffic::{Ear, arp, digits, ethernet, icmp6, ipv6, octets6, send, udp4, udp6};
use crate::common::{Container, Lab, Netns, OUTSIDE_V4, OUTSIDE_V6, text_of};
use crate::support::{Attached, Family, bridged, ready, with_addresses, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";
const ALL_NODES: &str = "33:33:00:00:00:01";

/// A frame with a mark by which it is heard.
struct Sent {
    what: &'static str,
    frame: String,
    mark: String,
}

impl Sent {
    /// A frame that is told by the octets of its payload.
    fn new(what: &'static str, frame: String) -> Self {
        let mark = frame[28..].to_owned(); // behind the Ethernet header
        Self { what, frame, mark }
    }
}

/// Sends the frames from a container and returns which of them arrive. The last one has to.
#[track_caller]
fn arrived(container: &Container, to: &Netns, link: &str, frames: &[Sent]) -> Vec<&'static str> {
    let marks: Vec<&str> = frames.iter().map(|sent| sent.mark.as_str()).collect();
    let ear = Ear::new(to, link, &marks);
    send(container.netns(), "eth0", &frames.iter().map(|sent| sent.frame.clone()).collect::<Vec<_>>());
    let heard = ear.heard();
    let last = frames.last().expect("a frame");
    assert!(heard.contains(&last.mark), "not even this has arrived: {}", last.what);
    let there = frames.iter().filter(|sent| heard.contains(&sent.mark));
    there.map(|sent| sent.what).filter(|what| *what != last.what).collect()
}

/// Lies that go through the host: IP only, as the outside hears it. The hop count changes under way, so the mark is the
/// payload alone.
fn lies_through_the_host(attached: &Attached<'_>) -> Vec<Sent> {
    let (own, gateway) =
        (text_of(&attached.inside()["address"]).to_owned(), text_of(&attached.outside()["address"]).to_owned());
    let v4 = |what, from: &str, mark: &[u8]| Sent {
        what,
        frame: ethernet(&gateway, &own, 0x0800, &udp4(from, OUTSIDE_V4, mark)),
        mark: digits(mark),
    };
    let v6 = |what, from: &str, mark: &[u8]| Sent {
        what,
        frame: ethernet(&gateway, &own, 0x86dd, &ipv6(from, OUTSIDE_V6, 17, &udp6(mark))),
        mark: digits(mark),
    };
    vec![
        v4("IPv4 of a neighbour", "10.30.0.99", b"<lie-ipv4-neighbour>"),
        v4("IPv4 of the world", "198.51.100.9", b"<lie-ipv4-the-world>"),
        v6("IPv6 of a neighbour", "2001:db8:30::99", b"<lie-ipv6-neighbour>"),
        v6("IPv6 of the world", "2001:db8:eeee::9", b"<lie-ipv6-the-world>"),
        v6("its own IPv6", &attached.ip(Family::V6), b"<the-truth-in-ipv6>"),
        v4("its own IPv4", &attached.ip(Family::V4), b"<the-truth-in-ipv4>"),
    ]
}

/// A routed container's lies get to the outside only where nothing is said against it. Whatever `rp_filter` says: with
/// 2 for all, the kernel believes everything that has a route back.
#[test]
fn through_a_routed_link() {
    if !ready("through_a_routed_link") {
        return;
    }
    for (keys, lies) in [(json!({"antiSpoof": false}), true), (json!({}), false)] {
        let lab = Lab::with_uplink();
        lab.host().write_sysctl("net/ipv4/conf/all/rp_filter", "2");
        let c = lab.container("c");
        let attached = Attached::new(&lab, &with_ranges(&SUBNETS, &keys), &c);
        assert!(c.netns().ping(OUTSIDE_V4) && c.netns().ping(OUTSIDE_V6), "{keys}");
        let arrived = arrived(&c, lab.outside(), "downlink", &lies_through_the_host(&attached));
        let lied: Vec<_> = arrived.iter().filter(|what| !what.starts_with("its own")).collect();
        assert_eq!(lied.len(), if lies { 4 } else { 0 }, "{keys}: {arrived:?}");
        assert!(arrived.contains(&"its own IPv6"), "{keys}: {arrived:?}");
        attached.detach();
    }
}

/// The same from a bridge, through its gateway.
#[test]
fn through_a_bridge() {
    if !ready("through_a_bridge") {
        return;
    }
    for (keys, lies) in [(json!({"antiSpoof": false}), true), (json!({}), false)] {
        let lab = Lab::with_uplink();
        lab.host().write_sysctl("net/ipv4/conf/all/rp_filter", "0");
        let c = lab.container("c");
        let attached = Attached::new(&lab, &bridged(&SUBNETS, &keys), &c);
        let bridge = lab.host().link("br0").expect("the bridge");
        let port = text_of(&attached.outside()["address"]).replace(':', "");
        let frames = lies_through_the_host(&attached).into_iter().map(|sent| {
            let gateway = text_of(&bridge["address"]).replace(':', "");
            Sent { frame: sent.frame.replace(&port, &gateway), ..sent }
        });
        let arrived = arrived(&c, lab.outside(), "downlink", &frames.collect::<Vec<_>>());
        let lied: Vec<_> = arrived.iter().filter(|what| !what.starts_with("its own")).collect();
        assert_eq!(lied.len(), if lies { 4 } else { 0 }, "{keys}: {arrived:?}");
        attached.detach();
    }
}

/// What a container can do to its neighbours on a bridge.
fn lies_on_the_bridge(attached: &Attached<'_>, victim: &Attached<'_>) -> Vec<Sent> {
    let own = text_of(&attached.inside()["address"]).to_owned();
    let (v4, v6) = (attached.ip(Family::V4), attached.ip(Family::V6));
    let (their_v4, their_v6) = (victim.ip(Family::V4), victim.ip(Family::V6));
    let none = "00:00:00:00:00:00";
    let frame = |kind, payload: String| ethernet(BROADCAST, &own, kind, &payload);
    let nd = |kind: u8, from: &str, target: &str| {
        let body = [&[0x20, 0, 0, 0][..], &octets6(target)].concat();
        ethernet(ALL_NODES, &own, 0x86dd, &ipv6(from, "ff02::1", 58, &icmp6(kind, &body)))
    };
    let router = icmp6(134, &[64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0]);
    let redirect = icmp6(137, &[&[0; 4][..], &octets6("fe80::bad"), &octets6("2001:db8::7")].concat());
    let link_local = |text: &str| ipv6(text, "ff02::1", 58, &router);
    let tagged = format!("00070800{}", udp4(&their_v4, "10.30.0.255", b"<lie-in-a-vlan>"));
    vec![
        Sent::new("ARP answer for another", frame(0x0806, arp(2, (&own, &their_v4), (none, &v4)))),
        Sent::new("ARP request of another", frame(0x0806, arp(1, (&own, &their_v4), (none, "10.30.0.1")))),
        Sent::new("ARP with another MAC", frame(0x0806, arp(2, ("02:00:00:00:00:99", &v4), (none, "10.30.0.1")))),
        Sent::new("ARP probe for another", frame(0x0806, arp(1, (&own, "0.0.0.0"), (none, &their_v4)))),
        Sent::new("IPv4 of another", frame(0x0800, udp4(&their_v4, "10.30.0.255", b"<lie>"))),
        Sent::new("IPv6 of another", frame(0x86dd, ipv6(&their_v6, "ff02::1", 17, &udp6(b"<lie>")))),
        Sent::new("neighbour advertisement for another", nd(136, &v6, &their_v6)),
        Sent::new("neighbour solicitation from ::", nd(135, "::", &their_v6)),
        Sent::new("router advertisement", frame(0x86dd, link_local("fe80::1"))),
        Sent::new("router advertisement from its own address", frame(0x86dd, link_local(&v6))),
        Sent::new("redirect", frame(0x86dd, ipv6(&v6, "ff02::1", 58, &redirect))),
        Sent::new(
            "IPv4 with another MAC",
            ethernet(BROADCAST, "02:00:00:00:00:99", 0x0800, &udp4(&v4, "10.30.0.255", b"<mac>")),
        ),
        Sent { what: "IPv4 in a VLAN", frame: frame(0x8100, tagged), mark: digits(b"<lie-in-a-vlan>") },
        Sent::new("its own neighbour advertisement", nd(136, &v6, &v6)),
        Sent::new("its own neighbour solicitation from ::", nd(135, "::", &v6)),
        Sent::new("its own ARP probe", frame(0x0806, arp(1, (&own, "0.0.0.0"), (none, &v4)))),
        Sent::new("its own IPv6", frame(0x86dd, ipv6(&v6, "ff02::1", 17, &udp6(b"<truth>")))),
        Sent::new("its own ARP", frame(0x0806, arp(1, (&own, &v4), (none, "10.30.0.1")))),
        Sent::new("its own IPv4", frame(0x0800, udp4(&v4, "10.30.0.255", b"<truth>"))),
    ]
}

#[test]
fn on_a_bridge() {
    if !ready("on_a_bridge") {
        return;
    }
    for (keys, lies) in [(json!({"antiSpoof": false}), true), (json!({}), false)] {
        let lab = Lab::new();
        let (c, other) = (lab.container("c"), lab.container("other"));
        let conf = bridged(&SUBNETS, &keys);
        let victim = Attached::new(&lab, &conf, &other);
        let attached = Attached::new(&lab, &conf, &c);
        let frames = lies_on_the_bridge(&attached, &victim);
        let expected: Vec<&str> =
            frames.iter().map(|sent| sent.what).filter(|what| lies || what.starts_with("its own")).collect();
        let arrived = arrived(&c, other.netns(), "eth0", &frames);
        assert_eq!(arrived, expected[..expected.len() - 1], "{keys}");
        assert!(c.netns().ping(&victim.ip(Family::V4)) && c.netns().ping(&victim.ip(Family::V6)), "{keys}");
        attached.detach();
        victim.detach();
    }
}

/// Without `ipam` a container's addresses are its own affair: its MAC is not, nor is who the router is.
#[test]
fn on_a_bridge_with_addresses_of_its_own() {
    if !ready("on_a_bridge_with_addresses_of_its_own") {
        return;
    }
    let lab = Lab::new();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let conf = crate::support::network(&json!({"mode": "bridged", "bridge": {"name": "br0"}}));
    let (victim, attached) = (Attached::new(&lab, &conf, &other), Attached::new(&lab, &conf, &c));
    let own = text_of(&attached.inside()["address"]).to_owned();
    let router = ipv6("fe80::1", "ff02::1", 58, &icmp6(134, &[64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0]));
    let packet = |mark: &[u8]| udp4("10.30.0.5", "10.30.0.255", mark);
    let frames = [
        Sent::new("router advertisement", ethernet(ALL_NODES, &own, 0x86dd, &router)),
        Sent::new("another MAC", ethernet(BROADCAST, "02:00:00:00:00:99", 0x0800, &packet(b"<lie>"))),
        Sent::new("its own MAC", ethernet(BROADCAST, &own, 0x0800, &packet(b"<truth>"))),
    ];
    assert_eq!(arrived(&c, other.netns(), "eth0", &frames), [] as [&str; 0]);
    attached.detach();
    victim.detach();
}

/// On a routed link, ARP that claims an address of somebody else's is not even heard by the host: nobody becomes its
/// neighbour by that.
#[test]
fn arp_on_a_routed_link() {
    if !ready("arp_on_a_routed_link") {
        return;
    }
    for (keys, lies) in [(json!({"antiSpoof": false}), true), (json!({}), false)] {
        let lab = Lab::new();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &with_addresses(&["10.30.0.7/32"], &keys), &c);
        lab.host().write_sysctl(&format!("net/ipv4/conf/{}/arp_accept", attached.link), "1");
        lab.host().ip(&format!("route add 10.30.0.0/24 dev {}", attached.link));
        let own = text_of(&attached.inside()["address"]).to_owned();
        let claim = |address: &str| ethernet(BROADCAST, &own, 0x0806, &arp(1, (&own, address), (BROADCAST, address)));
        send(c.netns(), "eth0", &[claim("10.30.0.99"), claim("10.30.0.7")]);
        let neighbours = || lab.host().ip(&format!("neigh show dev {}", attached.link));
        crate::common::eventually("the host knows its own container", || neighbours().contains("10.30.0.7 "));
        assert_eq!(neighbours().contains("10.30.0.99 "), lies, "{keys}: {}", neighbours());
        attached.detach();
    }
}

/// Two networks of one container answer for each other: its routes decide by which link an answer leaves. With one of
/// them gone, its address is a stranger's.
#[test]
fn addresses_of_the_containers_other_networks() {
    if !ready("addresses_of_the_containers_other_networks") {
        return;
    }
    let subnet = |number: u8| format!("10.{number}.0.0/24");
    let routed = |name: &str, number| with_ranges(&[&subnet(number)], &json!({"name": name}));
    let on_bridge = |name: &str, number| bridged(&[&subnet(number)], &json!({"name": name}));
    for [first, second] in [
        [routed("a", 31), routed("b", 32)],
        [routed("a", 31), on_bridge("b", 32)],
        [on_bridge("a", 31), routed("b", 32)],
    ] {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let first = Attached::new(&lab, &first, &c);
        let second_conf: &Value = &second;
        let second = Attached::named(&lab, second_conf, &c, "eth1");
        let foreign = second.ip(Family::V4);
        assert!(lab.outside().ping(&foreign), "asked by the second, answered by the first");
        second.detach();
        let own = text_of(&first.inside()["address"]).to_owned();
        let gateway = match lab.host().link("br0") {
            Some(bridge) => text_of(&bridge["address"]).to_owned(),
            None => text_of(&first.outside()["address"]).to_owned(),
        };
        let packet = |from: &str, mark: &[u8]| Sent {
            what: "a packet",
            frame: ethernet(&gateway, &own, 0x0800, &udp4(from, OUTSIDE_V4, mark)),
            mark: digits(mark),
        };
        let frames = [
            Sent { what: "from the address that is gone", ..packet(&foreign, b"<of-the-second>") },
            packet(&first.ip(Family::V4), b"<of-the-first>"),
        ];
        assert_eq!(arrived(&c, lab.outside(), "downlink", &frames), [] as [&str; 0]);
        // Attached again, it is known again; and the other may go first.
        let again = Attached::named(&lab, second_conf, &c, "eth1");
        assert!(lab.outside().ping(&again.ip(Family::V4)));
        first.detach();
        again.detach();
        let left = lab.host().shell("nft list ruleset | grep -c 10.3[12] || true");
        assert_eq!(left.trim(), "0");
    }
}

/// What is allowed is known by the link's name, before the link is there and after it is gone: nothing of it stays.
#[test]
fn nothing_stays_when_the_link_is_long_gone() {
    let lab = Lab::new();
    for conf in
        [with_ranges(&SUBNETS, &json!({"masquerade": true})), bridged(&SUBNETS, &merged(&json!({}), &json!({})))]
    {
        let idle = lab.host_state();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        c.kill();
        crate::common::eventually("the link is gone", || lab.host().link(&attached.link).is_none());
        assert!(lab.host().shell("nft list ruleset").contains(&attached.link), "the elements are still there");
        attached.detach();
        crate::common::state::assert_unchanged(&idle, &lab.host_state());
    }
}
