//! §1.8: VERSION.

use serde_json::json;

use crate::common::Lab;
use crate::common::cni::Plugin;
use crate::{agreed, ours_once};

agreed! {
    v_01_supported_versions_are_listed,
    v_02_nothing_but_the_command_is_looked_at,
}

ours_once! {
    v_01_version_of_the_answer_is_that_of_the_input,
}

/// V-1, V-3: the answer lists exactly the versions supported, and has a version itself.
fn v_01_supported_versions_are_listed(plugin: Plugin) {
    let lab = Lab::new();
    let outcome = lab.cni(plugin).call("VERSION").conf(&json!({"cniVersion": "1.0.0"})).run();
    let answer = outcome.result();
    assert_eq!(answer["supportedVersions"], json!(plugin.versions()));
    assert!(answer["cniVersion"].is_string());
    assert_eq!(outcome.stdout.last(), Some(&b'\n'));
}

/// V-1: the answer has the version of the input, or our newest if there is none.
fn v_01_version_of_the_answer_is_that_of_the_input(plugin: Plugin) {
    let lab = Lab::new();
    let answer = |input: &str| lab.cni(plugin).call("VERSION").stdin(input).run().result()["cniVersion"].clone();
    for version in plugin.versions() {
        assert_eq!(answer(&json!({"cniVersion": version}).to_string()), *version);
    }
    for input in ["", "{}", "{", "[]", r#"{"cniVersion":7}"#, r#"{"cniVersion":""}"#] {
        assert_eq!(answer(input), "1.1.0", "{input}");
    }
}

/// V-2: the dummy values that libcni passes are not looked at, nor is an empty environment.
fn v_02_nothing_but_the_command_is_looked_at(plugin: Plugin) {
    let lab = Lab::new();
    let call = || lab.cni(plugin).call("VERSION").conf(&json!({"cniVersion": "1.0.0"}));
    let dummy = call().env("CNI_CONTAINERID", "").env("CNI_NETNS", "dummy").env("CNI_IFNAME", "dummy");
    dummy.env("CNI_PATH", "dummy").run().result();
    call().env("CNI_CONTAINERID", "../x").env("CNI_IFNAME", "e%d/:").run().result();
    call().without("CNI_PATH").run().result();
}
