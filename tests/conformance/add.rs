//! §1.3: ADD.

use std::thread;

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, OUTSIDE_V4, OUTSIDE_V6, text_of};
use crate::{addresses, agreed, container_interface, host_interface, idle_host, lab_and_conf, ours, ours_once};

agreed! {
    a_01_existing_interface_is_refused,
    a_03_result_has_the_version_of_the_configuration,
    a_04_interfaces_are_the_real_ones,
    a_04_sandbox_is_the_path_verbatim,
    a_05_addresses_are_those_of_the_container_interface,
    a_05_gateway_and_neighbours_answer,
    a_06_default_route_leads_to_the_gateway,
    a_07_dns_of_the_configuration_is_in_the_result,
    a_09_second_add_is_refused_and_the_first_unharmed,
    a_11_many_containers_at_once,
    a_13_keys_of_the_specification_are_tolerated,
}

ours! {
    a_01_refusal_leaves_nothing_behind,
    a_01_unusable_interface_name_leaves_nothing_behind,
    a_04_host_link_says_whose_it_is,
    a_05_first_packet_of_either_family_gets_through,
    a_06_route_attributes_are_honoured,
    a_09_address_comes_back_when_the_old_namespace_is_dead,
    a_11_networks_of_one_container_at_once,
    a_11_same_attachment_twice_at_once,
    a_11_add_and_del_of_an_attachment_at_once,
    a_12_ip_masq_works_or_is_refused,
    a_13_unknown_key_is_refused_with_the_nearest_known_one,
}

ours_once! {
    a_13_unknown_keys_are_refused_at_every_depth,
    a_13_contradictory_values_are_refused,
}

/// an interface of that name is in the way: ADD fails and it stays as it is.
fn a_01_existing_interface_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = container_with_a_link(&lab, "eth0");
    let before = container.netns().state();
    lab.cni(plugin).add(&conf, &container, "eth0").error().saying("eth0");
    assert_unchanged(&before, &container.netns().state());
}

/// the refusal has code 4 and leaves the host as it was.
fn a_01_refusal_leaves_nothing_behind(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = container_with_a_link(&lab, "eth0");
    let before = lab.host_state();
    lab.cni(plugin).add(&conf, &container, "eth0").error().with_code(4);
    assert_unchanged(&before, &lab.host_state());
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert!(container.netns().link("eth0").is_some(), "DEL took a link that ADD had refused to touch");
}

/// so does a name that the kernel refuses, or that is taken by the loopback link.
fn a_01_unusable_interface_name_leaves_nothing_behind(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let (before, inside) = (lab.host_state(), container.netns().state());
    for ifname in ["lo", "all", "default"] {
        lab.cni(plugin).add(&conf, &container, ifname).error().saying(ifname);
        assert_unchanged(&before, &lab.host_state());
        assert_unchanged(&inside, &container.netns().state());
    }
}

/// one result, in the version of the configuration.
fn a_03_result_has_the_version_of_the_configuration(plugin: Plugin) {
    let lab = Lab::new();
    let container = lab.container("c1");
    for version in plugin.versions() {
        let conf = merged(&plugin.conf_v4(&lab), &json!({"cniVersion": version}));
        assert_eq!(lab.cni(plugin).add(&conf, &container, "eth0").result()["cniVersion"], *version);
        lab.cni(plugin).del(&conf, &container, "eth0").success();
    }
}

/// the interfaces are those of the attachment, host side first, with the MACs (and MTUs) that they really have.
fn a_04_interfaces_are_the_real_ones(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let interfaces = result["interfaces"].as_array().expect("interfaces");
    assert_eq!(interfaces.len(), if plugin.has_bridge() { 3 } else { 2 }, "{result}");
    assert_eq!(container_interface(&result)["name"], "eth0");
    if plugin.has_bridge() {
        assert_eq!(interfaces[0]["name"], "br0");
    }
    for interface in interfaces {
        let netns = if text_of(&interface["sandbox"]).is_empty() { lab.host() } else { container.netns() };
        let name = text_of(&interface["name"]);
        let link = netns.link(name).unwrap_or_else(|| panic!("no link {name}"));
        assert_eq!(interface["mac"], link["address"], "{name}");
        if plugin.is_ours() {
            assert_eq!(interface["mtu"], link["mtu"], "{name}");
        }
    }
}

