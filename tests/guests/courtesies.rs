//! What is left alone, what is put back, what goes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use serde_json::json;
use springline::exec::{FileState, release_guest};
use springline::guest::Service;

use crate::support::{
    ALPINE_INTERFACES, DEBIAN_INTERFACES, KINDS, Kind, Root, dual, dual_interface, guest, listing, state_of,
};

/// Inode and time of change of every file.
fn identities(root: &Root) -> Vec<(String, u64, i64, i64)> {
    let identity = |path: String| {
        let metadata = fs::symlink_metadata(root.at(&path)).expect("a file");
        (path, metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    root.listing().into_keys().map(identity).collect()
}

#[test]
fn the_second_time_nothing_is_written() {
    for kind in &KINDS {
        let root = kind.make();
        let first = root.configure(&dual());
        assert!(first.files.iter().any(|(_, state)| *state == FileState::Written), "{}", kind.name);
        let before = identities(&root);
        let second = root.configure(&dual());
        assert!(
            second.files.iter().all(|(_, state)| *state == FileState::Unchanged),
            "{}: {:?}",
            kind.name,
            second.files
        );
        assert_eq!(identities(&root), before, "{}", kind.name);
    }
}

#[test]
fn with_remove_all_is_as_it_was() {
    for kind in &KINDS {
        let root = kind.make();
        root.put("etc/network/interfaces.d/mine", "iface eth0 inet6 auto\n");
        root.put("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n");
        root.put("ifcfg.add", "echo mine\n");
        let before = root.listing();
        root.configure(&dual());
        assert_ne!(root.listing(), before, "{}", kind.name);
        root.configure(&guest(&json!({"interfaces": [dual_interface("eth0"), dual_interface("eth1")]})));
        release_guest(root.path()).expect("take out all");
        assert_eq!(root.listing(), before, "{}", kind.name);
    }
}

#[test]
fn what_the_image_came_with_is_kept_beside() {
    let root = Kind::named("centos-7").make();
    root.put("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n");
    root.configure(&dual());
    assert!(root.read("etc/sysconfig/network-scripts/ifcfg-eth0").contains("BOOTPROTO=none"));
    assert!(root.read("etc/sysconfig/network-scripts/before-springline.ifcfg-eth0").contains("BOOTPROTO=dhcp"));
}

#[test]
fn the_files_of_an_interface_go_with_it() {
    let two = guest(&json!({"interfaces": [dual_interface("eth0"), dual_interface("eth1")]}));
    for kind in &KINDS {
        let once = kind.make();
        once.configure(&dual());
        let root = kind.make();
        root.configure(&two);
        let theirs = "etc/systemd/network/05-springline-eth9.network";
        root.put(theirs, "[Match]\nName=eth9\n");
        root.configure(&dual());
        assert_eq!(root.read(theirs), "[Match]\nName=eth9\n", "{}: not ours by its text", kind.name);
        fs::remove_file(root.at(theirs)).expect("remove it");
        assert_eq!(root.listing(), once.listing(), "{}", kind.name);
    }
}

/// A guest that changes its network service does not keep the files for the other one.
#[test]
fn the_files_of_another_service_go() {
    let root = Kind::named("debian").make();
    assert_eq!(root.configure(&dual()).service, Some(Service::Ifupdown));
    root.link("etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "/lib/x");
    let report = root.configure(&dual());
    assert_eq!(report.service, Some(Service::Networkd));
    assert_eq!(state_of(&report, "etc/network/interfaces.d/springline"), Some(&FileState::Removed));
    assert_eq!(root.read("etc/network/interfaces"), DEBIAN_INTERFACES);
}

#[test]
fn a_file_that_its_owner_may_not_write_is_left_alone() {
    for kind in &KINDS {
        let root = kind.make();
        root.configure(&dual());
        let other = guest(&json!({"interfaces": [{"name": "eth0", "addresses": ["10.99.0.1/32"], "mtu": 1300}]}));
        let before = root.listing();
        for path in before.keys() {
            let path = root.at(path);
            if path.symlink_metadata().expect("metadata").is_file() {
                let mode = fs::metadata(&path).expect("metadata").permissions().mode();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode & !0o200)).expect("opt out");
            }
        }
        let before = root.listing();
        let report = root.configure(&other);
        let left =
            report.files.iter().filter(|(_, state)| matches!(state, FileState::LeftAlone(why) if why.contains("u-w")));
        assert!(left.count() > 0, "{}: {:?}", kind.name, report.files);
        for (path, text) in before {
            assert_eq!(root.listing().get(&path), Some(&text), "{}: {path}", kind.name);
        }
        release_guest(root.path()).expect("take out what may be");
    }
}

/// With the user's own file left as it is, a fragment would contradict it.
#[test]
fn interfaces_that_may_not_be_written_keep_their_word() {
    let root = Kind::named("debian").make();
    fs::set_permissions(root.at("etc/network/interfaces"), fs::Permissions::from_mode(0o444)).expect("opt out");
    let before = root.listing();
    let report = root.configure(&dual());
    assert!(report.warnings[0].contains("/etc/network/interfaces is the user's"), "{:?}", report.warnings);
    assert_eq!(root.listing(), before);
}

/// A file of the user's that needs no change may be what it likes.
#[test]
fn a_fragment_of_the_users_that_does_not_matter_is_in_nobodys_way() {
    let root = Kind::named("debian").make();
    root.put("etc/network/interfaces.d/mine", "iface eth7 inet dhcp\n");
    fs::set_permissions(root.at("etc/network/interfaces.d/mine"), fs::Permissions::from_mode(0o444)).expect("a mode");
    root.link("etc/network/interfaces.d/linked", "mine");
    let report = root.configure(&dual());
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(state_of(&report, "etc/network/interfaces.d/springline"), Some(&FileState::Written));
}

#[test]
fn interfaces_keep_what_is_not_ours() {
    let root = Kind::named("alpine").make();
    let user = format!("{ALPINE_INTERFACES}\nauto eth1\niface eth1 inet static\n\taddress 192.0.2.9/24\n");
    root.put("etc/network/interfaces", &user);
    fs::set_permissions(root.at("etc/network/interfaces"), fs::Permissions::from_mode(0o600)).expect("a mode");
    root.configure(&dual());
    let text = root.read("etc/network/interfaces");
    assert!(text.contains("\n#springline# iface eth0 inet dhcp\n#springline# hostname $(hostname)\n"), "{text}");
    assert!(text.contains("\nauto eth1\niface eth1 inet static\n\taddress 192.0.2.9/24\n# springline begin"), "{text}");
    assert_eq!(fs::metadata(root.at("etc/network/interfaces")).expect("metadata").mode() & 0o7777, 0o600);
}

/// The container's root is somebody else on the host: what is written is theirs.
#[test]
fn files_belong_to_the_containers_root() {
    const ROOT: u32 = 100_000;
    for kind in &KINDS {
        let root = kind.make();
        chown_all(root.path(), ROOT);
        let report = root.configure(&dual());
        let written = report.files.iter().filter(|(_, state)| *state == FileState::Written);
        assert!(written.count() > 0, "{}: {report:?}", kind.name);
        for path in listing(root.path()).into_keys() {
            for part in root.at(&path).ancestors().take_while(|part| part.starts_with(root.path())) {
                let metadata = fs::symlink_metadata(part).expect("metadata");
                assert_eq!((metadata.uid(), metadata.gid()), (ROOT, ROOT), "{}: {}", kind.name, part.display());
            }
        }
    }
}

pub(crate) fn chown_all(path: &std::path::Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).expect("give it away");
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("a folder").flatten() {
            chown_all(&entry.path(), id);
        }
    }
}

/// What root owns in somebody else's rootfs is not theirs to change, and so not ours in their name.
#[test]
fn what_the_containers_root_may_not_write_is_not_written() {
    let root = Kind::named("debian").make();
    chown_all(root.path(), 100_000);
    let dir = root.at("etc/network");
    chown(&dir, Some(0), Some(0)).expect("take the folder");
    let before = root.listing();
    let done = springline::exec::configure_guest(root.path(), None, &dual());
    assert!(done.is_err(), "{done:?}");
    assert_eq!(root.listing(), before);
}
