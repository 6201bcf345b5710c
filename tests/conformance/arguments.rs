//! §1.11 and §1.10: what runtimes ask for one attachment: capabilities, `args`, `CNI_ARGS`.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab};
use crate::{addresses, agreed, container_interface, idle_host, lab_and_conf, ours, ours_once};

agreed! {
    args_address_of_cni_args_is_given,
    args_address_outside_of_the_ranges_is_refused,
    args_address_that_is_taken_is_refused,
    caps_ips_are_given,
    caps_ip_ranges_come_first,
    caps_empty_wishes_are_none,
}

ours! {
    args_cni_args_never_fail,
    args_mac_of_cni_args_is_set,
    args_mac_that_is_none_is_refused,
    caps_mac_is_set,
    caps_port_mappings,
    caps_bandwidth,
    l_02_integral_numbers_may_be_written_as_floats,
}

ours_once! {
    args_of_the_configuration_win_over_cni_args,
    caps_dns_is_in_the_result,
    caps_ips_of_both_families,
}

/// §1.11: `CNI_ARGS` are read leniently: neither syntax nor an unknown key is an error, at ADD or DEL (V16).
fn args_cni_args_never_fail(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let all = [
        "FOO=BAR",
        "K8S_POD_NAME=p;K8S_POD_NAMESPACE=ns",
        ";;",
        "=",
        "a=b=c",
        "noequals",
        "IgnoreUnknown=0;FOO=BAR",
        "ip=x;mac=y",
        "ä=ö",
    ];
    for args in all {
        for verb in ["ADD", "DEL"] {
            lab.cni(plugin).call(verb).of(&container, "eth0").env("CNI_ARGS", args).conf(&conf).run().success();
        }
    }
}

/// §1.11: `IP=` asks for an address of the ranges.
fn args_address_of_cni_args_is_given(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let call = lab
        .cni(plugin)
        .call("ADD")
        .of(&container, "eth0")
        .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=p;IP=10.22.0.77");
    assert!(addresses(&call.conf(&conf).run().result())[0].starts_with("10.22.0.77/"));
    assert!(lab.host().ping("10.22.0.77"));
}

/// §1.11: an address that no range has is refused, named, and nothing else is given instead.
fn args_address_outside_of_the_ranges_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_ARGS", "IgnoreUnknown=1;IP=10.77.0.77");
    call.conf(&conf).run().error().saying("10.77.0.77");
    let wish = merged(&conf, &json!({"runtimeConfig": {"ips": ["10.77.0.77"]}}));
    container.restart(); // the reference leaves its link there
    lab.cni(plugin).add(&wish, &container, "eth0").error().saying("10.77.0.77");
}

/// §1.11: an address that another container has is refused and named; so is the gateway.
fn args_address_that_is_taken_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let owner = lab.container("c1");
    lab.cni(plugin).add(&conf, &owner, "eth0").result();
    for (id, address) in [("c2", "10.22.0.2"), ("c3", "10.22.0.1")] {
        let (container, args) = (lab.container(id), format!("IgnoreUnknown=1;IP={address}"));
        let before = lab.host_state();
        let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_ARGS", &args);
        call.conf(&conf).run().error().saying(address);
        if plugin.is_ours() {
            assert_unchanged(&before, &lab.host_state());
        }
    }
}

/// §1.11: `MAC=` sets the MAC of the container's interface, and is no trouble to DEL.
fn args_mac_of_cni_args_is_set(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let call = |verb| {
        lab.cni(plugin).call(verb).of(&container, "eth0").env("CNI_ARGS", "MAC=02:11:22:33:44:55").conf(&conf).run()
    };
    let result = call("ADD").result();
    assert_eq!(container_interface(&result)["mac"], "02:11:22:33:44:55");
    assert_eq!(container.netns().link("eth0").expect("eth0")["address"], "02:11:22:33:44:55");
    assert!(lab.host().ping("10.22.0.3"));
    call("DEL").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// §1.11: a MAC that is none, or no unicast one, is refused and named.
fn args_mac_that_is_none_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    for mac in ["02:11:22:33:44", "banana", "03:11:22:33:44:55", "00:00:00:00:00:00"] {
        let wish = merged(&conf, &json!({"runtimeConfig": {"mac": mac}}));
        lab.cni(plugin).add(&wish, &container, "eth0").error().saying(mac);
    }
    assert_unchanged(&before, &lab.host_state());
}

