//! A state folder that is not as springline left it, configurations beyond all measure, and names that would lead
//! elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::scene::{Mode, Scene};
use crate::{both_modes, once};

both_modes! {
    symlinks_in_the_state_folder_lead_nobody_astray,
    names_that_lead_elsewhere_are_refused,
    ten_thousand_routes_are_taken,
}

once! {
    a_state_folder_of_somebody_elses_works,
    ten_megabytes_are_read_or_refused,
    a_record_of_another_is_not_believed,
}

/// In the place of each file that an ADD makes, a link to a file of somebody else's: that one is neither written nor
/// removed, nor is what is in the folder that a folder has become a link to.
fn symlinks_in_the_state_folder_lead_nobody_astray(mode: Mode) {
    let scene = Scene::new(mode);
    scene.attach();
    let root = scene.lab.state_dir();
    let files: Vec<(PathBuf, bool)> =
        below(&root).into_iter().map(|path| (path.clone(), root.join(path).is_dir())).collect();
    scene.blind_del().run().silent();
    assert!(files.len() > 6, "{files:?}");
    for (path, is_folder) in &files {
        let _ = fs::remove_dir_all(&root);
        let place = root.join(path);
        fs::create_dir_all(place.parent().expect("a folder")).expect("make a folder");
        let victim = scene.lab.dir().join("victim");
        let _ = fs::remove_file(&victim);
        let _ = fs::remove_dir_all(&victim);
        if *is_folder {
            fs::create_dir(&victim).expect("make a folder");
            fs::write(victim.join("precious"), "precious").expect("write a file");
        } else {
            fs::write(&victim, "precious").expect("write a file");
        }
        symlink(&victim, &place).expect("make a link");
        let outcome = scene.call("ADD").run();
        if outcome.status.success() {
            scene.assert_works(&outcome);
        } else {
            outcome.error();
        }
        let deleted = scene.blind_del().run();
        if !deleted.status.success() {
            deleted.error();
        }
        let precious = if *is_folder { victim.join("precious") } else { victim.clone() };
        let what = path.display();
        assert_eq!(fs::read_to_string(precious).ok().as_deref(), Some("precious"), "by a link at {what}");
    }
    let _ = fs::remove_dir_all(&root);
    scene.assert_restored("after all the links");
    scene.attach();
    scene.blind_del().run().silent();
}

