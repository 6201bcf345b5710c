//! An IPAM plugin that does as it is told and writes down what it sees.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::Lab;
use crate::common::cni::{Call, Plugin, merged};

/// Its name in `ipam.type`.
pub(crate) const NAME: &str = "fake-ipam";

const SCRIPT: &str = r#"#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
dir=${0%/*}
echo "$CNI_COMMAND" >> "$dir/calls"
cat "/proc/$$/environ" > "$dir/$CNI_COMMAND.environment"
cat "/proc/$$/net/dev" > "$dir/$CNI_COMMAND.links"
cat > "$dir/$CNI_COMMAND.input"
echo "$$" > "$dir/$CNI_COMMAND.pid"
[ -e "$dir/$CNI_COMMAND.hang" ] && exec sleep 20
echo "$CNI_COMMAND says hello" >&2
[ -e "$dir/$CNI_COMMAND.answer" ] && cat "$dir/$CNI_COMMAND.answer"
[ -e "$dir/$CNI_COMMAND.fail" ] && exit 1
exit 0
"#;

/// One copy of it, in a directory of its own.
pub(crate) struct FakeIpam {
    dir: PathBuf,
}

impl FakeIpam {
    /// One that succeeds in everything and gives 10.22.0.7.
    pub(crate) fn new(lab: &Lab, plugin: Plugin) -> Self {
        let fake = Self::in_directory(lab, "fake");
        fake.answers("ADD", &one_address(plugin, "10.22.0.7"));
        fake
    }

    /// One that prints nothing, in a directory of that name.
    pub(crate) fn in_directory(lab: &Lab, name: &str) -> Self {
        let dir = lab.dir().join(name);
        fs::create_dir(&dir).expect("make a directory");
        let script = dir.join(NAME);
        fs::write(&script, SCRIPT).expect("write the script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make it executable");
        Self { dir }
    }

    /// What to print on stdout.
    pub(crate) fn answers(&self, verb: &str, answer: &Value) {
        self.write(verb, "answer", &answer.to_string());
    }

    /// To print an error and fail, until [`FakeIpam::recovers`].
    pub(crate) fn fails(&self, verb: &str, code: u32, msg: &str) {
        self.answers(verb, &json!({"cniVersion": "1.0.0", "code": code, "msg": msg}));
        self.write(verb, "fail", "");
    }

    /// To do well again, printing nothing.
    pub(crate) fn recovers(&self, verb: &str) {
        for kind in ["fail", "answer"] {
            fs::remove_file(self.file(verb, kind)).expect("it was failing");
        }
    }

    /// To be slower than anybody's patience.
    pub(crate) fn hangs(&self, verb: &str) {
        self.write(verb, "hang", "");
    }

    /// The verbs that it was called with, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// What it was given on stdin.
    pub(crate) fn input(&self, verb: &str) -> String {
        fs::read_to_string(self.file(verb, "input")).expect("it was called")
    }

    /// What it was given in the environment, sorted.
    pub(crate) fn environment(&self, verb: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(verb, "environment")).expect("it was called");
        let mut variables: Vec<_> = text.split_terminator('\0').map(str::to_owned).collect();
        variables.sort();
        variables
    }

    /// The links that it saw on the host.
    pub(crate) fn links(&self, verb: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(verb, "links")).expect("it was called");
        text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
    }

    /// The process id of a call, once it has read its input.
    pub(crate) fn pid(&self, verb: &str) -> Option<u32> {
        fs::read_to_string(self.file(verb, "pid")).ok()?.trim().parse().ok()
    }

    /// What to put into `CNI_PATH`.
    pub(crate) fn path(&self) -> &str {
        self.dir.to_str().expect("UTF-8")
    }

    /// A call with this `CNI_PATH`.
    pub(crate) fn found_by<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.env("CNI_PATH", self.path())
    }

    fn write(&self, verb: &str, kind: &str, text: &str) {
        fs::write(self.file(verb, kind), text).expect("write beside the script");
    }

    fn file(&self, verb: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{verb}.{kind}"))
    }
}

/// The usual configuration with this IPAM plugin, which has a key that only it knows.
pub(crate) fn delegating(plugin: Plugin, lab: &Lab) -> Value {
    let mut conf = plugin.conf_v4(lab);
    conf["ipam"] = json!({"type": NAME, "key-of-the-delegate": [1, 2]});
    conf
}

/// A result of an IPAM plugin: no interfaces, one address, a default route.
pub(crate) fn one_address(plugin: Plugin, address: &str) -> Value {
    let ip = json!({"address": format!("{address}/24"), "gateway": "10.22.0.1"});
    merged(&json!({"cniVersion": plugin.newest()}), &json!({"ips": [ip], "routes": [{"dst": "0.0.0.0/0"}]}))
}
