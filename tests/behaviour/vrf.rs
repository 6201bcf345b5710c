//! `hostRoutes.vrf`: containers in a routing table of their own, where the kernel has VRFs.

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::state::assert_unchanged;
use crate::common::traffic::{Server, ask};
use crate::common::{Container, Lab, Netns, text_of};
use crate::support::{
    Attached, Family, assert_refused, count, counted, give, not_run, ready, routes, springline, with_ranges,
};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// A lab with VRFs `red` and `blue`; none if the kernel has no such links.
fn with_vrfs(test: &str) -> Option<Lab> {
    let lab = Lab::new();
    let made = lab.host().shell("ip link add red type vrf table 10 2>&1 || true");
    if lab.host().link("red").is_none() {
        not_run(test, &format!("this kernel has no VRF: {}", made.trim()));
        return None;
    }
    lab.host().ip("link add blue type vrf table 20");
    lab.host().ip("link set red up");
    // What the host speaks from there.
    lab.host().ip("address add 198.51.100.1/32 dev red");
    lab.host().ip("-6 address add 2001:db8:51::1/128 dev red nodad");
    lab.host().ip("link set blue up");
    Some(lab)
}

/// Containers of one VRF reach each other, in both families, and those of another have the same addresses.
#[test]
fn containers_are_in_the_table_of_their_vrf() {
    let Some(lab) = with_vrfs("containers_are_in_the_table_of_their_vrf") else { return };
    let before = lab.host_state();
    let network = |name: &str, vrf: &str, table: u32| {
        let marks = json!({"name": name, "hostRoutes": {"vrf": vrf, "table": table}, "antiSpoof": true});
        with_ranges(&SUBNETS, &marks)
    };
    let (red, blue) = (network("red", "red", 10), network("blue", "blue", 20));
    let (a, b, c) = (lab.container("a"), lab.container("b"), lab.container("c"));
    let in_a = Attached::new(&lab, &red, &a);
    let in_b = Attached::new(&lab, &red, &b);
    let in_c = Attached::new(&lab, &blue, &c);
    assert_eq!(in_a.ip(Family::V4), in_c.ip(Family::V4), "each VRF has addresses of its own");
    assert_eq!(text_of(&in_a.outside()["master"]), "red");
    let all = routes(lab.host(), &in_a.link);
    assert!(all.iter().all(|route| route.contains("table red") || route.contains("table 10")), "{all:?}");
    for family in [Family::V4, Family::V6] {
        assert!(a.netns().ping(&in_b.ip(family)), "within the VRF, {family:?}");
        assert!(!c.netns().ping(&in_b.ip(family)), "from another VRF, {family:?}");
        assert!(!lab.host().ping(&in_b.ip(family)), "from outside of any VRF, {family:?}");
    }
    for family in [Family::V4, Family::V6] {
        lab.host().shell(&format!("ping -n -q -c 1 -W 5 -I red {}", in_b.ip(family)));
    }
    assert!(springline(&lab, &["check"]).0);
    lab.host().ip(&format!("link set {} nomaster", in_a.link));
    let (ok, said) = springline(&lab, &["check"]);
    assert!(!ok, "{said}");
    [&in_a, &in_b, &in_c].into_iter().for_each(Attached::detach);
    assert_unchanged(&before, &lab.host_state());
}

/// A VRF that is not there, or that has another table.
#[test]
fn what_is_no_vrf_is_refused() {
    let lab = Lab::new();
    let c = lab.container("c");
    let network = |marks| with_ranges(&SUBNETS, &json!({ "hostRoutes": marks }));
    assert_refused(
        &lab,
        &network(json!({"vrf": "red", "table": 10})),
        &c,
        7,
        &["red", "none of this name", "type vrf"],
    );
    assert_refused(&lab, &network(json!({"vrf": "lo", "table": 10})), &c, 7, &["lo", "it is a"]);
    assert_refused(&lab, &network(json!({"vrf": "red"})), &c, 7, &["hostRoutes.table"]);
    let Some(lab) = with_vrfs("what_is_no_vrf_is_refused") else { return };
    let c = lab.container("c");
    assert_refused(&lab, &network(json!({"vrf": "red", "table": 11})), &c, 7, &["its table is 10"]);
}

/// The outside world, on a link in VRF `red`.
fn with_world<'a>(lab: &Lab, world: &'a Container) -> &'a Netns {
    let netns = world.path().rsplit('/').next().expect("a name").to_owned();
    lab.host().ip(&format!("link add up0 master red type veth peer name eth0 netns {netns}"));
    give(lab.host(), "up0", &["198.18.0.2/24", "2001:db8:ffff::2/64"]);
    give(world.netns(), "eth0", &["198.18.0.1/24", "2001:db8:ffff::1/64"]);
    lab.host().ip("route add default via 198.18.0.1 table 10");
    lab.host().ip("-6 route add default via 2001:db8:ffff::1 table 10");
    world.netns()
}

