//! `ifup` and `ifdown` of three makers, on an interface that has everything already, and on one that has lost it.

use serde_json::json;

use crate::common::state::assert_unchanged;
use crate::common::{Lab, Netns};
use crate::support::{Kind, Root, add, in_chroot, network, schemes, springline};

/// Attaches, writes the guest's files from the records, and has `check` look at both.
fn each_scheme(kind: &str, skip: &[&str], check: impl Fn(&Netns, &Root, &str)) {
    for (name, conf) in schemes() {
        if skip.contains(&name) {
            continue;
        }
        let lab = Lab::new();
        let container = lab.container("c");
        add(&lab, &conf, &container, "eth0");
        let root = Kind::named(kind).make();
        let path = root.path().display().to_string();
        let (ok, _, errors) = springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]);
        assert!(ok && errors.is_empty(), "{name}: {errors}");
        check(container.netns(), &root, name);
    }
}

/// Up over what is there changes nothing; down and up again brings back all of it.
fn up_and_down(netns: &Netns, root: &Root, packages: &[&str], up: &str, down: &str) {
    let before = netns.state();
    in_chroot(netns, root, packages, up);
    assert_unchanged(&before, &netns.state());
    in_chroot(netns, root, packages, &format!("{up} && {down}"));
    let gone =
        netns.routes("-4", "main").iter().chain(&netns.routes("-6", "main")).any(|route| route["dst"] == "default");
    assert!(!gone, "a default route after ifdown");
    in_chroot(netns, root, packages, up);
    assert_unchanged(&before, &netns.state());
}

#[test]
fn debian() {
    each_scheme("debian", &[], |netns, root, name| {
        let packages = ["ifupdown"];
        let query = in_chroot(netns, root, &packages, "/tools/ifupdown/sbin/ifquery -l --allow auto");
        assert_eq!(query.split_whitespace().filter(|word| *word == "eth0").count(), 1, "{name}: {query}");
        let (up, down) = ("/tools/ifupdown/sbin/ifup eth0", "/tools/ifupdown/sbin/ifdown eth0");
        up_and_down(netns, root, &packages, up, down);
    });
}

/// `--no-act` says what `ifup` would run: ours, and no DHCP client of the stanza that the image came with.
#[test]
fn debian_runs_nothing_else() {
    each_scheme("debian", &[], |netns, root, name| {
        let line = "/tools/ifupdown/sbin/ifup --no-act --verbose eth0";
        let said = in_chroot(netns, root, &["ifupdown"], line);
        assert!(said.contains("ip -4 address replace"), "{name}: {said}");
        assert!(!said.contains("dhc"), "{name}: {said}");
    });
    // The same image without springline: there the client would run.
    let lab = Lab::new();
    let root = Kind::named("debian").make();
    let line = "/tools/ifupdown/sbin/ifup --no-act --verbose eth0 || true";
    let said = in_chroot(lab.container("c").netns(), &root, &["ifupdown"], line);
    assert!(said.contains("dhc") || said.contains("DHCP"), "{said}");
}

#[test]
fn alpine_with_ifupdown_ng() {
    each_scheme("alpine-iproute2", &[], |netns, root, name| {
        std::fs::remove_file(root.at("sbin/ip")).expect("the sign of iproute2");
        std::fs::remove_dir(root.at("sbin")).expect("its folder");
        let packages = ["ifupdown-ng"];
        let query = in_chroot(netns, root, &packages, "/tools/ifupdown-ng/sbin/ifquery --list --auto");
        assert!(query.contains("eth0"), "{name}: {query}");
        let (up, down) = ("/tools/ifupdown-ng/sbin/ifup eth0", "/tools/ifupdown-ng/sbin/ifdown eth0");
        up_and_down(netns, root, &packages, up, down);
    });
}

/// busybox's own `ifup` and `ip`, which has no `nodad`, so that only addresses and routes are compared; and no `via
/// inet6`, which springline says.
#[test]
fn alpine_with_busybox() {
    each_scheme("alpine", &["inet6"], |netns, root, name| {
        let all = |netns: &Netns| (netns.addresses("eth0"), netns.routes("-4", "main"), netns.routes("-6", "main"));
        let before = all(netns);
        let line = "mkdir tmp/b; for a in ip ifup ifdown run-parts sh; do ln -s /tools/busybox-static/bin/busybox tmp/b/$a; done; \
                    export PATH=/tmp/b; ifup -v eth0 && ifdown -v eth0 && ifup -v eth0";
        in_chroot(netns, root, &[], line);
        assert_eq!(all(netns), before, "{name}");
    });
    let lab = Lab::new();
    let container = lab.container("c");
    add(&lab, &network(&json!({"gateway": "inet6"})), &container, "eth0");
    let path = Kind::named("alpine").make();
    let (ok, _, errors) =
        springline(&lab, &["distconfig", "--rootfs", &path.path().display().to_string(), "--id", "c"]);
    assert!(ok && errors.contains("eth0: busybox's ip cannot set the route to 0.0.0.0/0"), "{errors}");
}
