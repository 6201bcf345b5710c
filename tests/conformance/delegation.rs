//! §1.12: an IPAM plugin of somebody else's.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use serde_json::{Value, json};

use crate::common::cni::{Outcome, Plugin, merged, reference, with_prev_result};
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, eventually, tool};
use crate::fake_ipam::{FakeIpam, NAME, delegating, one_address};
use crate::{addresses, agreed, bridges, container_interface, host_interface, ours};

agreed! {
    p_01_first_plugin_on_the_path_wins,
    p_01_missing_plugin_is_named,
    p_02_delegate_gets_the_same_environment_and_input,
    p_03_address_of_the_delegate_is_configured,
    p_03_error_of_the_delegate_is_passed_on,
    p_03_result_without_addresses_is_an_error,
    p_05_check_and_del_are_passed_on,
}

bridges! {
    p_06_dhcp,
}

ours! {
    p_01_only_a_bare_name_is_looked_for,
    p_02_stderr_of_the_delegate_is_passed_on,
    p_04_address_is_released_when_a_later_step_fails,
    p_05_link_goes_before_its_address,
    p_07_killed_in_the_middle_leaves_nothing_after_del,
    p_07_delegate_does_not_outlive_the_plugin,
    a_07_dns_of_the_configuration_wins_over_that_of_the_delegate,
    a_10_failed_delegate_gets_a_del,
    r_05_result_of_the_delegate_may_lack_a_version,
    r_05_null_is_an_empty_result,
    p_05_host_local,
    p_05_static,
}

/// P-1: the first regular file of that name on `CNI_PATH` wins.
fn p_01_first_plugin_on_the_path_wins(plugin: Plugin) {
    let lab = Lab::new();
    let (first, second) = (FakeIpam::new(&lab, plugin), FakeIpam::in_directory(&lab, "second"));
    let folder = lab.dir().join("folder");
    fs::create_dir_all(folder.join(NAME)).expect("make a directory of that name");
    let path = format!("/nonexistent:{}:{}:{}", folder.display(), first.path(), second.path());
    let container = lab.container("c1");
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_PATH", &path);
    call.conf(&delegating(plugin, &lab)).run().result();
    assert_eq!((first.calls().len(), second.calls().len()), (1, 0));
}

/// P-1: a plugin that is nowhere on `CNI_PATH` is an error that names it.
fn p_01_missing_plugin_is_named(plugin: Plugin) {
    let lab = Lab::new();
    let container = lab.container("c1");
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_PATH", "/nonexistent:/");
    call.conf(&delegating(plugin, &lab)).run().error().saying(NAME).saying("/nonexistent");
}

/// P-1: a name with a slash is refused, however real the file.
fn p_01_only_a_bare_name_is_looked_for(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    for name in [format!("../fake/{NAME}"), format!("{}/{NAME}", fake.path())] {
        let conf = merged(&delegating(plugin, &lab), &json!({"ipam": {"type": name}}));
        let call = lab.cni(plugin).call("ADD").of(&container, "eth0").conf(&conf);
        fake.found_by(call).run().error().with_code(7).saying(&name);
    }
    assert!(fake.calls().is_empty());
}

/// P-2: the delegate sees the caller's environment, and the configuration byte by byte.
fn p_02_delegate_gets_the_same_environment_and_input(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    let text = serde_json::to_string_pretty(&delegating(plugin, &lab)).expect("serializable") + " \n";
    let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_ARGS", "IgnoreUnknown=1;A=b");
    let result = fake.found_by(call.env("OF_THE_RUNTIME", "x")).stdin(text.clone()).run().result();
    assert_eq!(fake.input("ADD"), text);
    let with_result = with_prev_result(&delegating(plugin, &lab), &result).to_string() + "\n";
    for verb in ["CHECK", "DEL"] {
        let call = fake.found_by(lab.cni(plugin).call(verb)).of(&container, "eth0");
        call.stdin(with_result.clone()).run().silent();
        assert_eq!(fake.input(verb), with_result, "{verb}");
    }
    let environment = fake.environment("ADD");
    let expected = [
        "CNI_ARGS=IgnoreUnknown=1;A=b".to_owned(),
        "CNI_COMMAND=ADD".to_owned(),
        "CNI_CONTAINERID=c1".to_owned(),
        "CNI_IFNAME=eth0".to_owned(),
        format!("CNI_NETNS={}", container.path()),
        format!("CNI_PATH={}", fake.path()),
        "OF_THE_RUNTIME=x".to_owned(),
    ];
    for variable in expected {
        assert!(environment.contains(&variable), "no {variable} in {environment:?}");
    }
}

