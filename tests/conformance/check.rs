//! §1.5: CHECK.

use std::fs;

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged, with_prev_result};
use crate::common::{Container, Lab, text_of};
use crate::{agreed, bridges, host_interface, lab_and_conf, ours, ours_bridged};

agreed! {
    c_01_previous_result_is_required,
    c_02_mac_may_be_changed_by_a_later_plugin,
    c_02_later_plugins_may_add_things,
    c_03_missing_interface_is_found,
    c_03_missing_address_is_found,
    c_03_missing_route_is_found,
    c_03_dead_namespace_is_found,
    c_04_holds_right_after_add,
    c_07_path_may_differ,
}

ours! {
    c_03_drift_is_code_101_and_says_what,
    c_03_interface_that_is_down_is_found,
    c_03_drift_of_the_host_side_is_found,
    c_03_lost_lease_is_found,
    c_03_address_that_was_never_ours_is_found,
    c_06_changes_nothing,
}

bridges! {
    c_03_port_that_left_the_bridge_is_found,
}

ours_bridged! {
    c_06_bridge_mac_may_drift,
}

/// C-1: CHECK without a previous result is an error, of code 7 with us.
fn c_01_previous_result_is_required(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let error = lab.cni(plugin).call("CHECK").of(&container, "eth0").conf(&conf).run().error();
    assert!(error.text().to_lowercase().contains("prevresult"), "{error:?}");
    assert!(!plugin.is_ours() || error.code == 7, "{error:?}");
}

/// C-2: tuning may have given the interface another MAC, which the final result then has.
fn c_02_mac_may_be_changed_by_a_later_plugin(plugin: Plugin) {
    let (lab, conf, container, mut result) = attached(plugin);
    container.netns().ip("link set eth0 address 02:00:00:00:be:ef");
    let interfaces = result["interfaces"].as_array_mut().expect("interfaces");
    interfaces.last_mut().expect("the container's")["mac"] = json!("02:00:00:00:be:ef");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
}

/// C-2: later plugins may have added interfaces, addresses, routes and rules, with or without saying so.
fn c_02_later_plugins_may_add_things(plugin: Plugin) {
    let (lab, conf, container, mut result) = attached(plugin);
    container.netns().ip("address add 10.55.0.5/24 dev eth0");
    container.netns().ip("link add extra type veth peer name more");
    container.netns().ip("route add 10.56.0.0/16 dev eth0");
    container.netns().ip("rule add from 10.55.0.5 table 100");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
    let extra = json!({"name": "extra", "sandbox": container.path()});
    result["interfaces"].as_array_mut().expect("interfaces").push(extra);
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
}

/// C-3: the container's interface is gone.
fn c_03_missing_interface_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    container.netns().ip("link del eth0");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error().saying("eth0");
}

/// C-3: its address is gone.
fn c_03_missing_address_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    container.netns().ip("-4 address flush dev eth0");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error();
}

/// C-3: its default route is gone.
fn c_03_missing_route_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    container.netns().ip("route del default");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error();
}

/// C-3: its whole namespace is gone, or another has taken its place.
fn c_03_dead_namespace_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    container.restart();
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error();
    container.kill();
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error();
}

/// C-3: our code for that is 101, and the text names what should be there.
fn c_03_drift_is_code_101_and_says_what(plugin: Plugin) {
    let damages = [
        ("link del eth0", "eth0"),
        ("address del {} dev eth0", "10.22.0.2"),
        ("route del default", "default"),
        ("-6 route del default", "default"),
    ];
    for (damage, named) in damages {
        let (lab, conf, container, result) = attached(plugin);
        container.netns().ip(&damage.replace("{}", text_of(&result["ips"][0]["address"])));
        let error = lab.cni(plugin).check(&conf, &result, &container, "eth0").error().with_code(101);
        let text = error.text().replace("0.0.0.0/0", "default").replace("::/0", "default");
        assert!(text.contains(named), "after {damage}: {error:?}");
    }
}

