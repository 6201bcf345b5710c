//! Random configurations, and the machines that they meet: of a seed, so that each can be had again.

use serde_json::{Value, json};

use crate::Case;

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.next() % all.len() as u64;
        all[usize::try_from(at).expect("a place")].clone()
    }
}

/// The case of a seed.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice(seed);
    let families = dice.of(&[(true, false), (false, true), (true, true), (true, true)]);
    let is_routed = dice.of(&[true, true, false]);
    let mut conf = json!({"cniVersion": "1.1.0", "name": dice.of(&["n", "public", "a.b_c-d"]), "type": "springline"});
    conf["ipam"] = ipam(&mut dice, families, is_routed);
    if is_routed {
        routed(&mut dice, &mut conf, families);
    } else {
        bridged(&mut dice, &mut conf);
    }
    firewall(&mut dice, &mut conf, families);
    link(&mut dice, &mut conf);
    let facts = facts(&mut dice);
    let is_blind = dice.one_in(3);
    Case {
        name: format!("seed {seed}"),
        conf,
        container: dice.of(&["c1", "5e9a5f1d0c3b", "web-1.x"]).to_owned(),
        ifname: dice.of(&["eth0", "eth0", "net.7", "x"]).to_owned(),
        facts,
        is_blind,
    }
}

/// A case with something of everything.
pub(crate) fn rich() -> Case {
    let conf = json!({
        "cniVersion": "1.1.0", "name": "n", "type": "springline", "masquerade": true, "isolation": ["ports", "network"],
        "bandwidth": {"ingressRate": 10_000_000, "egressRate": 20_000_000}, "sysctl": {"net.core.somaxconn": "3333"},
        "routes": ["10.5.5.0/24"], "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
        "ipam": {"type": "springline", "ranges": [[{"subnet": "10.30.0.0/24"}], [{"subnet": "2001:db8:30::/64"}]]},
    });
    let (name, container, ifname) = ("rich".to_owned(), "c1".to_owned(), "eth0".to_owned());
    Case { name, conf, container, ifname, facts: json!({}), is_blind: false }
}

