//! Many at once, each for itself.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::both_modes;
use crate::common::Container;
use crate::common::cni::Outcome;
use crate::scene::{Mode, Scene, addresses};

both_modes! {
    fifty_containers_come_and_go,
    the_first_packet_gets_through_in_a_crowd,
}

/// 50 containers, up to 16 at a time, on a host that has none: all get addresses of their own, reach each other, and
/// leave nothing behind.
fn fifty_containers_come_and_go(mode: Mode) {
    let scene = Scene::new(mode);
    let containers: Vec<Container> = (0..50).map(|n| scene.lab.container(&format!("crowd{n}"))).collect();
    let added = at_once(&containers, |container| scene.cni().add(&scene.conf, container, "eth0"));
    let given: Vec<Vec<String>> = added.iter().map(|outcome| addresses(&outcome.result())).collect();
    let all: Vec<&String> = given.iter().flatten().collect();
    assert_eq!(all.len(), 100, "an address of each family for each");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "an address was given twice: {given:?}");
    for n in (0..50).step_by(7) {
        for target in &given[(n + 13) % 50] {
            let answer = (0..3).any(|_| containers[n].netns().ping(target));
            assert!(answer, "container {n} gets no answer from {target}");
        }
    }
    at_once(&containers, |container| scene.cni().del(&scene.conf, container, "eth0")).iter().for_each(Outcome::silent);
    scene.assert_restored("after all have gone");
}

/// What ADD has reported works, however busy the host is: no packet is lost to what the kernel had still to do.
fn the_first_packet_gets_through_in_a_crowd(mode: Mode) {
    let scene = Scene::new(mode);
    let containers: Vec<Container> = (0..6).map(|n| scene.lab.container(&format!("crowd{n}"))).collect();
    let lost = Mutex::new(Vec::new());
    for round in 0..10 {
        thread::scope(|scope| {
            for (n, container) in containers.iter().enumerate() {
                let (scene, lost) = (&scene, &lost);
                scope.spawn(move || {
                    let added = scene.cni().add(&scene.conf, container, "eth0");
                    for address in addresses(&added.result()).iter().rev() {
                        // From outside and from inside, each time the very first packet.
                        let inward = (n + round) % 2 == 0;
                        let reached = if inward {
                            scene.lab.host().ping(address)
                        } else {
                            let (v4, v6) = (crate::common::HOST_V4, crate::common::HOST_V6);
                            container.netns().ping(if address.contains(':') { v6 } else { v4 })
                        };
                        if !reached {
                            let way = if inward { "to" } else { "from" };
                            lost.lock().expect("nobody panics").push(format!("round {round}, {way} {address}"));
                        }
                    }
                    scene.cni().del(&scene.conf, container, "eth0").silent();
                });
            }
        });
    }
    let lost = lost.into_inner().expect("nobody panics");
    assert!(lost.is_empty(), "{} of 120 first packets were lost: {lost:?}", lost.len());
}

/// Runs `work` for each container, by 8 workers for each processor; the outcomes in the containers' order.
fn at_once(containers: &[Container], work: impl Fn(&Container) -> Outcome + Sync) -> Vec<Outcome> {
    let workers = 8 * thread::available_parallelism().map_or(1, usize::from).min(2);
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(container) = containers.get(n) else { return };
                    let outcome = work(container);
                    outcomes.lock().expect("nobody panics").push((n, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("nobody panics");
    outcomes.sort_by_key(|(n, _)| *n);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
