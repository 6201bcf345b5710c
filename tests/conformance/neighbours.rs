//! Attachments do not disturb one another: second networks, second interfaces, other containers.

use serde_json::{Value, json};

use crate::common::cni::{Cni, Plugin, merged, with_prev_result};
use crate::common::state::{State, assert_unchanged};
use crate::common::{Container, Lab, text_of};
use crate::{agreed, bridges, host_interface, lab_and_conf, ours};

agreed! {
    n_other_container_is_not_disturbed,
}

bridges! {
    n_second_network_does_not_disturb_the_first,
}

ours! {
    n_second_network_leaves_the_first_as_it_is,
    n_second_interface_leaves_the_first_as_it_is,
    n_second_interface_does_not_answer_for_the_first,
    n_first_goes_and_the_second_stays,
    n_failed_second_leaves_the_first_as_it_is,
    n_same_name_in_another_network,
}

/// The issue: another container comes and goes, and the first keeps its interface, addresses and routes.
fn n_other_container_is_not_disturbed(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let (first, second) = (lab.container("c1"), lab.container("c2"));
    let result = lab.cni(plugin).add(&conf, &first, "eth0").result();
    let before = Watched::new(&lab, &first, &result);
    lab.cni(plugin).add(&conf, &second, "eth0").result();
    before.assert_unchanged();
    lab.cni(plugin).del(&conf, &second, "eth0").success();
    before.assert_unchanged();
    assert!(lab.host().ping("10.22.0.2"));
}

/// The issue: a second network of a container, as far as the reference can do it.
fn n_second_network_does_not_disturb_the_first(plugin: Plugin) {
    let lab = Lab::new();
    let container = lab.container("c1");
    second_comes_and_goes(&lab, lab.cni(plugin), &container, &plugin.conf_v4(&lab), &second_network(plugin, &lab));
    assert!(lab.host().ping("10.22.0.2"), "the first answers after the second");
}

/// The issue: a second network of a container leaves the first, default routes included.
fn n_second_network_leaves_the_first_as_it_is(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    second_comes_and_goes(&lab, lab.cni(plugin), &container, &conf, &second_network(plugin, &lab));
    assert!(lab.host().ping("10.22.0.2"), "the first answers after the second");
}

/// The issue: so does a second interface on the same network (V6, V7, V12).
fn n_second_interface_leaves_the_first_as_it_is(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    second_comes_and_goes(&lab, lab.cni(plugin), &lab.container("c1"), &conf, &conf);
}

/// The issue: on a shared link both interfaces hear who asks for the first's address, and only the first may
/// answer: else the asker is left with a MAC that goes away with the second.
fn n_second_interface_does_not_answer_for_the_first(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    lab.cni(plugin).add(&conf, &container, "eth1").result();
    for (address, beside) in [("10.22.0.2", "the second"), ("10.22.0.3", "the first")] {
        assert!(lab.host().ping(address), "{address} answers beside {beside}");
    }
    lab.cni(plugin).del(&conf, &container, "eth1").silent();
    assert!(lab.host().ping("10.22.0.2"), "the first answers after the second");
}

/// The issue: the order does not matter: the first goes, and the second stays and still answers.
fn n_first_goes_and_the_second_stays(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let other = second_network(plugin, &lab);
    let container = lab.container("c1");
    let first = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let second = lab.cni(plugin).add(&other, &container, "eth1").result();
    let before = Watched::named(&lab, &container, &second, "eth1");
    lab.cni(plugin).del(&with_prev_result(&conf, &first), &container, "eth0").silent();
    before.assert_unchanged();
    lab.cni(plugin).check(&other, &second, &container, "eth1").silent();
    assert!(lab.host().ping("10.33.0.2"));
}

/// The issue: a second network that cannot be attached is undone without touching the first.
fn n_failed_second_leaves_the_first_as_it_is(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let full = merged(&second_network(plugin, &lab), &json!({"ipam": {"ranges": [[{"subnet": "10.33.0.0/30"}]]}}));
    let other = lab.container("c2");
    lab.cni(plugin).add(&full, &other, "eth0").result();
    let (host, inside) = (lab.host_state(), container.netns().state());
    lab.cni(plugin).add(&full, &container, "eth1").error().with_code(11);
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &container.netns().state());
}

/// the same container and interface name in two networks are two attachments, even in two namespaces.
fn n_same_name_in_another_network(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let other = second_network(plugin, &lab);
    let (here, there) = (lab.container("c1"), lab.container("x").renamed("c1"));
    let result = lab.cni(plugin).add(&conf, &here, "eth0").result();
    let before = Watched::new(&lab, &here, &result);
    lab.cni(plugin).add(&other, &there, "eth0").result();
    lab.cni(plugin).del(&other, &there, "eth0").silent();
    before.assert_unchanged();
    assert!(lab.host().ping("10.22.0.2"));
}

fn second_comes_and_goes(lab: &Lab, cni: Cni, container: &Container, first: &Value, second: &Value) {
    let result = cni.add(first, container, "eth0").result();
    let before = Watched::new(lab, container, &result);
    let other = cni.add(second, container, "eth1").result();
    before.assert_unchanged();
    assert!(lab.host().ping("10.22.0.2"), "the first answers beside the second");
    cni.check(first, &result, container, "eth0").silent();
    cni.check(second, &other, container, "eth1").silent();
    cni.del(&with_prev_result(second, &other), container, "eth1").success();
    before.assert_unchanged();
    assert!(container.netns().link("eth1").is_none());
}

fn second_network(plugin: Plugin, lab: &Lab) -> Value {
    let conf = plugin.conf_with_ranges(lab, &json!([[{"subnet": "10.33.0.0/24"}]]));
    let bridge = match plugin {
        Plugin::Bridged => json!({"bridge": {"name": "br1"}}),
        Plugin::Bridge => json!({"bridge": "br1"}),
        _ => json!({}),
    };
    merged(&merged(&conf, &json!({"name": "n2"})), &bridge)
}

/// One attachment's facts on both sides.
struct Watched<'a> {
    lab: &'a Lab,
    container: &'a Container,
    inner: String,
    outer: String,
    before: [State; 2],
}

impl<'a> Watched<'a> {
    fn new(lab: &'a Lab, container: &'a Container, result: &Value) -> Self {
        Self::named(lab, container, result, "eth0")
    }

    fn named(lab: &'a Lab, container: &'a Container, result: &Value, inner: &str) -> Self {
        let outer = text_of(&host_interface(result)["name"]).to_owned();
        let mut watched = Self { lab, container, inner: inner.to_owned(), outer, before: Default::default() };
        watched.before = watched.now();
        watched
    }

    fn now(&self) -> [State; 2] {
        [self.container.netns().state().about(&self.inner), self.lab.host().state().about(&self.outer)]
    }

    #[track_caller]
    fn assert_unchanged(&self) {
        let now = self.now();
        self.before.iter().zip(&now).for_each(|(before, now)| assert_unchanged(before, now));
    }
}
