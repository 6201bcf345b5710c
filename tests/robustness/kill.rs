//! `kill -9` at any instruction: what is left is found and cleared away by the next DEL, GC or ADD.

use crate::every_mode;
use crate::scene::{Mode, Scene};
use crate::sweep::{faults, sweep};
use crate::trace::{Effect, Effect::Kill, Fault, start};

every_mode! {
    del_clears_away_a_killed_add,
    gc_clears_away_a_killed_add,
    add_takes_over_from_a_killed_add,
    del_clears_away_a_killed_del,
    gc_clears_away_a_killed_del,
    add_takes_over_from_a_killed_del,
    del_whose_child_is_killed_is_no_success,
}

/// The calls that change something, or are about to.
const CHANGES: [(&str, Effect); 20] = [
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
    ("recvfrom", Kill),
    ("exit_group", Kill),
];

fn del_clears_away_a_killed_add(mode: Mode) {
    let points = faults(&Scene::new(mode), "ADD", &CHANGES, false);
    sweep(
        points,
        3,
        || Scene::new(mode),
        |scene, fault| {
            killed(scene, "ADD", fault);
            deleted(scene);
        },
    );
}

fn gc_clears_away_a_killed_add(mode: Mode) {
    let points = faults(&Scene::new(mode), "ADD", &CHANGES, false);
    sweep(
        points,
        4,
        || Scene::new(mode),
        |scene, fault| {
            killed(scene, "ADD", fault);
            collected(scene);
            scene.assert_restored_soon("after a killed ADD and a GC");
        },
    );
}

fn add_takes_over_from_a_killed_add(mode: Mode) {
    let points = faults(&Scene::new(mode), "ADD", &CHANGES, false);
    sweep(
        points,
        4,
        || Scene::new(mode),
        |scene, fault| {
            killed(scene, "ADD", fault);
            added(scene);
        },
    );
}

fn del_clears_away_a_killed_del(mode: Mode) {
    let points = faults(&Scene::new(mode), "DEL", &CHANGES, false);
    sweep(
        points,
        3,
        || Scene::new(mode),
        |scene, fault| {
            scene.call("ADD").run().result();
            killed(scene, "DEL", fault);
            deleted(scene);
        },
    );
}

fn gc_clears_away_a_killed_del(mode: Mode) {
    let points = faults(&Scene::new(mode), "DEL", &CHANGES, false);
    sweep(
        points,
        4,
        || Scene::new(mode),
        |scene, fault| {
            scene.call("ADD").run().result();
            killed(scene, "DEL", fault);
            collected(scene);
            scene.assert_restored_soon("after a killed DEL and a GC");
        },
    );
}

fn add_takes_over_from_a_killed_del(mode: Mode) {
    let points = faults(&Scene::new(mode), "DEL", &CHANGES, false);
    sweep(
        points,
        4,
        || Scene::new(mode),
        |scene, fault| {
            scene.call("ADD").run().result();
            killed(scene, "DEL", fault);
            added(scene);
        },
    );
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
