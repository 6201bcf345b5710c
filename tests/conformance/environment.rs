//! §1.1 and §1.2: the process, its environment and streams, and the error document.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::Lab;
use crate::common::cni::{Plugin, merged};
use crate::common::state::assert_unchanged;
use crate::{agreed, container_interface, idle_host, lab_and_conf, ours, ours_once};

agreed! {
    e_01_missing_variables_are_all_named,
    e_02_container_id_has_a_grammar,
    e_02_interface_name_has_a_grammar,
    e_03_without_a_command_it_introduces_itself,
    e_04_unknown_command_is_refused,
    e_05_configuration_must_be_json,
    e_05_network_must_have_a_name,
    e_06_version_does_not_wait_for_stdin,
    e_06_other_verbs_read_stdin_to_its_end,
    e_07_version_must_be_one_we_speak,
    e_08_check_needs_0_4_0,
    e_09_failure_is_exit_status_1,
    e_10_del_with_unsupported_version_is_an_error,
    e_12_works_in_a_directory_that_is_gone,
    e_14_errors_are_on_stdout,
}

ours_once! {
    e_01_gc_and_status_need_a_path_only,
    e_02_the_first_invalid_value_wins,
    e_02_percent_in_interface_name_is_refused,
    e_05_gc_and_status_read_the_configuration_too,
    e_05_wrong_shapes_are_decoding_errors,
    e_07_malformed_versions_are_refused_by_every_verb,
    e_08_gc_and_status_need_1_1_0,
    err_every_error_document_has_the_version_of_the_input,
    err_lock_that_nobody_lets_go_is_code_11_and_names_its_holder,
}

ours! {
    e_ns_own_namespace_is_refused_before_any_change,
    e_ns_own_namespace_by_another_path_is_refused,
    e_ns_override_allows_own_namespace,
    e_ns_no_namespace_at_the_path_is_refused,
    e_11_trace_context_is_tolerated,
    e_12_closed_stdout_leaves_nothing_half_done,
    e_15_keys_in_other_case_are_never_ignored,
    err_refusal_of_the_kernel_has_code_100_and_is_undone,
}

/// E-1: one message names all the missing variables, in the table's order; empty counts as missing.
fn e_01_missing_variables_are_all_named(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
    let for_del = ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"];
    for (verb, required) in [("ADD", &all[..]), ("CHECK", &all[..]), ("DEL", &for_del[..])] {
        let call = || lab.cni(plugin).call(verb).without("CNI_PATH").conf(&conf);
        let empty = all.iter().fold(call(), |call, name| call.env(name, ""));
        for outcome in [call().run(), empty.run()] {
            let expected = format!("required env variables [{}] missing", required.join(","));
            assert_eq!(outcome.error().with_code(4).msg, expected, "{verb}");
        }
    }
    let partly = lab.cni(plugin).call("ADD").env("CNI_CONTAINERID", "c1").env("CNI_NETNS", "/x").without("CNI_PATH");
    assert_eq!(partly.run().error().msg, "required env variables [CNI_IFNAME,CNI_PATH] missing");
}

/// E-1: GC and STATUS require `CNI_PATH` and nothing else.
fn e_01_gc_and_status_need_a_path_only(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for verb in ["GC", "STATUS"] {
        lab.cni(plugin).call(verb).conf(&conf).run().silent();
        let error = lab.cni(plugin).call(verb).without("CNI_PATH").conf(&conf).run().error().with_code(4);
        assert_eq!(error.msg, "required env variables [CNI_PATH] missing", "{verb}");
    }
}

/// E-2: an invalid value is reported at once, whatever else is missing (the reference from 1.2 on).
fn e_02_the_first_invalid_value_wins(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let call = || lab.cni(plugin).call("ADD").conf(&conf).without("CNI_PATH");
    let error = call().env("CNI_CONTAINERID", "_c1").env("CNI_IFNAME", "a/b").run().error().with_code(4);
    assert_eq!(error.msg, "invalid characters in containerID");
    assert!(error.details.starts_with("_c1"), "{error:?}");
    call().env("CNI_IFNAME", "a/b").run().error().with_code(4).saying("interface name");
}

