//! §1.9: what a result looks like in every version of the specification.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::{Container, Lab, text_of};
use crate::{agreed, lab_and_conf, ours, ours_once};

agreed! {
    r_00_shape_in_0_1_0,
    r_00_shape_in_0_2_0,
    r_00_shape_in_0_3_0,
    r_00_shape_in_0_3_1,
    r_00_shape_in_0_4_0,
    r_00_shape_in_1_0_0,
    r_02_no_version_means_0_1_0,
    r_03_one_address_a_family_before_0_3_0,
}

ours! {
    r_00_shape_in_1_1_0,
}

ours_once! {
    r_01_empty_things_are_left_out,
    r_08_host_bits_of_a_destination_are_normalised_or_refused,
}

/// 0.1.0 has one address of each family with its routes, and no interfaces.
fn r_00_shape_in_0_1_0(plugin: Plugin) {
    assert_shape_before_0_3(plugin, "0.1.0");
}

/// 0.2.0 is as 0.1.0.
fn r_00_shape_in_0_2_0(plugin: Plugin) {
    assert_shape_before_0_3(plugin, "0.2.0");
}

/// 0.3.0 has interfaces, addresses with their version, and routes.
fn r_00_shape_in_0_3_0(plugin: Plugin) {
    assert_shape_from_0_3(plugin, "0.3.0");
}

/// 0.3.1 is as 0.3.0.
fn r_00_shape_in_0_3_1(plugin: Plugin) {
    assert_shape_from_0_3(plugin, "0.3.1");
}

/// 0.4.0 is as 0.3.0.
fn r_00_shape_in_0_4_0(plugin: Plugin) {
    assert_shape_from_0_3(plugin, "0.4.0");
}

/// 1.0.0 has no version in its addresses.
fn r_00_shape_in_1_0_0(plugin: Plugin) {
    assert_shape_from_0_3(plugin, "1.0.0");
}

/// 1.1.0 also has the MTU of an interface.
fn r_00_shape_in_1_1_0(plugin: Plugin) {
    assert_shape_from_0_3(plugin, "1.1.0");
}

/// no empty list, object, string or null is printed.
fn r_01_empty_things_are_left_out(plugin: Plugin) {
    let lab = Lab::new();
    for (version, ipam) in [("1.1.0", json!({})), ("1.1.0", plugin.conf(&lab)["ipam"].clone()), ("1.0.0", json!({}))] {
        let container = lab.container("c1");
        let mut conf = merged(&plugin.conf(&lab), &json!({"cniVersion": version}));
        conf["ipam"] = ipam;
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        assert!(!has_empty(&result), "{result}");
        lab.cni(plugin).del(&conf, &container, "eth0").silent();
    }
}

/// a configuration without a version, or with an empty one, gets a result of 0.1.0.
fn r_02_no_version_means_0_1_0(plugin: Plugin) {
    for version in [json!(null), json!("")] {
        let lab = Lab::new();
        let container = lab.container("c1");
        let conf = merged(&plugin.conf_v4(&lab), &json!({"cniVersion": version}));
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        assert_eq!(result["cniVersion"], "0.1.0");
        assert_eq!(result["ip4"]["ip"], expected(plugin)[0].0, "{result}");
    }
}

/// before 0.3.0 a result cannot say two addresses of a family, so they are refused.
fn r_03_one_address_a_family_before_0_3_0(plugin: Plugin) {
    let lab = Lab::new();
    let ranges = json!([[{"subnet": "10.22.0.0/24"}], [{"subnet": "10.23.0.0/24"}]]);
    let container = lab.container("c1");
    for version in ["0.1.0", "0.2.0"] {
        let conf = merged(&plugin.conf_with_ranges(&lab, &ranges), &json!({"cniVersion": version}));
        lab.cni(plugin).add(&conf, &container, "eth0").error().saying(version);
        container.restart(); // the reference leaves its link there, and fails at DEL
    }
}

/// `10.9.1.1/16` is either the route 10.9.0.0/16 or an error of code 7, never the kernel's EINVAL.
fn r_08_host_bits_of_a_destination_are_normalised_or_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let conf = merged(&conf, &json!({"ipam": {"routes": [{"dst": "10.9.1.1/16"}]}}));
    let outcome = lab.cni(plugin).add(&conf, &container, "eth0");
    if outcome.status.success() {
        let routes = container.netns().routes("-4", "main");
        assert!(routes.iter().any(|route| route["dst"] == "10.9.0.0/16"), "{routes:?}");
    } else {
        outcome.error().with_code(7).saying("10.9.1.1/16");
    }
}

