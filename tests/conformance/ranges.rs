//! Addresses out of ranges: the meaning is host-local's, so the reference is judged alike.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab};
use crate::{addresses, agreed, idle_host, ours};

agreed! {
    range_first_addresses_follow_the_gateway,
    range_has_a_start_an_end_and_a_gateway,
    range_one_address_for_each_outer_entry,
    range_goes_on_in_the_next_inner_entry,
    range_full_is_an_error_until_somebody_leaves,
    range_address_just_left_is_not_given_next,
}

ours! {
    range_full_is_code_11_with_numbers_and_undone,
    range_excluded_addresses_are_not_given,
    range_fixed_addresses_need_no_range,
}

/// §2.2: without a gateway the first address is reserved for it, and .2 is given first.
fn range_first_addresses_follow_the_gateway(plugin: Plugin) {
    let given = give(plugin, &json!([[{"subnet": "10.22.0.0/24"}]]), 3);
    assert_eq!(given, ["10.22.0.2", "10.22.0.3", "10.22.0.4"]);
}

/// §2.2: rangeStart and rangeEnd are both given, the gateway between them is not.
fn range_has_a_start_an_end_and_a_gateway(plugin: Plugin) {
    let (start, end, gateway) = ("10.22.0.9", "10.22.0.12", "10.22.0.11");
    let ranges = json!([[{"subnet": "10.22.0.0/24", "rangeStart": start, "rangeEnd": end, "gateway": gateway}]]);
    assert_eq!(give(plugin, &ranges, 3), ["10.22.0.9", "10.22.0.10", "10.22.0.12"]);
}

/// §2.2: one address for each outer entry.
fn range_one_address_for_each_outer_entry(plugin: Plugin) {
    let ranges = json!([[{"subnet": "10.22.0.0/24"}], [{"subnet": "10.23.0.0/24"}]]);
    assert_eq!(give(plugin, &ranges, 2), ["10.22.0.2", "10.23.0.2", "10.22.0.3", "10.23.0.3"]);
}

/// §2.2: the inner entries are one pool.
fn range_goes_on_in_the_next_inner_entry(plugin: Plugin) {
    let ranges = json!([[{"subnet": "10.22.0.0/30"}, {"subnet": "10.22.0.8/29", "rangeEnd": "10.22.0.11"}]]);
    assert_eq!(give(plugin, &ranges, 3), ["10.22.0.2", "10.22.0.10", "10.22.0.11"]);
}

/// D-1, T-3: a full range is an error of ADD; after a DEL there is an address again.
fn range_full_is_an_error_until_somebody_leaves(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/30"}]]));
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    lab.cni(plugin).add(&conf, &c1, "eth0").result();
    lab.cni(plugin).add(&conf, &c2, "eth0").error();
    lab.cni(plugin).del(&conf, &c2, "eth0").success();
    lab.cni(plugin).del(&conf, &c1, "eth0").success();
    // A new namespace, because the reference leaves the link of the failed ADD in the old one.
    c2.restart();
    let result = lab.cni(plugin).add(&conf, &c2, "eth0").result();
    assert_eq!(bare(&addresses(&result)), ["10.22.0.2"]);
}

/// §1.2: that error is 11, says how many addresses are used of how many, and leaves nothing behind (V1).
fn range_full_is_code_11_with_numbers_and_undone(plugin: Plugin) {
    let lab = Lab::new();
    let v4 = json!({"subnet": "10.22.0.0/24", "rangeStart": "10.22.0.10", "rangeEnd": "10.22.0.12"});
    let ranges = json!([[v4], [{"subnet": "2001:db8:22::/64"}]]);
    let conf = plugin.conf_with_ranges(&lab, &ranges);
    let containers: Vec<_> = (0..4).map(|n| lab.container(&format!("c{n}"))).collect();
    for container in &containers[..3] {
        lab.cni(plugin).add(&conf, container, "eth0").result();
    }
    let (host, inside) = (lab.host_state(), containers[3].netns().state());
    let error = lab.cni(plugin).add(&conf, &containers[3], "eth0").error().with_code(11);
    let numbers: Vec<_> = error.text().split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect();
    assert_eq!(numbers.iter().filter(|word| *word == "3").count(), 2, "used 3, total 3: {error:?}");
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &containers[3].netns().state());
}

/// §2.2: the next container gets another address than the one just left, so that neighbours can forget it.
fn range_address_just_left_is_not_given_next(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_v4(&lab);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    lab.cni(plugin).add(&conf, &c1, "eth0").result();
    lab.cni(plugin).del(&conf, &c1, "eth0").success();
    let result = lab.cni(plugin).add(&conf, &c2, "eth0").result();
    assert_eq!(bare(&addresses(&result)), ["10.22.0.3"]);
}

/// DESIGN §6: `exclude` takes addresses and networks out of a range.
fn range_excluded_addresses_are_not_given(plugin: Plugin) {
    let range = json!([[{"subnet": "10.22.0.0/24", "exclude": ["10.22.0.2/31", "10.22.0.5"]}]]);
    assert_eq!(give(plugin, &range, 3), ["10.22.0.4", "10.22.0.6", "10.22.0.7"]);
}

/// DESIGN §6: `addresses` belong to the attachment beside or instead of ranges, and to one at a time.
fn range_fixed_addresses_need_no_range(plugin: Plugin) {
    let lab = Lab::new();
    let fixed = json!({"ipam": {"ranges": null, "addresses": ["10.22.0.77/24", "2001:db8:22::77/64"]}});
    let conf = merged(&plugin.conf(&lab), &fixed);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let result = lab.cni(plugin).add(&conf, &c1, "eth0").result();
    assert_eq!(bare(&addresses(&result)), ["10.22.0.77", "2001:db8:22::77"]);
    let taken = lab.host_state();
    lab.cni(plugin).add(&conf, &c2, "eth0").error().saying("10.22.0.77");
    assert_unchanged(&taken, &lab.host_state());
    lab.cni(plugin).del(&conf, &c1, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// The addresses that `count` containers are given one after the other.
fn give(plugin: Plugin, ranges: &Value, count: usize) -> Vec<String> {
    let lab = Lab::new();
    let mut conf = plugin.conf_with_ranges(&lab, ranges);
    if plugin == Plugin::Bridge {
        conf["isGateway"] = json!(false); // it holds the gateway of one subnet only
    }
    let containers: Vec<Container> = (0..count).map(|n| lab.container(&format!("c{n}"))).collect();
    let results = containers.iter().map(|container| lab.cni(plugin).add(&conf, container, "eth0").result());
    bare(&results.flat_map(|result| addresses(&result)).collect::<Vec<_>>())
}

fn bare(addresses: &[String]) -> Vec<String> {
    addresses.iter().map(|address| address.split('/').next().expect("an address").to_owned()).collect()
}