/// E-2: a container id starts alphanumeric and goes on with `_ . -` at most; its length is free.
fn e_02_container_id_has_a_grammar(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for id in ["-c1", ".c1", "_c1", "c/1", "c 1", "c1\n", "ć1", "../c1"] {
        let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_CONTAINERID", id).conf(&conf);
        let error = call.run().error().with_code(4);
        assert_eq!(error.msg, "invalid characters in containerID");
        assert!(error.details.starts_with(id), "{error:?}");
    }
    for id in ["c", "7", "C_.-x", &"0123456789abcdef".repeat(8)] {
        let container = lab.container("c2").renamed(id);
        lab.cni(plugin).add(&conf, &container, "eth0").result();
        lab.cni(plugin).del(&conf, &container, "eth0").success();
    }
}

/// E-2: an interface name has at most 15 bytes, none of `/`, `:` or white space, and is not `.` or `..`.
fn e_02_interface_name_has_a_grammar(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    for ifname in ["abcdefghijklmnop", "ääääääää", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u{a0}b"] {
        for verb in ["ADD", "CHECK", "DEL"] {
            let call = lab.cni(plugin).call(verb).of(&container, ifname).conf(&conf);
            call.run().error().with_code(4).saying("interface name");
        }
    }
    assert_unchanged(&before, &lab.host_state());
    let result = lab.cni(plugin).add(&conf, &container, "abcdefghijklmno").result();
    assert_eq!(container_interface(&result)["name"], "abcdefghijklmno");
}

/// E-2, A-1: the kernel would expand `%d` to another name than the one asked for, so `%` is refused.
fn e_02_percent_in_interface_name_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    for ifname in ["e%d", "%", "eth%"] {
        lab.cni(plugin).add(&conf, &container, ifname).error().with_code(4).saying("%");
    }
    assert_unchanged(&before, &lab.host_state());
}

/// E-3: without a command it says on stderr who it is and what it speaks, and succeeds.
fn e_03_without_a_command_it_introduces_itself(plugin: Plugin) {
    let lab = Lab::new();
    for outcome in [
        lab.cni(plugin).call("").without("CNI_COMMAND").run(),
        lab.cni(plugin).call("").run(),
        lab.cni(plugin).call("").without("CNI_COMMAND").without("CNI_PATH").run(),
    ] {
        outcome.silent();
        let lines: Vec<_> = outcome.stderr.lines().collect();
        let versions = format!("CNI protocol versions supported: {}", plugin.versions().join(", "));
        assert!(lines[0].starts_with(&format!("CNI {} plugin v", plugin.kind())), "{lines:?}");
        assert_eq!(lines[1..], [versions]);
    }
}

/// E-4: any other command is refused with exactly the text that libcni looks for; case matters.
fn e_04_unknown_command_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for command in ["FOO", "add", "Version", "ADD ", "UPDATE"] {
        let error = lab.cni(plugin).call(command).of(&container, "eth0").conf(&conf).run().error().with_code(4);
        assert_eq!(error.msg, format!("unknown CNI_COMMAND: {command}"));
    }
}

/// E-5: a configuration that is not JSON, or is not there, is a decoding error of every verb.
fn e_05_configuration_must_be_json(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let truncated = conf.to_string()[..40].to_owned();
    let doubled = format!("{conf}{conf}");
    for verb in ["ADD", "CHECK", "DEL"] {
        for text in ["", " \n", "not JSON", &truncated, &doubled] {
            lab.cni(plugin).call(verb).of(&container, "eth0").stdin(text).run().error().with_code(6);
        }
    }
}

/// E-5: GC and STATUS decode the configuration like the others.
fn e_05_gc_and_status_read_the_configuration_too(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for verb in ["GC", "STATUS"] {
        let call = || lab.cni(plugin).call(verb).no_container();
        call().stdin("{").run().error().with_code(6);
        call().conf(&merged(&conf, &json!({"name": null}))).run().error().with_code(7).saying("missing network name");
        call().conf(&merged(&conf, &json!({"name": "a/b"}))).run().error().with_code(7).saying("a/b");
    }
}

/// E-5: well-formed JSON of another shape is a decoding error as well, not a panic.
fn e_05_wrong_shapes_are_decoding_errors(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for shape in [json!([]), json!("n"), json!(7), merged(&conf, &json!({"name": 7}))] {
        lab.cni(plugin).add(&shape, &container, "eth0").error().with_code(6);
    }
    let patched = |patch| merged(&conf, &patch);
    let ipam = patched(json!({"ipam": []}));
    for shape in [json!(null), ipam, patched(json!({"dns": "192.0.2.53"})), patched(json!({"cniVersion": 1.0}))] {
        let error = lab.cni(plugin).add(&shape, &container, "eth0").error();
        assert!([6, 7].contains(&error.code), "{shape}: {error:?}");
    }
}

