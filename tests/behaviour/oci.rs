//! `springline hook oci`, fed with what runc, crun and podman were seen to say.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::cni::Plugin;
use crate::common::cni::merged;
use crate::common::state::assert_unchanged;
use crate::common::{Container, Lab, text_of};
use crate::hooked::Init;
use crate::support::{addresses, bridged, networks, routes, springline, with_ranges};

/// A lab with the networks `public` (routed) and `lan` (bridged).
fn lab() -> Lab {
    let lab = Lab::new();
    define(&lab, "public", &with_ranges(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({"name": "public"})));
    define(&lab, "lan", &bridged(&["10.33.0.0/24", "2001:db8:33::/64"], &json!({"name": "lan"})));
    lab
}

fn define(lab: &Lab, name: &str, network: &Value) {
    let folder = networks(lab);
    fs::create_dir_all(&folder).expect("a folder of networks");
    fs::write(folder.join(format!("{name}.conf")), network.to_string()).expect("write a network");
}

/// Runs the hook with `line` on its line and `state` on its stdin: whether it succeeded, and what it said.
fn hook(lab: &Lab, line: &[&str], state: &Value) -> (bool, String) {
    let mut command = lab.host().command(Path::new(crate::common::cni::springline_binary()));
    // Nothing else is in the environment, as with podman's poststop.
    command.env_clear().env("SPRINGLINE_STATE_DIR", lab.state_dir()).env("NETCONFPATH", networks(lab));
    command.args(["hook", "oci"]).args(line).current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    child.stdin.take().expect("a pipe").write_all(state.to_string().as_bytes()).expect("write the state");
    let output = child.wait_with_output().expect("wait for the hook");
    assert!(output.stdout.is_empty(), "a hook has nothing to say on stdout");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn succeeds(lab: &Lab, line: &[&str], state: &Value) {
    assert_eq!(hook(lab, line, state), (true, String::new()));
}

/// What runc says when a container begins.
fn begins(id: &str, init: &Init, annotations: &Value) -> Value {
    json!({"ociVersion": "1.2.0", "id": id, "status": "creating", "pid": init.0.id(), "bundle": format!("/run/{id}"),
           "annotations": annotations})
}

/// What crun says when it has ended.
fn ended(id: &str) -> Value {
    json!({"ociVersion": "1.0", "id": id, "pid": 0, "root": "rootfs", "bundle": format!("/run/{id}"),
           "status": "stopped"})
}

fn on_public() -> Value {
    json!({"io.springline.network": "public"})
}

fn names_of_links(container: &Container) -> Vec<String> {
    container.netns().ip_json("link show").iter().map(|link| text_of(&link["ifname"]).to_owned()).collect()
}

#[test]
fn every_runtimes_words_attach_and_detach() {
    let podmans = json!({"io.container.manager": "libpod", "org.opencontainers.image.stopSignal": "15"});
    let documents = [
        (
            json!({"ociVersion": "1.2.0", "status": "creating", "bundle": "/run/b"}),
            json!({"ociVersion": "1.2.0", "status": "stopped", "bundle": "/run/b"}),
        ),
        (
            json!({"ociVersion": "1.0", "root": "rootfs", "bundle": "/run/b", "status": "created"}),
            json!({"ociVersion": "1.0", "root": "rootfs", "bundle": "/run/b", "status": "stopped", "pid": 0}),
        ),
        (
            json!({"ociVersion": "1.0", "root": "/var/merged", "bundle": "/var/u", "status": "created",
                   "annotations": podmans}),
            json!({"ociVersion": "1.2.0", "status": "stopped", "bundle": "/var/u"}),
        ),
    ];
    for (begin, end) in documents {
        for network in ["public", "lan"] {
            let lab = lab();
            let before = lab.host_state();
            let c = lab.container("c");
            let init = Init::of(&c);
            let annotations = json!({"annotations": {"io.springline.network": network}});
            let begin = merged(&merged(&begin, &annotations), &json!({"id": "c", "pid": init.0.id()}));
            succeeds(&lab, &[], &begin);
            for info in c.netns().addresses("eth0") {
                assert!(lab.host().ping(info.split('/').next().unwrap_or_default()), "{info}");
            }
            assert_eq!(c.netns().addresses("eth0").len(), 2);
            succeeds(&lab, &[], &merged(&merged(&end, &annotations), &json!({"id": "c"})));
            assert_unchanged(&before, &lab.host_state());
            assert_eq!(names_of_links(&c), ["lo"]);
            succeeds(&lab, &[], &merged(&end, &json!({"id": "c"})));
        }
    }
}

#[test]
fn annotations_say_it_all() {
    let lab = lab();
    let c = lab.container("c");
    let init = Init::of(&c);
    let annotations = json!({
        "io.springline.network": "public", "io.springline.ip": "10.22.0.7,2001:db8:22::7",
        "io.springline.mac": "02:00:00:00:00:07", "io.springline.route": "10.5.5.0/24",
        "io.springline.eth10.network": "public", "io.springline.lan.0.network": "lan",
        "io.springline.eth2.network": "lan", "io.springline.port": "8080:80",
    });
    succeeds(&lab, &[], &begins("c", &init, &annotations));
    assert_eq!(names_of_links(&c), ["lo", "eth0", "eth2", "eth10", "lan.0"]);
    let of_eth0 = addresses(c.netns(), "eth0");
    assert!(of_eth0[0].starts_with("10.22.0.7/32") && of_eth0[1].starts_with("2001:db8:22::7/128"), "{of_eth0:?}");
    assert_eq!(c.netns().link("eth0").expect("eth0")["address"], "02:00:00:00:00:07");
    let defaults = c.netns().ip_json("-4 route show default");
    assert!(defaults.iter().any(|route| route["dev"] == "eth0" && route["metric"].is_null()), "{defaults:?}");
    let all = lab.host().ip_json("-4 route show table all");
    assert!(all.iter().any(|route| route["dst"] == "10.5.5.0/24" && route["gateway"] == "10.22.0.7"), "{all:?}");
    assert!(lab.host_state().mentions(&["element of springline ports4", "8080", "public/c/eth0"]));
    assert!(springline(&lab, &["check"]).0);
    succeeds(&lab, &[], &ended("c"));
    assert_eq!(names_of_links(&c), ["lo"]);
}

/// Nothing of the first interface is left when the second is refused, whatever for.
#[test]
fn a_hook_that_fails_leaves_nothing() {
    let lab = lab();
    let other = lab.container("other");
    let others_init = Init::of(&other);
    let others = json!({"io.springline.network": "lan", "io.springline.ip": "10.33.0.7"});
    succeeds(&lab, &[], &begins("other", &others_init, &others));
    let c = lab.container("c");
    let init = Init::of(&c);
    let before = (lab.host_state(), c.netns().state());
    for (second, word) in [
        (json!({"io.springline.eth1.network": "unknown"}), "no network unknown is defined"),
        (json!({"io.springline.eth1.network": "lan", "io.springline.eth1.ip": "10.33.0.7"}), "lan/other/eth0"),
        (json!({"io.springline.eth1.network": "lan", "io.springline.eth1.ip": "10.99.0.7"}), "10.99.0.7"),
        (json!({"io.springline.eth1.netwrk": "lan"}), "did you mean io.springline.eth1.network?"),
        (json!({"io.springline.eth1.network": "../lan"}), "interface eth1: network"),
        (json!({"io.springline.eth1.network": "lan", "io.springline.eth1.mac": "x"}), "interface eth1: mac"),
        (json!({"io.springline.eth1.network": "lan", "io.springline.eth1.port": "80000"}), "interface eth1: port"),
    ] {
        let (ok, said) = hook(&lab, &[], &begins("c", &init, &merged(&on_public(), &second)));
        assert!(!ok && said.contains(word), "{word:?} is not in: {said}");
        assert_unchanged(&before.0, &lab.host_state());
        assert_unchanged(&before.1, &c.netns().state());
    }
    // What runc calls then; and an end is an end, whatever the annotations say.
    succeeds(&lab, &[], &merged(&ended("c"), &json!({"annotations": {"io.springline.netwrk": "lan"}})));
    assert!(lab.host().ping("10.33.0.7"));
}

/// So that the hook can be put on every container.
#[test]
fn who_asks_for_nothing_gets_nothing() {
    let lab = lab();
    let c = lab.container("c");
    let init = Init::of(&c);
    for id in ["c", "a+b", "_"] {
        succeeds(&lab, &[], &begins(id, &init, &json!({"org.example.network": "public"})));
        succeeds(&lab, &[], &begins(id, &init, &Value::Null));
        succeeds(&lab, &[], &ended(id));
    }
    assert_eq!(names_of_links(&c), ["lo"]);
    assert!(!lab.state_dir().exists());
    let (ok, said) = hook(&lab, &[], &begins("a+b", &init, &on_public()));
    assert!(!ok && said.contains(r#""a+b" contains characters other than"#) && said.contains("another id"), "{said}");
}

#[test]
fn the_hosts_own_namespace_is_refused() {
    let lab = lab();
    let before = lab.host_state();
    // Whoever is there: the runtime itself.
    let script = "echo $$; exec sleep 60";
    let mut command = lab.host().command(Path::new("/bin/sh"));
    let mut there = command.args(["-c", script]).stdout(Stdio::piped()).spawn().expect("start a process");
    let mut pid = [0; 16];
    let count = there.stdout.as_mut().expect("a pipe").read(&mut pid).expect("read its id");
    let pid: u32 = String::from_utf8_lossy(&pid[..count]).trim().parse().expect("its id");
    let state = json!({"id": "c", "status": "creating", "pid": pid, "bundle": "/run/c", "annotations": on_public()});
    let (ok, said) = hook(&lab, &[], &state);
    let _ = there.kill();
    let _ = there.wait();
    for word in ["no network namespace of its own", r#"{"type": "network"}"#, "--network none"] {
        assert!(!ok && said.contains(word), "{said}");
    }
    assert!(!said.contains("CNI_"), "{said}");
    assert_unchanged(&before, &lab.host_state());
}

#[test]
fn what_is_no_state_is_told_so() {
    let lab = lab();
    for document in [json!([]), json!({"ociVersion": "1.0"}), json!({"id": "c", "annotations": {"a": 1}})] {
        let (ok, said) = hook(&lab, &[], &document);
        assert!(!ok && said.contains("no state of a container"), "{document}: {said}");
    }
}

/// The line's own interfaces are for who has no annotations; and it says what annotations may.
#[test]
fn the_line_has_defaults_and_limits() {
    let lab = lab();
    let line = ["--network", "public", "--ip", "10.22.0.9", "--network", "lan", "--ifname", "lan0", "--allow", "lan"];
    let line: Vec<&str> = line.into_iter().chain(["--allow-key", "ip"]).collect();
    let c = lab.container("c");
    let init = Init::of(&c);
    succeeds(&lab, &line, &begins("c", &init, &json!({})));
    assert_eq!(names_of_links(&c), ["lo", "eth0", "lan0"]);
    assert!(lab.host().ping("10.22.0.9"));
    succeeds(&lab, &line, &ended("c"));
    let (ok, said) = hook(&lab, &line, &begins("c", &init, &on_public()));
    assert!(
        !ok && said.contains(r#"network "public" is not allowed"#) && said.contains("--allow allows: lan"),
        "{said}"
    );
    let annotations = json!({"io.springline.network": "lan", "io.springline.route": "10.0.0.0/8"});
    let (ok, said) = hook(&lab, &line, &begins("c", &init, &annotations));
    assert!(!ok && said.contains("annotation io.springline.route: route is not allowed"), "{said}");
    let annotations = json!({"io.springline.network": "lan", "io.springline.ip": "10.33.0.9"});
    succeeds(&lab, &line, &begins("c", &init, &annotations));
    assert_eq!(names_of_links(&c), ["lo", "eth0"]);
    assert!(lab.host().ping("10.33.0.9"));
}

/// `prestart` beside `createRuntime`; but another process is another start, which clears away what was before.
#[test]
fn twice_for_one_process_is_once() {
    let lab = lab();
    let c = lab.container("c");
    let init = Init::of(&c);
    let annotations = merged(&on_public(), &json!({"io.springline.eth1.network": "lan"}));
    succeeds(&lab, &[], &begins("c", &init, &annotations));
    let (host, inside) = (lab.host_state(), c.netns().state());
    let index = || c.netns().link("eth1").expect("eth1")["ifindex"].clone();
    let first = index();
    succeeds(&lab, &[], &merged(&begins("c", &init, &annotations), &json!({"status": "running"})));
    assert_eq!(index(), first);
    let next = Init::of(&c);
    succeeds(&lab, &[], &begins("c", &next, &annotations));
    assert_ne!(index(), first);
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &c.netns().state());
}

/// Nobody told of the end. The next start of the same container gets the same addresses.
#[test]
fn who_comes_back_has_its_addresses() {
    let lab = lab();
    let (a, b) = (lab.container("a"), lab.container("b"));
    let inits = [Init::of(&a), Init::of(&b)];
    succeeds(&lab, &[], &begins("a", &inits[0], &on_public()));
    succeeds(&lab, &[], &begins("b", &inits[1], &on_public()));
    let before = a.netns().addresses("eth0");
    drop(inits);
    a.restart();
    let again = Init::of(&a);
    succeeds(&lab, &[], &begins("a", &again, &on_public()));
    assert_eq!(a.netns().addresses("eth0"), before);
}

/// Ids are unique in one runtime only: the bundle tells them apart.
#[test]
fn namesakes_leave_each_other_alone() {
    let lab = lab();
    let (mine, theirs) = (lab.container("mine"), lab.container("theirs"));
    let inits = [Init::of(&mine), Init::of(&theirs)];
    let elsewhere = json!({"bundle": "/elsewhere"});
    succeeds(&lab, &[], &begins("c", &inits[0], &on_public()));
    let whole = lab.host_state();
    let (ok, said) = hook(&lab, &[], &merged(&begins("c", &inits[1], &on_public()), &elsewhere));
    assert!(!ok && said.contains("exists already") && said.contains("oci (/run/c)"), "{said}");
    succeeds(&lab, &[], &merged(&merged(&ended("c"), &elsewhere), &json!({"annotations": on_public()})));
    assert_unchanged(&whole, &lab.host_state());
    let on_lan = json!({"bundle": "/elsewhere", "annotations": {"io.springline.network": "lan"}});
    let theirs_begin = merged(&merged(&ended("c"), &on_lan), &json!({"pid": inits[1].0.id(), "status": "created"}));
    let theirs_begin = merged(&theirs_begin, &json!({"annotations": {"io.springline.network": "lan"}}));
    succeeds(&lab, &[], &theirs_begin);
    succeeds(&lab, &[], &ended("c"));
    assert_eq!((names_of_links(&mine).len(), names_of_links(&theirs).len()), (1, 2));
    succeeds(&lab, &[], &merged(&ended("c"), &elsewhere));
    assert_eq!(names_of_links(&theirs), ["lo"]);
}

/// A runtime that speaks CNI lists those that it knows. Containers of other runtimes are on the same network, and it is
/// not for that list to say that they are dead.
#[test]
fn gc_of_cni_judges_them_by_their_namespaces() {
    let lab = lab();
    let conf =
        with_ranges(&["10.22.0.0/24", "2001:db8:22::/64"], &json!({"name": "public", "cni.dev/valid-attachments": []}));
    let before = lab.host_state();
    let (c, forgotten) = (lab.container("c"), lab.container("forgotten"));
    let init = Init::of(&c);
    succeeds(&lab, &[], &begins("c", &init, &on_public()));
    let whole = lab.host_state();
    lab.cni(Plugin::Routed).add(&conf, &forgotten, "eth0").result();
    lab.cni(Plugin::Routed).gc(&conf).silent();
    assert_unchanged(&whole, &lab.host_state());
    drop(init);
    c.kill();
    lab.cni(Plugin::Routed).gc(&conf).silent();
    assert_unchanged(&before, &lab.host_state());
}

/// With the records gone, the annotations still say where to look.
#[test]
fn lost_records_are_made_up_for() {
    let lab = lab();
    let before = lab.host_state();
    let c = lab.container("c");
    let init = Init::of(&c);
    succeeds(&lab, &[], &begins("c", &init, &on_public()));
    fs::remove_dir_all(lab.state_dir().join("attachments")).expect("lose the records");
    succeeds(&lab, &[], &merged(&ended("c"), &json!({"annotations": on_public()})));
    assert_unchanged(&before, &lab.host_state());
}

/// A runtime reads its hook's pipes to their end, and so may whoever called the runtime with pipes of its own; what is
/// still at work when the hook has ended must hold none of them.
#[test]
fn no_pipe_is_kept_open() {
    let lab = lab();
    let c = lab.container("c");
    for _ in 0..5 {
        let init = Init::of(&c);
        succeeds(&lab, &[], &begins("c", &init, &on_public()));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let number = writer.as_raw_fd();
        let pipe = fs::read_link(format!("/proc/self/fd/{number}")).expect("a pipe");
        // The shell hands it on as descriptor 9, and as stdout and stderr.
        let script = format!("exec \"$0\" hook oci 9>/proc/{}/fd/{number} >&9 2>&9", std::process::id());
        let program = Path::new(crate::common::cni::springline_binary());
        let mut command = lab.host().command(Path::new("/bin/sh"));
        command.env_clear().env("SPRINGLINE_STATE_DIR", lab.state_dir()).args(["-c", &script]).arg(program);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("start");
        child.stdin.take().expect("a pipe").write_all(ended("c").to_string().as_bytes()).expect("write the state");
        while child.try_wait().expect("wait").is_none() {
            std::thread::yield_now();
        }
        let program = program.canonicalize().expect("the program");
        let processes = fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
        let ours = processes.filter(|process| fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program));
        let files = ours.flat_map(|process| fs::read_dir(process.join("fd")).into_iter().flatten().flatten());
        let holders: Vec<_> = files.filter(|file| fs::read_link(file.path()).is_ok_and(|end| end == pipe)).collect();
        assert!(holders.is_empty(), "{holders:?}");
        drop((writer, reader));
    }
    assert_eq!(names_of_links(&c), ["lo"]);
    assert_eq!(routes(lab.host(), "eth0"), [""; 0]);
}
