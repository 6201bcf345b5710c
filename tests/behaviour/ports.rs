//! Ports of a bridge: isolation, hairpin, VLAN membership, and ports that get no address from springline.

use std::path::Path;

use serde_json::{Value, json};

use crate::advertiser::{advertise, advertise_until, can_advertise};
use crate::common::cni::merged;
use crate::common::{Container, Lab, eventually, text_of, tool};
use crate::support::{Attached, FAMILIES, Family, addresses, bridged, count, counted, give, network, not_run, routes};

const RANGES: [&str; 2] = ["10.22.0.0/24", "2001:db8:22::/64"];

/// Without isolation the same containers reach each other: the control.
#[test]
fn isolated_ports() {
    let lab = Lab::new();
    for isolated in [false, true] {
        let conf = bridged(&RANGES, &json!({"bridge": {"isolated": isolated}}));
        let (c1, c2) = (lab.container("c1"), lab.container("c2"));
        let (first, second) = (Attached::new(&lab, &conf, &c1), Attached::new(&lab, &conf, &c2));
        for attached in [&first, &second] {
            assert_eq!(attached.outside()["linkinfo"]["info_slave_data"]["isolated"], isolated);
        }
        for family in FAMILIES {
            assert_eq!(c1.netns().ping(&second.ip(family)), !isolated, "{family:?}, isolated: {isolated}");
            assert!(lab.host().ping(&second.ip(family)), "the host reaches both");
        }
        for gateway in ["10.22.0.1", "2001:db8:22::1"] {
            assert!(c1.netns().ping(gateway) && c2.netns().ping(gateway), "both reach the gateway {gateway}");
        }
        first.detach();
        second.detach();
    }
}

/// Isolated containers reach a port that is not isolated.
#[test]
fn isolated_ports_reach_others() {
    let lab = Lab::new();
    let c = lab.container("c");
    Attached::new(&lab, &bridged(&RANGES, &json!({"bridge": {"isolated": true}})), &c);
    let neighbour = lab.container("neighbour");
    plug_in(&lab, &neighbour, "br0");
    give(neighbour.netns(), "eth0", &["10.22.0.250/24", "2001:db8:22::fa/64"]);
    eventually("the neighbour's port forwards", || neighbour.netns().ping("10.22.0.1"));
    assert!(c.netns().ping("10.22.0.250") && c.netns().ping("2001:db8:22::fa"));
}

/// `hairpin` sets the port's flag: a container then gets back what it sends to itself by way of the bridge.
#[test]
fn hairpin() {
    let lab = Lab::new();
    for hairpin in [false, true] {
        let conf = bridged(&RANGES, &json!({"bridge": {"hairpin": hairpin}}));
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        assert_eq!(attached.outside()["linkinfo"]["info_slave_data"]["hairpin"], hairpin);
        // Unknown to everybody, so flooded: an ARP request of which only the hairpin brings the echo.
        count(c.netns(), "arp", "input", &[&format!("arp saddr ip {}", attached.ip(Family::V4))]);
        c.netns().shell("ping -n -q -c1 -W1 10.22.0.77 >/dev/null 2>&1 || true");
        assert_eq!(counted(c.netns(), "arp") != [0], hairpin, "hears its own broadcast");
        attached.detach();
    }
}

/// On a bridge that filters VLANs the port is in the VLAN that new ports are in, as any port would be.
#[test]
fn vlan_filtering_bridge() {
    let lab = Lab::new();
    let mut command = lab.host().command(&tool("ip"));
    let made = command.args("link add br0 type bridge vlan_filtering 1 vlan_default_pvid 5".split(' ')).output();
    let made = made.expect("run ip");
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr).trim().replace('\n', "; ");
        return not_run("vlan_filtering_bridge", &format!("this kernel's bridges do not filter VLANs ({why})"));
    }
    lab.host().ip("link set br0 up");
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let conf = bridged(&RANGES, &json!({"bridge": {"gateway": true}}));
    let first = Attached::new(&lab, &conf, &c1);
    let second = Attached::new(&lab, &conf, &c2);
    let bridge = Path::new("/usr/sbin/bridge");
    let output = lab.host().command(bridge).args(["-j", "vlan", "show"]).output().expect("run bridge");
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).expect("bridge prints JSON");
    let of = |link: &str| listed.iter().find(|entry| entry["ifname"] == link).expect("the port's VLANs").clone();
    assert_eq!(of(&first.link)["vlans"][0]["vlan"], 5);
    assert!(c1.netns().ping(&second.ip(Family::V4)) && c1.netns().ping("10.22.0.1"));
}