/// E-5: a network has a name, of the same grammar as a container id.
fn e_05_network_must_have_a_name(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for verb in ["ADD", "CHECK", "DEL"] {
        let call = |name: Value| {
            let conf = merged(&conf, &json!({"name": name}));
            lab.cni(plugin).call(verb).of(&container, "eth0").conf(&conf).run().error().with_code(7)
        };
        assert_eq!(call(json!(null)).msg, "missing network name");
        assert_eq!(call(json!("")).msg, "missing network name");
        for name in ["a/b", "..", "-n", "n n"] {
            let error = call(json!(name));
            assert!(error.details.starts_with(name), "{error:?}");
        }
    }
}

/// E-6: VERSION answers although its stdin stays open, because a runtime may never close it.
fn e_06_version_does_not_wait_for_stdin(plugin: Plugin) {
    let lab = Lab::new();
    for input in ["", r#"{"cniVersion":"1.0.0"}"#] {
        let running = lab.cni(plugin).call("VERSION").stdin(input).keep_stdin_open().spawn();
        let answer = running.finish_within(Duration::from_secs(2)).result();
        assert!(answer["supportedVersions"].is_array());
    }
}

/// E-6: every other verb takes the configuration to be whole only when stdin ends.
fn e_06_other_verbs_read_stdin_to_its_end(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let text = conf.to_string();
    let (first, second) = text.split_at(text.len() / 2);
    let mut running = lab.cni(plugin).call("ADD").of(&container, "eth0").stdin(first).keep_stdin_open().spawn();
    std::thread::sleep(Duration::from_millis(50));
    running.write(second.as_bytes());
    std::thread::sleep(Duration::from_millis(50));
    assert!(!running.has_ended(), "it did not wait for the end of its input");
    running.close_stdin();
    running.finish().result();
}

/// E-7: the version must be exactly one of those supported, and a missing one means 0.1.0 (see R-2).
fn e_07_version_must_be_one_we_speak(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for version in ["9.9.9", "1.2.0", "0.5.0", "0.4", "1.0", " 1.0.0", "1.0.0 ", "v1.0.0", "banana"] {
        let conf = merged(&conf, &json!({"cniVersion": version}));
        let error = lab.cni(plugin).add(&conf, &container, "eth0").error().with_code(1);
        assert_eq!(error.msg, "incompatible CNI versions", "{version}");
        let list = format!("[\"{}\"]", plugin.versions().join("\" \""));
        assert_eq!(error.details, format!("config is \"{version}\", plugin supports {list}"));
    }
}

/// E-7: no verb takes a version that is none; the code is 1 or, as the reference has it, 6.
fn e_07_malformed_versions_are_refused_by_every_verb(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for verb in ["ADD", "CHECK", "DEL", "GC", "STATUS"] {
        for version in ["banana", "1", "1.x.0", "1.1.0.0"] {
            let conf = merged(&conf, &json!({"cniVersion": version, "prevResult": {}}));
            let error = lab.cni(plugin).call(verb).of(&container, "eth0").conf(&conf).run().error();
            assert!([1, 6].contains(&error.code), "{verb} {version}: {error:?}");
        }
    }
}

/// E-8: CHECK came with 0.4.0, and a version that we do not speak does not allow it either.
fn e_08_check_needs_0_4_0(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for version in ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1"] {
        let conf = merged(&conf, &json!({"cniVersion": version, "prevResult": {"cniVersion": version}}));
        let error = lab.cni(plugin).call("CHECK").of(&container, "eth0").conf(&conf).run().error().with_code(1);
        assert_eq!(error.msg, "config version does not allow CHECK", "{version}");
    }
    let newer = merged(&conf, &json!({"cniVersion": "9.9.9", "prevResult": {}}));
    let error = lab.cni(plugin).call("CHECK").of(&container, "eth0").conf(&newer).run().error().with_code(1);
    assert_eq!(error.msg, "plugin version does not allow CHECK");
}

/// E-8: GC and STATUS came with 1.1.0.
fn e_08_gc_and_status_need_1_1_0(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    for verb in ["GC", "STATUS"] {
        let call = |version: &str| {
            let conf = merged(&conf, &json!({"cniVersion": version}));
            lab.cni(plugin).call(verb).no_container().conf(&conf).run().error().with_code(1).msg
        };
        for version in ["", "0.1.0", "0.4.0", "1.0.0"] {
            assert_eq!(call(version), format!("config version does not allow {verb}"), "{version}");
        }
        assert_eq!(call("9.9.9"), format!("plugin version does not allow {verb}"));
    }
}

