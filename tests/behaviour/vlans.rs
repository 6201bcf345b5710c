//! `bridge.vlan`: containers in VLANs of a bridge, and the host in each by a link of its own.
//!
//! Who is in which VLAN is read from `bridge vlan show`; who hears whom is counted by nftables, and told by `ping`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::{assert_unchanged, bridge_vlans};
use crate::common::traffic::{Server, ask};
use crate::common::{Container, HOST_V4, Lab, text_of};
use crate::ports::plug_in;
use crate::support::{
    Attached, FAMILIES, Family, addresses, assert_refused, bridged, count, counted, give, not_run, springline,
};

const RANGES: [&str; 2] = ["10.22.0.0/24", "2001:db8:22::/64"];
const OTHER: [&str; 2] = ["10.33.0.0/24", "2001:db8:33::/64"];

/// A network in a VLAN of `br0`.
fn in_vlan(name: &str, ranges: &[&str], id: u16, bridge: &Value) -> Value {
    bridged(ranges, &json!({"name": name, "bridge": merged(&json!({ "vlan": id }), bridge)}))
}

fn seven() -> Value {
    in_vlan("seven", &RANGES, 7, &json!({}))
}

fn eight() -> Value {
    in_vlan("eight", &OTHER, 8, &json!({}))
}

/// A lab whose kernel's bridges filter VLANs; `None`, and said so, if they do not.
fn lab(test: &str) -> Option<Lab> {
    let lab = Lab::new();
    let said = lab.host().shell("ip link add probe type bridge vlan_filtering 1 2>&1 || true");
    if lab.host().link("probe").is_none() {
        let why = said.trim().replace('\n', "; ");
        not_run(&format!("vlans::{test}"), &format!("this kernel's bridges do not filter VLANs ({why})"));
        return None;
    }
    lab.host().ip("link del probe");
    Some(lab)
}

/// The VLANs of a port or bridge.
fn vlans(lab: &Lab, link: &str) -> Vec<String> {
    bridge_vlans(lab.host()).into_iter().filter(|(port, _)| port == link).map(|(_, vlan)| vlan).collect()
}

const UNTAGGED: &str = " PVID Egress Untagged";

/// A bridge of somebody else's, with a MAC of its own.
fn strangers_bridge(lab: &Lab, options: &str) {
    lab.host().ip(&format!("link add br0 address 02:00:00:00:00:99 type bridge {options}"));
    lab.host().ip("link set br0 up");
}

/// Has a container look for an address that nobody has; whether another one gets the broadcast.
fn hears(who: &Container, listener: &Container, address: &str, nobody: &str) -> bool {
    count(listener.netns(), "arp", "input", &[&format!("arp saddr ip {address}")]);
    who.netns().shell(&format!("ping -n -q -c1 -W1 {nobody} >/dev/null 2>&1 || true"));
    let counts = counted(listener.netns(), "arp");
    listener.netns().shell("nft delete table arp t");
    counts != [0]
}

