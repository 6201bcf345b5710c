//! §1.6: GC, which no reference plugin has.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, eventually};
use crate::fake_ipam::{FakeIpam, delegating};
use crate::{addresses, idle_host, lab_and_conf, ours, ours_once};

ours! {
    g_01_listed_attachments_stay_and_others_go,
    g_01_interface_name_counts,
    g_02_other_networks_are_left_alone,
    g_02_dead_attachments_leave_nothing,
    g_05_others_attach_meanwhile,
    g_06_absent_list_spares_the_living,
    g_07_del_by_the_runtime_comes_first,
}

ours_once! {
    g_01_empty_list_is_obeyed,
    g_02_nothing_to_collect_is_a_success,
    g_02_address_is_free_again,
    g_03_delegate_is_called,
    g_03_error_of_the_delegate_comes_after_the_work,
    g_03_delegate_that_does_not_know_gc_is_forgiven,
    g_04_environment_may_be_full_or_empty,
    g_06_null_is_no_reason_to_fail,
    g_06_malformed_list_is_refused_and_nothing_touched,
    g_08_capabilities_are_tolerated,
}

/// G-1, G-4: what is listed stays as it is, what is not goes, alive or not; nothing is printed.
fn g_01_listed_attachments_stay_and_others_go(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let containers = attach(&lab, plugin, &conf, &["c1", "c3"]);
    let (host, c1, c3) = (lab.host_state(), containers[0].netns().state(), containers[1].netns().state());
    let stale = attach(&lab, plugin, &conf, &["c2", "c4"]);
    lab.cni(plugin).gc(&keeping(&conf, &[("c1", "eth0"), ("c3", "eth0"), ("of-another-runtime", "eth0")])).silent();
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&c1, &containers[0].netns().state());
    assert_unchanged(&c3, &containers[1].netns().state());
    assert!(stale.iter().all(|container| container.netns().link("eth0").is_none()));
}

/// G-1: an attachment is a container and an interface, not a container.
fn g_01_interface_name_counts(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let (host, inside) = (lab.host_state(), container.netns().state());
    lab.cni(plugin).add(&conf, &container, "eth1").result();
    lab.cni(plugin).gc(&keeping(&conf, &[("c1", "eth0"), ("c2", "eth1")])).silent();
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &container.netns().state());
}

/// G-1, G-6: an empty list says that nothing is valid.
fn g_01_empty_list_is_obeyed(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let containers = attach(&lab, plugin, &conf, &["c1", "c2"]);
    lab.cni(plugin).gc(&keeping(&conf, &[])).silent();
    assert_unchanged(&idle, &lab.host_state());
    assert!(containers.iter().all(|container| container.netns().link("eth0").is_none()));
}

/// G-2: only attachments of the network of that name are collected.
fn g_02_other_networks_are_left_alone(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let other = merged(&conf, &json!({"name": "n2", "ipam": {"ranges": [[{"subnet": "10.33.0.0/24"}]]}}));
    let container = lab.container("c1");
    lab.cni(plugin).add(&other, &container, "eth0").result();
    let inside = container.netns().state();
    attach(&lab, plugin, &conf, &["c2"]);
    lab.cni(plugin).gc(&keeping(&conf, &[])).silent();
    assert_unchanged(&inside, &container.netns().state());
    assert!(lab.host().ping("10.33.0.2"));
    assert!(!lab.host_state().mentions(&["n/c2/eth0"]));
}

