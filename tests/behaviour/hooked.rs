//! The LXC hook, called as LXC calls it. (Real containers: `tests/runtimes/cases.lxc`.)

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, eventually, text_of, tool};
use crate::support::{networks, with_networks};

/// The first process of a container, which waits.
pub(crate) struct Init(pub(crate) Child);

impl Init {
    pub(crate) fn of(container: &Container) -> Self {
        let mut command = container.netns().command(&tool("sleep"));
        command.arg("600").stdin(Stdio::null());
        let init = Self(command.spawn().expect("start the container's init"));
        let namespace = |path: &str| fs::read_link(path).ok();
        let own = namespace("/proc/self/ns/net");
        let there = format!("/proc/{}/ns/net", init.0.id());
        eventually("init is in its namespace", || namespace(&there).is_some_and(|there| Some(there) != own));
        init
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls the hook with the line's options and LXC's variables. Whether it succeeded, and what it said.
fn hook(lab: &Lab, line: &[&str], kind: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = lab.host().command(Path::new(crate::common::cni::springline_binary()));
    command.args(["hook", "lxc"]).args(line).stdin(Stdio::null());
    command.env("SPRINGLINE_STATE_DIR", lab.state_dir()).env("NETCONFPATH", networks(lab));
    command.env("LXC_NAME", "c").env("LXC_HOOK_SECTION", "lxc").env("LXC_HOOK_TYPE", kind);
    command.env("LXC_CONFIG_FILE", "/var/lib/lxc/c/config").envs(variables.iter().copied());
    let output = command.output().expect("run the hook");
    (output.status.success(), [output.stdout, output.stderr].concat().iter().map(|byte| char::from(*byte)).collect())
}

#[track_caller]
fn start(lab: &Lab, line: &[&str], init: &Init) -> (bool, String) {
    hook(lab, line, "start-host", &[("LXC_PID", &init.0.id().to_string())])
}

#[track_caller]
fn must((ok, said): (bool, String)) {
    assert!(ok && said.is_empty(), "{said}");
}

#[test]
fn all_interfaces_or_none() {
    let lab = with_networks();
    let c = lab.container("c");
    let init = Init::of(&c);
    let (host, inside) = (lab.host_state(), c.netns().state());
    let refusals: [(&[&str], &str); 9] = [
        (&["--network", "a", "--network", "nope"], "no network nope is defined"),
        (&["--network", "a", "--network", "chained"], "it chains tuning"),
        (&["--network", "a", "--network", "b", "--ifname", "eth0"], "two interfaces are to be called eth0"),
        (&["--network", "a", "--network", "b", "--route", "10.5.5.0/24"], "bridged"),
        (&["--network", "a", "--network", "a", "--ip", "10.99.0.1"], "10.99.0.1 is not in the ranges"),
        (
            &["--network", "a", "--network", "none", "--ip", "10.30.0.1", "--network", "none", "--ip", "198.18.7.1"],
            "198.18.7.1",
        ),
        (&["--network", "a", "--mac", "01:00:00:00:00:01"], "unicast"),
        (&["--network", "a", "--port", "80:80/icmp"], "none of tcp, udp, sctp"),
        (&["--config", "/nonexistent"], "which networks is c to be on?"),
    ];
    for (line, word) in refusals {
        let (ok, said) = start(&lab, line, &init);
        assert!(!ok && said.contains(word), "{line:?}: {said}");
        assert_unchanged(&host, &lab.host_state());
        assert_unchanged(&inside, &c.netns().state());
    }
    let line = "--network a --ip 10.30.0.9 --ip 2001:db8:30::9 --network b --ifname lan0 --ip 10.31.0.9";
    let route = ["--network", "none", "--ifname", "r0", "--ip", "192.0.2.9", "--route", "10.5.5.0/24 via 192.0.2.9"];
    let line: Vec<&str> = line.split(' ').chain(route).collect();
    must(start(&lab, &line, &init));
    for address in ["10.30.0.9", "2001:db8:30::9", "10.31.0.9", "192.0.2.9"] {
        assert!(lab.host().ping(address), "{address}");
    }
    assert!(lab.host().routes("-4", "main").iter().any(|route| route["dst"] == "10.5.5.0/24"));
    must(hook(&lab, &[], "post-stop", &[]));
    assert_unchanged(&host, &lab.host_state());
    must(hook(&lab, &[], "post-stop", &[]));
}

/// A container that starts anew is built anew, also if nobody said that it had stopped, or with fewer interfaces; it gets
/// its addresses back.
#[test]
fn a_start_without_a_stop() {
    let lab = with_networks();
    let before = lab.host_state();
    let (first, second) = (lab.container("first"), lab.container("second"));
    let (old, new) = (Init::of(&first), Init::of(&second));
    let line = ["--network", "a", "--network", "b"];
    must(start(&lab, &line, &old));
    let had = first.netns().addresses("eth0");
    // Somebody else, so that the next free address would be another one.
    must(hook(
        &lab,
        &["--network", "a", "--ifname", "other0"],
        "start-host",
        &[("LXC_NAME", "d"), ("LXC_CONFIG_FILE", "/var/lib/lxc/d/config"), ("LXC_PID", &old.0.id().to_string())],
    ));
    // In the same namespace, as after `LXC_TARGET=reboot` without the stop hook; stale variables are not heeded.
    must(hook(
        &lab,
        &["--network", "a", "--ifname", "eth7"],
        "start-host",
        &[("LXC_PID", &old.0.id().to_string()), ("LXC_NET_NS", "/proc/1/ns/net"), ("LXC_TARGET", "reboot")],
    ));
    assert!(first.netns().link("eth1").is_none(), "eth1 of the earlier start is left");
    assert_eq!(first.netns().addresses("eth7"), had);
    // In a new one, while the old one lives on.
    must(start(&lab, &line, &new));
    assert!(first.netns().link("eth7").is_none(), "eth7 of the earlier start is left");
    assert_eq!(second.netns().addresses("eth0"), had);
    assert!(lab.host().ping(second.netns().addresses("eth1")[0].split('/').next().unwrap_or_default()));
    must(hook(&lab, &[], "stop", &[]));
    must(hook(&lab, &[], "stop", &[("LXC_NAME", "d"), ("LXC_CONFIG_FILE", "/var/lib/lxc/d/config")]));
    assert_unchanged(&before, &lab.host_state());
}

/// What another face, or LXC in another folder, has attached under the same name is none of a hook's business.
#[test]
fn of_the_same_name() {
    let lab = with_networks();
    let (mine, other) = (lab.container("mine"), lab.container("other"));
    let (init, others) = (Init::of(&mine), Init::of(&other));
    must(start(&lab, &["--network", "a"], &init));
    let attached = lab.host_state();
    let pid = others.0.id().to_string();
    let elsewhere = [("LXC_CONFIG_FILE", "/srv/c/config"), ("LXC_PID", pid.as_str())];
    let (ok, said) = hook(&lab, &["--network", "a"], "start-host", &elsewhere);
    assert!(
        !ok && said.contains("attachment a/c/eth0 exists already") && said.contains("lxc (/var/lib/lxc)"),
        "{said}"
    );
    must(hook(&lab, &["--network", "a"], "post-stop", &elsewhere));
    assert_unchanged(&attached, &lab.host_state());
    must(hook(&lab, &["--network", "b"], "start-host", &elsewhere));
    must(hook(&lab, &[], "post-stop", &[]));
    assert_eq!(other.netns().addresses("eth0").len(), 1, "the other's is gone");
    must(hook(&lab, &[], "post-stop", &elsewhere));
}

/// The host's own namespace is refused: `lxc.net.0.type = none` shares it.
#[test]
fn the_hosts_own_namespace() {
    let lab = with_networks();
    let before = lab.host_state();
    let mut command = lab.host().command(&tool("sleep"));
    let init = Init(command.arg("600").stdin(Stdio::null()).spawn().expect("a process of the host"));
    eventually("it is in the lab's host", || {
        let comm = fs::read_to_string(format!("/proc/{}/comm", init.0.id()));
        comm.is_ok_and(|comm| comm.trim() == "sleep")
    });
    let (ok, said) = start(&lab, &["--network", "a"], &init);
    assert!(!ok && said.contains("is the namespace that springline runs in"), "{said}");
    assert_unchanged(&before, &lab.host_state());
}

/// The record says by whom it was made.
#[test]
fn the_maker_is_written_down() {
    let lab = with_networks();
    let c = lab.container("c");
    let init = Init::of(&c);
    must(start(&lab, &["--network", "a"], &init));
    let text = fs::read_to_string(lab.state_dir().join("attachments/a/c@eth0.json")).expect("the record");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((text_of(&record["maker"]["face"]), text_of(&record["maker"]["instance"])), ("lxc", "/var/lib/lxc"));
    must(hook(&lab, &[], "stop", &[]));
}