/// P-2: what the delegate says on stderr is said on ours.
fn p_02_stderr_of_the_delegate_is_passed_on(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    let outcome = run(&lab, plugin, &fake, "ADD", &container);
    outcome.result();
    assert!(outcome.stderr.contains("ADD says hello"), "{}", outcome.stderr);
}

/// P-3: the delegate's address is configured, and gets the index of the container's interface.
fn p_03_address_of_the_delegate_is_configured(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    let result = run(&lab, plugin, &fake, "ADD", &container).result();
    assert!(addresses(&result)[0].starts_with("10.22.0.7/"));
    assert_eq!(addresses(&result), container.netns().addresses("eth0"));
    let index = result["ips"][0]["interface"].as_u64().and_then(|index| usize::try_from(index).ok()).expect("an index");
    assert_eq!(&result["interfaces"][index], container_interface(&result));
    assert!(lab.host().ping("10.22.0.7"));
}

/// P-3: the delegate's refusal is our refusal, with its code and its words.
fn p_03_error_of_the_delegate_is_passed_on(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    fake.fails("ADD", 11, "the pool has run dry");
    let container = lab.container("c1");
    run(&lab, plugin, &fake, "ADD", &container).error().with_code(11).saying("the pool has run dry");
}

/// P-3: a delegate that succeeds without an address has failed.
fn p_03_result_without_addresses_is_an_error(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    fake.answers("ADD", &json!({"cniVersion": plugin.newest()}));
    let container = lab.container("c1");
    let before = lab.host_state();
    run(&lab, plugin, &fake, "ADD", &container).error();
    if plugin.is_ours() {
        assert_unchanged(&before, &lab.host_state());
    }
}

/// P-4: what the delegate gave is given back when the kernel then refuses to go on.
fn p_04_address_is_released_when_a_later_step_fails(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let impossible = json!([{"dst": "10.66.0.0/16", "gw": "224.0.0.1"}]);
    fake.answers("ADD", &merged(&one_address(plugin, "10.22.0.7"), &json!({"routes": impossible})));
    let container = lab.container("c1");
    let before = lab.host_state();
    let outcome = run(&lab, plugin, &fake, "ADD", &container);
    outcome.error();
    assert_eq!(fake.calls(), ["ADD", "DEL"]);
    assert!(container.netns().link("eth0").is_none());
    assert_unchanged(&before, &lab.host_state());
}

/// P-5, C-5, D-2: CHECK and DEL reach the delegate, and its errors come back.
fn p_05_check_and_del_are_passed_on(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    let result = run(&lab, plugin, &fake, "ADD", &container).result();
    let conf = with_prev_result(&delegating(plugin, &lab), &result);
    let call = |verb| fake.found_by(lab.cni(plugin).call(verb)).of(&container, "eth0").conf(&conf).run();
    call("CHECK").silent();
    fake.fails("CHECK", 77, "the lease has been lost");
    call("CHECK").error().saying("the lease has been lost");
    call("DEL").success();
    assert_eq!(fake.calls(), ["ADD", "CHECK", "CHECK", "DEL"]);
}

/// P-5: the address is released when the link that held it is gone already.
fn p_05_link_goes_before_its_address(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    let result = run(&lab, plugin, &fake, "ADD", &container).result();
    run(&lab, plugin, &fake, "DEL", &container).silent();
    let link = host_interface(&result)["name"].as_str().expect("a name").to_owned();
    assert!(!fake.links("DEL").contains(&link), "{link} was still there: {:?}", fake.links("DEL"));
}