/// §1.11: what `args` of the configuration gives is not looked for in `CNI_ARGS`.
fn args_of_the_configuration_win_over_cni_args(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let conf = merged(&conf, &json!({"args": {"cni": {"ips": ["10.22.0.50"], "labels": []}}}));
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_ARGS", "IgnoreUnknown=1;IP=10.22.0.60");
    let given = addresses(&call.conf(&conf).run().result());
    assert!(
        given[0].starts_with("10.22.0.50/") && !given.iter().any(|address| address.contains("10.22.0.60")),
        "{given:?}"
    );
}

/// §1.11: `ips` asks for addresses, with a prefix length or without.
fn caps_ips_are_given(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for (id, wish, address) in [("c1", "10.22.0.88", "10.22.0.88/"), ("c2", "10.22.0.99/24", "10.22.0.99/")] {
        let container = lab.container(id);
        let conf = merged(&conf, &json!({"capabilities": {"ips": true}, "runtimeConfig": {"ips": [wish]}}));
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        assert!(addresses(&result)[0].starts_with(address), "{result}");
    }
}

/// §1.11: one for each family, in any order; what is not asked for comes from the range.
fn caps_ips_of_both_families(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let given = |container: &Container, ips: Value| {
        let conf = merged(&conf, &json!({"runtimeConfig": {"ips": ips}}));
        let mut given = addresses(&lab.cni(plugin).add(&conf, container, "eth0").result());
        given.sort();
        given
    };
    assert_eq!(given(&c1, json!(["2001:db8:22::88/64", "10.22.0.88"])), ["10.22.0.88/32", "2001:db8:22::88/128"]);
    let mixed = given(&c2, json!(["2001:db8:22::99"]));
    assert!(mixed.len() == 2 && mixed[0].starts_with("10.22.0.") && mixed[1] == "2001:db8:22::99/128", "{mixed:?}");
}

/// §1.11: `ipRanges` are put before the configured ranges, or are the only ones.
fn caps_ip_ranges_come_first(plugin: Plugin) {
    let lab = Lab::new();
    let mut conf = plugin.conf_v4(&lab);
    if plugin == Plugin::Bridge {
        conf["isGateway"] = json!(false); // it holds the gateway of one subnet only
    }
    let (start, end, gateway) = ("10.44.0.9", "10.44.0.20", "10.44.0.3");
    let ranges = json!([[{"subnet": "10.44.0.0/24", "rangeStart": start, "rangeEnd": end, "gateway": gateway}]]);
    let conf = merged(&conf, &json!({"capabilities": {"ipRanges": true}, "runtimeConfig": {"ipRanges": ranges}}));
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let both = addresses(&lab.cni(plugin).add(&conf, &c1, "eth0").result());
    assert!(both.len() == 2 && both[0].starts_with("10.44.0.9/") && both[1].starts_with("10.22.0.2/"), "{both:?}");
    let conf = merged(&conf, &json!({"ipam": {"ranges": null}}));
    let only = addresses(&lab.cni(plugin).add(&conf, &c2, "eth0").result());
    assert!(only.len() == 1 && only[0].starts_with("10.44.0.10/"), "{only:?}");
}

/// §1.11: `mac` sets the MAC of the container's interface, and wins over `CNI_ARGS`.
fn caps_mac_is_set(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let conf = merged(&conf, &json!({"capabilities": {"mac": true}, "runtimeConfig": {"mac": "C2:11:22:33:44:66"}}));
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_ARGS", "MAC=02:11:22:33:44:55");
    let result = call.conf(&conf).run().result();
    assert_eq!(container_interface(&result)["mac"], "c2:11:22:33:44:66");
    assert_eq!(container.netns().link("eth0").expect("eth0")["address"], "c2:11:22:33:44:66");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
}

