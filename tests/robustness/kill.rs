//! `kill -9` at any instruction: what is left is found and cleared away by the next DEL, GC or ADD.

use crate::further_modes;
use crate::scene::{Mode, Scene};
use crate::sweep::{faults, is_exhaustive, sweep};
use crate::trace::{Effect, Effect::Kill, Fault, start};

further_modes! {
    a_killed_add_is_cleared_away,
    a_killed_del_is_cleared_away,
    del_whose_child_is_killed_is_no_success,
}

/// The calls that change something, or are about to.
const CHANGES: [(&str, Effect); 19] = [
    ("poll", Kill),
    ("pipe2", Kill),
    ("vfork", Kill),
    ("wait4", Kill),
    ("sendto", Kill),
    ("openat", Kill),
    ("write", Kill),
    ("pwrite64", Kill),
    ("ftruncate", Kill),
    ("fsync", Kill),
    ("mkdir", Kill),
    ("rmdir", Kill),
    ("rename", Kill),
    ("unlink", Kill),
    ("flock", Kill),
    ("clone", Kill),
    ("clone3", Kill),
    ("setns", Kill),
    ("exit_group", Kill),
];

fn a_killed_add_is_cleared_away(mode: Mode) {
    let points = faults(&Scene::new(mode), "ADD", &CHANGES, false);
    sweep(
        points,
        3,
        || Scene::new(mode),
        |scene, fault| {
            for recover in recoveries(fault) {
                killed(scene, "ADD", fault);
                recover(scene);
            }
        },
    );
}

fn a_killed_del_is_cleared_away(mode: Mode) {
    let points = faults(&Scene::new(mode), "DEL", &CHANGES, false);
    sweep(
        points,
        2,
        || Scene::new(mode),
        |scene, fault| {
            for recover in recoveries(fault) {
                scene.call("ADD").run().result();
                killed(scene, "DEL", fault);
                recover(scene);
            }
        },
    );
}

/// All three ways to clear away, if there is time; else one, in turn.
fn recoveries(fault: Fault) -> Vec<fn(&Scene)> {
    let all: [fn(&Scene); 3] = [deleted, collected, added];
    if is_exhaustive() { all.to_vec() } else { vec![all[(fault.when + fault.syscall.len()) % 3]] }
}

/// The child that sits out the kernel's grace period is killed before it has done its work: its parent must not
/// take its end for its success.
fn del_whose_child_is_killed_is_no_success(mode: Mode) {
    let effects = ["setsid", "chdir", "dup2", "connect", "sendto"].map(|syscall| (syscall, Kill));
    let points = faults(&Scene::new(mode), "DEL", &effects, false);
    sweep(
        points,
        1,
        || Scene::new(mode),
        |scene, fault| {
            scene.call("ADD").run().result();
            let (outcome, _) = start(&scene.lab, scene.blind_del(), &[fault]).finish_all();
            if outcome.status.success() {
                scene.assert_restored("after a DEL that says that it has succeeded");
            } else {
                deleted(scene);
            }
        },
    );
}

/// Runs a verb into its death, and does not wait for children that it may leave.
fn killed(scene: &Scene, verb: &str, fault: Fault) {
    let outcome = start(&scene.lab, scene.call(verb), &[fault]).finish();
    // The counters are per thread and process: a child or another thread may have been struck instead.
    assert!(outcome.status.code().is_none() || fault.effect == Kill, "not killed: {:?}", outcome.status);
}

/// GC, with which an IPAM plugin of before CNI 1.1 has its difficulties.
fn collected(scene: &Scene) {
    let outcome = scene.sweeping_gc().run();
    assert!(outcome.status.success() || scene.mode == Mode::Delegated, "{:?}", outcome.error());
    scene.assert_restored_soon("after a kill and a GC");
}

fn deleted(scene: &Scene) {
    scene.blind_del().run().silent();
    scene.assert_restored_soon("after a kill and a DEL");
}

/// The next ADD succeeds. Only if the dead one had nothing left to do but to print its result may it be told
/// from a second ADD of a living attachment, which CNI forbids, by nobody: then a DEL has to come first.
fn added(scene: &Scene) {
    let outcome = scene.call("ADD").run();
    if outcome.status.success() {
        scene.assert_works(&outcome);
        scene.blind_del().run().silent();
    } else {
        let error = outcome.error().with_code(4).saying("call DEL first");
        assert!(error.text().contains("exists already"), "{error:?}");
        scene.blind_del().run().silent();
        scene.attach();
        scene.blind_del().run().silent();
    }
    scene.assert_restored_soon("after a kill, an ADD and its DEL");
}
