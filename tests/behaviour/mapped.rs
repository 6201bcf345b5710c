//! Port maps: from outside, from the host itself, from the container and from its neighbours, in both families and
//! for every protocol that has ports.

use serde_json::{Value, json};

use crate::common::state::assert_unchanged;
use crate::common::traffic::{Server, ask, ask_from};
use crate::common::{Container, HOST_V4, HOST_V6, Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6};
use crate::support::{Attached, add, bridged, ready, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// A configuration with port maps of one protocol.
fn mapped(conf: &Value, maps: &Value) -> Value {
    let mut conf = conf.clone();
    conf["capabilities"] = json!({"portMappings": true});
    conf["runtimeConfig"] = json!({"portMappings": maps});
    conf
}

fn one_map(protocol: &str) -> Value {
    json!([{"hostPort": 8080, "containerPort": 80, "protocol": protocol}])
}

fn routed() -> Value {
    with_ranges(&SUBNETS, &json!({}))
}

fn on_bridge() -> Value {
    bridged(&SUBNETS, &json!({}))
}

/// Every way in which a port is reached, and that nobody was there before.
#[track_caller]
fn assert_every_path(conf: &Value, protocol: &str) {
    if conf["mode"] == "bridged" {
        // With and without IP's hooks being called for what crosses a bridge.
        for on in ["0", "1"] {
            let lab = lab_with_routes();
            if set_bridge_netfilter(&lab, on) {
                // The kernel takes no packet for ::1 off a link, and with the hooks called so early it is one by then.
                let loopback = if on == "1" { &["127.0.0.1"][..] } else { &["127.0.0.1", "::1"] };
                assert_every_path_in(&lab, conf, protocol, loopback);
            }
        }
        return;
    }
    assert_every_path_in(&lab_with_routes(), conf, protocol, &["127.0.0.1", "::1"]);
}

/// Whether there is such a switch; without the module, frames are not looked at.
pub(crate) fn set_bridge_netfilter(lab: &Lab, value: &str) -> bool {
    let keys = ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"];
    let there = keys.iter().all(|key| std::path::Path::new("/proc/sys").join(key).exists());
    if there {
        for key in keys {
            lab.host().write_sysctl(key, value);
        }
    }
    there || value == "0"
}

#[track_caller]
fn assert_every_path_in(lab: &Lab, conf: &Value, protocol: &str, loopback: &[&str]) {
    let (c, other) = (lab.container("c"), lab.container("other"));
    let neighbour = Attached::new(lab, conf, &other);
    let _server = Server::new(c.netns(), protocol, 80);
    // What is asked before the map is there must not be answered, nor be remembered by it.
    assert_eq!(ask(lab.outside(), protocol, UPLINK_V4, 8080), None, "before");
    let attached = Attached::new(lab, &mapped(conf, &one_map(protocol)), &c);
    let reach = |who: &str, netns, address: &str| {
        let seen = ask(netns, protocol, address, 8080);
        assert!(seen.is_some(), "{protocol} from {who} to {address}: no answer");
        seen.unwrap_or_default()
    };
    for address in [UPLINK_V4, UPLINK_V6] {
        let seen = reach("outside", lab.outside(), address);
        assert!([OUTSIDE_V4, OUTSIDE_V6].contains(&seen.as_str()), "{seen}: the container sees who asks");
        reach("the host", lab.host(), address);
        reach("the container itself", c.netns(), address);
        reach("a neighbour", other.netns(), address);
    }
    for address in [HOST_V4, HOST_V6] {
        reach("outside, to another address of the host", lab.outside(), address);
    }
    // SCTP by hand takes raw sockets, and those of the loopback link hear their own question.
    if protocol != "sctp" {
        for address in loopback {
            reach("the host", lab.host(), address);
            assert_eq!(
                ask(c.netns(), protocol, address, 8080),
                None,
                "the container's own {address} is not the host's"
            );
        }
    }
    attached.detach();
    assert_eq!(ask(lab.outside(), protocol, UPLINK_V4, 8080), None, "after");
    neighbour.detach();
}

/// Outside needs a way back to the host's other addresses.
fn lab_with_routes() -> Lab {
    let lab = Lab::with_uplink();
    lab.outside().ip(&format!("route add {HOST_V4} via {UPLINK_V4}"));
    lab.outside().ip(&format!("-6 route add {HOST_V6} via {UPLINK_V6}"));
    lab
}

#[test]
fn routed_tcp() {
    if ready("routed_tcp") {
        assert_every_path(&routed(), "tcp");
    }
}

#[test]
fn routed_udp() {
    if ready("routed_udp") {
        assert_every_path(&routed(), "udp");
    }
}

#[test]
fn routed_sctp() {
    if ready("routed_sctp") {
        assert_every_path(&routed(), "sctp");
    }
}

#[test]
fn bridged_tcp() {
    if ready("bridged_tcp") {
        assert_every_path(&on_bridge(), "tcp");
    }
}

#[test]
fn bridged_udp() {
    if ready("bridged_udp") {
        assert_every_path(&on_bridge(), "udp");
    }
}

#[test]
fn bridged_sctp() {
    if ready("bridged_sctp") {
        assert_every_path(&on_bridge(), "sctp");
    }
}

/// A gateway by IPv6 only, an interconnecting network, and masquerade beside the map.
#[test]
fn under_other_schemes() {
    if !ready("under_other_schemes") {
        return;
    }
    let schemes = [
        json!({"gateway": "inet6"}),
        json!({"gateway": "shared"}),
        json!({"gateway": {"network": ["10.100.10.100/30", "2001:db8:100::/126"]}}),
        json!({"masquerade": true}),
        json!({"antiSpoof": false}),
    ];
    for keys in schemes {
        let lab = Lab::with_uplink();
        let c = lab.container("c");
        let _server = Server::new(c.netns(), "tcp", 80);
        let conf = with_ranges(&SUBNETS, &keys);
        let attached = Attached::new(&lab, &mapped(&conf, &one_map("tcp")), &c);
        for (who, netns) in [("outside", lab.outside()), ("the host", lab.host()), ("itself", c.netns())] {
            for address in [UPLINK_V4, UPLINK_V6] {
                assert!(ask(netns, "tcp", address, 8080).is_some(), "{keys}: {who} to {address}");
            }
        }
        for address in ["127.0.0.1", "::1"] {
            assert!(ask(lab.host(), "tcp", address, 8080).is_some(), "{keys}: the host to {address}");
        }
        attached.detach();
    }
}

/// A map on one address of the host is not one on the others; one on 127.0.0.1 is for the host alone.
#[test]
fn on_one_address() {
    if !ready("on_one_address") {
        return;
    }
    let lab = lab_with_routes();
    let c = lab.container("c");
    let _server = Server::new(c.netns(), "tcp", 80);
    let maps = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": UPLINK_V4},
        {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"},
        {"hostPort": 8082, "containerPort": 80, "protocol": "tcp", "hostIP": "::"},
    ]);
    let attached = Attached::new(&lab, &mapped(&routed(), &maps), &c);
    let reached = |netns, address: &str, port| ask(netns, "tcp", address, port).is_some();
    assert!(reached(lab.outside(), UPLINK_V4, 8080));
    assert!(!reached(lab.outside(), HOST_V4, 8080), "another address of the host");
    assert!(!reached(lab.outside(), UPLINK_V6, 8080), "the other family");
    assert!(reached(lab.host(), "127.0.0.1", 8081));
    assert!(!reached(lab.outside(), UPLINK_V4, 8081), "127.0.0.1 only");
    assert!(reached(lab.outside(), UPLINK_V6, 8082));
    assert!(!reached(lab.outside(), UPLINK_V4, 8082), ":: is IPv6's");
    attached.detach();
}