/// Behind the host's addresses in the VRF: the outside sees those, and only then knows a way back.
#[test]
fn masqueraded_in_a_vrf() {
    let Some(lab) = with_vrfs("masqueraded_in_a_vrf") else { return };
    let world = lab.container("world");
    let outside = with_world(&lab, &world);
    let plain = with_ranges(&SUBNETS, &json!({"hostRoutes": {"vrf": "red", "table": 10}}));
    let hidden = merged(&plain, &json!({"masquerade": true}));
    let c = lab.container("c");
    for (conf, is_hidden) in [(&plain, false), (&hidden, true)] {
        let attached = Attached::new(&lab, conf, &c);
        for (kind, to, subnet, uplink, echo) in [
            ("ip", "198.18.0.1", SUBNETS[0], "198.18.0.2", "icmp type echo-request"),
            ("ip6", "2001:db8:ffff::1", SUBNETS[1], "2001:db8:ffff::2", "icmpv6 type echo-request"),
        ] {
            count(
                outside,
                kind,
                "input",
                &[&format!("{kind} saddr {subnet}"), &format!("{kind} saddr {uplink} {echo}")],
            );
            assert_eq!(c.netns().ping(to), is_hidden, "{to}");
            assert_eq!(counted(outside, kind), if is_hidden { [0, 1] } else { [1, 0] }, "{to}");
            outside.shell(&format!("nft delete table {kind} t"));
        }
        attached.detach();
    }
}

/// A port of the host, asked for from outside of it.
#[test]
fn ports_in_a_vrf() {
    if !ready("ports_in_a_vrf") {
        return;
    }
    let Some(lab) = with_vrfs("ports_in_a_vrf") else { return };
    let world = lab.container("world");
    let outside = with_world(&lab, &world);
    let keys = json!({"hostRoutes": {"vrf": "red", "table": 10}, "capabilities": {"portMappings": true}, "runtimeConfig":
        {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    let c = lab.container("c");
    Attached::new(&lab, &with_ranges(&SUBNETS, &keys), &c);
    let _server = Server::new(c.netns(), "tcp", 80);
    for (kind, address) in [("ip", "198.18.0.2"), ("ip6", "2001:db8:ffff::2")] {
        let by_type = format!("{kind} daddr {address} fib daddr type local");
        count(lab.host(), kind, "prerouting", &[&format!("{kind} daddr {address}"), &by_type]);
        assert!(outside.ping(address), "the control");
        match counted(lab.host(), kind)[..] {
            [seen, 0] if seen > 0 => {
                not_run("ports_in_a_vrf", &format!("for this kernel's fib expression, {address} is not local"));
            }
            [_, local] if local > 0 => assert!(ask(outside, "tcp", address, 8080).is_some(), "{address}"),
            ref other => panic!("nothing has arrived at {address}: {other:?}"),
        }
    }
}

/// What goes by links has no effect in a VRF, and is refused.
#[test]
fn what_has_no_effect_in_a_vrf_is_refused() {
    let lab = Lab::new();
    let c = lab.container("c");
    let network = |keys: Value| {
        let marks = json!({"hostRoutes": {"vrf": "red", "table": 10}});
        with_ranges(&SUBNETS, &merged(&marks, &keys))
    };
    for isolation in ["ports", "network"] {
        let conf = network(json!({ "isolation": isolation }));
        assert_refused(&lab, &conf, &c, 7, &["isolation", "no effect with hostRoutes.vrf"]);
    }
    let conf = network(json!({"masquerade": true, "routes": ["10.5.5.0/24"]}));
    assert_refused(&lab, &conf, &c, 7, &["masquerade", "no effect on 10.5.5.0/24 with hostRoutes.vrf"]);
    let conf = network(json!({"masquerade": true, "routes": ["10.5.5.5/32"]}));
    assert_refused(&lab, &conf, &c, 7, &["none of this name"]);
}

/// Packets from addresses of somebody else's are dropped in a VRF, too.
#[test]
fn guarded_in_a_vrf() {
    let Some(lab) = with_vrfs("guarded_in_a_vrf") else { return };
    for guarded in [false, true] {
        let keys = json!({"hostRoutes": {"vrf": "red", "table": 10}, "antiSpoof": guarded});
        let conf = with_ranges(&SUBNETS, &keys);
        let [a, b] = ["a", "b"].map(|id| lab.container(&format!("{id}-{guarded}")));
        let in_a = Attached::new(&lab, &conf, &a);
        let in_b = Attached::new(&lab, &conf, &b);
        assert!(a.netns().ping(&in_b.ip(Family::V4)) && a.netns().ping(&in_b.ip(Family::V6)));
        for (family, lie, kind) in [(Family::V4, "192.0.2.99", "ip"), (Family::V6, "2001:db8:99::9", "ip6")] {
            count(b.netns(), kind, "input", &[&format!("{kind} saddr {lie}")]);
            a.netns().ip(&format!("address add {lie} dev lo"));
            let to = in_b.ip(family);
            a.netns().shell(&format!("ping -n -q -c1 -W1 -I {lie} {to} >/dev/null 2>&1 || true"));
            assert_eq!(counted(b.netns(), kind) == [0], guarded, "{family:?}");
        }
        [&in_a, &in_b].into_iter().for_each(Attached::detach);
    }
}
