//! systemd-networkd itself, on what springline has plumbed: started, it takes nothing away and adds nothing.

use crate::common::Lab;
use crate::common::state::assert_unchanged;
use crate::support::{Kind, add, in_chroot, schemes, springline};

const PACKAGES: [&str; 2] = ["systemd", "libsystemd-shared"];

/// Runs it until it has configured eth0, and for a second more.
const RUN: &str = "export SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console
/tools/systemd/lib/systemd/systemd-networkd > tmp/log 2>&1 & pid=$!
for i in $(seq 100); do grep -q 'eth0: State changed: configuring -> configured' tmp/log && break; sleep 0.1; done
sleep 1; kill $pid; wait $pid; cat tmp/log";

#[test]
fn changes_nothing() {
    for kind in ["arch", "nixos-networkd"] {
        for (name, conf) in schemes() {
            let lab = Lab::new();
            let container = lab.container("c");
            add(&lab, &conf, &container, "eth0");
            let root = Kind::named(kind).make();
            let path = root.path().display().to_string();
            let (ok, _, errors) = springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]);
            assert!(ok && errors.is_empty(), "{name}: {errors}");
            let before = container.netns().state();
            let log = in_chroot(container.netns(), &root, &PACKAGES, RUN);
            assert!(log.contains("configuring -> configured"), "{name}: {log}");
            assert!(log.contains("05-springline-eth0.network"), "{name}: {log}");
            let complaints = ["Unknown key", "Invalid", "Failed to parse", "ignoring assignment"];
            assert!(!complaints.iter().any(|complaint| log.contains(complaint)), "{name}: {log}");
            assert_unchanged(&before, &container.netns().state());
        }
    }
}

/// It also brings back what is gone: the file says all that there is.
#[test]
fn brings_back_what_is_gone() {
    for (name, conf) in schemes() {
        let lab = Lab::new();
        let container = lab.container("c");
        add(&lab, &conf, &container, "eth0");
        let root = Kind::named("arch").make();
        let path = root.path().display().to_string();
        assert!(springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]).0);
        let before = container.netns().state();
        container.netns().ip("address flush dev eth0");
        container.netns().ip("-6 route flush dev eth0"); // the kernel keeps them, without their source
        let log = in_chroot(container.netns(), &root, &PACKAGES, RUN);
        assert!(log.contains("configuring -> configured"), "{name}: {log}");
        assert_unchanged(&before, &container.netns().state());
    }
}

/// Without springline's file, but with the one that images come with, the interface is not left as it was: it gets a
/// link-local address of networkd's own, from which nothing may be sent.
#[test]
fn would_change_something_otherwise() {
    let lab = Lab::new();
    let container = lab.container("c");
    add(&lab, &schemes()[0].1, &container, "eth0");
    let root = Kind::named("arch").make();
    root.put("etc/systemd/network/20-ethernet.network", "[Match]\nName=e*\n[Network]\nAddress=10.99.0.1/24\n");
    let before = container.netns().addresses("eth0");
    let log = in_chroot(container.netns(), &root, &PACKAGES, RUN);
    assert_ne!(before, container.netns().addresses("eth0"), "{log}");
}
