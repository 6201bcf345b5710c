//! A rootfs whose owner would have springline write, or read, somewhere else. Beside each lies a "host" with files of
//! the same names, and afterwards that is what it was; the same guest is written where there is no trap.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use springline::exec::{configure_guest, release_guest};
use tempfile::TempDir;

use crate::courtesies::chown_all;
use crate::support::{KINDS, Kind, Root, dual, listing};

/// A folder outside, with every file that any kind of rootfs gets, as somebody else would have them.
fn host() -> TempDir {
    let host = TempDir::new().expect("make a host");
    for kind in &KINDS {
        let root = kind.make();
        root.configure(&dual());
        for path in root.listing().into_keys() {
            let file = host.path().join(&path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("make a folder");
            fs::write(file, "the host's\n").expect("write");
        }
    }
    host
}

/// The places in which a kind of rootfs gets files, all without a trap.
fn places(kind: &Kind) -> Vec<String> {
    let root = kind.make();
    let before = root.listing();
    root.configure(&dual());
    root.listing().into_iter().filter(|(path, text)| before.get(path) != Some(text)).map(|(path, _)| path).collect()
}

/// Sets a trap in a fresh rootfs of every kind at every place, and looks at the host.
fn every_place(host: &Path, set: impl Fn(&Root, &str)) {
    for kind in &KINDS {
        for place in places(kind) {
            for owner in [0, 100_000] {
                let root = kind.make();
                chown_all(root.path(), owner);
                let _ = fs::remove_file(root.at(&place));
                set(&root, &place);
                let before = listing(host);
                let began = Instant::now();
                let _ = configure_guest(root.path(), None, &dual());
                let _ = release_guest(root.path());
                assert!(began.elapsed() < Duration::from_secs(5), "{} {place}: took {:?}", kind.name, began.elapsed());
                assert_eq!(listing(host), before, "{} {place}", kind.name);
            }
        }
    }
}

#[test]
fn links_to_files_of_the_hosts() {
    let host = host();
    every_place(host.path(), |root, place| {
        let target = host.path().join(place);
        let _ = fs::create_dir_all(root.at(place).parent().expect("a folder"));
        symlink(&target, root.at(place)).expect("set the trap");
        assert_eq!(fs::read_to_string(root.at(place)).expect("the trap works"), "the host's\n");
    });
}

#[test]
fn relative_links_to_files_of_the_hosts() {
    let host = host();
    every_place(host.path(), |root, place| {
        let up = "../".repeat(40);
        let target = format!("{up}{}", host.path().join(place).display());
        let _ = fs::create_dir_all(root.at(place).parent().expect("a folder"));
        symlink(target.replace("//", "/"), root.at(place)).expect("set the trap");
        assert_eq!(fs::read_to_string(root.at(place)).expect("the trap works"), "the host's\n");
    });
}

/// `/etc`, `/etc/network`, …: every folder on the way.
#[test]
fn links_to_folders_of_the_hosts() {
    let host = host();
    for depth in 1..4 {
        every_place(host.path(), |root, place| {
            let mut parts: Vec<&str> = place.split('/').collect();
            if parts.len() <= depth {
                return;
            }
            parts.truncate(depth);
            let dir = parts.join("/");
            let os_release = root.read("etc/os-release");
            let _ = fs::remove_dir_all(root.at(&dir));
            let _ = fs::create_dir_all(root.at(&dir).parent().expect("a folder"));
            symlink(host.path().join(&dir), root.at(&dir)).expect("set the trap");
            if dir == "etc" {
                // It is still to be known whose rootfs it is.
                root.put("usr/lib/os-release", &os_release);
            }
        });
    }
}

#[test]
fn links_to_nowhere_make_nothing() {
    let host = TempDir::new().expect("make a host");
    every_place(host.path(), |root, place| {
        let _ = fs::create_dir_all(root.at(place).parent().expect("a folder"));
        symlink(host.path().join("new"), root.at(place)).expect("set the trap");
    });
    every_place(host.path(), |root, place| {
        let Some((dir, _)) = place.rsplit_once('/') else { return };
        let _ = fs::remove_dir_all(root.at(dir));
        let _ = fs::create_dir_all(root.at(dir).parent().expect("a folder"));
        let _ = symlink(host.path().join("new"), root.at(dir));
    });
}

#[test]
fn a_file_with_another_name_outside_is_not_written_through() {
    let host = host();
    every_place(host.path(), |root, place| {
        let _ = fs::create_dir_all(root.at(place).parent().expect("a folder"));
        fs::hard_link(host.path().join(place), root.at(place)).expect("set the trap");
    });
}

/// Pipes, sockets, devices, folders: nothing waits, and all of them stay.
#[test]
fn what_is_no_file_stays_what_it_is() {
    let host = host();
    every_place(host.path(), |root, place| {
        let _ = fs::create_dir_all(root.at(place).parent().expect("a folder"));
        mkfifo(&root.at(place), Mode::S_IRWXU).expect("set the trap");
    });
    every_place(host.path(), |root, place| {
        fs::create_dir_all(root.at(place)).expect("set the trap");
    });
    every_place(host.path(), |root, place| {
        let _ = fs::create_dir_all(root.at(place).parent().expect("a folder"));
        symlink("/dev/zero", root.at(place)).expect("set the trap");
    });
    let root = Kind::named("debian").make();
    fs::remove_file(root.at("etc/network/interfaces")).expect("remove it");
    let _listener = UnixListener::bind(root.at("etc/network/interfaces")).expect("set the trap");
    let report = root.configure(&dual());
    assert!(report.warnings[0].contains("cannot be read"), "{:?}", report.warnings);
    assert!(!root.at("etc/network/interfaces.d").exists());
}

#[test]
fn an_os_release_that_is_a_trap_is_not_read() {
    let host = TempDir::new().expect("make a host");
    fs::write(host.path().join("os-release"), "ID=debian\n").expect("write");
    let known = |set: &dyn Fn(&Path)| {
        let root = Kind::named("arch").make();
        fs::remove_file(root.at("etc/os-release")).expect("remove it");
        set(&root.at("etc/os-release"));
        let began = Instant::now();
        let report = root.configure(&dual());
        assert!(began.elapsed() < Duration::from_secs(2));
        report.distro.map(|distro| distro.to_string())
    };
    assert_eq!(known(&|path| symlink(host.path().join("os-release"), path).expect("set the trap")), None);
    assert_eq!(known(&|path| mkfifo(path, Mode::S_IRWXU).expect("set the trap")), None);
    assert_eq!(known(&|path| symlink("/dev/zero", path).expect("set the trap")), None);
    assert_eq!(known(&|path| symlink("/proc/self/environ", path).expect("set the trap")), None);
    assert_eq!(known(&|path| symlink("os-release", path).expect("set the trap")), None);
    let huge = |path: &Path| {
        let mut file = fs::File::create(path).expect("set the trap");
        file.write_all(b"ID=arch\n").expect("write");
        file.set_len(10 << 30).expect("ten gigabytes of nothing");
    };
    assert_eq!(known(&huge), None);
    // And without a trap, by a link inside, as distributions have it.
    let inside = |path: &Path| {
        let root = path.ancestors().nth(2).expect("the root");
        fs::create_dir_all(root.join("usr/lib")).expect("make a folder");
        fs::write(root.join("usr/lib/os-release"), "ID=arch\n").expect("write");
        symlink("/usr/lib/os-release", path).expect("make the link");
    };
    assert_eq!(known(&inside), Some("arch".to_owned()));
}

/// A folder that is a link inside of the rootfs leads where the guest thinks it does.
#[test]
fn a_link_inside_is_followed_inside() {
    let root = Kind::named("arch").make();
    fs::create_dir_all(root.at("data/network")).expect("make a folder");
    root.link("etc/systemd/network", "/data/network");
    root.configure(&dual());
    assert!(root.at("data/network/05-springline-eth0.network").is_file());
}

#[test]
fn a_huge_file_of_the_users_is_neither_read_nor_replaced() {
    let root = Kind::named("debian").make();
    let path = root.at("etc/network/interfaces");
    fs::File::options().write(true).open(&path).expect("open").set_len(10 << 30).expect("ten gigabytes of nothing");
    let before = fs::metadata(&path).expect("metadata");
    let began = Instant::now();
    let report = root.configure(&dual());
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(report.warnings[0].contains("cannot be read"), "{:?}", report.warnings);
    let after = fs::metadata(&path).expect("metadata");
    assert_eq!((before.ino(), before.len(), before.ctime_nsec()), (after.ino(), after.len(), after.ctime_nsec()));
}

/// Thousands of files of the names that are looked at, each as large as is read at all.
#[test]
fn a_crowd_of_files_is_not_read_whole() {
    for kind in ["debian", "arch"] {
        let root = Kind::named(kind).make();
        for number in 0..3000 {
            for path in
                ["etc/network/interfaces.d/a", "etc/systemd/network/05-springline-a", "etc/systemd/network/10-netplan-"]
            {
                let path = format!("{path}{number}.network");
                root.put(&path, "# This file is managed by springline\n");
                let file = fs::File::options().write(true).open(root.at(&path)).expect("open");
                file.set_len(1 << 20).expect("a megabyte of nothing");
            }
        }
        let began = Instant::now();
        let report = root.configure(&dual());
        assert!(report.files.iter().any(|(_, state)| *state == springline::exec::FileState::Written));
        assert!(began.elapsed() < Duration::from_secs(10), "{kind}: {:?}", began.elapsed());
    }
}

#[test]
fn the_hosts_own_root_is_refused() {
    let error = configure_guest(Path::new("/"), None, &dual()).expect_err("the host's own");
    assert!(error.to_string().contains("this system's own root"), "{error}");
    let error = configure_guest(Path::new("/proc/self/root"), None, &dual()).expect_err("the host's own");
    assert!(error.to_string().contains("this system's own root"), "{error}");
}
