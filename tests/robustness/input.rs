//! Input that no honest runtime sends, and a runtime that has died.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::common::cni::{Plugin, merged};
use crate::scene::{Mode, Scene};
use crate::{both_modes, once};

once! {
    unreadable_input_is_a_decoding_error,
    extreme_names_work_or_are_refused,
}

both_modes! {
    an_unheard_result_is_taken_back,
    without_streams_nothing_is_half_done,
}

/// However deep, long or strange: one error document, no crash.
fn unreadable_input_is_a_decoding_error(mode: Mode) {
    let scene = Scene::new(mode);
    let conf = scene.conf.to_string();
    let inputs: Vec<Vec<u8>> = vec![
        vec![b'['; 1 << 20],
        "{\"a\":".repeat(200_000).into_bytes(),
        "\"".repeat(1 << 20).into_bytes(),
        vec![b' '; 20 << 20],
        vec![0; 1 << 20],
        vec![0xff; 1 << 16],
        Vec::new(),
        conf.as_bytes()[..conf.len() - 1].to_vec(),
        format!("{conf}{conf}").into_bytes(),
        format!("{conf} garbage").into_bytes(),
    ];
    for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        for input in &inputs {
            let outcome = scene.call(verb).stdin(input.clone()).spawn().finish_within(Duration::from_mins(1));
            let head = String::from_utf8_lossy(&input[..input.len().min(20)]).into_owned();
            let error = outcome.error();
            assert!([6, 7].contains(&error.code), "{verb} of {} bytes, {head:?}…: {error:?}", input.len());
            assert!(outcome.stdout.len() < 4096, "{verb}: an error of {} bytes", outcome.stdout.len());
        }
    }
    scene.assert_restored("after unreadable input");
}

/// Names at and beyond what file names and links can be: they work whole, or are refused whole.
fn extreme_names_work_or_are_refused(mode: Mode) {
    let scene = Scene::new(mode);
    let long = |count: usize| "c".repeat(count);
    let ids = [long(1), long(64), long(200), long(251), long(255), long(256), long(1000), long(5000), "c..".to_owned()];
    let ifnames = ["e", "abcdefghijklmno", "abcdefghijklmnop", "e.0", "e-_", "ε0", "\u{1f6a2}", "lo", "all", "default"];
    let networks = [long(1), long(251), long(255), long(256), long(2000), "n_.-".to_owned()];
    let with = |id: &str, ifname: &str, network: &str| {
        let conf = merged(&scene.conf, &json!({"name": network}));
        let call = |verb| scene.call(verb).env("CNI_CONTAINERID", id).env("CNI_IFNAME", ifname).conf(&conf);
        let what = format!("{} bytes of id, ifname {ifname}, {} bytes of network", id.len(), network.len());
        let outcome = call("ADD").run();
        if outcome.status.success() {
            outcome.result();
            call("DEL").env("CNI_NETNS", "").run().silent();
        } else {
            let error = outcome.error();
            // 100: the kernel refuses `all` and `default`, of which it has sysctls already.
            assert!([4, 5, 7, 100].contains(&error.code), "{what}: {error:?}");
            call("DEL").run(); // whatever it says of a name that cannot be
        }
        scene.assert_restored(&format!("after ADD and DEL of {what}"));
    };
    for id in &ids {
        with(id, "eth0", "n");
    }
    for ifname in ifnames {
        with("c1", ifname, "n");
    }
    for network in &networks {
        with("c1", "eth0", network);
    }
}

/// The runtime has died: nobody reads the result, and nobody will ever call DEL. Its end of stderr is gone too.
fn an_unheard_result_is_taken_back(mode: Mode) {
    let scene = Scene::new(mode);
    let status = scene.call("ADD").run_unheard();
    assert!(!status.success(), "{status}");
    scene.assert_restored("after a result that nobody read");
    for redirection in [">/dev/full", ">/dev/full 2>/dev/full"] {
        let code = with_streams(&scene, redirection);
        assert_ne!(code, Some(0), "{redirection}");
        scene.assert_restored(&format!("after a result to {redirection}"));
    }
    let mut command = scene.lab.host().command(&Plugin::Routed.binary());
    prepare(&scene, &mut command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the plugin");
    drop((child.stdout.take(), child.stderr.take()));
    let status = child.wait().expect("wait for the plugin");
    assert!(!status.success(), "{status}");
    scene.assert_restored("after a result that nobody read, nor the complaint about that");
}

/// Started with streams closed: it fails or works, whole.
fn without_streams_nothing_is_half_done(mode: Mode) {
    for redirection in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-", "0<>/dev/null"] {
        let scene = Scene::new(mode);
        let code = with_streams(&scene, redirection);
        assert!(code.is_some_and(|code| code <= 1), "{redirection}: {code:?}");
        if code == Some(0) {
            assert!(scene.container.netns().link("eth0").is_some(), "{redirection}: a success without a link");
            scene.blind_del().run().silent();
        }
        scene.assert_restored(&format!("after an ADD with {redirection}"));
    }
}

/// Runs ADD by a shell with a redirection, and returns its exit code.
fn with_streams(scene: &Scene, redirection: &str) -> Option<i32> {
    let mut command = scene.lab.host().command("/bin/sh".as_ref());
    command.args(["-c", &format!("exec {} {redirection}", Plugin::Routed.binary().display())]);
    prepare(scene, &mut command);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("run a shell").code()
}

fn prepare(scene: &Scene, command: &mut std::process::Command) {
    command.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", &scene.container.id).env("CNI_IFNAME", "eth0");
    command.env("CNI_NETNS", scene.container.path()).env("CNI_PATH", "/nowhere");
    command.env("SPRINGLINE_STATE_DIR", scene.lab.state_dir());
    let input = scene.lab.dir().join("input");
    fs::write(&input, scene.conf.to_string()).expect("write the input");
    command.stdin(fs::File::open(&input).expect("open the input"));
}