/// §1.11: `dns` (servers, searches, options) is handed on in the result's words.
fn caps_dns_is_in_the_result(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let wish = json!({"servers": ["192.0.2.7"], "searches": ["pod.example"], "options": ["ndots:5"]});
    let conf = merged(&conf, &json!({"capabilities": {"dns": true}, "runtimeConfig": {"dns": wish}}));
    let result = lab.cni(plugin).add(&conf, &lab.container("c1"), "eth0").result();
    assert_eq!(result["dns"], json!({"nameservers": ["192.0.2.7"], "search": ["pod.example"], "options": ["ndots:5"]}));
}

/// §1.11: an empty list of port mappings and rates of zero ask for nothing.
fn caps_empty_wishes_are_none(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let rates = json!({"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0});
    let rates_of_cri = json!({"IngressRate": 0, "IngressBurst": 0, "EgressRate": 0, "EgressBurst": 0});
    let wishes = [
        json!({"portMappings": [], "ips": [], "ipRanges": [], "bandwidth": rates}),
        json!({"portMappings": [], "bandwidth": rates_of_cri}),
        json!({"bandwidth": {}}),
        json!({}),
    ];
    for wish in wishes {
        let container = lab.container("c1");
        let conf =
            merged(&conf, &json!({"capabilities": {"portMappings": true, "bandwidth": true}, "runtimeConfig": wish}));
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.cni(plugin).del(&conf, &container, "eth0").success();
    }
}

/// §1.11: port mappings, as podman and as CRI spell them. One without a port of the host's says only what the
/// container has.
fn caps_port_mappings(plugin: Plugin) {
    let mappings = [
        json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}, {"containerPort": 443}]),
        json!([{"HostPort": 8080, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}]),
    ];
    for mappings in mappings {
        let seen = ["tcp . 8080", "comment \"n/c1/eth0\" : 10.22.0."];
        capability(plugin, &json!({"portMappings": mappings}), "nft list map inet springline ports4", seen);
    }
}

/// What the runtime fills in for a capability is seen on the host by `command`, and gone with DEL.
fn capability(plugin: Plugin, wish: &Value, command: &str, seen: [&str; 2]) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let capabilities: serde_json::Map<String, Value> =
        wish.as_object().expect("an object").keys().map(|name| (name.clone(), json!(true))).collect();
    let conf = merged(&conf, &json!({"capabilities": capabilities, "runtimeConfig": wish}));
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let there = lab.host().shell(command);
    assert!(seen.iter().all(|part| there.contains(part)), "{there}");
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// §1.11: rates, in either spelling; what CRI says for "no burst" is none.
fn caps_bandwidth(plugin: Plugin) {
    let burst = u32::MAX;
    let rates = [
        json!({"ingressRate": 10_000_000, "ingressBurst": burst, "egressRate": 5_000_000, "egressBurst": burst}),
        json!({"IngressRate": 10_000_000, "IngressBurst": burst, "EgressRate": 5_000_000, "EgressBurst": burst}),
    ];
    for rates in rates {
        capability(plugin, &json!({"bandwidth": rates}), "tc qdisc show", [" 10Mbit ", " 5Mbit "]);
    }
}

/// L-2: Go's floats may write an integer as `1400.0` or `1.4e3`.
fn l_02_integral_numbers_may_be_written_as_floats(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for number in ["1400", "1400.0", "1.4e3"] {
        let container = lab.container("c1");
        let text = merged(&conf, &json!({"mtu": 77_777_777})).to_string().replace("77777777", number);
        lab.cni(plugin).call("ADD").of(&container, "eth0").stdin(text).run().result();
        assert_eq!(container.netns().link("eth0").expect("eth0")["mtu"], 1400, "{number}");
        lab.cni(plugin).del(&conf, &container, "eth0").silent();
    }
    let half = lab.cni(plugin).add(&merged(&conf, &json!({"mtu": 1400.5})), &lab.container("c2"), "eth0").error();
    assert!([6, 7].contains(&half.code), "{half:?}");
}
