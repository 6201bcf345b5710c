//! §1.4: DEL.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::cni::{Cni, Plugin, merged, with_prev_result};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, eventually, text_of};
use crate::fake_ipam::{FakeIpam, delegating};
use crate::{addresses, agreed, bridges, host_interface, idle_host, lab_and_conf, ours, ours_bridged};

agreed! {
    d_01_nothing_to_delete_is_a_success,
    d_01_twice_is_a_success,
    d_01_without_namespace_is_a_success,
    d_01_interface_gone_is_a_success,
    d_01_address_is_free_again_although_the_namespace_is_gone,
    d_02_delegate_is_called_although_the_namespace_is_gone,
    d_02_error_of_the_delegate_is_passed_on,
    d_03_no_previous_result_before_0_4_0,
}

ours! {
    d_01_leaves_nothing_on_the_host,
    d_01_needs_no_records,
    d_01_works_when_the_host_side_was_taken_apart,
    d_01_container_renamed_its_interface,
    d_01_configuration_has_changed_since,
    d_01_configuration_is_no_longer_valid,
    d_03_previous_result_of_others_harms_nobody,
    d_04_failed_del_can_be_repeated,
    d_05_nothing_is_printed,
    d_05_nothing_outlives_it_with_its_streams,
    d_06_plain_file_at_netns_path_means_gone,
    d_07_recycled_path_does_not_harm_its_new_owner,
    d_07_interface_that_is_not_ours_stays,
    d_07_recorded_attachment_goes_though_its_path_leads_to_the_host,
    d_07_link_of_the_recorded_host_name_that_is_not_ours_stays,
}

bridges! {
    d_01_bridge_gone_is_a_success,
}

ours_bridged! {
    d_07_bridge_of_the_administrator_stays,
}

/// D-1: DEL of what was never added succeeds, wherever the namespace is said to be.
fn d_01_nothing_to_delete_is_a_success(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    let call = || lab.cni(plugin).call("DEL").of(&container, "eth0").conf(&conf);
    call().run().success();
    call().env("CNI_NETNS", "").run().success();
    call().without("CNI_NETNS").run().success();
    call().env("CNI_NETNS", "/var/run/netns/sl-none").run().success();
    call().conf(&with_prev_result(&conf, &json!({}))).run().success();
    call().conf(&with_prev_result(&conf, &json!({"cniVersion": plugin.newest()}))).run().success();
    assert_unchanged(&before, &lab.host_state());
}

/// D-1: DEL can be repeated.
fn d_01_twice_is_a_success(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let conf = with_prev_result(&conf, &result);
    for _ in 0..3 {
        lab.cni(plugin).del(&conf, &container, "eth0").success();
        assert!(container.netns().link("eth0").is_none());
    }
}

/// D-1: `CNI_NETNS` may be empty or unset, or lead nowhere any more.
fn d_01_without_namespace_is_a_success(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    container.kill();
    let call = || lab.cni(plugin).call("DEL").of(&container, "eth0").conf(&with_prev_result(&conf, &result));
    call().run().success();
    call().env("CNI_NETNS", "").run().success();
    call().without("CNI_NETNS").run().success();
}

/// D-1: the container may have deleted its interface itself.
fn d_01_interface_gone_is_a_success(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    container.netns().ip("link del eth0");
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").success();
    if plugin.is_ours() {
        assert_unchanged(&idle, &lab.host_state());
    }
}

/// D-1: somebody may have deleted the bridge.
fn d_01_bridge_gone_is_a_success(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    lab.host().ip("link del br0");
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").success();
    assert!(container.netns().link("eth0").is_none());
}

/// D-1: the address goes back to the range whether or not there is still a namespace.
fn d_01_address_is_free_again_although_the_namespace_is_gone(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/30"}]]));
    for id in ["c1", "c2", "c3"] {
        let container = lab.container(id);
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        assert!(addresses(&result)[0].starts_with("10.22.0.2/"));
        container.kill();
        lab.cni(plugin).call("DEL").of(&container, "eth0").env("CNI_NETNS", "").conf(&conf).run().success();
    }
}

/// D-1, D-4: after DEL there is nothing on the host that was not there before ADD.
fn d_01_leaves_nothing_on_the_host(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let inside = container.netns().state();
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    assert!(!idle.changes(&lab.host_state()).is_empty());
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
    assert_unchanged(&inside, &container.netns().state());
}

/// D-1: the state directory may be lost; what is found by name and alias goes all the same.
fn d_01_needs_no_records(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    fs::remove_dir_all(lab.state_dir()).expect("lose the state");
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").silent();
    assert!(container.netns().link("eth0").is_none(), "DEL said success and left the attachment");
    // That nobody else uses the bridge was known from the records only.
    assert_unchanged(&idle.without("br0"), &lab.host_state().without("br0"));
}