/// G-2: attachments whose namespace has died go without a trace.
fn g_02_dead_attachments_leave_nothing(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let containers = attach(&lab, plugin, &conf, &["c1", "c2", "c3"]);
    containers[0].kill();
    containers[1].kill_leaving_a_stub();
    containers[2].restart();
    lab.cni(plugin).gc(&keeping(&conf, &[])).silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// G-2: a network that has never had an attachment, or none any more, is in order.
fn g_02_nothing_to_collect_is_a_success(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let before = lab.host_state();
    for _ in 0..2 {
        lab.cni(plugin).gc(&keeping(&conf, &[])).silent();
        lab.cni(plugin).gc(&conf).silent();
    }
    assert_unchanged(&before, &lab.host_state());
}

/// G-2: a collected address can be given again.
fn g_02_address_is_free_again(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/30"}]]));
    for id in ["c1", "c2", "c3"] {
        let container = lab.container(id);
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        assert!(addresses(&result)[0].starts_with("10.22.0.2/"));
        container.kill();
        lab.cni(plugin).gc(&keeping(&conf, &[])).silent();
    }
}

/// G-3: the delegate gets the same GC.
fn g_03_delegate_is_called(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = keeping(&delegating(plugin, &lab), &[("c1", "eth0")]);
    fake.found_by(lab.cni(plugin).call("GC")).no_container().conf(&conf).run().silent();
    assert_eq!(fake.calls(), ["GC"]);
    assert_eq!(fake.input("GC"), conf.to_string());
}

/// G-2, G-3: the delegate's error is reported when all else has been done.
fn g_03_error_of_the_delegate_comes_after_the_work(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = delegating(plugin, &lab);
    let container = lab.container("c1");
    fake.found_by(lab.cni(plugin).call("ADD")).of(&container, "eth0").conf(&conf).run().result();
    fake.fails("GC", 77, "the server is away");
    let call = fake.found_by(lab.cni(plugin).call("GC")).no_container().conf(&keeping(&conf, &[]));
    call.run().error().saying("the server is away");
    assert!(container.netns().link("eth0").is_none());
}

/// G-3, T-5: a delegate of before 1.1.0 does not know GC, and that is no error.
fn g_03_delegate_that_does_not_know_gc_is_forgiven(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = keeping(&delegating(plugin, &lab), &[]);
    fake.fails("GC", 4, "unknown CNI_COMMAND: GC");
    fake.found_by(lab.cni(plugin).call("GC")).no_container().conf(&conf).run().silent();
}

/// G-4: container, namespace and interface are unset, empty, or left over from something else.
fn g_04_environment_may_be_full_or_empty(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let call = || lab.cni(plugin).call("GC").conf(&keeping(&conf, &[]));
    call().run().silent();
    call().no_container().run().silent();
    call().env("CNI_CONTAINERID", "dummy").env("CNI_NETNS", "dummy").env("CNI_IFNAME", "dummy").run().silent();
}

/// G-5: another runtime, or another network, may attach while we collect.
fn g_05_others_attach_meanwhile(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let other = merged(&conf, &json!({"name": "n2", "ipam": {"ranges": [[{"subnet": "10.33.0.0/24"}]]}}));
    let ids: Vec<_> = (0..8).map(|n| format!("c{n}")).collect();
    let _stale = attach(&lab, plugin, &conf, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let collector = lab.cni(plugin).call("GC").no_container().conf(&keeping(&conf, &[])).spawn();
    let newcomers = attach(&lab, plugin, &other, &["d1", "d2", "d3"]);
    collector.finish().silent();
    assert!(newcomers.iter().all(|container| container.netns().link("eth0").is_some()));
    assert!(["10.33.0.2", "10.33.0.3", "10.33.0.4"].iter().all(|address| lab.host().ping(address)));
    assert!(!lab.host_state().mentions(&["springline:n/"]));
}

/// G-6: cnitool sends no list; that means an empty one, but what is provably alive is spared.
fn g_06_absent_list_spares_the_living(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let alive = attach(&lab, plugin, &conf, &["c1"]).remove(0);
    let (host, inside) = (lab.host_state(), alive.netns().state());
    let dead = attach(&lab, plugin, &conf, &["c2", "c3"]);
    dead[0].kill();
    dead[1].restart();
    lab.cni(plugin).gc(&conf).silent();
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &alive.netns().state());
}

/// G-6: Go writes a list that was never made as `null`.
fn g_06_null_is_no_reason_to_fail(plugin: Plugin) {
    let (lab, mut conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let dead = attach(&lab, plugin, &conf, &["c1"]);
    dead[0].kill();
    conf["cni.dev/valid-attachments"] = Value::Null;
    conf["cni.dev/attachments"] = Value::Null;
    lab.cni(plugin).gc(&conf).silent();
    eventually("the dead attachment is gone", || idle == lab.host_state());
}

/// G-6: a list that cannot be read must not be taken for an empty one.
fn g_06_malformed_list_is_refused_and_nothing_touched(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let _container = attach(&lab, plugin, &conf, &["c1"]);
    let before = lab.host_state();
    let lists = [json!({"c1": "eth0"}), json!("c1"), json!([{"containerID": 7, "ifname": "eth0"}]), json!(["c1"])];
    for list in lists {
        let mut conf = conf.clone();
        conf["cni.dev/valid-attachments"] = list;
        let outcome = lab.cni(plugin).gc(&conf);
        assert!(!outcome.status.success(), "a list was taken that is none: {conf}");
        let error = outcome.error();
        assert!([6, 7].contains(&error.code), "{error:?}");
        assert_unchanged(&before, &lab.host_state());
    }
}

/// G-7: libcni DELs the stale attachments that it knows itself before GC, by the path that it remembers.
fn g_07_del_by_the_runtime_comes_first(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let stale = attach(&lab, plugin, &conf, &["c1"]).remove(0);
    stale.restart();
    let new = stale.renamed("c2");
    lab.cni(plugin).add(&conf, &new, "eth0").result();
    let inside = new.netns().state();
    lab.cni(plugin).call("DEL").of(&new, "eth0").env("CNI_CONTAINERID", "c1").conf(&conf).run().silent();
    lab.cni(plugin).gc(&keeping(&conf, &[("c2", "eth0")])).silent();
    assert_unchanged(&inside, &new.netns().state());
    assert!(lab.host().ping("10.22.0.3"));
}

/// G-8: capabilities come unstripped, and nothing is injected for them.
fn g_08_capabilities_are_tolerated(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let conf = merged(&conf, &json!({"capabilities": {"portMappings": true, "bandwidth": true}}));
    lab.cni(plugin).gc(&keeping(&conf, &[])).silent();
}

fn attach(lab: &Lab, plugin: Plugin, conf: &Value, ids: &[&str]) -> Vec<Container> {
    let attach = |id: &&str| {
        let container = lab.container(id);
        lab.cni(plugin).add(conf, &container, "eth0").result();
        container
    };
    ids.iter().map(attach).collect()
}

/// `conf` with the list of what is valid, under both of the keys that libcni writes.
fn keeping(conf: &Value, valid: &[(&str, &str)]) -> Value {
    let list: Value = valid.iter().map(|(id, ifname)| json!({"containerID": id, "ifname": ifname})).collect();
    merged(conf, &json!({"cni.dev/valid-attachments": list, "cni.dev/attachments": list}))
}
