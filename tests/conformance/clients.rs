//! What containerd, CRI and podman do, as it was recorded from them.

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged, with_prev_result};
use crate::common::state::assert_unchanged;
use crate::common::{Lab, tool};
use crate::{addresses, agreed, container_interface, host_interface, idle_host, lab_and_conf, ours};

const ID: &str = "5f7931af2e58c1d0a9b8c7d6e5f40312233445566778899aabbccddeeff00112";

agreed! {
    clients_containerd_names_the_namespace_by_process,
    clients_cri_adds_and_deletes_twice,
    clients_podman_reloads,
    clients_failed_add_is_followed_by_del,
}

ours! {
    clients_ctr_deletes_before_it_kills,
    clients_ctr_never_deletes,
    clients_podman_asks_for_address_and_mac,
    clients_ids_differ_in_their_last_letter_only,
}

/// Clients §3: ctr and containerd give `/proc/PID/ns/net`; at DEL the process, and the path, may be gone.
fn clients_containerd_names_the_namespace_by_process(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("default-web");
    let mut init = container.netns().command(&tool("sleep")).arg("60").spawn().expect("start an init");
    let path = format!("/proc/{}/ns/net", init.id());
    crate::common::eventually("init is in its namespace", || {
        std::fs::read_link(&path).is_ok_and(|own| own != std::fs::read_link("/proc/self/ns/net").expect("our own"))
    });
    let call = |verb| lab.cni(plugin).call(verb).of(&container, "eth0").env("CNI_NETNS", &path).conf(&conf).run();
    let result = call("ADD").result();
    assert_eq!(container_interface(&result)["sandbox"], *path);
    init.kill().expect("kill init");
    init.wait().expect("wait for init");
    call("DEL").success();
    call("DEL").success();
}

/// Clients §3: `ctr task kill` calls DEL with an empty `CNI_NETNS` while the container still runs, and `--rm` again.
fn clients_ctr_deletes_before_it_kills(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("default-web");
    let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let del = |conf: &Value| lab.cni(plugin).call("DEL").of(&container, "eth0").env("CNI_NETNS", "").conf(conf).run();
    del(&with_prev_result(&conf, &result)).silent();
    assert_unchanged(&idle, &lab.host_state());
    assert!(container.netns().link("eth0").is_none());
    del(&conf).silent();
    container.kill();
    del(&conf).silent();
}

/// Clients §3: `ctr run -d` never calls DEL: the next container of that name finds the range full but for its own.
fn clients_ctr_never_deletes(plugin: Plugin) {
    let lab = Lab::new();
    let conf = plugin.conf_with_ranges(&lab, &json!([[{"subnet": "10.22.0.0/30"}]]));
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let mut container = lab.container("default-web");
    for _ in 0..3 {
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        assert!(addresses(&result)[0].starts_with("10.22.0.2/"));
        drop(container);
        container = lab.container("default-web");
    }
    lab.cni(plugin).call("DEL").of(&container, "eth0").env("CNI_NETNS", "").conf(&conf).run().silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// Clients §3: CRI's environment; at `RemovePodSandbox` a second DEL, without namespace and previous result.
fn clients_cri_adds_and_deletes_twice(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("pod").renamed(ID);
    let args = format!(
        "K8S_POD_UID=7;IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID={ID};K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"
    );
    let conf = merged(
        &conf,
        &json!({
            "args": {"labels": {"x": "y"}},
            "capabilities": {"portMappings": true, "bandwidth": true, "io.kubernetes.cri.pod-annotations": true},
            "runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"foo": "bar"}, "portMappings": []},
        }),
    );
    let call = |verb| lab.cni(plugin).call(verb).of(&container, "eth0").env("CNI_ARGS", &args);
    let result = call("ADD").conf(&conf).run().result();
    call("DEL").conf(&with_prev_result(&conf, &result)).run().success();
    container.kill();
    call("DEL").env("CNI_NETNS", "").conf(&conf).run().success();
}

/// Clients §3: podman asks for an address and a MAC in `CNI_ARGS`, and repeats them at DEL.
fn clients_podman_asks_for_address_and_mac(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1").renamed(ID);
    let args = "IgnoreUnknown=1;K8S_POD_NAME=c1;MAC=02:11:22:33:44:55;IP=10.22.0.77";
    let wishes =
        json!({"runtimeConfig": {"aliases": {"n": ["web", "5f7931af2e58"]}}, "capabilities": {"aliases": true}});
    let conf = merged(&conf, &wishes);
    let call = |verb| lab.cni(plugin).call(verb).of(&container, "eth0").env("CNI_ARGS", args).conf(&conf).run();
    let result = call("ADD").result();
    assert!(addresses(&result)[0].starts_with("10.22.0.77/"));
    assert_eq!(container_interface(&result)["mac"], "02:11:22:33:44:55");
    call("DEL").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// Clients §3: `podman network reload` is DEL and ADD in the same namespace, with the address of before.
fn clients_podman_reloads(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let first = lab.cni(plugin).add(&conf, &container, "eth0").result();
    let address = addresses(&first)[0].split('/').next().expect("an address").to_owned();
    let args = format!("IgnoreUnknown=1;K8S_POD_NAME=c1;IP={address}");
    for _ in 0..2 {
        lab.cni(plugin).del(&with_prev_result(&conf, &first), &container, "eth0").success();
        assert!(container.netns().link("eth0").is_none());
        let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_ARGS", &args).conf(&conf);
        assert_eq!(addresses(&call.run().result())[0], addresses(&first)[0]);
        assert!(lab.host().ping(&address));
    }
}

/// Clients §3: a failed ADD is followed by a DEL, with the path or without.
fn clients_failed_add_is_followed_by_del(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let impossible =
        merged(&conf, &json!({"ipam": {"ranges": [[{"subnet": "10.22.0.0/24", "rangeStart": "10.23.0.1"}]]}}));
    lab.cni(plugin).add(&impossible, &container, "eth0").error();
    lab.cni(plugin).del(&conf, &container, "eth0").success();
    lab.cni(plugin).call("DEL").of(&container, "eth0").env("CNI_NETNS", "").conf(&conf).run().success();
    if plugin != Plugin::Bridge {
        lab.cni(plugin).add(&conf, &container, "eth0").result(); // the bridge that it left has no MAC (V11)
    }
}

/// Names on the host come from long ids, and must differ although their first 63 letters do not.
fn clients_ids_differ_in_their_last_letter_only(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let name = |suffix: &str| {
        let container = lab.container(suffix).renamed(&format!("{}{suffix}", &ID[..63]));
        let result = lab.cni(plugin).add(&conf, &container, "eth0").result();
        host_interface(&result)["name"].clone()
    };
    assert_ne!(name("2"), name("3"));
}