/// The first address and the gateway of either family.
fn expected(plugin: Plugin) -> [(&'static str, &'static str); 2] {
    match plugin {
        Plugin::Routed => [("10.22.0.2/32", "169.254.0.1"), ("2001:db8:22::2/128", "fe80::1")],
        _ => [("10.22.0.2/24", "10.22.0.1"), ("2001:db8:22::2/64", "2001:db8:22::1")],
    }
}

fn attach(plugin: Plugin, version: &str) -> (Lab, Container, Value) {
    let lab = Lab::new();
    let container = lab.container("c1");
    let conf = merged(&plugin.conf_dual(&lab), &json!({"cniVersion": version}));
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    (lab, container, result)
}

fn assert_shape_before_0_3(plugin: Plugin, version: &str) {
    let (_lab, _container, result) = attach(plugin, version);
    assert_keys(&result, &["cniVersion", "ip4", "ip6"], &["dns"]);
    assert_eq!(result["cniVersion"], version);
    assert!(result.get("dns").is_none_or(|dns| dns == &json!({})));
    for ((address, gateway), (key, default)) in
        expected(plugin).into_iter().zip([("ip4", "0.0.0.0/0"), ("ip6", "::/0")])
    {
        let ip = &result[key];
        assert_keys(ip, &["ip", "gateway", "routes"], &[]);
        assert_eq!((&ip["ip"], &ip["gateway"]), (&json!(address), &json!(gateway)));
        assert_default_route(&ip["routes"], &[(default, gateway)]);
    }
}

fn assert_shape_from_0_3(plugin: Plugin, version: &str) {
    let (_lab, container, result) = attach(plugin, version);
    let may_have_dns: &[&str] = if version < "1.1" { &["dns"] } else { &[] };
    assert_keys(&result, &["cniVersion", "interfaces", "ips", "routes"], may_have_dns);
    assert_eq!(result["cniVersion"], version);
    assert!(result.get("dns").is_none_or(|dns| dns == &json!({})));
    assert_interfaces(plugin, version, &container, &result["interfaces"]);
    let index = if plugin.has_bridge() { 2 } else { 1 };
    let ips = expected(plugin).into_iter().zip(["4", "6"]).map(|((address, gateway), family)| {
        let ip = json!({"interface": index, "address": address, "gateway": gateway});
        if version < "1" { merged(&ip, &json!({"version": family})) } else { ip }
    });
    assert_eq!(result["ips"], ips.collect::<Value>());
    let [(_, v4), (_, v6)] = expected(plugin);
    assert_default_route(&result["routes"], &[("0.0.0.0/0", v4), ("::/0", v6)]);
}

fn assert_interfaces(plugin: Plugin, version: &str, container: &Container, interfaces: &Value) {
    let interfaces = interfaces.as_array().expect("a list of interfaces");
    let (inner, outer) = interfaces.split_last().expect("interfaces");
    assert_eq!(outer.len(), if plugin.has_bridge() { 2 } else { 1 });
    let mtu: (&[&str], &[&str]) = match version {
        "1.1.0" => (&["mtu"], &[]),
        "1.0.0" => (&[], &["mtu"]),
        _ => (&[], &[]),
    };
    for interface in outer {
        assert_keys(interface, &[&["name", "mac"], mtu.0].concat(), mtu.1);
    }
    assert_keys(inner, &[&["name", "mac", "sandbox"], mtu.0].concat(), mtu.1);
    assert_eq!((text_of(&inner["name"]), text_of(&inner["sandbox"])), ("eth0", &*container.path()));
    assert!(inner.get("mtu").is_none_or(|mtu| mtu == 1500), "{inner}");
}

/// Every destination is there once, with no gateway or the right one.
fn assert_default_route(routes: &Value, defaults: &[(&str, &str)]) {
    let routes = routes.as_array().expect("a list of routes");
    assert_eq!(routes.len(), defaults.len(), "{routes:?}");
    for (route, (dst, gateway)) in routes.iter().zip(defaults) {
        assert_keys(route, &["dst"], &["gw"]);
        assert_eq!(route["dst"], *dst);
        assert!(route.get("gw").is_none_or(|gw| gw == gateway), "{route}");
    }
}

#[track_caller]
fn assert_keys(object: &Value, required: &[&str], optional: &[&str]) {
    let keys: BTreeSet<_> =
        object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().map(String::as_str).collect();
    let missing: Vec<_> = required.iter().filter(|key| !keys.contains(*key)).collect();
    let strange: Vec<_> = keys.iter().filter(|key| !required.contains(key) && !optional.contains(key)).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, unexpected {strange:?} in {object}");
}

fn has_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty),
        Value::Object(object) => object.is_empty() || object.values().any(has_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