/// Two networks on one bridge of our own, each in its VLAN: ports are in that and no other, the host has a link with the
/// gateways in each; both go with the last container of their VLAN.
#[test]
fn two_vlans_of_one_bridge() {
    let Some(lab) = lab("two_vlans_of_one_bridge") else { return };
    let before = lab.host_state();
    let [a, b, c] = ["a", "b", "c"].map(|id| lab.container(id));
    let (in_a, in_b) = (Attached::new(&lab, &seven(), &a), Attached::new(&lab, &seven(), &b));
    let in_c = Attached::new(&lab, &eight(), &c);
    let bridge = lab.host().link("br0").expect("the bridge");
    assert_eq!(bridge["linkinfo"]["info_data"]["vlan_filtering"], 1);
    for (attached, id) in [(&in_a, 7), (&in_b, 7), (&in_c, 8)] {
        assert_eq!(vlans(&lab, &attached.link), [format!("{id}{UNTAGGED}")], "and not in VLAN 1");
    }
    assert_eq!(vlans(&lab, "br0"), [format!("1{UNTAGGED}"), "7".into(), "8".into()]);
    for (name, id, gateways) in [
        ("br0.7", 7, ["10.22.0.1/24 brd 10.22.0.255 scope global", "2001:db8:22::1/64 scope global nodad"]),
        ("br0.8", 8, ["10.33.0.1/24 brd 10.33.0.255 scope global", "2001:db8:33::1/64 scope global nodad"]),
    ] {
        let link = lab.host().link(name).expect("the host's link in the VLAN");
        assert_eq!((&link["ifalias"], &link["group"]), (&json!("springline:vlan"), &json!("171")));
        assert_eq!((&link["link"], &link["linkinfo"]["info_data"]["id"]), (&json!("br0"), &json!(id)));
        assert_eq!((&link["operstate"], &link["address"]), (&json!("UP"), &bridge["address"]));
        let found = addresses(lab.host(), name);
        assert_eq!(found[..2], gateways);
        assert!(found.len() == 3 && found[2].ends_with("/64 scope link nodad"), "{found:?}");
    }
    assert_eq!(lab.host().addresses("br0"), [""; 0], "in VLAN 1 there is nobody to have a gateway");
    for family in FAMILIES {
        assert!(a.netns().ping(&in_b.ip(family)), "{family:?}, the same VLAN");
        assert!(lab.host().ping(&in_a.ip(family)) && lab.host().ping(&in_c.ip(family)), "{family:?}, from the host");
        assert!(a.netns().ping(&in_c.ip(family)), "{family:?}, routed by the host, as between any networks");
    }
    assert!(a.netns().ping(HOST_V4) && c.netns().ping(HOST_V4));
    assert!(springline(&lab, &["check"]).0);
    in_a.detach();
    assert!(b.netns().ping("10.22.0.1") && c.netns().ping("10.33.0.1"));
    in_b.detach();
    assert!(lab.host().link("br0.7").is_none());
    assert_eq!(vlans(&lab, "br0"), [format!("1{UNTAGGED}"), "8".into()]);
    assert!(c.netns().ping("10.33.0.1") && c.netns().ping("2001:db8:33::1"));
    in_c.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// Even with addresses of one subnet, which nothing routes: neither broadcasts nor packets get from one VLAN to another.
#[test]
fn vlans_do_not_hear_each_other() {
    let Some(lab) = lab("vlans_do_not_hear_each_other") else { return };
    let fixed = |name: &str, id: u16, address: &str| {
        let keys = json!({"ipam": {"type": "springline", "addresses": [address], "ranges": null}, "antiSpoof": false});
        merged(&in_vlan(name, &[], id, &json!({"gateway": false})), &keys)
    };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| lab.container(id));
    Attached::new(&lab, &fixed("a", 7, "10.22.0.11/24"), &a);
    Attached::new(&lab, &fixed("b", 7, "10.22.0.12/24"), &b);
    Attached::new(&lab, &fixed("c", 8, "10.22.0.13/24"), &c);
    let default = merged(&fixed("d", 7, "10.22.0.14/24"), &json!({"bridge": {"vlan": null}}));
    let in_d = Attached::new(&lab, &default, &d);
    assert_eq!(vlans(&lab, &in_d.link), [format!("1{UNTAGGED}")]);
    assert!(lab.host().link("br0.7").is_none(), "the host is not in it");
    assert!(hears(&a, &b, "10.22.0.11", "10.22.0.99"), "the control: in the same VLAN");
    for (who, what) in [(&c, "another VLAN"), (&d, "no VLAN")] {
        assert!(!hears(&a, who, "10.22.0.11", "10.22.0.98"), "{what}");
    }
    assert!(a.netns().ping("10.22.0.12"));
    for address in ["10.22.0.13", "10.22.0.14"] {
        // Even who knows the other's MAC.
        let mac = |container: &Container| text_of(&container.netns().link("eth0").expect("eth0")["address"]).to_owned();
        let other = if address.ends_with('3') { &c } else { &d };
        a.netns().ip(&format!("neigh replace {address} lladdr {} dev eth0 nud permanent", mac(other)));
        other.netns().ip(&format!("neigh replace 10.22.0.11 lladdr {} dev eth0 nud permanent", mac(&a)));
        assert!(!a.netns().ping(address), "{address}");
    }
    // Nor does a tag of one's own lead there.
    a.netns().shell("ip link add link eth0 name eth0.8 type vlan id 8 && ip link set eth0.8 up");
    give(a.netns(), "eth0.8", &["10.22.0.11/24"]);
    count(c.netns(), "arp", "input", &["arp saddr ip 10.22.0.11"]);
    a.netns().shell("ping -n -q -c1 -W1 -I eth0.8 10.22.0.13 >/dev/null 2>&1 || true");
    assert_eq!(counted(c.netns(), "arp"), [0], "a tagged frame is dropped at the port");
}

