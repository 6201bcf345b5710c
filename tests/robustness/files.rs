//! State that somebody has damaged, or lost.

use std::fs;
use std::path::PathBuf;

use crate::common::cni::NETWORK;
use crate::scene::{Mode, Scene, addresses};
use crate::{both_modes, every_mode, once};

every_mode! {
    del_works_with_a_damaged_record,
    gc_works_with_a_damaged_record,
    del_works_without_records,
}

both_modes! {
    add_works_with_a_damaged_record,
    a_damaged_lease_blocks_nothing,
    a_damaged_ring_is_made_anew,
}

once! {
    lost_state_harms_no_running_container,
    strangers_in_the_state_directory_are_left_alone,
}

const DAMAGES: [&[u8]; 7] = [b"", b"{", b"\0\0\0\0", b"[]", b"null", b"{\"version\":99}", b"\xff\xfe garbage"];

/// DEL finds what the record stood for without it: by alias and by lease. Or it says what to do, and does not
/// claim to have succeeded.
fn del_works_with_a_damaged_record(mode: Mode) {
    for damage in DAMAGES.into_iter().map(<[u8]>::to_vec).chain([vec![]]) {
        let scene = Scene::new(mode);
        scene.attach();
        if damage.is_empty() {
            let whole = fs::read(record(&scene)).expect("read the record");
            fs::write(record(&scene), &whole[..whole.len() / 2]).expect("cut the record");
        } else {
            fs::write(record(&scene), &damage).expect("damage the record");
        }
        scene.blind_del().run().silent();
        let what = String::from_utf8_lossy(&damage);
        scene.assert_restored(&format!("after a DEL whose record was {what:?}"));
    }
}

fn gc_works_with_a_damaged_record(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    fs::write(record(&scene), "garbage").expect("damage the record");
    let outcome = scene.sweeping_gc().run();
    // A delegate that does not know the version that GC needs keeps its lease, and the record says so until DEL.
    if !outcome.status.success() {
        assert_eq!(mode, Mode::Delegated, "{:?}", outcome.error());
        scene.blind_del().run().silent();
    }
    scene.assert_restored("after a GC that met a damaged record");
}

/// Somebody has removed the directory of the records while the container runs.
fn del_works_without_records(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    fs::remove_dir_all(scene.lab.state_dir().join("attachments")).expect("lose the records");
    scene.blind_del().run().silent();
    scene.assert_restored("after a DEL without records");
}

/// An ADD of the same key does not trip over it for ever.
fn add_works_with_a_damaged_record(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    fs::write(record(&scene), "garbage").expect("damage the record");
    let outcome = scene.call("ADD").run();
    if !outcome.status.success() {
        outcome.error().saying("DEL");
    }
    scene.blind_del().run().silent();
    scene.assert_restored("after a DEL whose record was garbage");
    scene.attach();
}

/// The reference keeps an address for ever whose lease file is empty.
fn a_damaged_lease_blocks_nothing(mode: Mode) {
    for damage in DAMAGES {
        let scene = Scene::new(mode);
        for address in addresses(&scene.attach().result()) {
            fs::write(leases(&scene).join(address), damage).expect("damage the lease");
        }
        scene.blind_del().run().silent();
        scene.assert_restored("after a DEL with damaged leases");
        fs::create_dir_all(leases(&scene)).expect("the directory of leases");
        for address in ["10.22.0.2", "10.22.0.3", "10.22.0.4"] {
            fs::write(leases(&scene).join(address), damage).expect("make a damaged lease");
        }
        scene.attach();
        scene.blind_del().run().silent();
        scene.assert_others_can_attach();
    }
}

/// The ring is a hint: whatever is in its file, addresses are given once each, and all of them are.
fn a_damaged_ring_is_made_anew(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    let rings: Vec<PathBuf> =
        fs::read_dir(leases(&scene)).expect("leases").flatten().map(|entry| entry.path()).collect();
    let rings: Vec<PathBuf> = rings.into_iter().filter(|path| path.to_string_lossy().contains("/.ring-")).collect();
    assert!(!rings.is_empty(), "no ring in {}", leases(&scene).display());
    let (first, last) = (fs::read(&rings[0]).expect("a ring"), fs::read(&rings[rings.len() - 1]).expect("a ring"));
    let mut full = first.clone();
    full[32..].fill(0xff);
    let mut empty = first.clone();
    empty[32..].fill(0);
    let mut far = first.clone();
    far[16..20].fill(0xff);
    let damages = [vec![], b"garbage".to_vec(), first[..17].to_vec(), first[..40].to_vec(), full, empty, far, last];
    for (n, damage) in damages.iter().enumerate() {
        for ring in &rings {
            fs::write(ring, damage).expect("damage the ring");
        }
        let other = scene.lab.container(&format!("other{n}"));
        let given = addresses(&scene.cni().add(&scene.conf, &other, "eth0").result());
        assert!(!given.contains(&"10.22.0.0".to_owned()) && !given.contains(&"10.22.0.255".to_owned()), "{given:?}");
        assert!(!given.contains(&"10.22.0.1".to_owned()), "the gateway was given: {given:?}");
        let checked = scene.lab.host().ping(&given[0]) || scene.lab.host().ping(&given[0]);
        assert!(checked, "damage {n}: no answer from {given:?}");
        scene.cni().del(&scene.conf, &other, "eth0").silent();
    }
    for ring in &rings {
        fs::remove_file(ring).expect("remove the ring");
        fs::create_dir(ring).expect("put a directory there");
    }
    let other = scene.lab.container("unlucky");
    scene.cni().add(&scene.conf, &other, "eth0").error().with_code(5);
    scene.blind_del().run().silent();
    scene.assert_restored("after a DEL");
}

/// All state is lost while a container runs: the next one gets another address, or is told why it gets none. The
/// host's routes tell; a bridge does not know who is behind it.
fn lost_state_harms_no_running_container(mode: Mode) {
    let scene = Scene::new(mode);
    let running = scene.attach();
    let before = addresses(&running.result());
    fs::remove_dir_all(scene.lab.state_dir()).expect("lose the state");
    let other = scene.lab.container("other");
    let outcome = scene.cni().add(&scene.conf, &other, "eth0");
    if outcome.status.success() {
        let given = addresses(&outcome.result());
        assert!(given.iter().all(|address| !before.contains(address)), "{given:?} was given a second time");
        scene.cni().del(&scene.conf, &other, "eth0").silent();
    } else {
        outcome.error();
    }
    for address in before {
        assert!(scene.lab.host().ping(&address), "the running container's {address} was harmed");
    }
}

/// Files and directories that are none of ours neither stop a verb nor go away.
fn strangers_in_the_state_directory_are_left_alone(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    let state = scene.lab.state_dir();
    let strangers =
        ["attachments/README", "attachments/n/README", "attachments/n/c1@notes.json.bak", "leases/n/README"];
    for stranger in strangers {
        fs::write(state.join(stranger), "hello").expect("write a stranger's file");
    }
    fs::create_dir(state.join("attachments/n/c1@x.json")).expect("make a stranger's directory");
    scene.sweeping_gc().run();
    scene.blind_del().run().silent();
    for stranger in strangers {
        assert!(state.join(stranger).is_file(), "{stranger} is gone");
    }
    assert!(!record(&scene).exists());
    scene.assert_others_can_attach();
}

fn record(scene: &Scene) -> PathBuf {
    scene.lab.state_dir().join("attachments").join(NETWORK).join(format!("{}@eth0.json", scene.container.id))
}

fn leases(scene: &Scene) -> PathBuf {
    scene.lab.state_dir().join("leases").join(NETWORK)
}