/// `sandbox` is the string that came in `CNI_NETNS`, for container interfaces only.
fn a_04_sandbox_is_the_path_verbatim(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let spelling = container.path().replace("/var/run/", "/var/run/../run/");
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_NETNS", &spelling);
    let result = call.conf(&conf).run().result();
    assert_eq!(container_interface(&result)["sandbox"], *spelling);
    assert!(host_interface(&result).get("sandbox").is_none_or(|sandbox| sandbox == ""), "{result}");
}

/// A-4, G-6: the host's link carries an alias that names the attachment, and its MAC is set, not random.
fn a_04_host_link_says_whose_it_is(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let link = lab.host().link(text_of(&host_interface(&result)["name"])).expect("the host's link");
    assert_eq!(link["ifalias"], "springline:n/c1/eth0");
    assert_eq!(link["group"], "171");
}

/// `address` is what the interface holds, `interface` its index, `gateway` the next hop.
fn a_05_addresses_are_those_of_the_container_interface(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let mut held = container.netns().addresses("eth0");
    let mut said = addresses(&result);
    assert!(!said.is_empty());
    for ip in result["ips"].as_array().expect("ips") {
        let index = ip["interface"].as_u64().and_then(|index| usize::try_from(index).ok()).expect("an index");
        assert_eq!(&result["interfaces"][index], container_interface(&result));
        assert!(ip["gateway"].is_string());
    }
    held.sort();
    said.sort();
    assert_eq!(said, held);
}

/// the host and two containers reach each other.
fn a_05_gateway_and_neighbours_answer(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_v4(&lab);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let address = |container: &Container| {
        let result = lab.cni(plugin).add(&conf, container, "eth0").result();
        addresses(&result)[0].split('/').next().expect("an address").to_owned()
    };
    let (a1, a2) = (address(&c1), address(&c2));
    assert!(lab.host().ping(&a1), "host to container {a1}");
    assert!(c1.netns().ping(&a2), "container to container {a2}");
    assert!(c2.netns().ping(&a1), "and back to {a1}");
}

/// A-5, V20: no waiting for duplicate address detection: the very first packet, of IPv6 too, gets through.
fn a_05_first_packet_of_either_family_gets_through(plugin: Plugin) {
    let lab = Lab::with_uplink();
    let conf = plugin.conf_dual(&lab);
    for (position, destination) in [(0, OUTSIDE_V4), (1, OUTSIDE_V6)] {
        // A busy machine may lose a first packet; one that always does has to wait for something.
        let outwards = (0..3).any(|n| {
            let container = lab.container(&format!("out{position}{n}"));
            lab.cni(plugin).add(&conf, &container, "eth0").result();
            container.netns().ping(destination)
        });
        assert!(outwards, "to {destination}");
        let inwards = (0..3).any(|n| {
            let container = lab.container(&format!("in{position}{n}"));
            let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
            lab.outside().ping(addresses(&result)[position].split('/').next().expect("an address"))
        });
        assert!(inwards, "from outside, address {position}");
    }
}

/// the container has the default route that the result speaks of.
fn a_06_default_route_leads_to_the_gateway(plugin: Plugin) {
    let lab = Lab::new();
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&plugin.conf_v4(&lab), &container, "eth0").result();
    assert!(result["routes"].as_array().expect("routes").iter().any(|route| route["dst"] == "0.0.0.0/0"));
    let routes = container.netns().routes("-4", "main");
    let default = routes.iter().find(|route| route["dst"] == "default").expect("a default route");
    assert_eq!(default["gateway"], result["ips"][0]["gateway"]);
    assert_eq!(default["dev"], "eth0");
}