/// P-7: a plugin killed while its delegate works leaves what DEL can find.
fn p_07_killed_in_the_middle_leaves_nothing_after_del(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    run(&lab, plugin, &fake, "ADD", &container).result();
    run(&lab, plugin, &fake, "DEL", &container).silent();
    let idle = lab.host_state();
    kill_during_add(&lab, plugin, &fake, &container);
    run(&lab, plugin, &fake, "DEL", &container).silent();
    assert_eq!(fake.calls(), ["ADD", "DEL", "ADD", "DEL"]);
    assert!(container.netns().link("eth0").is_none());
    assert_unchanged(&idle, &lab.host_state());
}

/// P-7: the delegate is not left running, to allocate for nobody.
fn p_07_delegate_does_not_outlive_the_plugin(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let container = lab.container("c1");
    kill_during_add(&lab, plugin, &fake, &container);
    let delegate = format!("/proc/{}", fake.pid("ADD").expect("the delegate was at work"));
    eventually("the delegate has ended", || !Path::new(&delegate).exists());
}

/// `dns` of the configuration wins over the delegate's; without it the delegate's stands.
fn a_07_dns_of_the_configuration_wins_over_that_of_the_delegate(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    let dns = json!({"dns": {"nameservers": ["192.0.2.1"], "search": ["delegate.example"]}});
    fake.answers("ADD", &merged(&one_address(plugin, "10.22.0.7"), &dns));
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    assert_eq!(run(&lab, plugin, &fake, "ADD", &c1).result()["dns"], dns["dns"]);
    run(&lab, plugin, &fake, "DEL", &c1).silent();
    let conf = merged(&delegating(plugin, &lab), &json!({"dns": {"nameservers": ["192.0.2.2"]}}));
    let call = fake.found_by(lab.cni(plugin).call("ADD")).of(&c2, "eth0").conf(&conf);
    assert_eq!(call.run().result()["dns"], json!({"nameservers": ["192.0.2.2"]}));
}

/// a delegate that fails at ADD gets a DEL before we fail.
fn a_10_failed_delegate_gets_a_del(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    fake.fails("ADD", 11, "the pool has run dry");
    let container = lab.container("c1");
    let before = lab.host_state();
    run(&lab, plugin, &fake, "ADD", &container).error();
    assert_eq!(fake.calls(), ["ADD", "DEL"]);
    assert_unchanged(&before, &lab.host_state());
}

/// a delegate's result without a version is taken to be of the configuration's.
fn r_05_result_of_the_delegate_may_lack_a_version(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    fake.answers("ADD", &merged(&one_address(plugin, "10.22.0.7"), &json!({"cniVersion": null})));
    let container = lab.container("c1");
    let result = run(&lab, plugin, &fake, "ADD", &container).result();
    assert_eq!(result["cniVersion"], plugin.newest());
}

/// `null` is a result without anything, and so an error of ADD that DEL does not mind.
fn r_05_null_is_an_empty_result(plugin: Plugin) {
    let lab = Lab::new();
    let fake = FakeIpam::new(&lab, plugin);
    fake.answers("ADD", &Value::Null);
    fake.answers("DEL", &Value::Null);
    let container = lab.container("c1");
    run(&lab, plugin, &fake, "ADD", &container).error();
    run(&lab, plugin, &fake, "DEL", &container).silent();
}

