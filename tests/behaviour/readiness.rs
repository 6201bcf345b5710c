//! Ready at return: no address that is still being tested, and no first packet that is lost.

use std::process::{Child, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::advertiser::{advertise, advertise_until, can_advertise, learnt_defaults};
use crate::common::{HOST_V4, HOST_V6, Lab, Netns, text_of, tool};
use crate::support::{Attached, Family, bridged, give, with_addresses, with_ranges};

const RANGES: [&str; 2] = ["10.22.0.0/24", "2001:db8:22::/64"];

/// Both modes, every gateway scheme, one family and both.
fn all_kinds() -> Vec<Value> {
    let schemes = [
        json!("link-local"),
        json!("inet6"),
        json!("shared"),
        json!("none"),
        json!({"network": "10.100.10.100/30"}),
        json!({"network": ["10.100.10.100/31", "2001:db8:100::/127"]}),
    ];
    let families = [&RANGES[..], &RANGES[..1], &RANGES[1..]];
    let routed = schemes.iter().flat_map(|scheme| {
        families.map(|subnets| with_ranges(subnets, &json!({"gateway": scheme, "routes": ["10.5.0.0/16"]})))
    });
    routed.chain(families.map(|subnets| bridged(subnets, &json!({})))).collect()
}

/// Addresses that duplicate address detection has not done with, or has turned down.
fn unfinished(netns: &Netns) -> Vec<String> {
    let links = netns.ip_json("-6 address show");
    let infos = links.iter().flat_map(|link| {
        let infos = link["addr_info"].as_array().cloned().unwrap_or_default();
        infos.into_iter().map(|info| (text_of(&link["ifname"]).to_owned(), info))
    });
    let open = infos.filter(|(_, info)| ["tentative", "dadfailed", "optimistic"].iter().any(|flag| info[flag] == true));
    open.map(|(link, info)| format!("{} on {link}", text_of(&info["local"]))).collect()
}

/// After ADD no address is tentative, on either side and whatever the kind; and the kernel adds none by itself.
#[test]
fn nothing_is_tentative() {
    let lab = Lab::new();
    for (number, conf) in all_kinds().iter().enumerate() {
        let c = lab.container(&format!("c{number}"));
        let attached = Attached::new(&lab, conf, &c);
        assert_eq!(unfinished(c.netns()), [""; 0], "inside: {conf}");
        assert_eq!(unfinished(lab.host()), [""; 0], "on the host: {conf}");
        attached.detach();
    }
    let c = lab.container("control");
    let netns = c.path().rsplit('/').next().expect("a name").to_owned();
    lab.host().ip(&format!("link add plain0 type veth peer name eth0 netns {netns}"));
    c.netns().ip("link set eth0 up");
    lab.host().ip("link set plain0 up");
    assert_eq!(unfinished(c.netns()).len(), 1, "the control: a plain link has a tentative address");
}

/// Neither end makes addresses of its own, whatever the kind, and nobody heeds router advertisements of somebody else's:
/// at the other end of a routed link there is nobody but the host.
#[test]
fn autoconfiguration_is_off() {
    let lab = Lab::new();
    lab.host().write_sysctl("net/ipv6/conf/default/accept_ra", "2");
    for (number, conf) in all_kinds().iter().enumerate() {
        let c = lab.container(&format!("c{number}"));
        c.netns().write_sysctl("net/ipv6/conf/default/accept_ra", "2");
        let attached = Attached::new(&lab, conf, &c);
        assert_eq!(attached.inside()["inet6_addr_gen_mode"], "none", "inside: {conf}");
        let outer = if conf["mode"] == "bridged" {
            assert_eq!(accept_ra(c.netns(), "eth0"), "0", "inside: {conf}");
            "br0"
        } else {
            &attached.link
        };
        assert_eq!(accept_ra(lab.host(), outer), "0", "on the host: {conf}");
        for link in [outer, &attached.link] {
            let mode = lab.host().link(link).expect("a link")["inet6_addr_gen_mode"].clone();
            assert_eq!(mode, "none", "{link} on the host: {conf}");
        }
        attached.detach();
    }
}

fn accept_ra(netns: &Netns, link: &str) -> String {
    netns.read_sysctl(&format!("net/ipv6/conf/{link}/accept_ra"))
}

/// The first packet of each family in each direction is answered, twenty times in a row, on a busy machine: four
/// hosts at once.
#[track_caller]
fn assert_first_packets(conf: &Value) {
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..4).map(|_| scope.spawn(|| lost_packets(conf))).collect();
        let lost: Vec<String> = lanes.into_iter().flat_map(|lane| lane.join().expect("no lane panics")).collect();
        assert_eq!(lost, [""; 0], "packets without an answer");
    });
}