/// What merely passes through the host to the same port of somebody else is not touched.
#[test]
fn transit_is_not_for_us() {
    if !ready("transit_is_not_for_us") {
        return;
    }
    let lab = Lab::with_uplink();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let beyond = Attached::new(&lab, &routed(), &other);
    let _true_server = Server::new(other.netns(), "tcp", 8080);
    let through = |netns| ask(netns, "tcp", &beyond.ip(crate::support::Family::V4), 8080);
    assert!(through(lab.outside()).is_some(), "the control");
    let attached = Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &c);
    assert!(through(lab.outside()).is_some(), "from outside, through the host");
    let _outside_server = Server::new(lab.outside(), "tcp", 8080);
    assert!(ask(other.netns(), "tcp", OUTSIDE_V4, 8080).is_some(), "from a container, through the host");
    attached.detach();
    beyond.detach();
}

/// `route_localnet` is for the host: neither the container nor anybody on its link gets at 127.0.0.1 by it.
#[test]
fn loopback_is_the_hosts_alone() {
    if !ready("loopback_is_the_hosts_alone") {
        return;
    }
    for (conf, link) in [(routed(), None), (on_bridge(), Some("br0"))] {
        for keys in [json!({}), json!({"antiSpoof": false})] {
            let lab = Lab::with_uplink();
            let c = lab.container("c");
            let conf = crate::common::cni::merged(&conf, &keys);
            let attached = Attached::new(&lab, &mapped(&conf, &one_map("tcp")), &c);
            let link = link.unwrap_or(&attached.link);
            assert_eq!(lab.host().read_sysctl(&format!("net/ipv4/conf/{link}/route_localnet")), "1", "the control");
            let _server = Server::new(lab.host(), "udp", 53);
            assert!(ask(lab.host(), "udp", "127.0.0.1", 53).is_some(), "the control");
            // The container sends packets for 127.0.0.1 to its gateway.
            c.netns().write_sysctl("net/ipv4/conf/all/route_localnet", "1");
            c.netns().ip("address del 127.0.0.1/8 dev lo");
            let gateway = if link == "br0" { "10.30.0.1" } else { "169.254.0.1" };
            c.netns().ip(&format!("route add 127.0.0.1 via {gateway} dev eth0 onlink"));
            assert_eq!(ask(c.netns(), "udp", "127.0.0.1", 53), None, "{keys}: the host's 127.0.0.1 from a container");
            attached.detach();
        }
    }
}