/// P-5: Debian's host-local, whole life: address, CHECK, DEL, and the same address for the next but many.
fn p_05_host_local(plugin: Plugin) {
    let lab = Lab::new();
    let data_dir = lab.dir().join("leases-of-host-local");
    let ranges = json!([[{"subnet": "10.22.0.0/24"}]]);
    let ipam = json!({"type": "host-local", "dataDir": data_dir, "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]});
    let container = live_with_a_reference_ipam(&lab, plugin, "host-local", ipam);
    let lease = data_dir.join("n").join("10.22.0.2");
    assert!(!lease.exists(), "{} is still leased", lease.display());
    drop(container);
}

/// P-5: Debian's static.
fn p_05_static(plugin: Plugin) {
    let lab = Lab::new();
    // The plugin's CHECK compares the result's gateway with its own configuration.
    let gateway = if plugin == Plugin::Routed { "169.254.0.1" } else { "10.22.0.1" };
    let address = json!({"address": "10.22.0.2/24", "gateway": gateway});
    let ipam = json!({"type": "static", "addresses": [address], "routes": [{"dst": "0.0.0.0/0"}]});
    live_with_a_reference_ipam(&lab, plugin, "static", ipam);
}

/// P-6: dhcp needs the link before the address; a server on the bridge gives one.
fn p_06_dhcp(plugin: Plugin) {
    let lab = Lab::new();
    let socket = lab.dir().join("dhcp.sock");
    let socket_text = socket.to_str().expect("UTF-8");
    lab.host().ip("link add br0 type bridge");
    lab.host().ip("address add 10.22.0.1/24 dev br0");
    lab.host().ip("link set br0 up");
    serve_dhcp(&lab);
    lab.daemon(lab.host(), &reference("dhcp"), &["daemon", "-socketpath", socket_text]);
    eventually("the dhcp daemon listens", || socket.exists());

    let ipam = json!({"type": "dhcp", "daemonSocketPath": socket_text});
    let mut conf = merged(&plugin.conf_v4(&lab), &json!({"cniVersion": "1.0.0"}));
    conf["ipam"] = ipam;
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    assert!(addresses(&result)[0].starts_with("10.22.0.1"), "{result}");
    assert_eq!(addresses(&result), container.netns().addresses("eth0"));
    assert!(container.netns().ping("10.22.0.1"));
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").success();
    assert!(container.netns().link("eth0").is_none());
}

fn serve_dhcp(lab: &Lab) {
    let leases = format!("--dhcp-leasefile={}", lab.dir().join("dnsmasq.leases").display());
    let range = "--dhcp-range=10.22.0.100,10.22.0.199,255.255.255.0,1h";
    let args = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=br0",
        "--bind-interfaces",
        "--user=root",
        "--dhcp-authoritative",
        "--no-ping",
        "--pid-file=",
        range,
        &leases,
    ];
    lab.daemon(lab.host(), &tool("dnsmasq"), &args);
    eventually("dnsmasq listens", || lab.host().shell("cat /proc/net/udp").contains(":0043 "));
}

fn live_with_a_reference_ipam(lab: &Lab, plugin: Plugin, name: &str, ipam: Value) -> Container {
    reference(name);
    let mut conf = merged(&plugin.conf_v4(lab), &json!({"cniVersion": "1.0.0"}));
    conf["ipam"] = ipam;
    let container = lab.container("c1");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    assert!(addresses(&result)[0].starts_with("10.22.0.2/"));
    assert!(lab.host().ping("10.22.0.2"));
    lab.cni(plugin).check(&conf, &result, &container, "eth0").silent();
    lab.cni(plugin).del(&with_prev_result(&conf, &result), &container, "eth0").silent();
    assert!(container.netns().link("eth0").is_none());
    container
}

fn kill_during_add(lab: &Lab, plugin: Plugin, fake: &FakeIpam, container: &Container) {
    let already = fake.calls().len();
    fake.hangs("ADD");
    let call = lab.cni(plugin).call("ADD").of(container, "eth0").conf(&delegating(plugin, lab));
    let running = fake.found_by(call).spawn();
    eventually("the delegate is called", || fake.calls().len() > already);
    thread::sleep(Duration::from_millis(50));
    running.kill();
}

fn run(lab: &Lab, plugin: Plugin, fake: &FakeIpam, verb: &str, container: &Container) -> Outcome {
    let call = lab.cni(plugin).call(verb).of(container, "eth0").conf(&delegating(plugin, lab));
    fake.found_by(call).run()
}
