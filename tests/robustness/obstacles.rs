//! Failures that happen to real hosts: ADD fails with a reason, and everything is as before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::cni::{Plugin, merged};
use crate::common::tool;
use crate::scene::{Mode, Scene};
use crate::{both_modes, every_mode, once};

every_mode! {
    a_refusal_of_the_kernel_is_undone,
    a_full_disk_is_undone,
    no_ipv6_in_the_container_is_undone,
    a_namesake_link_is_undone,
}

both_modes! {
    a_read_only_proc_sys_is_undone,
    a_read_only_state_directory_is_undone,
    a_file_in_place_of_the_state_directory_is_undone,
    a_state_directory_need_not_exist,
    without_run_it_fails_cleanly,
}

once! {
    a_route_in_the_way_is_undone,
    a_route_in_the_way_in_a_table_of_its_own_is_undone,
}

/// The kernel refuses the container's very last route, on a host that did not forward before.
fn a_refusal_of_the_kernel_is_undone(mode: Mode) {
    let mut scene = Scene::not_forwarding(mode);
    scene.conf["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "10.99.0.0/16", "gw": "224.0.0.5"}]);
    let error = scene.call("ADD").run().error().with_code(100).saying("undone");
    scene.assert_restored(&format!("after {error:?}"));
}

/// A disk that fills at any moment of an ADD.
fn a_full_disk_is_undone(mode: Mode) {
    for size in (4..=168).step_by(if crate::sweep::is_exhaustive() { 4 } else { 36 }).chain([136, 140, 144, 148]) {
        let scene = Scene::new(mode);
        fs::create_dir(scene.lab.state_dir()).expect("make the state directory");
        let disk = Mount::tmpfs(&scene.lab.state_dir(), &format!("size={size}k"));
        let outcome = scene.call("ADD").run();
        if outcome.status.success() {
            scene.assert_works(&outcome);
            scene.blind_del().run().silent();
        } else {
            outcome.error().with_code(5).saying("No space left on device");
        }
        scene.assert_restored(&format!("on a disk of {size} KiB"));
        drop(disk);
    }
}

/// An administrator has disabled IPv6 for the container; it is not for us to enable it again.
fn no_ipv6_in_the_container_is_undone(mode: Mode) {
    // For all links; or for new ones only, which nothing shows but the first address on one.
    for disabled in ["all", "default"] {
        let scene = Scene::with(mode, |_, container| {
            container.netns().write_sysctl(&format!("net/ipv6/conf/{disabled}/disable_ipv6"), "1");
        });
        scene.call("ADD").run().error().with_code(7).saying("IPv6 is disabled");
        scene.assert_restored("after an ADD to a container without IPv6");
        scene.blind_del().run().silent();
        scene.assert_restored("after a DEL of nothing");
    }
}

/// The container has an `eth0` already.
fn a_namesake_link_is_undone(mode: Mode) {
    let scene = Scene::with(mode, |_, container| {
        container.netns().ip("link add eth0 address 02:00:00:00:00:01 type bridge");
    });
    scene.call("ADD").run().error().saying("eth0");
    scene.assert_restored("after an ADD beside a namesake");
}

/// Somebody routes an address of ours elsewhere: the next one is taken, or ADD says which route it is.
fn a_route_in_the_way_is_undone(mode: Mode) {
    let mut scene = Scene::with(mode, |lab, _| {
        lab.host().ip("route add 10.22.0.2/32 via 127.0.0.1 dev lo");
    });
    scene.conf["ipam"]["ranges"] = json!([[{"subnet": "10.22.0.0/30", "gateway": "10.22.0.1"}]]);
    scene.call("ADD").run().error().saying("10.22.0.2");
    scene.assert_restored("after an ADD that met a route");
}

/// The same in the table that the network's routes are to go to.
fn a_route_in_the_way_in_a_table_of_its_own_is_undone(mode: Mode) {
    let mut scene = Scene::with(mode, |lab, _| {
        lab.host().ip("route add 10.22.0.2/32 via 127.0.0.1 dev lo table 100");
        lab.host().ip("-6 route add 2001:db8:22::2/128 dev lo table 100");
    });
    scene.conf["hostRoutes"] = json!({"table": 100});
    scene.conf["ipam"]["ranges"] = json!([[{"subnet": "10.22.0.0/30", "gateway": "10.22.0.1"}]]);
    scene.call("ADD").run().error().saying("10.22.0.2");
    scene.assert_restored("after an ADD that met a route in its table");
}

/// As in a container that is not privileged: forwarding cannot be turned on.
fn a_read_only_proc_sys_is_undone(mode: Mode) {
    for scene in [Scene::not_forwarding(mode), Scene::new(mode)] {
        let script = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys";
        let (status, document) = in_private_mounts(&scene, script, &scene.container.path());
        if status == Some(0) {
            // What has to be set was set already.
            scene.blind_del().run().silent();
        } else {
            let text = document.to_string();
            assert!(text.contains("sysctl") && text.contains("Read-only"), "{text}");
            assert!(document["code"].is_u64() && document["msg"].is_string(), "{text}");
        }
        scene.assert_restored("with a read-only /proc/sys");
    }
}

fn a_read_only_state_directory_is_undone(mode: Mode) {
    let scene = Scene::new(mode);
    fs::create_dir(scene.lab.state_dir()).expect("make the state directory");
    let disk = Mount::tmpfs(&scene.lab.state_dir(), "ro");
    let error = scene.call("ADD").run().error().with_code(5).saying("Read-only");
    assert!(error.text().contains(&scene.lab.state_dir().display().to_string()), "{error:?}");
    scene.assert_restored("with a read-only state directory");
    drop(disk);
    scene.attach();
    scene.blind_del().run().silent();
    scene.assert_restored("with a state directory again");
}

fn a_file_in_place_of_the_state_directory_is_undone(mode: Mode) {
    let scene = Scene::new(mode);
    fs::write(scene.lab.state_dir(), "a file").expect("write a file");
    let error = scene.call("ADD").run().error().with_code(5);
    assert!(error.text().contains(&scene.lab.state_dir().display().to_string()), "{error:?}");
    scene.blind_del().run(); // may say that it cannot look
    assert_eq!(fs::read_to_string(scene.lab.state_dir()).expect("the file"), "a file");
    scene.assert_restored("with a file as state directory");
}

fn a_state_directory_need_not_exist(mode: Mode) {
    let scene = Scene::new(mode);
    let dir = scene.lab.dir().join("a/b/c/d").display().to_string();
    let added = scene.call("ADD").env("SPRINGLINE_STATE_DIR", &dir).run();
    added.result();
    scene.blind_del().env("SPRINGLINE_STATE_DIR", &dir).run().silent();
    scene.assert_restored("with a state directory that did not exist");
}

/// `/run` is empty and read-only: no state directory can be made, and the namespace is found by another path.
fn without_run_it_fails_cleanly(mode: Mode) {
    let scene = Scene::new(mode);
    let script =
        format!("exec 9<{} && mount -t tmpfs -o ro tmpfs /run && unset SPRINGLINE_STATE_DIR", scene.container.path());
    let (status, document) = in_private_mounts(&scene, &script, "/proc/self/fd/9");
    assert_eq!(status, Some(1), "{document}");
    assert_eq!(document["code"], 5, "{document}");
    assert!(document.to_string().contains("/run/springline"), "{document}");
    scene.assert_restored("without /run");
}

/// Runs ADD behind a shell script in a mount namespace of its own, with the namespace at `netns`; its exit code
/// and the one document that it prints.
fn in_private_mounts(scene: &Scene, script: &str, netns: &str) -> (Option<i32>, Value) {
    let mut command = scene.lab.host().command(&tool("unshare"));
    command.args(["-m", "/bin/sh", "-c", &format!("{script} && exec {}", Plugin::Routed.binary().display())]);
    command.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", &scene.container.id).env("CNI_NETNS", netns);
    command.env("CNI_IFNAME", "eth0").env("CNI_PATH", "/nowhere").env("SPRINGLINE_STATE_DIR", scene.lab.state_dir());
    let input = scene.lab.dir().join("input");
    fs::write(&input, merged(&scene.conf, &json!({})).to_string()).expect("write the input");
    command.stdin(fs::File::open(&input).expect("read the input"));
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("run unshare");
    let said = String::from_utf8_lossy(&output.stderr);
    let document =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no document, {error}: {said}"));
    (output.status.code(), document)
}

/// A mount that ends with the value.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(path: &Path, options: &str) -> Self {
        mount(&["mount", "-t", "tmpfs", "-o", options, "tmpfs"], path);
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        mount(&["umount", "-l"], &self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "tests run other programs")]
fn mount(words: &[&str], path: &Path) {
    let status = std::process::Command::new(tool(words[0])).args(&words[1..]).arg(path).status().expect("run mount");
    assert!(status.success() || std::thread::panicking(), "{words:?} {}", path.display());
}