/// A port that somebody has is refused, with their name, and nothing is changed.
#[test]
fn taken_ports_are_refused() {
    if !ready("taken_ports_are_refused") {
        return;
    }
    let lab = Lab::new();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let first = Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &other);
    let before = lab.host_state();
    let refuse = |maps: &Value, who: &str| {
        let outcome = add(&lab, &mapped(&routed(), maps), &c, "eth0");
        let error = outcome.error().with_code(7);
        assert!(error.text().contains(who), "{maps}: {}", error.text());
        assert_unchanged(&before, &lab.host_state());
    };
    refuse(&one_map("tcp"), "attachment n/other/eth0");
    refuse(&json!([{"hostPort": 8080, "containerPort": 80, "hostIP": HOST_V4}]), "attachment n/other/eth0");
    let server = Server::new(lab.host(), "tcp", 8081);
    refuse(&json!([{"hostPort": 8081, "containerPort": 80}]), "process python3");
    let udp = Server::new(lab.host(), "udp", 8082);
    refuse(&json!([{"hostPort": 8082, "containerPort": 80, "protocol": "udp"}]), "process python3");
    drop((server, udp));
    // Another protocol, and the same port once it is free.
    Attached::new(&lab, &mapped(&routed(), &one_map("udp")), &c).detach();
    let ports =
        json!([{"hostPort": 8081, "containerPort": 80}, {"hostPort": 8082, "containerPort": 80, "protocol": "udp"}]);
    Attached::new(&lab, &mapped(&routed(), &ports), &c).detach();
    first.detach();
    Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &c).detach();
}

