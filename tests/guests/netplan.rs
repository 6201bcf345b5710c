//! netplan's generator reads the file; networkd runs what it makes of it, together with springline's drop-in.

use crate::common::Lab;
use crate::common::state::assert_unchanged;
use crate::support::{Kind, add, in_chroot, schemes, springline};

const PACKAGES: [&str; 3] = ["netplan.io", "systemd", "libsystemd-shared"];
const USERS: &str = "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n";

const RUN: &str = "export SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console
/usr/libexec/netplan/generate || exit 1
cat run/systemd/network/10-netplan-eth0.network
/tools/systemd/lib/systemd/systemd-networkd > tmp/log 2>&1 & pid=$!
for i in $(seq 100); do grep -q 'eth0: State changed: configuring -> configured' tmp/log && break; sleep 0.1; done
sleep 1; kill $pid; wait $pid; cat tmp/log";

#[test]
fn what_it_makes_changes_nothing() {
    for (name, conf) in schemes() {
        let lab = Lab::new();
        let container = lab.container("c");
        add(&lab, &conf, &container, "eth0");
        let root = Kind::named("ubuntu").make();
        root.put("etc/netplan/50-cloud-init.yaml", USERS);
        let path = root.path().display().to_string();
        let (ok, _, errors) = springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]);
        assert!(ok && errors.is_empty(), "{name}: {errors}");
        let before = container.netns().state();
        let log = in_chroot(container.netns(), &root, &PACKAGES, RUN);
        assert!(log.contains("configuring -> configured"), "{name}: {log}");
        assert!(!log.contains("DHCP=ipv4"), "{name}: the user's dhcp4 is in force: {log}");
        assert_unchanged(&before, &container.netns().state());
    }
}