/// gw, mtu, advmss, priority, table and scope of a route are said in the result and done in the kernel (V4).
fn a_06_route_attributes_are_honoured(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let routes = json!([
        {"dst": "0.0.0.0/0"},
        {"dst": "10.99.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 50, "table": 100},
        {"dst": "2001:db8:99::/48", "mtu": 1320, "priority": 70, "table": 100},
        {"dst": "10.98.0.0/16", "scope": 253},
    ]);
    let conf = merged(&conf, &json!({"ipam": {"routes": routes}}));
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let said = |dst: &str| route(&result["routes"], dst).clone();
    let done =
        |family: &str, table: &str, dst: &str| route(&json!(container.netns().routes(family, table)), dst).clone();
    let (v4, v6) = (done("-4", "100", "10.99.0.0/16"), done("-6", "100", "2001:db8:99::/48"));
    for (said, done, mtu, priority) in
        [(said("10.99.0.0/16"), &v4, 1300, 50), (said("2001:db8:99::/48"), &v6, 1320, 70)]
    {
        assert_eq!((&said["mtu"], &said["priority"], &said["table"]), (&json!(mtu), &json!(priority), &json!(100)));
        assert_eq!((&done["metrics"][0]["mtu"], &done["metric"]), (&json!(mtu), &json!(priority)), "{done}");
    }
    assert_eq!((&said("10.99.0.0/16")["advmss"], &v4["metrics"][0]["advmss"]), (&json!(1200), &json!(1200)));
    assert_eq!(said("10.98.0.0/16")["scope"], 253);
    assert_eq!(done("-4", "main", "10.98.0.0/16")["scope"], "link");
}

/// the configuration's `dns` is handed to the runtime.
fn a_07_dns_of_the_configuration_is_in_the_result(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let dns = json!({"nameservers": ["192.0.2.53", "2001:db8::53"], "domain": "example.org", "search": ["a.example"],
        "options": ["ndots:2"]});
    let result = lab.cni(plugin).add(&merged(&conf, &json!({"dns": dns})), &container, "eth0").result();
    assert_eq!(result["dns"], dns);
}

/// a second ADD without a DEL is an error, and the first attachment does not notice.
fn a_09_second_add_is_refused_and_the_first_unharmed(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let (inside, outside) = (container.netns().state(), lab.host_state());
    lab.cni(plugin).add(&conf, &container, "eth0").error();
    assert_unchanged(&inside, &container.netns().state());
    if plugin.is_ours() {
        assert_unchanged(&outside, &lab.host_state());
    }
    assert!(lab.host().ping("10.22.0.2"));
}

/// a container that nobody detached starts again under its id, and gets its address back.
fn a_09_address_comes_back_when_the_old_namespace_is_dead(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let first = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let others = lab.container("c2");
    lab.cni(plugin).add(&conf, &others, "eth0").result();
    container.restart();
    let second = lab.cni(plugin).add(&conf, &container, "eth0").result();
    assert_eq!(addresses(&first), addresses(&second));
    for container in [&container, &others] {
        lab.cni(plugin).del(&conf, container, "eth0").silent();
    }
    assert_unchanged(&idle, &lab.host_state());
}

/// parallel ADDs and DELs of different containers do not disturb each other.
fn a_11_many_containers_at_once(plugin: Plugin) {
    const MANY: usize = 12;
    let (lab, conf) = lab_and_conf(plugin);
    let containers: Vec<_> = (0..MANY).map(|n| lab.container(&format!("c{n}"))).collect();
    let at_once = |verb: &str| -> Vec<_> {
        let run = |container| lab.cni(plugin).call(verb).of(container, "eth0").conf(&conf).run();
        thread::scope(|scope| {
            let threads: Vec<_> = containers.iter().map(|container| scope.spawn(move || run(container))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
        })
    };
    let mut given: Vec<_> = at_once("ADD").iter().flat_map(|outcome| addresses(&outcome.result())).collect();
    let all = given.len();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), all, "an address was given twice");
    at_once("DEL").iter().for_each(crate::common::cni::Outcome::success);
    assert!(containers.iter().all(|container| container.netns().link("eth0").is_none()));
}