/// Cases with VLANs.
pub(crate) fn vlans() -> Vec<Case> {
    let conf = json!({
        "cniVersion": "1.1.0", "name": "n", "type": "springline", "mode": "bridged",
        "ipam": {"type": "springline", "ranges": [[{"subnet": "10.30.0.0/24"}], [{"subnet": "2001:db8:30::/64"}]]},
    });
    let all = [
        json!({"bridge": {"name": "br0", "vlan": 7}}),
        json!({"bridge": {"name": "b.1", "vlan": 4094}, "masquerade": true, "isolation": ["ports", "network"],
            "capabilities": {"portMappings": true},
            "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
        json!({"bridge": {"name": "br0", "vlan": 7, "gateway": false}}),
        json!({"bridge": {"name": "br0", "vlan": 1, "gateway": false}}),
        json!({"bridge": {"name": "br0", "vlan": 1}}),
    ];
    let case = |keys: &Value| Case {
        name: format!("VLAN {}", keys["bridge"]),
        conf: crate::common::cni::merged(&conf, keys),
        container: "c1".to_owned(),
        ifname: "eth0".to_owned(),
        facts: json!({}),
        is_blind: false,
    };
    all.iter().map(case).collect()
}

fn ipam(dice: &mut Dice, (v4, v6): (bool, bool), is_routed: bool) -> Value {
    let mut ranges = Vec::new();
    if v4 {
        ranges.push(json!([{"subnet": dice.of(&["10.30.0.0/24", "192.0.2.0/28", "172.20.0.0/16"])}]));
    }
    if v6 {
        ranges.push(json!([{"subnet": dice.of(&["2001:db8:30::/64", "fd30::/112"])}]));
    }
    let mut ipam = json!({"type": "springline", "ranges": ranges});
    if is_routed && v4 && dice.one_in(4) {
        ipam["addresses"] = json!(["198.51.100.7/32"]);
    }
    if v4 && dice.one_in(3) {
        ipam["routes"] = dice.of(&[
            json!([]),
            json!([{"dst": "0.0.0.0/0", "mtu": 1400, "advmss": 1360, "priority": 50}]),
            json!([{"dst": "10.99.0.0/16", "table": 100}, {"dst": "0.0.0.0/0"}]),
            json!([{"dst": "10.98.0.0/16", "scope": 253}]),
        ]);
    }
    ipam
}

fn routed(dice: &mut Dice, conf: &mut Value, (v4, v6): (bool, bool)) {
    conf["gateway"] = dice.of(&[
        json!("link-local"),
        json!("link-local"),
        json!("inet6"),
        json!("shared"),
        json!("none"),
        json!({"scheme": "shared", "address": "10.255.0.1"}),
        json!({"network": "10.100.10.100/30"}),
        json!([{"network": "10.100.10.100/31"}, {"network": "fd00:100::/127"}]),
    ]);
    let mut routes = Vec::new();
    if v4 && dice.one_in(3) {
        routes.push(dice.of(&[json!("10.5.5.0/24"), json!("203.0.113.9/32")]));
    }
    if v6 && dice.one_in(3) {
        routes.push(dice.of(&[json!("2001:db8:5::/56"), json!("2001:db8:6::9/128")]));
    }
    conf["routes"] = json!(routes);
    if dice.one_in(4) {
        conf["hostRoutes"] =
            dice.of(&[json!({"table": 300}), json!({"metric": 77}), json!({"protocol": 4, "table": 100})]);
    }
}

fn bridged(dice: &mut Dice, conf: &mut Value) {
    conf["mode"] = json!("bridged");
    let mut bridge = json!({"name": dice.of(&["br0", "spring0", "b.1"])});
    for key in ["isolated", "hairpin", "gateway"] {
        if dice.one_in(3) {
            bridge[key] = json!(dice.one_in(2));
        }
    }
    conf["bridge"] = bridge;
}

fn firewall(dice: &mut Dice, conf: &mut Value, (v4, _): (bool, bool)) {
    if dice.one_in(2) {
        conf["masquerade"] =
            dice.of(&[json!(true), json!({"except": ["10.0.0.0/8", "fd00::/8"]}), json!({"except": ["192.0.2.7/32"]})]);
    }
    if dice.one_in(4) {
        conf["antiSpoof"] = json!(false);
    }
    if dice.one_in(2) {
        conf["isolation"] = dice.of(&[json!("ports"), json!("network"), json!(["ports", "network"])]);
    }
    if dice.one_in(3) {
        let rates = [
            json!({"ingressRate": 10_000_000}),
            json!({"egressRate": 1_234_567, "egressBurst": 800_000}),
            json!({"ingressRate": 8_000, "egressRate": 40_000_000_000_u64}),
        ];
        conf["bandwidth"] = dice.of(&rates);
    }
    if dice.one_in(2) {
        let mut maps = vec![json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"})];
        if dice.one_in(2) {
            maps.push(json!({"hostPort": 53, "containerPort": 5353, "protocol": "udp"}));
        }
        if v4 && dice.one_in(2) {
            let host = dice.of(&["127.0.0.1", "198.18.7.1"]);
            maps.push(json!({"hostPort": 9, "containerPort": 9, "protocol": "sctp", "hostIP": host}));
        }
        conf["capabilities"] = json!({"portMappings": true});
        conf["runtimeConfig"] = json!({"portMappings": maps});
    }
}

fn link(dice: &mut Dice, conf: &mut Value) {
    let keys = [
        ("mtu", json!(1400)),
        ("hostInterface", json!("v.{hash}")),
        ("forwarding", json!("leave")),
        ("promisc", json!(true)),
        ("allmulti", json!(true)),
        ("txqueuelen", json!(77)),
        ("metric", json!(40)),
        ("defaultRoute", json!(true)),
        ("sysctl", json!({"net.ipv4.conf.IFNAME.log_martians": 1, "net.ipv4.ping_group_range": "0 1000"})),
    ];
    for (key, value) in keys {
        if dice.one_in(4) {
            conf[key] = value;
        }
    }
}

/// How the machine is: plain, without forwarding, with an uplink, with a bridge there.
fn facts(dice: &mut Dice) -> Value {
    let mut facts = json!({});
    if dice.one_in(3) {
        facts["forwarding"] = json!({"ipv4": dice.one_in(2), "ipv6": dice.one_in(2)});
    }
    if dice.one_in(3) {
        facts["uplink_mtu"] = dice.of(&[json!(1500), json!(9000), json!(1420)]);
    }
    facts
}
