//! springline as netavark's plugin: what podman hands over is what the container has, and nothing is left of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::netavark::{Podman, call};
use crate::common::state::assert_unchanged;
use crate::common::traffic::{Server, ask};
use crate::common::{Container, Lab, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6};
use crate::support::{ready, routes, springline};

const SUBNETS: [&str; 2] = ["10.77.0.0/24", "fd77::/64"];

/// A network over both families, routed and on a bridge.
fn both_modes() -> [Value; 2] {
    ["routed", "bridged"].map(|mode| with_options(&json!({"mode": mode})))
}

fn with_options(options: &Value) -> Value {
    json!({"subnets": SUBNETS.map(|subnet| json!({"subnet": subnet})), "options": options})
}

fn plain(network: &Value, container: &Container, ips: &[&str]) -> Value {
    call(network, container, "eth0", ips, &json!({}))
}

fn pings(lab: &Lab, one: &Container, other: &Container, addresses: [&[&str]; 2]) {
    for address in addresses[1] {
        assert!(one.netns().ping(address), "{} to {address}", one.id);
        assert!(lab.host().ping(address), "the host to {address}");
    }
    for address in addresses[0] {
        assert!(other.netns().ping(address), "{} to {address}", other.id);
    }
}

/// The addresses are podman's; lengths and gateways are those of the mode. Two containers ping each other, the host and
/// the world; after teardown nothing is left, and a second one finds nothing and succeeds.
#[test]
fn podmans_addresses() {
    for keys in both_modes() {
        let lab = Lab::with_uplink();
        let podman = Podman(&lab);
        let network = podman.create(&keys);
        let is_bridged = keys["options"]["mode"] == "bridged";
        assert_eq!(network["network_interface"], if is_bridged { json!("sl-n") } else { Value::Null });
        let before = lab.host_state();
        let (a, b) = (lab.container("a"), lab.container("b"));
        let ips = [&["10.77.0.5", "fd77::9"][..], &["10.77.0.6", "fd77::a"]];
        let mac = json!({"network_options": {"static_mac": "02:aa:bb:cc:dd:ee"}});
        let first = call(&network, &a, "eth5", ips[0], &mac);
        let status = podman.setup(&first, &a).document();
        let subnets = if is_bridged {
            json!([{"ipnet": "10.77.0.5/24", "gateway": "10.77.0.1"}, {"ipnet": "fd77::9/64", "gateway": "fd77::1"}])
        } else {
            json!([{"ipnet": "10.77.0.5/32", "gateway": "169.254.0.1"}, {"ipnet": "fd77::9/128", "gateway": "fe80::1"}])
        };
        let interface = json!({"mac_address": "02:aa:bb:cc:dd:ee", "subnets": subnets});
        let expected = json!({"interfaces": {"eth5": interface}, "dns_server_ips": [], "dns_search_domains": []});
        assert_eq!(status, expected);
        let second = plain(&network, &b, ips[1]);
        podman.setup(&second, &b).document();
        pings(&lab, &a, &b, ips);
        assert!(a.netns().ping(OUTSIDE_V4), "masqueraded by default");
        let inside: Vec<String> = subnets.as_array().unwrap().iter().map(|one| text(&one["ipnet"])).collect();
        assert_eq!(a.netns().addresses("eth5"), inside);
        podman.teardown(&first, &a);
        podman.teardown(&second, &b);
        podman.teardown(&second, &b);
        assert_unchanged(&before, &lab.host_state());
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What podman does not know of is found all the same, named, and leaves nothing behind.
#[test]
fn conflicts() {
    for keys in both_modes() {
        let lab = Lab::new();
        let podman = Podman(&lab);
        let network = podman.create(&keys);
        let (a, b) = (lab.container("a"), lab.container("b"));
        let first = plain(&network, &a, &["10.77.0.5", "fd77::5"]);
        podman.setup(&first, &a).document();
        lab.host().ip("address add 10.77.9.9/32 dev lo");
        let (host, inside) = (lab.host_state(), b.netns().state());
        let refused = |ips: &[&str], word: &str| {
            let said = podman.setup(&plain(&network, &b, ips), &b).error();
            assert!(said.contains(word), "{word:?} is not said: {said}");
            assert_unchanged(&host, &lab.host_state());
            assert_unchanged(&inside, &b.netns().state());
        };
        refused(&["10.77.0.6", "fd77::5"], "attachment n/a/eth0");
        refused(&["10.77.0.1", "fd77::6"], "gateway");
        refused(&["10.78.0.1"], "10.78.0.1 is in none of its subnets");
        let again = podman.setup(&first, &a).error();
        assert!(again.contains("exists already") && again.contains("made by netavark"), "{again}");
        podman.teardown(&first, &a);
    }
    let lab = Lab::new();
    lab.host().ip("address add 10.77.0.77/32 dev lo");
    let podman = Podman(&lab);
    let network = podman.create(&with_options(&json!({})));
    let c = lab.container("c");
    let said = podman.setup(&plain(&network, &c, &["10.77.0.77", "fd77::7"]), &c).error();
    assert!(said.contains("10.77.0.77 is an address of the host itself"), "{said}");
}

/// Each setup brings all ports of the container: they lead to it by its first network, and stay when the second goes.
#[test]
fn ports_of_two_networks() {
    if !ready("ports_of_two_networks") {
        return;
    }
    let lab = Lab::with_uplink();
    let podman = Podman(&lab);
    let before = lab.host_state();
    let [one, two] =
        [("one", "10.77.0.0/24", "routed"), ("two", "10.78.0.0/24", "bridged")].map(|(name, net, mode)| {
            podman.create(&json!({"name": name, "subnets": [{"subnet": net}], "options": {"mode": mode}}))
        });
    let c = lab.container("c");
    let _server = Server::new(c.netns(), "tcp", 81);
    let ports = json!({"port_mappings": [
        {"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp,udp", "range": 3}]});
    let first = call(&one, &c, "eth0", &["10.77.0.5"], &ports);
    let second = call(&two, &c, "eth1", &["10.78.0.5"], &ports);
    podman.setup(&first, &c).document();
    podman.setup(&second, &c).document();
    assert!(ask(lab.outside(), "tcp", UPLINK_V4, 8081).is_some(), "the second port of three");
    podman.teardown(&second, &c);
    assert!(ask(lab.outside(), "tcp", UPLINK_V4, 8081).is_some(), "after the second network is gone");
    podman.teardown(&first, &c);
    assert_unchanged(&before, &lab.host_state());
}

/// A process that has a port is in the way, unless it is the one that calls: podman keeps the ports of a container from
/// others before it sets up its network.
#[test]
fn ports_that_the_caller_holds() {
    if !ready("ports_that_the_caller_holds") {
        return;
    }
    let lab = Lab::new();
    let podman = Podman(&lab);
    let network = podman.create(&with_options(&json!({})));
    let c = lab.container("c");
    let ports = json!({"port_mappings": [{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 1}]});
    let document = call(&network, &c, "eth0", &["10.77.0.5", "fd77::5"], &ports);
    let path = lab.dir().join("call.json");
    std::fs::write(&path, document.to_string()).expect("write the call");
    let script = "import socket, subprocess, sys
s = socket.create_server(('', 8080))
sys.exit(subprocess.run(['sh', '-c', '\"$1\" setup \"$2\" < \"$3\"; exit $?', 'sh'] + sys.argv[1:]).returncode)";
    let mut command = lab.host().command(Path::new("/usr/bin/python3"));
    command.args(["-c", script, crate::common::cni::springline_binary(), &c.path()]).arg(&path);
    let output = command.env("SPRINGLINE_STATE_DIR", lab.state_dir()).output().expect("run python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    podman.teardown(&document, &c);
    let _stranger = Server::new(lab.host(), "tcp", 8080);
    let said = podman.setup(&document, &c).error();
    assert!(said.contains("listens on 8080/tcp"), "{said}");
}

/// Whatever podman kept of the network may be nonsense by now, and the namespace gone.
#[test]
fn teardown_needs_names_only() {
    let lab = Lab::new();
    let podman = Podman(&lab);
    let before = lab.host_state();
    let network = podman.create(&with_options(&json!({"mode": "bridged"})));
    let c = lab.container("c");
    let mut document = plain(&network, &c, &["10.77.0.5", "fd77::5"]);
    podman.setup(&document, &c).document();
    document["network"]["options"] = json!({"mode": "sideways", "mtu": [1]});
    document["network"]["subnets"] = json!("none");
    c.kill();
    podman.teardown(&document, &c);
    assert_unchanged(&before, &lab.host_state());
}

/// Nobody has called teardown.
#[test]
fn gc_after_a_dead_runtime() {
    for keys in both_modes() {
        let lab = Lab::new();
        let podman = Podman(&lab);
        let before = lab.host_state();
        let network = podman.create(&keys);
        let (a, b) = (lab.container("a"), lab.container("b"));
        podman.setup(&plain(&network, &a, &["10.77.0.5", "fd77::5"]), &a).document();
        podman.setup(&plain(&network, &b, &["10.77.0.6", "fd77::6"]), &b).document();
        a.kill();
        assert_eq!(springline(&lab, &["gc"]), (true, "removed   n/a/eth0\n".to_owned()));
        assert!(lab.host().ping("10.77.0.6"), "the other one lives on");
        b.kill();
        assert!(springline(&lab, &["gc"]).0);
        assert_unchanged(&before, &lab.host_state());
    }
}

/// podman gives an address to the next one although nobody has called teardown for the one before.
#[test]
fn addresses_of_the_dead() {
    for keys in both_modes() {
        let lab = Lab::new();
        let podman = Podman(&lab);
        let network = podman.create(&keys);
        let before = lab.host_state();
        let (a, b) = (lab.container("a"), lab.container("b"));
        let ips = ["10.77.0.5", "fd77::5"];
        podman.setup(&plain(&network, &a, &ips), &a).document();
        a.kill();
        let second = plain(&network, &b, &ips);
        podman.setup(&second, &b).document();
        assert!(ips.iter().all(|ip| lab.host().ping(ip)), "the second has it");
        assert!(springline(&lab, &["check"]).0, "all is as recorded");
        podman.teardown(&second, &b);
        assert_unchanged(&before, &lab.host_state());
    }
}

/// netavark has died, and nobody will ever know of the attachment.
#[test]
fn an_answer_that_nobody_hears() {
    let lab = Lab::new();
    let podman = Podman(&lab);
    let network = podman.create(&with_options(&json!({})));
    let before = lab.host_state();
    let c = lab.container("c");
    let path = lab.dir().join("call.json");
    std::fs::write(&path, plain(&network, &c, &["10.77.0.5", "fd77::5"]).to_string()).expect("write the call");
    let (binary, state) = (crate::common::cni::springline_binary(), lab.state_dir());
    let line = format!(
        "SPRINGLINE_STATE_DIR={} {binary} setup {} < {} > /dev/full; echo $?",
        state.display(),
        c.path(),
        path.display()
    );
    assert_eq!(lab.host().shell(&line).trim(), "1");
    assert_unchanged(&before, &lab.host_state());
}

/// Where podman chooses nothing, springline does.
#[test]
fn addresses_of_our_own() {
    for keys in both_modes() {
        let lab = Lab::new();
        let podman = Podman(&lab);
        let range = json!({"start_ip": "10.77.0.129", "end_ip": "10.77.0.255"});
        let mut keys = keys.clone();
        keys["options"]["ipam"] = "springline".into();
        keys["subnets"][0]["lease_range"] = range;
        let network = podman.create(&keys);
        assert_eq!(network["ipam_options"], json!({"driver": "springline"}));
        let (a, b) = (lab.container("a"), lab.container("b"));
        podman.setup(&plain(&network, &a, &[]), &a).document();
        let asked = call(&network, &b, "eth0", &["10.77.0.7"], &json!({}));
        podman.setup(&asked, &b).document();
        let (first, second) = (a.netns().addresses("eth0"), b.netns().addresses("eth0"));
        assert!(first.len() == 2 && first[0].starts_with("10.77.0.129/"), "{first:?}");
        assert!(second.len() == 2 && second[0].starts_with("10.77.0.7/"), "asked for, out of the range: {second:?}");
    }
}

/// Internal: no way out or in, and no port; within, everything is reached.
#[test]
fn internal_networks() {
    for keys in both_modes() {
        let lab = Lab::with_uplink();
        let podman = Podman(&lab);
        let mut keys = keys.clone();
        keys["internal"] = true.into();
        let network = podman.create(&keys);
        let (a, b) = (lab.container("a"), lab.container("b"));
        let ips = [&["10.77.0.5", "fd77::5"][..], &["10.77.0.6", "fd77::6"]];
        let ports =
            json!({"port_mappings": [{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 1}]});
        podman.setup(&call(&network, &a, "eth0", ips[0], &ports), &a).document();
        podman.setup(&plain(&network, &b, ips[1]), &b).document();
        assert!(a.netns().ping(ips[1][0]) && a.netns().ping(ips[1][1]), "within");
        for address in [OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6] {
            assert!(!a.netns().ping(address), "{address} is reached");
        }
        assert!(!lab.outside().ping(ips[0][0]), "reached from outside");
        assert!(!lab.host_state().mentions(&["element of", "8080"]), "a port is mapped");
    }
}

/// `--network NAME:route=NET` of one container; `--route` of all.
#[test]
fn routes_of_either_side() {
    let lab = Lab::new();
    let podman = Podman(&lab);
    let mut keys = with_options(&json!({"metric": "50"}));
    keys["routes"] = json!([{"destination": "10.9.0.0/16", "gateway": "10.77.0.1", "metric": 5}]);
    let network = podman.create(&keys);
    let c = lab.container("c");
    let options = json!({"network_options": {"options": {"route": "10.5.5.0/24"}}});
    podman.setup(&call(&network, &c, "eth0", &["10.77.0.5", "fd77::5"], &options), &c).document();
    let expected = [
        "10.9.0.0/16 via 169.254.0.1 metric 5 onlink",
        "default via 169.254.0.1 metric 50 onlink",
        "default via fe80::1 metric 50",
    ];
    let found: Vec<String> = routes(c.netns(), "eth0").iter().map(|line| line.replace(" proto static", "")).collect();
    assert_eq!(found, expected);
    let host = lab.host().ip("route show 10.5.5.0/24");
    assert!(host.contains("via 10.77.0.5"), "{host}");
}

/// The barest network, and what the host has already.
#[test]
fn subnets_that_nobody_named() {
    let lab = Lab::new();
    let podman = Podman(&lab);
    let chosen = podman.create(&json!({"ipv6_enabled": true}))["subnets"].clone();
    let (v4, v6) = (text(&chosen[0]["subnet"]), text(&chosen[1]["subnet"]));
    assert!(
        v4.starts_with("10.") && v4.ends_with(".0/24") && v6.starts_with("fd") && v6.ends_with("::/64"),
        "{chosen}"
    );
    let address = v4.replace(".0/24", ".9/32");
    lab.host().ip(&format!("address add {address} dev lo"));
    assert_ne!(podman.create(&json!({}))["subnets"][0]["subnet"], v4, "the host has an address in it");
    lab.host().ip("route add blackhole 10.128.0.0/9");
    assert!(podman.refuse(&json!({})).contains("no free IPv4 subnet"));
}

/// Mistakes are told at `podman network create`, and whatever comes is answered in the one shape that podman reads.
#[test]
fn mistakes() {
    let lab = Lab::new();
    let podman = Podman(&lab);
    for (options, word) in [
        (json!({"isolat": "true"}), "did you mean isolat"),
        (json!({"mtu": "67"}), "67 is outside of 68..65535"),
        (json!({"mode": "bridge"}), "unknown variant `bridge`"),
        (json!({"mode": "bridged", "vlan": "4095"}), "bridge.vlan"),
        (json!({"mode": "bridged", "bridge": "lo"}), "\"lo\""),
        (json!({"mode": "bridged", "gateway": "shared"}), "belongs to mode \"routed\""),
        (json!({"bridge": "br0"}), "this network is routed"),
        (json!({"hostInterface": "veth0"}), "hostInterface"),
        (json!({"masquerade": "perhaps"}), "masquerade"),
        (json!({"ipam": "dhcp"}), "ipam driver dhcp is not available"),
    ] {
        let said = podman.refuse(&json!({"options": options}));
        assert!(said.contains(word) && said.contains("network n"), "{options}: {word:?} is not said: {said}");
    }
    let c = lab.container("c");
    let path = c.path();
    let network = podman.create(&json!({}));
    let document = plain(&network, &c, &[]).to_string();
    let before = lab.host_state();
    for (arguments, stdin) in [
        (&["create"][..], "nonsense"),
        (&["create"], "[]"),
        (&["create"], "{}"),
        (&["create"], ""),
        (&["setup"], &document),
        (&["setup", "/nowhere"], &document),
        (&["setup", "/proc/self/ns/net"], &document),
        (&["setup", &path], "{}"),
        (&["setup", &path], &document.replace("eth0", "much-too-long-a-name")),
        (&["teardown", &path], "{}"),
    ] {
        podman.call(arguments, stdin.as_bytes()).error();
    }
    assert_unchanged(&before, &lab.host_state());
    let info = podman.call(&["info"], b"").document();
    assert_eq!(info["api_version"], "1.0.0");
}