/// A map on one address is in the way of one on all.
#[test]
fn one_address_is_in_the_way_of_all() {
    let lab = Lab::new();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let on = |address: &str| json!([{"hostPort": 8080, "containerPort": 80, "hostIP": address}]);
    let first = Attached::new(&lab, &mapped(&routed(), &on(HOST_V4)), &other);
    let error = add(&lab, &mapped(&routed(), &one_map("tcp")), &c, "eth0").error().with_code(7);
    assert!(error.text().contains("attachment n/other/eth0"), "{}", error.text());
    // Beside it, on another address, there is room.
    Attached::new(&lab, &mapped(&routed(), &on("127.0.0.1")), &c).detach();
    first.detach();
}

/// Whoever had the port is dead, and nobody has called DEL: the port is free.
#[test]
fn ports_of_the_dead_are_free() {
    let lab = Lab::new();
    let (c, other) = (lab.container("c"), lab.container("other"));
    Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &other);
    other.kill();
    Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &c).detach();
}

/// A flow of UDP that goes on while the map comes and goes follows it at once.
#[test]
fn flows_of_udp_follow() {
    if !ready("flows_of_udp_follow") {
        return;
    }
    let lab = Lab::with_uplink();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let ask = |netns| ask_from(netns, "udp", UPLINK_V4, 5353, 40000);
    let servers: Vec<(&Container, Server)> =
        [&c, &other].map(|container| (container, Server::new(container.netns(), "udp", 53))).into();
    let map = json!([{"hostPort": 5353, "containerPort": 53, "protocol": "udp"}]);
    // Connection tracking is on by the first map; this question leads to the host, which has no such port.
    let keeper = lab.container("keeper");
    let keeper = Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &keeper);
    assert_eq!(ask(lab.outside()), None);
    for (container, _) in &servers {
        let attached = Attached::new(&lab, &mapped(&routed(), &map), container);
        assert!(ask(lab.outside()).is_some(), "the flow from before leads to {}", container.id);
        attached.detach();
        assert_eq!(ask(lab.outside()), None, "{} is gone", container.id);
    }
    keeper.detach();
}

/// A container with two networks asks for its ports at both: they lead to it by the first.
#[test]
fn two_networks_of_one_container_share_ports() {
    if !ready("two_networks_of_one_container_share_ports") {
        return;
    }
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let _server = Server::new(c.netns(), "tcp", 80);
    let first = Attached::new(&lab, &mapped(&routed(), &one_map("tcp")), &c);
    let mut second = with_ranges(&["10.31.0.0/24"], &json!({"name": "second"}));
    second = mapped(&second, &one_map("tcp"));
    let second = Attached::named(&lab, &second, &c, "eth1");
    assert!(ask(lab.outside(), "tcp", UPLINK_V4, 8080).is_some());
    second.detach();
    assert!(ask(lab.outside(), "tcp", UPLINK_V4, 8080).is_some());
    first.detach();
}

/// The host's other firewalls stay as they are, byte for byte.
#[test]
fn foreign_tables_stay_as_they_are() {
    let lab = Lab::new();
    let c = lab.container("c");
    lab.host().shell(
        "nft 'table ip theirs {
           set s { type ipv4_addr; elements = { 10.30.0.2 }; }
           chain prerouting { type nat hook prerouting priority dstnat; tcp dport 8080 counter redirect to :80; }
           chain forward { type filter hook forward priority filter; policy drop; ip saddr @s counter accept; }
         }'",
    );
    let theirs = || lab.host().shell("nft list table ip theirs");
    let before = theirs();
    let attached =
        Attached::new(&lab, &mapped(&with_ranges(&SUBNETS, &json!({"masquerade": true})), &one_map("tcp")), &c);
    assert_eq!(theirs(), before);
    attached.detach();
    assert_eq!(theirs(), before);
}