/// D-1: routes and links on the host may have been taken away by hand.
fn d_01_works_when_the_host_side_was_taken_apart(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    for damage in
        ["link set {} down", "route flush dev {}", "-6 route flush dev {}", "address flush dev {}", "link del {}"]
    {
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.host().ip(&damage.replace("{}", text_of(&host_interface(&result)["name"])));
        lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").silent();
        assert_unchanged(&idle, &lab.host_state());
    }
}

/// D-1: the container may have given its interface another name.
fn d_01_container_renamed_its_interface(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    container.netns().ip("link set eth0 down");
    container.netns().ip("link set eth0 name wan");
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert!(container.netns().link("wan").is_none());
    assert_unchanged(&idle, &lab.host_state());
}

/// D-1: what was attached goes, whatever the configuration has become since.
fn d_01_configuration_has_changed_since(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let other_mode = match plugin {
        Plugin::Routed => json!({"mode": "bridged", "bridge": {"name": "br9"}}),
        _ => json!({"mode": "routed", "bridge": null}),
    };
    let changes = [
        other_mode,
        json!({"ipam": {"ranges": [[{"subnet": "10.77.0.0/24"}]]}}),
        json!({"ipam": null}),
        json!({"mtu": 1400}),
    ];
    for change in changes {
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.cni(plugin).del(&merged(&conf, &change), &container, "eth0").silent();
        assert_unchanged(&idle, &lab.host_state());
    }
}

