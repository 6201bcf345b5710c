//! springline as netavark calls its plugins: a word and perhaps a path as arguments, JSON on stdin and stdout.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::cni::merged;
use super::{Container, Lab};

/// podman's side of the protocol, in a lab.
#[derive(Clone, Copy)]
pub struct Podman<'a>(pub &'a Lab);

impl Podman<'_> {
    /// Calls the plugin with these arguments and bytes.
    pub fn call(self, arguments: &[&str], stdin: &[u8]) -> Answer {
        let mut command = self.0.host().command(Path::new(super::cni::springline_binary()));
        command.args(arguments).env_clear().env("SPRINGLINE_STATE_DIR", self.0.state_dir()).current_dir("/");
        command.env("RUST_LOG", "netavark=warn").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start the plugin");
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(stdin); // it may end without reading
        Answer(child.wait_with_output().expect("wait for the plugin"))
    }

    /// `podman network create`: what the plugin makes of the network, completed as podman does (gateways).
    #[track_caller]
    pub fn create(self, keys: &Value) -> Value {
        let mut network = self.call(&["create"], asked(keys).to_string().as_bytes()).document();
        for subnet in network["subnets"].as_array_mut().into_iter().flatten() {
            let net = subnet["subnet"].as_str().expect("a subnet").to_owned();
            let first = net.split_once('/').expect("a length").0.to_owned();
            let first =
                if first.contains(':') { format!("{first}1") } else { format!("{}1", first.trim_end_matches('0')) };
            if subnet["gateway"].is_null() {
                subnet["gateway"] = first.into();
            }
        }
        network
    }

    /// `create` that must be refused; why.
    #[track_caller]
    pub fn refuse(self, keys: &Value) -> String {
        self.call(&["create"], asked(keys).to_string().as_bytes()).error()
    }

    /// `setup`.
    pub fn setup(self, document: &Value, container: &Container) -> Answer {
        self.call(&["setup", &container.path()], document.to_string().as_bytes())
    }

    /// `teardown`, which must succeed and say nothing.
    #[track_caller]
    pub fn teardown(self, document: &Value, container: &Container) {
        let answer = self.call(&["teardown", &container.path()], document.to_string().as_bytes());
        assert!(answer.0.status.success() && answer.0.stdout.is_empty(), "{answer:?}");
    }
}

/// What podman asks of `create`: a network `n` with these keys.
fn asked(keys: &Value) -> Value {
    let basis = json!({"name": "n", "id": "5e".repeat(32), "driver": "springline", "created": "0001-01-01T00:00:00Z",
        "ipv6_enabled": false, "internal": false, "dns_enabled": true});
    merged(&basis, keys)
}

/// What netavark writes for `setup` and `teardown`: the container's interface on a network, with addresses that podman
/// has chosen, and whatever else there is to `network_options`.
pub fn call(network: &Value, container: &Container, ifname: &str, ips: &[&str], more: &Value) -> Value {
    let ips = if ips.is_empty() { Value::Null } else { json!(ips) };
    let options =
        json!({"aliases": ["web"], "interface_name": ifname, "static_ips": ips, "static_mac": null, "options": null});
    let basis = json!({"container_id": container.id, "container_name": "web", "port_mappings": null,
        "network": network, "network_options": options});
    merged(&basis, more)
}

/// How the plugin ended and what it said.
#[derive(Debug)]
pub struct Answer(pub Output);

impl Answer {
    /// The document of a success.
    #[track_caller]
    pub fn document(&self) -> Value {
        assert!(self.0.status.success(), "{}", self.said());
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    /// The text of a failure: in a document with this one key, or podman cannot read it; and in one line.
    #[track_caller]
    pub fn error(&self) -> String {
        assert_eq!(self.0.status.code(), Some(1), "{}", self.said());
        let document: Value = serde_json::from_slice(&self.0.stdout).unwrap_or_default();
        let keys: Vec<_> = document.as_object().unwrap_or_else(|| panic!("{}", self.said())).keys().cloned().collect();
        assert_eq!(keys, ["error"], "{}", self.said());
        let text = document["error"].as_str().unwrap_or_default().to_owned();
        assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        text
    }

    fn said(&self) -> String {
        let texts = [&self.0.stdout, &self.0.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        format!("{}: {}", self.0.status, texts.join("\n"))
    }
}