/// A neighbour behind a port with tags, as an uplink has, is on the containers' network.
#[test]
fn a_trunk_leads_there() {
    let Some(lab) = lab("a_trunk_leads_there") else { return };
    let c = lab.container("c");
    let attached = Attached::new(&lab, &in_vlan("seven", &RANGES, 7, &json!({})), &c);
    let world = lab.container("world");
    plug_in(&lab, &world, "br0");
    lab.host().shell("bridge vlan add dev p-world vid 7");
    world.netns().write_sysctl("net/ipv4/conf/all/arp_ignore", "1"); // on each link for its own address only
    world.netns().ip("link set eth0 up");
    for id in [7, 8] {
        world.netns().ip(&format!("link add link eth0 name eth0.{id} type vlan id {id}"));
        give(world.netns(), &format!("eth0.{id}"), &[&format!("10.22.0.2{id}/24")]);
    }
    crate::common::eventually("the neighbour's port forwards", || c.netns().ping("10.22.0.27"));
    assert!(!c.netns().ping("10.22.0.28"), "VLAN 8 is another one");
    assert!(lab.host().ping("10.22.0.27"), "the host is on that network, too");
    attached.detach();
}

/// A stranger's bridge is used only if it keeps VLANs apart already; it is in the VLAN itself only if it is to hold the
/// gateway, and only as long.
#[test]
fn a_strangers_bridge() {
    let Some(lab) = lab("a_strangers_bridge") else { return };
    strangers_bridge(&lab, "vlan_filtering 0");
    let c = lab.container("c");
    let hints = ["VLAN 7 of bridge br0", "does not filter VLANs", "type bridge vlan_filtering 1"];
    assert_refused(&lab, &seven(), &c, 7, &hints);
    let status = lab.cni(Plugin::Routed).status(&seven());
    status.error().with_code(50).saying("does not filter VLANs");
    lab.host().ip("link del br0");
    strangers_bridge(&lab, "vlan_filtering 1 vlan_default_pvid 5");
    let before = lab.host_state();
    lab.cni(Plugin::Routed).status(&seven()).silent();
    for gateway in [json!({}), json!({"gateway": false}), json!({"gateway": true})] {
        let attached = Attached::new(&lab, &in_vlan("seven", &RANGES, 7, &gateway), &c);
        assert_eq!(vlans(&lab, &attached.link), [format!("7{UNTAGGED}")], "and not in VLAN 5");
        let is_in = gateway["gateway"] == true;
        assert_eq!(vlans(&lab, "br0").contains(&"7".to_owned()), is_in, "{gateway}");
        assert_eq!(lab.host().link("br0.7").is_some(), is_in, "{gateway}");
        assert_eq!(c.netns().ping("10.22.0.1"), is_in, "{gateway}");
        attached.detach();
        assert_unchanged(&before, &lab.host_state());
    }
    // In the VLAN that the bridge itself is in, without a tag, no link on top of it would hear anything.
    let words = ["VLAN 5 is the one in which bridge br0 itself is", "leave bridge.vlan out"];
    assert_refused(&lab, &in_vlan("five", &RANGES, 5, &json!({"gateway": true})), &c, 7, &words);
    let attached = Attached::new(&lab, &in_vlan("five", &RANGES, 5, &json!({})), &c);
    assert_eq!(vlans(&lab, &attached.link), [format!("5{UNTAGGED}")]);
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// What the administrator has made in the VLAN is used, and stays.
#[test]
fn a_strangers_link_in_the_vlan() {
    let Some(lab) = lab("a_strangers_link_in_the_vlan") else { return };
    strangers_bridge(&lab, "vlan_filtering 1");
    lab.host().shell("bridge vlan add dev br0 vid 7 self");
    lab.host().ip("link add link br0 name br0.7 type vlan id 7");
    give(lab.host(), "br0.7", &["10.22.0.1/24"]);
    let before = lab.host_state();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &in_vlan("seven", &RANGES, 7, &json!({"gateway": true})), &c);
    assert!(c.netns().ping("10.22.0.1") && c.netns().ping("2001:db8:22::1"));
    assert_eq!(lab.host().addresses("br0.7"), ["10.22.0.1/24", "2001:db8:22::1/64"]);
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
    // One of that name that leads elsewhere is not taken for it.
    lab.host().ip("link del br0.7");
    lab.host().ip("link add link br0 name br0.7 type vlan id 9");
    let words = ["br0.7", "a link of this name exists on the host", "a vlan on br0"];
    assert_refused(&lab, &in_vlan("seven", &RANGES, 7, &json!({"gateway": true})), &c, 7, &words);
}