/// containerd attaches the networks of one container in parallel.
fn a_11_networks_of_one_container_at_once(plugin: Plugin) {
    let (lab, _) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let confs: Vec<_> = (0..4).map(|n| numbered(plugin, &lab, n)).collect();
    let at_once = |verb: &str| {
        thread::scope(|scope| {
            for (n, conf) in confs.iter().enumerate() {
                let call = lab.cni(plugin).call(verb).of(&container, &format!("eth{n}")).conf(conf);
                scope.spawn(move || call.run().success());
            }
        });
    };
    let before = lab.host_state();
    at_once("ADD");
    for n in 0..4 {
        assert_eq!(container.netns().addresses(&format!("eth{n}")).len(), 1, "eth{n}");
    }
    at_once("DEL");
    assert_unchanged(&before, &lab.host_state());
}

/// of two ADDs of the same attachment one wins, and what it made is whole.
fn a_11_same_attachment_twice_at_once(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let outcomes = thread::scope(|scope| {
        let add = || lab.cni(plugin).add(&conf, &container, "eth0");
        let both = [scope.spawn(add), scope.spawn(add)];
        both.map(|thread| thread.join().expect("no call panics"))
    });
    let winners: Vec<_> = outcomes.iter().filter(|outcome| outcome.status.success()).collect();
    assert_eq!(winners.len(), 1);
    let result = winners[0].result();
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// a DEL that overtakes its ADD, or meets it, leaves an attachment or none.
fn a_11_add_and_del_of_an_attachment_at_once(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    for _ in 0..5 {
        let call = |verb| lab.cni(plugin).call(verb).of(&container, "eth0").conf(&conf).spawn();
        let (add, del) = (call("ADD"), call("DEL"));
        add.finish().result();
        del.finish().silent();
        if container.netns().link("eth0").is_some() {
            assert!(lab.host_state().mentions(&["n/c1/eth0"]));
        }
        lab.cni(plugin).del(&conf, &container, "eth0").silent();
        assert_unchanged(&idle, &lab.host_state());
    }
}

/// the well-known `ipMasq` hides a container that nobody outside has a route to, or is refused by name as
/// long as it is not built; it is never ignored.
fn a_12_ip_masq_works_or_is_refused(plugin: Plugin) {
    let lab = Lab::with_uplink();
    lab.outside().ip("route del 10.0.0.0/8");
    let plain = plugin.conf_v4(&lab);
    let (hidden, open) = (lab.container("c1"), lab.container("c2"));
    lab.cni(plugin).add(&plain, &open, "eth0").result();
    assert!(!open.netns().ping(OUTSIDE_V4), "without ipMasq there is no way back");
    let outcome = lab.cni(plugin).add(&merged(&plain, &json!({"ipMasq": true})), &hidden, "eth0");
    if outcome.status.success() {
        assert!(hidden.netns().ping(OUTSIDE_V4));
    } else {
        let error = outcome.error().saying("ipMasq");
        assert!([2, 7].contains(&error.code), "{error:?}");
    }
}

/// what the specification and runtimes put into any configuration is not an unknown key.
fn a_13_keys_of_the_specification_are_tolerated(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let known = json!({
        "args": {"labels": {"x": "y"}, "cni": {"labels": [{"key": "k", "value": "v"}]}},
        "capabilities": {"portMappings": true, "bandwidth": true, "mac": true, "aliases": true, "of-the-future": true},
        "runtimeConfig": {"aliases": {"n": ["web"]}, "io.kubernetes.cri.pod-annotations": {"a": "b"}, "of-tomorrow": 1},
        "cni.dev/valid-attachments": [], "cni.dev/of-the-future": {}, "cniVersions": ["0.4.0", "1.0.0"],
        "disableCheck": true, "disableGC": false,
    });
    let conf = merged(&conf, &known);
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
    lab.cni(plugin).del(&conf, &container, "eth0").success();
}

/// a typing error is refused by code 2, named, and the key that was probably meant is in the details.
fn a_13_unknown_key_is_refused_with_the_nearest_known_one(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    let error = lab.cni(plugin).add(&merged(&conf, &json!({"mttu": 1400})), &container, "eth0").error().with_code(2);
    assert!(error.msg.contains("mttu"), "{error:?}");
    assert!(error.details.contains("mtu"), "{error:?}");
    assert_unchanged(&before, &lab.host_state());
}

/// the same inside of our own objects.
fn a_13_unknown_keys_are_refused_at_every_depth(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let cases = [
        (json!({"ipam": {"rangs": []}}), "rangs", "ranges"),
        (json!({"ipam": {"ranges": [[{"subnet": "10.22.0.0/24", "gatway": "10.22.0.9"}]]}}), "gatway", "gateway"),
        (json!({"ipam": {"routes": [{"dst": "0.0.0.0/0", "metrc": 5}]}}), "metrc", ""),
        (json!({"mode": "bridged", "bridge": {"nmae": "br0"}}), "nmae", "name"),
        (json!({"hostRoutes": {"tabel": 254}}), "tabel", "table"),
        (json!({"dns": {"nameserver": ["192.0.2.53"]}}), "nameserver", "nameservers"),
    ];
    for (patch, key, nearest) in cases {
        let outcome = lab.cni(plugin).add(&merged(&conf, &patch), &container, "eth0");
        assert!(!outcome.status.success(), "{patch} was taken");
        let error = outcome.error().with_code(2);
        assert!(error.msg.contains(key) && error.details.contains(nearest), "{error:?}");
    }
}

/// §8: values that cannot be are refused by code 7 (2 if it is the value that is not known), and named.
fn a_13_contradictory_values_are_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    let range = |range: Value| json!({"ipam": {"ranges": [[range]]}});
    let cases = [
        (json!({"mode": "flying"}), "flying"),
        (json!({"mtu": 67}), "67"),
        (json!({"mtu": "large"}), "large"),
        (json!({"gateway": "nowhere"}), "nowhere"),
        (range(json!({"subnet": "10.22.0.0/33"})), "10.22.0.0/33"),
        (range(json!({"subnet": "10.22.0.5/24"})), "10.22.0.5/24"),
        (range(json!({"subnet": "10.22.0.0/24", "rangeStart": "10.23.0.5"})), "10.23.0.5"),
        (range(json!({"subnet": "10.22.0.0/24", "rangeEnd": "10.23.0.5"})), "10.23.0.5"),
        (range(json!({"subnet": "10.22.0.0/24", "rangeStart": "10.22.0.9", "rangeEnd": "10.22.0.5"})), "10.22.0.9"),
        (json!({"ipam": {"ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "10.22.0.0/25"}]]}}), "overlap"),
        (json!({"ipam": {"routes": [{"dst": "banana"}]}}), "banana"),
        (json!({"hostInterface": "much-too-long-a-name"}), "much-too-long-a-name"),
    ];
    for (patch, named) in cases {
        let outcome = lab.cni(plugin).add(&merged(&conf, &patch), &container, "eth0");
        assert!(!outcome.status.success(), "{patch} was taken");
        let error = outcome.error().saying(named);
        assert!([2, 7].contains(&error.code), "{patch}: {error:?}");
    }
    assert_unchanged(&before, &lab.host_state());
}

fn container_with_a_link(lab: &Lab, name: &str) -> Container {
    let container = lab.container("c1");
    container.netns().ip(&format!("link add {name} type veth peer name other"));
    container
}

fn numbered(plugin: Plugin, lab: &Lab, n: usize) -> Value {
    let conf = plugin.conf_with_ranges(lab, &json!([[{"subnet": format!("10.22.{n}.0/24")}]]));
    let conf = merged(&conf, &json!({"name": format!("n{n}")}));
    if plugin.has_bridge() { merged(&conf, &json!({"bridge": {"name": format!("br{n}")}})) } else { conf }
}

#[track_caller]
fn route<'a>(routes: &'a Value, dst: &str) -> &'a Value {
    let found = routes.as_array().into_iter().flatten().find(|route| route["dst"] == dst);
    found.unwrap_or_else(|| panic!("no route {dst} in {routes}"))
}
