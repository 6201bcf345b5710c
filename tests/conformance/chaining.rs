//! A-8 and the rules about previous results: springline anywhere in a chain.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged, with_prev_result};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab};
use crate::{addresses, idle_host, lab_and_conf, ours, ours_once};

ours! {
    a_08_previous_result_is_handed_on_with_ours_appended,
    a_08_previous_result_is_handed_on_in_0_4_0,
    a_08_check_and_del_take_the_final_result,
}

ours_once! {
    a_08_dns_of_an_earlier_plugin_stays,
    r_06_previous_result_may_lack_a_version,
    r_06_previous_result_of_another_version_is_refused,
    r_06_previous_result_that_is_none_is_refused,
    r_07_index_of_an_address_may_be_absent,
}

/// what earlier plugins made stays first and as it was; ours follows, with the index shifted.
fn a_08_previous_result_is_handed_on_with_ours_appended(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let alone = lab.cni(plugin).add(&conf, &container, "eth0").result();
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    let previous = result_of_an_earlier_plugin(plugin, &container);
    let chained = lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").result();
    let count = |result: &Value, key: &str| result[key].as_array().map_or(0, Vec::len);
    for key in ["interfaces", "ips", "routes"] {
        let earlier = previous[key].as_array().expect("a list");
        assert_eq!(chained[key].as_array().expect("a list")[..earlier.len()], earlier[..], "{key}");
        assert_eq!(count(&chained, key), count(&previous, key) + count(&alone, key), "{key}: {chained}");
    }
    let shift = u64::try_from(count(&previous, "interfaces")).expect("few");
    for (chained, alone) in
        chained["ips"].as_array().expect("ips")[1..].iter().zip(alone["ips"].as_array().expect("ips"))
    {
        assert_eq!(chained["interface"].as_u64(), alone["interface"].as_u64().map(|index| index + shift));
    }
}

/// the same in a version whose addresses have a `version`.
fn a_08_previous_result_is_handed_on_in_0_4_0(plugin: Plugin) {
    let lab = Lab::new();
    let conf = merged(&plugin.conf_v4(&lab), &json!({"cniVersion": "0.4.0"}));
    let container = lab.container("c1");
    let ip = json!({"version": "4", "interface": 0, "address": "10.55.0.5/24"});
    let interface = json!({"name": "net0", "sandbox": container.path()});
    let previous = json!({"cniVersion": "0.4.0", "interfaces": [interface], "ips": [ip]});
    let result = lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").result();
    assert_eq!(result["cniVersion"], "0.4.0");
    assert_eq!((&result["interfaces"][0], &result["ips"][0]), (&interface, &ip));
    assert_eq!(result["ips"][1]["version"], "4");
}

/// A-8, C-1, D-3: CHECK and DEL get the final result of the whole chain.
fn a_08_check_and_del_take_the_final_result(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let previous = result_of_an_earlier_plugin(plugin, &container);
    let mut last = lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").result();
    last["interfaces"].as_array_mut().expect("interfaces").push(json!({"name": "later0", "sandbox": container.path()}));
    lab.cni(plugin).check(&conf, &last, &container, "eth0").silent();
    lab.cni(plugin).del(&with_prev_result(&conf, &last), &container, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// the name servers of an earlier plugin stay unless we have our own.
fn a_08_dns_of_an_earlier_plugin_stays(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let previous = result_of_an_earlier_plugin(plugin, &c1);
    let dns = |conf: &Value, container: &Container| {
        lab.cni(plugin).add(&with_prev_result(conf, &previous), container, "eth0").result()["dns"].clone()
    };
    assert_eq!(dns(&conf, &c1), previous["dns"]);
    let own = json!({"nameservers": ["192.0.2.2"]});
    assert_eq!(dns(&merged(&conf, &json!({"dns": own})), &c2), own);
}

/// a previous result without a version is taken to be of the configuration's.
fn r_06_previous_result_may_lack_a_version(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let previous = merged(&result_of_an_earlier_plugin(plugin, &container), &json!({"cniVersion": null}));
    let result = lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").result();
    assert_eq!(result["cniVersion"], plugin.newest());
    assert_eq!(addresses(&result)[0], "10.55.0.5/24");
}

/// one of another version than the configuration's is an error.
fn r_06_previous_result_of_another_version_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    let usual = result_of_an_earlier_plugin(plugin, &container);
    for version in ["0.2.0", "0.4.0", "9.9.9"] {
        let previous = merged(&usual, &json!({"cniVersion": version}));
        let error =
            lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").error().saying(version);
        assert!([1, 6, 7].contains(&error.code), "{error:?}");
    }
    assert_unchanged(&before, &lab.host_state());
}

/// and so is one that is no result at all.
fn r_06_previous_result_that_is_none_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    for previous in [json!("x"), json!([]), json!({"ips": 7}), json!({"ips": [7]}), json!({"interfaces": {}})] {
        let error = lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").error();
        assert!([6, 7].contains(&error.code), "{previous}: {error:?}");
    }
    assert_unchanged(&before, &lab.host_state());
}

/// an address of an earlier plugin need not say whose it is.
fn r_07_index_of_an_address_may_be_absent(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let previous = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.55.0.5/24"}]});
    let result = lab.cni(plugin).add(&with_prev_result(&conf, &previous), &container, "eth0").result();
    assert_eq!(result["ips"][0], json!({"address": "10.55.0.5/24"}));
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
}

/// The result of a plugin before us: another interface with another address, a route and a name server.
fn result_of_an_earlier_plugin(plugin: Plugin, container: &Container) -> Value {
    container.netns().ip("link add net0 type veth peer name other");
    container.netns().ip("address add 10.55.0.5/24 dev net0");
    container.netns().ip("link set other up");
    container.netns().ip("link set net0 up");
    container.netns().ip("route add 10.66.0.0/16 via 10.55.0.1");
    json!({
        "cniVersion": plugin.newest(),
        "interfaces": [{"name": "host7"}, {"name": "net0", "sandbox": container.path()}],
        "ips": [{"interface": 1, "address": "10.55.0.5/24", "gateway": "10.55.0.1"}],
        "routes": [{"dst": "10.66.0.0/16", "gw": "10.55.0.1"}],
        "dns": {"nameservers": ["192.0.2.1"]},
    })
}