/// A bridge of ours on which no network had a VLAN is made to keep them apart; who is on it stays connected.
#[test]
fn a_bridge_of_ours_that_had_none() {
    let Some(lab) = lab("a_bridge_of_ours_that_had_none") else { return };
    let before = lab.host_state();
    let [a, b, c] = ["a", "b", "c"].map(|id| lab.container(id));
    let plain = bridged(&OTHER, &json!({"name": "plain"}));
    let (in_a, in_b) = (Attached::new(&lab, &plain, &a), Attached::new(&lab, &plain, &b));
    let filters = || lab.host().link("br0").expect("the bridge")["linkinfo"]["info_data"]["vlan_filtering"] == 1;
    assert!(!filters());
    // What fails leaves it as it was: of the host's link, somebody else has the name.
    lab.host().ip("link property add dev lo altname br0.7");
    let whole = lab.host_state();
    assert_refused(&lab, &seven(), &c, 11, &["br0.7", "everything was undone"]);
    assert!(!filters());
    assert_unchanged(&whole, &lab.host_state());
    lab.host().ip("link property del dev lo altname br0.7");
    let in_c = Attached::new(&lab, &seven(), &c);
    assert!(filters());
    for family in FAMILIES {
        assert!(a.netns().ping(&in_b.ip(family)) && lab.host().ping(&in_a.ip(family)), "{family:?}");
        assert!(lab.host().ping(&in_c.ip(family)), "{family:?}");
    }
    [&in_c, &in_a, &in_b].into_iter().for_each(Attached::detach);
    assert_unchanged(&before, &lab.host_state());
}

/// A failure in the midst of it, on a host without anything of ours: undone exactly.
#[test]
fn a_failure_half_way() {
    let Some(lab) = lab("a_failure_half_way") else { return };
    lab.host().ip("link property add dev lo altname br0.7");
    let c = lab.container("c");
    assert_refused(&lab, &seven(), &c, 11, &["br0.7", "everything was undone"]);
    strangers_bridge(&lab, "vlan_filtering 1");
    assert_refused(&lab, &in_vlan("seven", &RANGES, 7, &json!({"gateway": true})), &c, 11, &["br0.7"]);
    lab.host().ip("link property del dev lo altname br0.7");
    Attached::new(&lab, &seven(), &c);
}