/// What is below a folder, by relative paths.
fn below(root: &Path) -> Vec<PathBuf> {
    fn add(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("read a folder").flatten() {
            found.push(entry.path().strip_prefix(root).expect("below").to_owned());
            if entry.path().is_dir() {
                add(root, &entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    add(root, root, &mut found);
    found
}

/// Folder and files belong to another user, and have whatever permissions: root goes by none of them, and hands nothing
/// out by its own.
fn a_state_folder_of_somebody_elses_works(mode: Mode) {
    let scene = Scene::new(mode);
    let root = scene.lab.state_dir();
    for permissions in [0o000, 0o500, 0o777] {
        fs::create_dir_all(&root).expect("make a folder");
        chown(&root, Some(12345), Some(12345)).expect("give it away");
        fs::set_permissions(&root, fs::Permissions::from_mode(permissions)).expect("set permissions");
        scene.attach();
        for path in below(&root) {
            let path = root.join(path);
            let mode = fs::metadata(&path).expect("a file").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is open to others: {mode:o}", path.display());
            chown(&path, Some(12345), Some(12345)).expect("give it away");
        }
        scene.blind_del().run().silent();
        scene.assert_restored(&format!("with a state folder of another's, {permissions:o}"));
        fs::remove_dir_all(&root).expect("remove it");
    }
}

/// Large is no reason to fail, or to be slow; too large is refused before anything is done.
fn ten_megabytes_are_read_or_refused(mode: Mode) {
    let scene = Scene::new(mode);
    let filled = |bytes: usize| merged(&scene.conf, &json!({"args": {"other": {"filler": "x".repeat(bytes)}}}));
    let begin = Instant::now();
    let added = scene.call("ADD").conf(&filled(10 << 20)).run();
    scene.assert_works(&added);
    scene.call("DEL").conf(&filled(10 << 20)).run().silent();
    scene.assert_restored("after a configuration of 10 MiB");
    scene.call("ADD").conf(&filled(17 << 20)).run().error().with_code(6).saying("bytes");
    scene.assert_restored("after a configuration of 17 MiB");
    assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
}

/// All of them, or one error and none.
fn ten_thousand_routes_are_taken(mode: Mode) {
    let mut scene = Scene::new(mode);
    let routes =
        (0..10_000).map(|n| json!({"dst": format!("172.{}.{}.{}/32", 16 + n / 65536, n / 256 % 256, n % 256)}));
    let all: Vec<Value> = [json!({"dst": "0.0.0.0/0"}), json!({"dst": "::/0"})].into_iter().chain(routes).collect();
    scene.conf["ipam"]["routes"] = all.into();
    let added = scene.call("ADD").spawn().finish_within(Duration::from_mins(2));
    if added.status.success() {
        let count = scene.container.netns().routes("-4", "main").len();
        assert!(count >= 10_000, "{count} routes");
    } else {
        added.error();
        scene.assert_restored("after an ADD of 10,000 routes that failed");
    }
    scene.blind_del().spawn().finish_within(Duration::from_mins(2)).silent();
    scene.assert_restored("after an ADD of 10,000 routes and a DEL");
}

/// Of names, files and links are made: one that would lead out of its folder is refused, and nothing is done.
fn names_that_lead_elsewhere_are_refused(mode: Mode) {
    let scene = Scene::new(mode);
    let bad = ["..", ".", "../x", "a/b", "/etc", "a/../../b", "\u{0}", "a\nb", "-x/", ""];
    let refused = |what: &str, call: crate::common::cni::Call<'_>| {
        let outcome = call.run();
        assert!(!outcome.status.success(), "{what}: it is taken");
        let error = outcome.error();
        assert!([4, 6, 7, 2].contains(&error.code), "{what}: {error:?}");
        scene.assert_restored(&format!("after {what}"));
    };
    // The control: as they are, all names are taken.
    scene.attach();
    scene.blind_del().run().silent();
    for name in bad {
        for verb in ["ADD", "DEL"] {
            let what = format!("{verb}, {name:?} as");
            if !name.contains('\0') {
                refused(&format!("{what} id"), scene.call(verb).env("CNI_CONTAINERID", name));
                refused(&format!("{what} interface"), scene.call(verb).env("CNI_IFNAME", name));
            }
            refused(&format!("{what} network"), scene.call(verb).conf(&merged(&scene.conf, &json!({"name": name}))));
        }
        let with = |keys: Value| scene.call("ADD").conf(&merged(&scene.conf, &keys));
        refused(&format!("{name:?} as bridge"), with(json!({"mode": "bridged", "bridge": {"name": name}})));
        refused(&format!("{name:?} as link"), with(json!({"hostInterface": name})));
        if name.contains('/') {
            let path = "/usr/lib/cni";
            let ipam = json!({"ipam": {"type": name, "ranges": null}});
            refused(&format!("{name:?} as IPAM plugin"), with(ipam).env("CNI_PATH", path));
        }
    }
    for folder in ["relative", "../x", "./x"] {
        let ipam = merged(&scene.conf, &json!({"ipam": {"dataDir": folder}}));
        refused(&format!("{folder:?} as dataDir"), scene.call("ADD").conf(&ipam));
    }
    for key in [
        "../../kernel/core_pattern",
        "net/../../kernel/core_pattern",
        "/proc/sys/kernel/core_pattern",
        "kernel.core_pattern",
    ] {
        let sysctl: BTreeMap<&str, &str> = [(key, "x")].into();
        refused(
            &format!("{key:?} as sysctl"),
            scene.call("ADD").conf(&merged(&scene.conf, &json!({"sysctl": sysctl}))),
        );
    }
}

/// A record that was copied stands for nothing of the one under whose name it is.
fn a_record_of_another_is_not_believed(mode: Mode) {
    let scene = Scene::new(mode);
    let other = scene.lab.container("other");
    scene.cni().add(&scene.conf, &other, "eth0").result();
    let with_other = scene.lab.host_state();
    let attachments = scene.lab.state_dir().join("attachments/n");
    fs::copy(attachments.join("other@eth0.json"), attachments.join("c1@eth0.json")).expect("copy a record");
    scene.blind_del().run().silent();
    let changes = with_other.changes(&scene.lab.host_state());
    assert!(changes.is_empty(), "the other was harmed:\n{}", changes.join("\n"));
    scene.cni().del(&scene.conf, &other, "eth0").silent();
    scene.assert_restored("after the DEL of the other");
}