/// E-9: the exit status is 0 on success and 1 on failure, whatever the code.
fn e_09_failure_is_exit_status_1(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    assert_eq!(lab.cni(plugin).add(&conf, &container, "eth0").status.code(), Some(0));
    assert_eq!(lab.cni(plugin).add(&conf, &container, "eth0").status.code(), Some(1));
    assert_eq!(lab.cni(plugin).add(&json!({}), &container, "eth0").status.code(), Some(1));
}

/// E-10: DEL is forgiving, but not of a version that we do not speak.
fn e_10_del_with_unsupported_version_is_an_error(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let conf = merged(&conf, &json!({"cniVersion": "9.9.9"}));
    lab.cni(plugin).del(&conf, &container, "eth0").error().with_code(1).saying("9.9.9");
}

/// E-NS: the plugin's own namespace is refused, with one document and before anything is changed.
fn e_ns_own_namespace_is_refused_before_any_change(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let before = lab.host_state();
    for verb in ["ADD", "DEL"] {
        let call = lab.cni(plugin).call(verb).of(&container, "eth0").env("CNI_NETNS", &lab.host().path()).conf(&conf);
        let error = call.run().error().with_code(8);
        assert_eq!(error.msg, "plugin's netns and netns from CNI_NETNS should not be the same");
        assert_unchanged(&before, &lab.host_state());
    }
}

/// E-NS: it is the namespace that counts, not how its path is spelt.
fn e_ns_own_namespace_by_another_path_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let link = lab.dir().join("link");
    std::os::unix::fs::symlink(lab.host().path(), &link).expect("make a link");
    let before = lab.host_state();
    for path in ["/proc/self/ns/net", link.to_str().expect("UTF-8")] {
        let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_NETNS", path).conf(&conf);
        call.run().error().with_code(8);
    }
    assert_unchanged(&before, &lab.host_state());
}

/// E-NS: `CNI_NETNS_OVERRIDE`, "1" or "true" in any case, allows it after all; no default route leads there.
fn e_ns_override_allows_own_namespace(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let conf = merged(&conf, &json!({"ipam": {"routes": []}}));
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    for value in ["1", "true", "True"] {
        let call = |verb| {
            let call = lab.cni(plugin).call(verb).of(&container, "eth9").env("CNI_NETNS", &lab.host().path());
            call.env("CNI_NETNS_OVERRIDE", value).conf(&conf).run()
        };
        call("ADD").result();
        assert!(lab.host().link("eth9").is_some());
        call("DEL").silent();
        assert_unchanged(&idle, &lab.host_state());
    }
    for value in ["0", "yes"] {
        let call = lab.cni(plugin).call("ADD").of(&container, "eth9").env("CNI_NETNS", &lab.host().path());
        call.env("CNI_NETNS_OVERRIDE", value).conf(&conf).run().error().with_code(8);
    }
}

/// E-NS: ADD to a path where there is no namespace names the path and changes nothing.
fn e_ns_no_namespace_at_the_path_is_refused(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let stub = lab.dir().join("stub");
    fs::write(&stub, "").expect("make a stub");
    let before = lab.host_state();
    for path in ["/var/run/netns/sl-none", "/proc/self/ns/mnt", "/", "relative", stub.to_str().expect("UTF-8")] {
        let call = lab.cni(plugin).call("ADD").of(&container, "eth0").env("CNI_NETNS", path).conf(&conf);
        let error = call.run().error().saying(path);
        assert!([3, 8].contains(&error.code), "{error:?}");
    }
    assert_unchanged(&before, &lab.host_state());
}

/// E-11: the runtime's whole environment comes along, trace context included, well-formed or not.
fn e_11_trace_context_is_tolerated(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let parents = ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense", ""];
    for parent in parents {
        for verb in ["ADD", "DEL"] {
            let call = lab.cni(plugin).call(verb).of(&container, "eth0").env("TRACEPARENT", parent);
            let call = call.env("TRACESTATE", "rojo=00f067aa0ba902b7").env("BAGGAGE", "k=v").env("CNI_FUTURE", "x");
            call.env("PATH", "/nowhere").env("HOME", "/root").conf(&conf).run().success();
        }
    }
}