/// Each kind of damage is named by CHECK, and put right.
#[test]
fn drift() {
    let Some(lab) = lab("drift") else { return };
    let c = lab.container("c");
    let attached = Attached::new(&lab, &seven(), &c);
    let whole = lab.host_state();
    let port = &attached.link;
    for (damage, word) in [
        (format!("bridge vlan add dev {port} vid 1"), format!("missing: bridge vlan del dev {port} vid 1")),
        (
            format!("bridge vlan del dev {port} vid 7"),
            format!("missing: bridge vlan add dev {port} vid 7 pvid untagged"),
        ),
        (
            format!("bridge vlan add dev {port} vid 7 untagged"),
            format!("missing: bridge vlan add dev {port} vid 7 pvid untagged"),
        ),
        ("bridge vlan del dev br0 vid 7 self".into(), "missing: bridge vlan add dev br0 vid 7 self".into()),
        (
            "ip link set dev br0 type bridge vlan_filtering 0".into(),
            "missing: ip link set dev br0 type bridge vlan_filtering 1".into(),
        ),
        ("ip link set dev br0.7 down".into(), "ip link set dev br0.7 up".into()),
        ("ip address del 10.22.0.1/24 dev br0.7".into(), "missing: ip address add 10.22.0.1/24 dev br0.7".into()),
    ] {
        lab.host().shell(&damage);
        let check = || lab.cni(Plugin::Routed).check(&seven(), &attached.result, &c, "eth0");
        assert!(check().error().with_code(101).text().contains(&word), "{damage}: {:?}", check().error());
        let (ok, said) = springline(&lab, &["check", "--repair", "c"]);
        assert!(ok && said.contains("repaired"), "{damage}: {said}");
        check().silent();
        assert_unchanged(&whole, &lab.host_state());
        assert!(c.netns().ping("10.22.0.1") && c.netns().ping("2001:db8:22::1"), "{damage}");
    }
    lab.host().ip("link del br0.7");
    let (_, said) = springline(&lab, &["check"]);
    assert!(said.contains("ip link add link br0 name br0.7 group 171 type vlan id 7"), "{said}");
    assert!(springline(&lab, &["check", "--repair", "c"]).0);
    assert!(c.netns().ping("10.22.0.1") && c.netns().ping("2001:db8:22::1"), "the host's link, made again");
    attached.detach();
    assert!(lab.host().link("br0").is_none() && lab.host().link("br0.7").is_none());
}