/// Twenty containers one after the other that speak first, and twenty that are spoken to. In a virtual machine (`run-in-vm`
/// says so), which may be emulated and ten times as slow, it is five of each.
fn lost_packets(conf: &Value) -> Vec<String> {
    let lab = Lab::new();
    let mut lost = Vec::new();
    let rounds = if std::env::var_os("SPRINGLINE_VM").is_some() { 5 } else { 20 };
    for round in 0..rounds {
        let c = lab.container("c");
        let attached = Attached::new(&lab, conf, &c);
        let pings = [HOST_V6, HOST_V4].map(|address| (address, start_ping(c.netns(), address)));
        lost.extend(unanswered(pings).map(|address| format!("round {round}: from the container to {address}")));
        attached.detach();
        c.restart();
        let attached = Attached::new(&lab, conf, &c);
        let ips = [Family::V6, Family::V4].map(|family| attached.ip(family));
        let pings = ips.each_ref().map(|ip| (ip.as_str(), start_ping(lab.host(), ip)));
        lost.extend(unanswered(pings).map(|address| format!("round {round}: from the host to {address}")));
        attached.detach();
    }
    lost
}

/// One echo request, without waiting for its answer. The kernel repeats a lost neighbour solicitation after a
/// second, so an answer within that time was one to the first packet.
fn start_ping(netns: &Netns, address: &str) -> Child {
    let mut command = netns.command(&tool("ping"));
    command.args(["-n", "-q", "-c1", "-W1", address]).stdout(Stdio::null()).spawn().expect("run ping")
}

fn unanswered(pings: [(&str, Child); 2]) -> impl Iterator<Item = &str> {
    let answered = |mut ping: Child| ping.wait().expect("wait for ping").success();
    pings.into_iter().filter_map(move |(address, ping)| (!answered(ping)).then_some(address))
}

/// `link-local`.
#[test]
fn first_packets_link_local() {
    assert_first_packets(&with_ranges(&RANGES, &json!({})));
}

/// `inet6`.
#[test]
fn first_packets_inet6() {
    assert_first_packets(&with_ranges(&RANGES, &json!({"gateway": "inet6"})));
}

/// `shared`.
#[test]
fn first_packets_shared() {
    assert_first_packets(&with_ranges(&RANGES, &json!({"gateway": "shared"})));
}

/// `interconnect`.
#[test]
fn first_packets_interconnect() {
    let network = json!({"gateway": {"network": ["10.100.10.100/30", "2001:db8:100::/126"]}});
    assert_first_packets(&with_ranges(&RANGES, &network));
}

/// On a bridge, which is new each time.
#[test]
fn first_packets_bridged() {
    assert_first_packets(&bridged(&RANGES, &json!({})));
}

/// A container that sends router advertisements does not become its host's router, whatever its kind; over a plain
/// link it does: that is the control.
#[test]
fn hostile_advertisements() {
    if !can_advertise("hostile_advertisements") {
        return;
    }
    let routed = json!({});
    for conf in [
        with_addresses(&["10.30.0.7/32", "2001:db8:30::7/128"], &routed),
        with_addresses(&["10.30.0.7/32"], &routed),
        with_addresses(&["10.30.0.7/32"], &json!({"gateway": {"network": "10.100.10.100/30"}})),
        with_addresses(&["10.30.0.7/32"], &json!({"gateway": "shared"})),
        bridged(&RANGES, &json!({})),
        bridged(&RANGES[..1], &json!({})),
    ] {
        let lab = Lab::new();
        // A host that heeds advertisements on links that nobody has said anything about.
        lab.host().write_sysctl("net/ipv6/conf/default/accept_ra", "2");
        let (c, control) = (lab.container("c"), lab.container("control"));
        Attached::new(&lab, &conf, &c);
        let netns = control.path().rsplit('/').next().expect("a name").to_owned();
        lab.host().ip(&format!("link add plain0 type veth peer name eth0 netns {netns}"));
        lab.host().ip("link set plain0 up");
        // Or it would advertise from an address of the kernel's making, once that is not tentative any more.
        control.netns().ip("link set eth0 addrgenmode none");
        give(control.netns(), "eth0", &["fe80::66/64"]);
        let own = c.netns().ip_json("-6 address show dev eth0 scope link");
        if own.iter().all(|link| link["addr_info"].as_array().is_none_or(Vec::is_empty)) {
            give(c.netns(), "eth0", &["fe80::66/64"]);
        }
        advertise_until(
            "the control: the host takes its default route from a plain link",
            || {
                advertise(c.netns(), "eth0", Some("2001:db8:66::"));
                advertise(control.netns(), "eth0", None);
            },
            || learnt_defaults(lab.host()).contains(&"via fe80::66 dev plain0".to_owned()),
        );
        advertise(c.netns(), "eth0", Some("2001:db8:66::"));
        assert_eq!(learnt_defaults(lab.host()), ["via fe80::66 dev plain0"], "{conf}");
        let global =
            lab.host().ip_json("-6 address show scope global").iter().map(Value::to_string).collect::<String>();
        assert!(!global.contains("2001:db8:66:"), "an address of the container's making: {conf}");
    }
}