/// E-12: nothing relies on the working directory.
fn e_12_works_in_a_directory_that_is_gone(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for verb in ["ADD", "DEL"] {
        let directory = lab.dir().join("cwd");
        fs::create_dir(&directory).expect("make a directory");
        let call = lab.cni(plugin).call(verb).of(&container, "eth0").in_directory(&directory).keep_stdin_open();
        let mut running = call.stdin(conf.to_string()).spawn();
        fs::remove_dir(&directory).expect("remove the directory");
        running.close_stdin();
        running.finish().success();
    }
}

/// E-12: a runtime that no longer listens gets an attachment or none, never a half; DEL ends it either way.
fn e_12_closed_stdout_leaves_nothing_half_done(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let status = lab.cni(plugin).call("ADD").of(&container, "eth0").conf(&conf).run_unheard();
    assert!(status.code().is_some_and(|code| code <= 1), "ended by a signal or a panic: {status}");
    assert_eq!(status.success(), container.netns().link("eth0").is_some(), "a half attachment: {status}");
    lab.cni(plugin).del(&conf, &container, "eth0").silent();
    assert_unchanged(&idle, &lab.host_state());
}

/// E-14: errors are JSON on stdout, which is all that libcni parses; stderr is free.
fn e_14_errors_are_on_stdout(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    lab.cni(plugin).add(&merged(&conf, &json!({"name": null})), &container, "eth0").error().with_code(7);
    lab.cni(plugin).call("ADD").run().error().with_code(4);
}

/// E-15: a key in another case, which the reference takes, has its effect or is refused, but is never ignored.
fn e_15_keys_in_other_case_are_never_ignored(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let outcome = lab.cni(plugin).add(&merged(&conf, &json!({"MTU": 1400})), &container, "eth0");
    if outcome.status.success() {
        assert_eq!(container.netns().link("eth0").expect("eth0")["mtu"], 1400);
    } else {
        let error = outcome.error().with_code(2).saying("MTU");
        assert!(error.text().contains("mtu"), "the nearest known key is not said: {error:?}");
    }
}

/// §1.2: an error document has cniVersion, code and msg; the version is the configuration's, else our newest.
fn err_every_error_document_has_the_version_of_the_input(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    for version in plugin.versions() {
        let conf = merged(&conf, &json!({"cniVersion": version, "name": null}));
        let error = lab.cni(plugin).add(&conf, &container, "eth0").error().with_code(7);
        assert_eq!(error.document["cniVersion"], *version);
        let keys: Vec<_> = error.document.as_object().expect("an object").keys().cloned().collect();
        assert!(keys.iter().all(|key| ["cniVersion", "code", "msg", "details"].contains(&key.as_str())), "{keys:?}");
    }
    let undecodable = lab.cni(plugin).call("ADD").of(&container, "eth0").stdin("{").run().error();
    assert_eq!(undecodable.document["cniVersion"], "1.1.0");
    let no_environment = lab.cni(plugin).call("ADD").run().error();
    assert_eq!(no_environment.document["cniVersion"], "1.1.0");
}

/// §1.2: what the kernel refuses is 100 (7 if it was seen coming), names the object, and leaves nothing behind.
fn err_refusal_of_the_kernel_has_code_100_and_is_undone(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let container = lab.container("c1");
    let conf = merged(&conf, &json!({"ipam": {"routes": [{"dst": "10.66.0.0/16", "gw": "224.0.0.1"}]}}));
    let (before, inside) = (lab.host_state(), container.netns().state());
    let error = lab.cni(plugin).add(&conf, &container, "eth0").error().saying("224.0.0.1");
    assert!([7, 100].contains(&error.code), "{error:?}");
    assert_unchanged(&before, &lab.host_state());
    assert_unchanged(&inside, &container.netns().state());
}

/// §1.2: whoever sits on the lock for ever does not block us for ever; the runtime learns who it is.
fn err_lock_that_nobody_lets_go_is_code_11_and_names_its_holder(plugin: Plugin) {
    let (lab, conf) = lab_and_conf(plugin);
    let idle = idle_host(&lab, lab.cni(plugin), &conf);
    let container = lab.container("c1");
    let lock = fs::File::open(lab.state_dir().join("locks")).expect("the directory that is locked");
    lock.lock().expect("nobody else is there");
    let error = lab.cni(plugin).add(&conf, &container, "eth0").error().with_code(11);
    assert!(error.text().contains(&format!("process {}", std::process::id())), "{error:?}");
    assert_unchanged(&idle, &lab.host_state());
    lock.unlock().expect("it was locked");
    lab.cni(plugin).add(&conf, &container, "eth0").result();
}