/// A container that died without DEL, and one whose state was lost: GC and DEL leave nothing.
#[test]
fn the_dead_leave_nothing() {
    let Some(lab) = lab("the_dead_leave_nothing") else { return };
    strangers_bridge(&lab, "vlan_filtering 1");
    let before = lab.host_state();
    let conf = in_vlan("seven", &RANGES, 7, &json!({"gateway": true}));
    let (c, d) = (lab.container("c"), lab.container("d"));
    Attached::new(&lab, &conf, &c);
    let living = Attached::new(&lab, &conf, &d);
    c.kill();
    assert!(springline(&lab, &["gc"]).0);
    assert!(d.netns().ping("10.22.0.1"), "the other one's gateway stays");
    let record = lab.state_dir().join("attachments/seven/d@eth0.json");
    std::fs::remove_file(&record).expect("lose the record");
    living.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// What stands on the host's link: ports of the host, masquerading, isolation.
#[test]
fn services_of_the_host() {
    let Some(lab) = lab("services_of_the_host") else { return };
    if !crate::support::ready("vlans::services_of_the_host") {
        return;
    }
    let before = lab.host_state();
    let keys = json!({"isolation": "network", "capabilities": {"portMappings": true}, "runtimeConfig":
        {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    let (a, b) = (lab.container("a"), lab.container("b"));
    let other = Attached::new(&lab, &eight(), &b);
    assert!(b.netns().ping("10.33.0.1"));
    let attached = Attached::new(&lab, &merged(&seven(), &keys), &a);
    let _server = Server::new(a.netns(), "tcp", 80);
    for (from, address) in [(b.netns(), HOST_V4), (lab.host(), HOST_V4), (lab.host(), "127.0.0.1")] {
        assert!(ask(from, "tcp", address, 8080).is_some(), "port 8080 of {address}");
    }
    for family in FAMILIES {
        assert!(!b.netns().ping(&attached.ip(family)), "{family:?}: isolated from other networks");
        assert!(lab.host().ping(&attached.ip(family)), "{family:?}: the host reaches it");
    }
    attached.detach();
    other.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// A kernel whose bridges know no VLANs: one clear error, and nothing is left; STATUS and the doctor know before.
#[test]
fn a_kernel_without() {
    if lab("(the others)").is_some() {
        return not_run("vlans::a_kernel_without", "this kernel's bridges filter VLANs");
    }
    let lab = Lab::new();
    let c = lab.container("c");
    let words = ["this kernel's bridges know no VLANs", "CONFIG_BRIDGE_VLAN_FILTERING", "everything was undone"];
    assert_refused(&lab, &seven(), &c, 100, &words);
    let status = lab.cni(Plugin::Routed).status(&seven());
    status.error().with_code(50).saying("this kernel's bridges know no VLANs");
    lab.cni(Plugin::Routed).status(&bridged(&RANGES, &json!({}))).silent();
    let folder = crate::support::networks(&lab);
    std::fs::create_dir(&folder).expect("make the folder of networks");
    let finding = || {
        let (_, said) = springline(&lab, &["doctor", "-o", "json"]);
        let found: Value = serde_json::from_str(&said).expect("JSON");
        let found = found["findings"].as_array().or(found.as_array()).cloned().unwrap_or_default();
        found.into_iter().find(|one| one.to_string().contains("bridge VLANs")).expect("a finding")
    };
    assert_eq!(finding()["level"], "note", "nobody needs it");
    std::fs::write(folder.join("seven.conf"), seven().to_string()).expect("write the network");
    assert_eq!(finding()["level"], "error");
}

/// Several containers of several VLANs at once on first use.
#[test]
fn several_at_once() {
    let Some(lab) = lab("several_at_once") else { return };
    let before = lab.host_state();
    let containers: Vec<Container> = (0..6).map(|number| lab.container(&format!("c{number}"))).collect();
    let conf = |number: usize| if number.is_multiple_of(2) { seven() } else { eight() };
    let cni = lab.cni(Plugin::Bridged);
    let all = || containers.iter().enumerate();
    let running: Vec<_> = all().map(|(n, c)| cni.call("ADD").of(c, "eth0").conf(&conf(n)).spawn()).collect();
    let results: Vec<Value> = running.into_iter().map(|call| call.finish().result()).collect();
    let attached: Vec<Attached> =
        all().zip(results).map(|((n, c), result)| Attached::of(&lab, &conf(n), c, "eth0", result)).collect();
    for (n, one) in attached.iter().enumerate() {
        assert_eq!(vlans(&lab, &one.link), [format!("{}{UNTAGGED}", 7 + n % 2)]);
        assert!(lab.host().ping(&one.ip(Family::V4)) && lab.host().ping(&one.ip(Family::V6)));
    }
    let ips: BTreeSet<String> = attached.iter().flat_map(Attached::ips).collect();
    assert_eq!(ips.len(), 12);
    let running: Vec<_> = all().map(|(n, c)| cni.call("DEL").of(c, "eth0").conf(&conf(n)).spawn()).collect();
    for call in running {
        call.finish().silent();
    }
    assert_unchanged(&before, &lab.host_state());
}