/// Without `ipam` the container gets a port and nothing more: the link is up, the kernel makes its link-local
/// address as ever, and nothing is forbidden.
#[test]
fn port_without_addresses() {
    let lab = Lab::new();
    for ipam in [json!(null), json!({})] {
        let conf = network(&json!({"mode": "bridged", "bridge": {"name": "br0"}, "ipam": ipam}));
        let c = lab.container("c");
        let usual = c.netns().read_sysctl("net/ipv6/conf/default/accept_ra");
        let attached = Attached::new(&lab, &conf, &c);
        assert_eq!(attached.inside()["operstate"], "UP");
        assert_eq!(attached.inside()["inet6_addr_gen_mode"], "eui64");
        assert_eq!(c.netns().addresses("eth0"), [""; 0]);
        assert_eq!(routes(c.netns(), "eth0"), [""; 0]);
        assert_eq!(attached.result["ips"].as_array().map_or(0, Vec::len), 0);
        assert_eq!(c.netns().read_sysctl("net/ipv6/conf/eth0/accept_ra"), usual);
        eventually("the kernel makes a link-local address", || {
            let found = addresses(c.netns(), "eth0");
            found.len() == 1 && found[0].starts_with("fe80::")
        });
        assert_eq!(lab.host().addresses("br0"), [""; 0]);
        attached.detach();
        assert!(lab.host().link("br0").is_none());
    }
}

/// Such a port takes its addresses from a router's advertisements; with `ipam` the same advertisement does nothing.
#[test]
fn autoconfiguration() {
    if !can_advertise("autoconfiguration") {
        return;
    }
    let lab = Lab::new();
    let (plain, addressed, router) = (lab.container("plain"), lab.container("addressed"), lab.container("router"));
    let conf = json!({"mode": "bridged", "bridge": {"name": "br0"}});
    Attached::new(&lab, &network(&conf), &plain);
    Attached::new(&lab, &bridged(&["10.22.0.0/24"], &json!({"name": "other"})), &addressed);
    let before = addresses(addressed.netns(), "eth0");
    router.netns().write_sysctl("net/ipv6/conf/all/forwarding", "1");
    plug_in(&lab, &router, "br0");
    router.netns().ip("link set eth0 addrgenmode none"); // or it may speak from another one
    give(router.netns(), "eth0", &["fe80::99/64"]);
    let takes_it = |address: &String| address.starts_with("2001:db8:99:");
    advertise_until(
        "the plain port takes an address of the advertised network",
        || advertise(router.netns(), "eth0", Some("2001:db8:99::")),
        || plain.netns().addresses("eth0").iter().any(takes_it),
    );
    let default = plain.netns().ip_json("-6 route show default");
    assert_eq!(text_of(&default[0]["gateway"]), "fe80::99");
    assert_eq!(addresses(addressed.netns(), "eth0"), before);
    assert_eq!(addressed.netns().ip_json("-6 route show default").len(), 0);
}

/// A container's own MTU does not stop the host's end from carrying what the bridge does.
#[test]
fn port_has_the_bridges_mtu() {
    let lab = Lab::new();
    lab.host().ip("link add br0 type bridge");
    lab.host().ip("link set br0 mtu 9000 up");
    let c = lab.container("c");
    let attached = Attached::new(&lab, &bridged(&RANGES, &json!({"mtu": 1400})), &c);
    assert_eq!((&attached.outside()["mtu"], &attached.inside()["mtu"]), (&json!(9000), &json!(1400)));
}

/// Settings of one container's port are its own.
#[test]
fn ports_differ() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let basis = bridged(&["10.22.0.0/24"], &json!({}));
    let other = merged(
        &basis,
        &json!({"name": "other", "bridge": {"isolated": true, "hairpin": true},
        "ipam": {"ranges": [[{"subnet": "10.22.0.0/24", "rangeStart": "10.22.0.100"}]]}}),
    );
    let (first, second) = (Attached::new(&lab, &basis, &c1), Attached::new(&lab, &other, &c2));
    let flags = |attached: &Attached| {
        let data = attached.outside()["linkinfo"]["info_slave_data"].clone();
        (data["isolated"].clone(), data["hairpin"].clone())
    };
    assert_eq!(flags(&first), (json!(false), json!(false)));
    assert_eq!(flags(&second), (json!(true), json!(true)));
}

/// Plugs a container into a bridge by hand, as a stranger would.
pub(crate) fn plug_in(lab: &Lab, container: &Container, bridge: &str) {
    let netns = container.path().rsplit('/').next().expect("a name").to_owned();
    let link = format!("p-{}", container.id);
    lab.host().ip(&format!("link add {link} type veth peer name eth0 netns {netns}"));
    lab.host().ip(&format!("link set {link} master {bridge} up"));
}
