//! `springline rename` meets bad luck: it has happened whole or not at all, or a repair goes on with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::both_modes;
use crate::common::tool;
use crate::scene::{Mode, Scene};
use crate::sweep::sweep;
use crate::trace::{Effect, Effect::Error, Effect::Kill, Fault, spelled};

both_modes! {
    a_killed_rename_is_gone_on_with,
    a_failing_rename_is_undone,
}

/// The command line in a scene, under strace if there are faults; with strace's log.
fn springline(scene: &Scene, line: &[&str], faults: Option<&[Fault]>) -> (Output, String) {
    let log = scene.lab.dir().join("strace-rename");
    let mut command = match faults {
        None => scene.lab.host().command(Path::new(crate::common::cni::springline_binary())),
        Some(faults) => {
            let mut command = scene.lab.host().command(&tool("strace"));
            command.args(["-f", "-qq", "-o"]).arg(&log);
            for fault in faults {
                command.args(["-e", &fault.to_option()]);
            }
            command.arg(crate::common::cni::springline_binary());
            command
        }
    };
    command.args(line).env("SPRINGLINE_STATE_DIR", scene.lab.state_dir()).stdin(Stdio::null());
    let output = command.output().expect("run springline");
    (output, std::fs::read_to_string(&log).unwrap_or_default())
}

#[track_caller]
fn must(scene: &Scene, line: &[&str]) {
    let (output, _) = springline(scene, line, None);
    assert!(output.status.success(), "{line:?}: {}", said(&output));
}

fn said(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat()
}

const RENAME: [&str; 5] = ["rename", "c1", "eth0", "lan0", "--interrupt"];

/// The points at which `effects` can strike a rename.
fn faults(mode: Mode, effects: &[(&'static str, Effect)]) -> Vec<Fault> {
    let scene = Scene::new(mode);
    scene.call("ADD").run().result();
    let (output, log) = springline(&scene, &RENAME, Some(&[]));
    assert!(output.status.success(), "{}", said(&output));
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (pid, line) in log.lines().filter_map(|line| line.split_once(' ')) {
        if let Some((name, _)) = line.trim().split_once('(') {
            *counts.entry((name, pid)).or_default() += 1;
        }
    }
    let most = |syscall: &str| {
        counts.iter().filter(|((name, _), _)| *name == syscall).map(|(_, count)| *count).max().unwrap_or_default()
    };
    let points = spelled(effects).flat_map(|(syscall, effect)| {
        (1..=most(syscall)).map(move |when| Fault { syscall, when, and_later: false, effect })
    });
    points.collect()
}

/// Killed at any instruction: the name is one of the two, a repair makes it whole, and DEL by the old one takes all away.
fn a_killed_rename_is_gone_on_with(mode: Mode) {
    let effects = ["sendto", "openat", "write", "pwrite64", "rename", "fsync", "flock", "setns", "clone3"];
    let points = faults(mode, &effects.map(|syscall| (syscall, Kill)));
    sweep(
        points,
        3,
        || Scene::new(mode),
        |scene, fault| {
            let added = scene.call("ADD").run();
            let _ = springline(scene, &RENAME, Some(&[fault]));
            let names = ["eth0", "lan0"].map(|name| scene.container.netns().link(name).is_some());
            assert!(names[0] != names[1], "eth0 and lan0: {names:?}");
            if fault.when % 2 == 0 {
                must(scene, &["check", "c1", "--repair"]);
                must(scene, &["check", "c1"]);
                scene.assert_works(&added);
                must(scene, &RENAME);
                must(scene, &["check", "c1"]);
                scene.assert_works(&added);
            }
            scene.blind_del().run().silent();
            scene.assert_restored_soon("after a killed rename and a DEL");
        },
    );
}

/// Something fails: the name is the old one, or the error says how to go on.
fn a_failing_rename_is_undone(mode: Mode) {
    let effects = [
        ("sendto", Error("ENOBUFS")),
        ("recvfrom", Error("ENOMEM")),
        ("rename", Error("ENOSPC")),
        ("openat", Error("EMFILE")),
        ("write", Error("ENOSPC")),
        ("setns", Error("EPERM")),
    ];
    let points = faults(mode, &effects);
    sweep(
        points,
        4,
        || Scene::new(mode),
        |scene, fault| {
            let added = scene.call("ADD").run();
            let (output, _) = springline(scene, &RENAME, Some(&[fault]));
            let text = said(&output);
            if output.status.success() {
                assert!(scene.container.netns().link("lan0").is_some(), "said to have worked: {text}");
            } else if text.contains("not complete") || text.contains("could not begin") || text.contains("panicked") {
                must(scene, &["check", "c1", "--repair"]);
            } else {
                assert!(scene.container.netns().link("eth0").is_some(), "said to be undone: {text}");
            }
            must(scene, &["check", "c1"]);
            scene.assert_works(&added);
            scene.blind_del().run().silent();
            scene.assert_restored_soon("after a rename and a DEL");
        },
    );
}