/// C-3: a link that is down carries nothing.
fn c_03_interface_that_is_down_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    container.netns().ip("link set eth0 down");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error().with_code(101);
    let (lab, conf, container, result) = attached(plugin);
    lab.host().ip(&format!("link set {} down", text_of(&host_interface(&result)["name"])));
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error().with_code(101);
}

/// C-3: the host's routes to the container, and the gateway's addresses, are looked at as well.
fn c_03_drift_of_the_host_side_is_found(plugin: Plugin) {
    let damages: &[&str] = match plugin {
        Plugin::Routed => &["route del 10.22.0.2", "-6 route del 2001:db8:22::2", "address flush dev {}"],
        _ => &["address del 10.22.0.1/24 dev br0", "-6 address del 2001:db8:22::1/64 dev br0"],
    };
    for damage in damages {
        let (lab, conf, container, result) = attached(plugin);
        lab.host().ip(&damage.replace("{}", text_of(&host_interface(&result)["name"])));
        lab.cni(plugin).check(&conf, &result, &container, "eth0").error().with_code(101);
    }
}

/// C-3: a reservation that is lost could be given to another.
fn c_03_lost_lease_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    let lease = lab.state_dir().join("leases").join("n").join("10.22.0.2");
    fs::remove_file(&lease).unwrap_or_else(|error| panic!("lose {}: {error}", lease.display()));
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error().with_code(101).saying("10.22.0.2");
}

/// C-3: a previous result with an address that the interface does not hold is wrong, or the interface is.
fn c_03_address_that_was_never_ours_is_found(plugin: Plugin) {
    let (lab, conf, container, mut result) = attached(plugin);
    result["ips"][0]["address"] = json!("10.22.0.200/24");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error().saying("10.22.0.200");
}

/// C-3: a port that somebody took out of the bridge is cut off.
fn c_03_port_that_left_the_bridge_is_found(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    lab.host().ip(&format!("link set {} nomaster", text_of(&host_interface(&result)["name"])));
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error();
}

/// C-4, C-6: right after ADD, again and again, it holds and says nothing.
fn c_04_holds_right_after_add(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for n in 0..5 {
        let container = lab.container(&format!("c{n}"));
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        for _ in 0..3 {
            lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
        }
    }
}

/// C-6: CHECK only looks.
fn c_06_changes_nothing(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    container.netns().ip("route del default");
    let (host, inside) = (lab.host_state(), container.netns().state());
    lab.cni(plugin).check(&conf, &result, &container, "eth0").error();
    crate::common::state::assert_unchanged(&host, &lab.host_state());
    crate::common::state::assert_unchanged(&inside, &container.netns().state());
}

/// C-6, V9: the bridge's MAC may follow its ports (it should not), and no attachment is the worse for it.
fn c_06_bridge_mac_may_drift(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    let mac = lab.host().link("br0").expect("br0")["address"].clone();
    lab.host().ip("link add lowest address 02:00:00:00:00:01 type veth peer name other");
    lab.host().ip("link set lowest master br0");
    assert_eq!(lab.host().link("br0").expect("br0")["address"], mac, "the bridge's MAC was not set for good");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
    lab.host().ip("link set br0 address 02:00:00:00:00:02");
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
}

/// C-7: `CNI_PATH` may be another than at ADD, as long as a delegate, if any, is found.
fn c_07_path_may_differ(plugin: Plugin) {
    let (lab, conf, container, result) = attached(plugin);
    let path = format!("/nonexistent:{}", crate::common::cni::reference_dir().display());
    let conf = with_prev_result(&merged(&conf, &json!({})), &result);
    lab.cni(plugin).call("CHECK").of(&container, "eth0").env("CNI_PATH", &path).conf(&conf).run().silent();
}

fn attached(plugin: Plugin) -> (Lab, Value, Container, Value) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    (lab, conf, container, result)
}