/// D-1: a configuration that ADD would refuse does not keep DEL from its work.
fn d_01_configuration_is_no_longer_valid(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let changes = [
        json!({"mttu": 1400}),
        json!({"mode": "flying"}),
        json!({"ipam": {"ranges": [[{"subnet": "banana"}]]}}),
        json!({"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
    ];
    for change in changes {
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.cni(plugin).del(&merged(&conf, &change), &container, "eth0").silent();
        assert_unchanged(&idle, &lab.host_state());
    }
}

/// D-2: the delegate's DEL is called even if the namespace is gone.
fn d_02_delegate_is_called_although_the_namespace_is_gone(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = delegating(plugin, &lab);
    let container = lab.container("c1");
    let call = |verb| fake.found_by(lab.cni(plugin).call(verb)).of(&container, "eth0").conf(&conf);
    call("ADD").run().result();
    container.kill();
    call("DEL").env("CNI_NETNS", "").run().success();
    assert_eq!(fake.calls(), ["ADD", "DEL"]);
}

/// D-2: the delegate's error is ours.
fn d_02_error_of_the_delegate_is_passed_on(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = delegating(plugin, &lab);
    let container = lab.container("c1");
    let call = |verb| fake.found_by(lab.cni(plugin).call(verb)).of(&container, "eth0").conf(&conf);
    call("ADD").run().result();
    fake.fails("DEL", 77, "the server is away");
    call("DEL").run().error().saying("the server is away");
}

/// D-3: before 0.4.0 runtimes have no previous result to give.
fn d_03_no_previous_result_before_0_4_0(plugin: Plugin) {
    let lab = Lab::new();
    let container = lab.container("c1");
    for version in &plugin.versions()[..4] {
        let conf = merged(&plugin.conf_v4(&lab), &json!({"cniVersion": version}));
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.cni(plugin).del(&conf, &container, "eth0").success();
        assert!(container.netns().link("eth0").is_none(), "{version}");
    }
}

/// D-3: a previous result that names things of others is no licence to remove them.
fn d_03_previous_result_of_others_harms_nobody(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let of_c2 = lab.cni(plugin).add(&conf, &c2, "eth0").result();
    let (host, inside) = (lab.host_state(), c2.netns().state());
    lab.cni(plugin).add(&conf, &c1, "eth0").result();
    for id in ["c1", "c3"] {
        let call = lab.cni(plugin).call("DEL").of(&c1, "eth0").env("CNI_CONTAINERID", id);
        call.conf(&with_prev_result(&conf, &of_c2)).run().silent();
        assert_unchanged(&host, &lab.host_state());
        assert_unchanged(&inside, &c2.netns().state());
    }
}

/// D-4: an error of DEL keeps what is needed to try again.
fn d_04_failed_del_can_be_repeated(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let conf = delegating(plugin, &lab);
    let container = lab.container("c1");
    let call = |verb| fake.found_by(lab.cni(plugin).call(verb)).of(&container, "eth0").conf(&conf);
    call("ADD").run().result();
    call("DEL").run().silent();
    let idle = lab.host_state();
    call("ADD").run().result();
    fake.fails("DEL", 77, "the server is away");
    call("DEL").run().error();
    fake.recovers("DEL");
    call("DEL").run().silent();
    assert_eq!(fake.calls(), ["ADD", "DEL", "ADD", "DEL", "DEL"]);
    assert_unchanged(&idle, &lab.host_state());
}

/// D-5: success says nothing on stdout, and nothing on stderr either.
fn d_05_nothing_is_printed(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let outcome = lab.cni(plugin).del(&conf, &container, "eth0");
    outcome.silent();
    assert_eq!(outcome.stderr, "");
}

/// D-5: a runtime reads until the pipes are closed; what still works behind us must not hold them.
fn d_05_nothing_outlives_it_with_its_streams(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for _ in 0..5 {
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        let call = lab.cni(plugin).call("DEL").of(&container, "eth0").stdin(conf.to_string()).keep_stdin_open();
        let mut running = call.spawn();
        let pipes = running.output_pipes();
        running.close_stdin();
        while !running.has_ended() {
            std::thread::yield_now();
        }
        let holders = holders_of(&pipes, &plugin.binary());
        assert!(holders.is_empty(), "processes {holders:?} still hold {pipes:?}");
        running.finish().silent();
    }
}

/// D-6: a file that is no namespace, as a reboot leaves in /run/netns, means that the namespace is gone.
fn d_06_plain_file_at_netns_path_means_gone(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    container.kill_leaving_a_stub();
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").silent();
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// D-7, V18: the path now leads to another container's namespace: its interface is not ours to delete.
fn d_07_recycled_path_does_not_harm_its_new_owner(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let old = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &old, "eth0").result();
    old.restart();
    let new = old.renamed("c2");
    lab.cni(plugin).add(&conf, &new, "eth0").result();
    let inside = new.netns().state();
    let call = lab.cni(plugin).call("DEL").of(&new, "eth0").env("CNI_CONTAINERID", "c1");
    call.conf(&with_prev_result(&conf, &result)).run().silent();
    assert_unchanged(&inside, &new.netns().state());
    assert!(lab.host().ping("10.22.0.3"));
    assert!(!lab.host_state().mentions(&["n/c1/eth0"]), "something of c1 is left: {:?}", lab.host_state());
}

/// D-7: an interface of that name that nobody of us made stays, recorded attachment or not.
fn d_07_interface_that_is_not_ours_stays(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    container.netns().ip("link add eth0 type veth peer name other");
    let foreign = container.netns().state();
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert_unchanged(&foreign, &container.netns().state());

    let second = lab.container("c2");
    lab.cni(plugin).add(&conf, &second, "eth0").result();
    second.netns().ip("link del eth0");
    second.netns().ip("link add eth0 type veth peer name other");
    let foreign = second.netns().state();
    lab.cni(plugin).del(&conf, &second, "eth0").silent();
    assert_unchanged(&foreign, &second.netns().state());
}

/// E-NS, D-7: what is recorded is torn down although its path now leads to the host itself; that is not touched.
fn d_07_recorded_attachment_goes_though_its_path_leads_to_the_host(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    lab.host().ip("link add eth0 type veth peer name other");
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
    let to_host =
        |cni: Cni| cni.call("DEL").of(&container, "eth0").env("CNI_NETNS", &lab.host().path()).conf(&conf).run();
    to_host(lab.cni(plugin)).silent();
    assert_unchanged(&idle, &lab.host_state());
    to_host(lab.cni(plugin)).error().with_code(8);
    assert_unchanged(&idle, &lab.host_state());
}

/// D-7: a link that has come to bear the recorded name, but not our alias, is a stranger.
fn d_07_link_of_the_recorded_host_name_that_is_not_ours_stays(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for alias in ["somebody else's", "springline:n/c2/eth0", ""] {
        let name = attach_and_name(&lab, plugin, &conf, &container);
        lab.host().ip(&format!("link del {name}"));
        eventually("both ends are gone", || container.netns().link("eth0").is_none());
        lab.host().ip(&format!("link add {name} type veth peer name stranger"));
        if !alias.is_empty() {
            lab.host().shell(&format!("ip link set {name} alias \"{alias}\""));
        }
        let stranger = lab.host().state().about(&name);
        lab.cni(plugin).del(&conf, &container, "eth0").silent();
        assert_unchanged(&stranger, &lab.host().state().about(&name));
        lab.host().ip(&format!("link del {name}"));
    }
}

/// D-7: a bridge that was there before us stays, as it was, when the last container has gone.
fn d_07_bridge_of_the_administrator_stays(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for gateway in ["10.22.0.1/24", "10.99.0.1/24"] {
        lab.host().ip("link add br0 address 02:00:00:00:00:99 type bridge");
        lab.host().ip(&format!("address add {gateway} dev br0"));
        lab.host().ip("link set br0 up");
        let before = lab.host_state();
        let container = lab.container("c1");
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.cni(plugin).del(&conf, &container, "eth0").silent();
        assert_unchanged(&before, &lab.host_state());
        lab.host().ip("link del br0");
    }
}

/// The processes of `program` that have one of `pipes` open.
fn holders_of(pipes: &[PathBuf], program: &Path) -> Vec<PathBuf> {
    let program = program.canonicalize().expect("the plugin");
    let processes = fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
    let ours = processes.filter(|process| fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program));
    let holds = |process: &PathBuf| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| pipes.contains(&file))
    };
    ours.filter(holds).collect()
}

fn attach_and_name(lab: &Lab, plugin: Plugin, conf: &Value, container: &Container) -> String {
    let result = lab.cni(plugin).add(conf, container, "eth0").result();
    text_of(&host_interface(&result)["name"]).to_owned()
}
