//! §1.7: STATUS, which the reference has in later versions and answers from its delegate only.

use serde_json::json;

use crate::common::Lab;
use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::fake_ipam::{FakeIpam, NAME, delegating};
use crate::{lab_and_conf, ours, ours_bridged, ours_once};

ours! {
    t_01_ready_is_silent_and_changes_nothing,
    t_03_full_range_is_said_with_numbers,
}

ours_once! {
    t_01_broken_configuration_is_not_ready,
    t_01_add_and_del_do_not_care_for_status,
    t_01_forwarding_that_is_required_but_off_is_said,
    t_02_delegate_is_asked,
    t_02_missing_delegate_is_said,
    t_03_environment_may_be_full_or_empty,
    t_05_delegate_that_does_not_know_status_is_forgiven,
}

ours_bridged! {
    t_01_link_in_the_place_of_the_bridge_is_said,
}

/// T-1: an ADD could be served: success, no output, no change.
fn t_01_ready_is_silent_and_changes_nothing(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let before = lab.host_state();
    lab.cni(plugin).status(&conf).silent();
    assert_unchanged(&before, &lab.host_state());
}

/// T-1: a configuration that ADD would refuse cannot be served.
fn t_01_broken_configuration_is_not_ready(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    lab.cni(plugin).status(&merged(&conf, &json!({"mttu": 1400}))).error().saying("mttu");
    lab.cni(plugin).status(&merged(&conf, &json!({"mode": "flying"}))).error().saying("flying");
}

/// T-1: STATUS informs; ADD and DEL are carried out after a failing one as well as they can be.
fn t_01_add_and_del_do_not_care_for_status(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/30"}]]));
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    lab.cni(plugin).add(&conf, &c1, "eth0").result();
    lab.cni(plugin).status(&conf).error();
    lab.cni(plugin).add(&conf, &c2, "eth0").error().with_code(11);
    lab.cni(plugin).del(&conf, &c1, "eth0").silent();
    lab.cni(plugin).add(&conf, &c2, "eth0").result();
}

/// T-1: where forwarding is required of others and is off, containers would be cut off: 50 or 51.
fn t_01_forwarding_that_is_required_but_off_is_said(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    lab.host().write_sysctl("net/ipv4/ip_forward", "0");
    let error = lab.cni(plugin).status(&merged(&conf, &json!({"forwarding": "require"}))).error().saying("forward");
    assert!([50, 51].contains(&error.code), "{error:?}");
    lab.cni(plugin).status(&merged(&conf, &json!({"forwarding": "enable"}))).silent();
    assert_eq!(lab.host().read_sysctl("net/ipv4/ip_forward"), "0", "STATUS only looks");
}

/// T-1: a link of the bridge's name that is no bridge is in the way of every ADD.
fn t_01_link_in_the_place_of_the_bridge_is_said(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    lab.host().ip("link add br0 type veth peer name other");
    lab.cni(plugin).status(&conf).error().with_code(50).saying("br0");
    let container = lab.container("c1");
    let before = lab.host_state();
    lab.cni(plugin).add(&conf, &container, "eth0").error().saying("br0");
    assert_unchanged(&before, &lab.host_state());
}

/// T-2: the delegate is asked, and its error is ours, with its words.
fn t_02_delegate_is_asked(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = delegating(plugin, &lab);
    let call = || fake.found_by(lab.cni(plugin).call("STATUS")).no_container().conf(&conf).run();
    call().silent();
    fake.fails("STATUS", 50, "the pool has run dry");
    call().error().with_code(50).saying("the pool has run dry");
    assert_eq!(fake.calls(), ["STATUS", "STATUS"]);
    assert_eq!(fake.input("STATUS"), conf.to_string());
}

/// T-2: so is its absence.
fn t_02_missing_delegate_is_said(plugin: Plugin) {
    let lab = Lab::new();
    lab.cni(plugin).status(&delegating(plugin, &lab)).error().saying(NAME);
}

/// T-3, V15: a full range is 50, with the numbers; an address that comes back is enough.
fn t_03_full_range_is_said_with_numbers(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/29"}], [{"subnet": "2001:db8:22::/64"}]]));
    let containers: Vec<_> = (0..5).map(|n| lab.container(&format!("c{n}"))).collect();
    for container in &containers {
        lab.cni(plugin).add(&conf, container, "eth0").result();
    }
    let error = lab.cni(plugin).status(&conf).error().with_code(50).saying("10.22.0.");
    assert!(error.text().contains('5'), "no numbers in {error:?}");
    lab.cni(plugin).del(&conf, &containers[2], "eth0").silent();
    lab.cni(plugin).status(&conf).silent();
}

/// T-3: container, namespace and interface are unset, empty, or left over from something else.
fn t_03_environment_may_be_full_or_empty(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let call = || lab.cni(plugin).call("STATUS").conf(&conf);
    call().run().silent();
    call().no_container().run().silent();
    call().env("CNI_CONTAINERID", "dummy").env("CNI_NETNS", "dummy").env("CNI_IFNAME", "dummy").run().silent();
}

/// T-5: a delegate of before 1.1.0 does not know STATUS, and that is no bad news.
fn t_05_delegate_that_does_not_know_status_is_forgiven(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    fake.fails("STATUS", 4, "unknown CNI_COMMAND: STATUS");
    fake.found_by(lab.cni(plugin).call("STATUS")).no_container().conf(&delegating(plugin, &lab)).run().silent();
}
