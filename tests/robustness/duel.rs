//! Two at once that want the same.

use std::process::Stdio;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::cni::{Outcome, merged};
use crate::common::{Container, tool};
use crate::scene::{Mode, Scene, addresses};
use crate::{both_modes, once};

both_modes! {
    add_and_del_of_one_attachment,
    two_networks_of_one_container,
    many_adds_race_for_the_last_address,
}

once! {
    a_holder_of_the_lock_is_named,
}

/// Whatever overtakes what: the attachment is there whole, or not at all, and the next DEL leaves nothing.
fn add_and_del_of_one_attachment(mode: Mode) {
    let scene = Scene::new(mode);
    for round in 0..20 {
        let start = Barrier::new(2);
        let run = |verb| {
            start.wait();
            scene.call(verb).run()
        };
        let (added, deleted) = thread::scope(|scope| {
            let add = scope.spawn(|| run("ADD"));
            let del = scope.spawn(|| run("DEL"));
            (add.join().expect("no call panics"), del.join().expect("no call panics"))
        });
        deleted.silent();
        let result = added.result();
        if scene.changes().is_empty() {
            continue;
        }
        let checked = scene.cni().check(&scene.conf, &result, &scene.container, "eth0");
        assert!(checked.status.success(), "round {round}, half an attachment: {:?}", checked.error());
        scene.assert_works(&added);
        scene.blind_del().run().silent();
        scene.assert_restored(&format!("after round {round}"));
    }
}

/// containerd attaches the networks of a container in parallel, and detaches them so.
fn two_networks_of_one_container(mode: Mode) {
    let scene = Scene::new(mode);
    let ranges = json!([[{"subnet": "10.23.0.0/24"}], [{"subnet": "2001:db8:23::/64"}]]);
    let change = json!({"name": "second", "bridge": {"name": "br1"}, "ipam": {"ranges": ranges}});
    let second = merged(&Mode::NewBridge.conf(&scene.lab), &change);
    for round in 0..5 {
        let both = |verb: &str| -> [Outcome; 2] {
            thread::scope(|scope| {
                let first = scope.spawn(|| scene.call(verb).run());
                let second = scope.spawn(|| scene.cni().call(verb).of(&scene.container, "eth1").conf(&second).run());
                [first, second].map(|thread| thread.join().expect("no call panics"))
            })
        };
        for added in both("ADD") {
            for address in addresses(&added.result()) {
                let answer = (0..3).any(|_| scene.lab.host().ping(&address));
                assert!(answer, "round {round}: no answer from {address}");
            }
        }
        both("DEL").iter().for_each(Outcome::silent);
        scene.assert_restored(&format!("after round {round}"));
    }
}

/// One address, eight that want it: one gets it, the others are told to try again, with the numbers.
fn many_adds_race_for_the_last_address(mode: Mode) {
    let mut scene = Scene::new(mode);
    scene.conf["ipam"]["ranges"] = json!([[{"subnet": "10.22.0.0/30", "gateway": "10.22.0.1"}]]);
    let containers: Vec<Container> = (0..8).map(|n| scene.lab.container(&format!("racer{n}"))).collect();
    let start = Barrier::new(containers.len());
    let add = |container| {
        start.wait();
        scene.cni().add(&scene.conf, container, "eth0")
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let threads: Vec<_> = containers.iter().map(|container| scope.spawn(|| add(container))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.status.success()).count(), 1, "winners");
    for loser in outcomes.iter().filter(|outcome| !outcome.status.success()) {
        loser.error().with_code(11).saying("1 used of 1 total");
    }
    for container in &containers {
        scene.cni().del(&scene.conf, container, "eth0").silent();
    }
    scene.assert_restored("after the race");
}

/// Somebody sits on the lock for ever: every verb gives up after a while, and says who it is.
fn a_holder_of_the_lock_is_named(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    let locks = scene.lab.state_dir().join("locks");
    let mut holder = scene.lab.host().command(&tool("flock"));
    // Without a fork, it is the process that has the pid which we know that holds the lock.
    holder.args(["--no-fork", "--exclusive"]).arg(&locks).args(["/bin/sh", "-c", "echo held; read -r _"]);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start flock");
    let mut said = [0u8; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().expect("a pipe"), &mut said).expect("flock has the lock");
    let other = scene.lab.container("other");
    // A GC would wait for the DEL, which holds its attachment's own lock.
    let calls = [scene.cni().call("ADD").of(&other, "eth0").conf(&scene.conf), scene.blind_del()];
    let running: Vec<_> = calls.into_iter().map(|call| call.spawn()).collect();
    for running in running {
        let outcome = running.finish_within(Duration::from_mins(1));
        outcome.error().with_code(11).saying(&format!("process {}", holder.id()));
    }
    drop(holder.stdin.take());
    holder.wait().expect("wait for flock");
    scene.blind_del().run().silent();
    scene.assert_restored("after the lock was let go, and a DEL");
}
