//! Neighbour solicitations are multicast: at return, both ends must hear them. The kernel joins the groups and makes
//! the multicast route in work queues of its own; a solicitation that comes earlier is lost, and with it a second.

use std::net::Ipv6Addr;
use std::thread;

use serde_json::{Value, json};

use crate::common::{Lab, Netns, text_of};
use crate::support::{Attached, bridged, with_ranges};

const RANGES: [&str; 2] = ["10.22.0.0/24", "2001:db8:22::/64"];

/// The group to which solicitations for an address go (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (low[6] & 0xff), low[7])
}

/// What a link with IPv6 addresses does not hear yet: no route for multicast, or groups that are not joined.
fn unheard(netns: &Netns, link: &str) -> Vec<String> {
    // The order matters: what is late is looked for first.
    let routes = netns.ip_json("-6 route show table local type multicast");
    let joined = netns.ip_json(&format!("maddress show dev {link}"));
    let joined = joined.iter().flat_map(|found| found["maddr"].as_array().cloned().unwrap_or_default());
    let groups: Vec<String> = joined.map(|group| text_of(&group["address"]).to_owned()).collect();
    let links = netns.ip_json("-6 address show");
    let of_link = links.iter().filter(|found| found["ifname"] == link);
    let infos = of_link.flat_map(|found| found["addr_info"].as_array().cloned().unwrap_or_default());
    let wanted = infos.filter_map(|info| text_of(&info["local"]).parse().ok()).map(solicited_node);
    let missing = wanted.filter(|group| !groups.contains(&group.to_string()));
    let mut late: Vec<String> = missing.map(|group| format!("{link}: group {group}")).collect();
    if !routes.iter().any(|route| route["dst"] == "ff00::/8" && route["dev"] == link) {
        late.push(format!("{link}: route for multicast"));
    }
    late
}

/// Twenty containers one after the other, on four hosts at once: a busy machine is where it shows.
#[track_caller]
fn assert_hears(conf: &Value) {
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..4).map(|_| scope.spawn(|| unheard_in_a_row(conf))).collect();
        let unheard: Vec<String> = lanes.into_iter().flat_map(|lane| lane.join().expect("no lane panics")).collect();
        assert_eq!(unheard, [""; 0]);
    });
}

fn unheard_in_a_row(conf: &Value) -> Vec<String> {
    let lab = Lab::new();
    let mut all = Vec::new();
    for round in 0..20 {
        let c = lab.container("c");
        let attached = Attached::new(&lab, conf, &c);
        let inside = unheard(c.netns(), "eth0");
        let outer = if conf["mode"] == "bridged" { "br0" } else { &attached.link };
        let both = inside.into_iter().chain(unheard(lab.host(), outer));
        all.extend(both.map(|line| format!("round {round}: {line}")));
        attached.detach();
    }
    all
}

/// `link-local`.
#[test]
fn both_ends_hear_link_local() {
    assert_hears(&with_ranges(&RANGES, &json!({})));
}

/// `inet6`, where IPv4 depends on it too.
#[test]
fn both_ends_hear_inet6() {
    assert_hears(&with_ranges(&RANGES[..1], &json!({"gateway": "inet6"})));
}

/// `interconnect`.
#[test]
fn both_ends_hear_interconnect() {
    assert_hears(&with_ranges(&RANGES, &json!({"gateway": {"network": "2001:db8:100::/127"}})));
}

/// A container and its bridge, which is new each time.
#[test]
fn both_ends_hear_bridged() {
    assert_hears(&bridged(&RANGES, &json!({})));
}
