//! `NetworkManager` itself, with a bus of its own: it knows the profile, leaves alone what it finds as it starts, and
//! sets the same when it is told to connect anew.

use crate::common::{Lab, Netns};
use crate::support::{Kind, add, in_chroot, schemes, springline};

const PACKAGES: [&str; 3] = ["network-manager", "dbus-daemon", "dbus-bin"];

const BUS: &str = "<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>\
    <policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*' eavesdrop='true'/>\
    <allow eavesdrop='true'/></policy></busconfig>";

const START: &str = "mkdir -p run/NetworkManager var/lib/NetworkManager
dbus-daemon --config-file=/etc/bus.conf --nofork --nopidfile > tmp/bus 2>&1 & bus=$!
for i in $(seq 50); do [ -S run/dbus/system_bus_socket ] && break; sleep 0.1; done
NetworkManager --no-daemon > tmp/log 2>&1 & pid=$!
for i in $(seq 100); do nmcli -t -f RUNNING general 2>/dev/null | grep -q running && break; sleep 0.1; done
for i in $(seq 100); do nmcli -t -f DEVICE,STATE device | grep -q '^eth0:connected' && break; sleep 0.1; done
";
const STOP: &str = "\nkill -9 $pid; kill $bus; cat tmp/log";

/// Addresses and routes, without what only says who set them and how.
fn substance(netns: &Netns) -> Vec<String> {
    let mut all: Vec<String> = netns.addresses("eth0");
    for family in ["-4", "-6"] {
        let routes = netns.routes(family, "main").into_iter().filter(|route| route["protocol"] == "static");
        all.extend(routes.map(|route| {
            let keys = ["dst", "gateway", "via", "prefsrc", "metric", "flags"];
            keys.map(|key| format!("{key}={}", route[key])).join(" ")
        }));
    }
    all.sort();
    all
}

#[test]
fn leaves_it_and_sets_the_same() {
    for (name, conf) in schemes() {
        let lab = Lab::new();
        let container = lab.container("c");
        let netns = container.netns();
        add(&lab, &conf, &container, "eth0");
        let root = Kind::named("fedora").make();
        let path = root.path().display().to_string();
        let (ok, _, errors) = springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]);
        assert!(ok && errors.is_empty(), "{name}: {errors}");
        root.put("etc/bus.conf", BUS);
        root.put("etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\ndns=none\n");
        let before = substance(netns);

        let started = in_chroot(netns, &root, &PACKAGES, &format!("{START}sleep 1; nmcli -t -f NAME connection{STOP}"));
        assert!(started.contains("springline-eth0\n"), "{name}: {started}");
        assert_eq!(substance(netns), before, "{name}: started");

        // nm-dispatcher, which runs such scripts, is started by a bus that knows of services.
        let script = "/etc/NetworkManager/dispatcher.d/90-springline";
        let connect = format!(
            "{START}nmcli connection up springline-eth0 || cat tmp/log; [ ! -e {script} ] || {script} eth0 up; sleep 3{STOP}"
        );
        let connected = in_chroot(netns, &root, &PACKAGES, &connect);
        assert!(connected.contains("successfully activated"), "{name}: {connected}");
        assert_eq!(substance(netns), before, "{name}: connected anew: {connected}");
    }
}
