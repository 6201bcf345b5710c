//! Everything that reads what outsiders have written, fed with bytes. Nothing may panic; what is refused is refused with a
//! word; and what is taken has no names that lead elsewhere in the file system.
//!
//! `tests/hostile` feeds these from proptest, `fuzz/` from libFuzzer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use serde_json::{Map, Value};
use springline::error::{Error, Result};
use springline::model::{AttachmentKey, ContainerId, IfName, Lease, NetworkName, Range, RangeSet};
use springline::plan::Record;
use springline::store::{Ownership, Store};
use springline::wire::cni::base::Base;
use springline::wire::cni::env::{Environment, Verb};

use springline::wire::cni::{Config, NetworkFile, ResultDocument, RuntimeConfig, Version, request};
use springline::wire::netavark::{Departure, PluginCall, complete};
use springline::wire::oci::{Allowed, State};
use springline::wire::{lxc, wanted};

/// What reads bytes.
type Parser = fn(&[u8]);

/// All of them, by name.
pub(crate) const ALL: [(&str, Parser); 11] = [
    ("cni_config", cni_config),
    ("cni_args", cni_args),
    ("cni_environment", cni_environment),
    ("cni_list", cni_list),
    ("prev_result", prev_result),
    ("netavark", netavark),
    ("oci_state", oci_state),
    ("lxc_hook", lxc_hook),
    ("interfaces_file", interfaces_file),
    ("record_file", record_file),
    ("lease_file", lease_file),
];

const VERBS: [Verb; 6] = [Verb::Add, Verb::Check, Verb::Del, Verb::Gc, Verb::Status, Verb::Version];

/// stdin of every CNI verb.
pub(crate) fn cni_config(bytes: &[u8]) {
    let _ = Base::stated_version(bytes);
    for verb in VERBS {
        let Some(base) = taken(Base::parse(bytes, verb)) else { continue };
        safe(base.name.as_str());
        let _ = (taken(base.valid_attachments()), base.ipam_type());
        if let Some(value) = base.prev_result() {
            let _ = taken(ResultDocument::parse(value, base.version));
        }
        let Some(config) = taken(Config::parse(&base)) else { continue };
        let Some(runtime) = taken(config.runtime()) else { continue };
        read_config(&base, &config, &runtime);
    }
}

fn read_config(base: &Base, config: &Config, runtime: &RuntimeConfig) {
    let _ = taken(runtime.ports());
    let _ = taken(request::asked(config, runtime, ""));
    if let Some(network) = taken(config.to_network(&base.name, runtime, "seed")) {
        let key = key("c1", "eth0");
        let wish = request::asked(config, runtime, "MAC=02:00:00:00:00:07").unwrap_or_default();
        if let Some(attachment) = taken(request::attachment(key, "/run/netns/c1", network, &wish, "seed")) {
            safe(attachment.host_link.as_str());
        }
    }
}

/// `CNI_ARGS`.
pub(crate) fn cni_args(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let conf = br#"{"cniVersion": "1.1.0", "name": "n", "type": "springline"}"#;
    let base = Base::parse(conf, Verb::Add).expect("a configuration");
    let config = Config::parse(&base).expect("a configuration");
    let _ = taken(request::asked(&config, &RuntimeConfig::default(), &text));
}

/// Lines `NAME=value` are the environment.
pub(crate) fn cni_environment(bytes: &[u8]) {
    let variables = variables(bytes);
    for verb in VERBS {
        let read = Environment::read(verb, |name| variables.get(name).cloned());
        let Some(environment) = taken(read) else { continue };
        if let Some(id) = &environment.container {
            safe(id.as_str());
        }
        if let Some(name) = &environment.ifname {
            safe_link(name);
        }
    }
}

/// A file of `/etc/cni/net.d`.
pub(crate) fn cni_list(bytes: &[u8]) {
    let Some(file) = taken(NetworkFile::parse(bytes)) else { return };
    let _ = (file.name(), file.part_of_springline());
    if let Some(own) = taken(file.own_configuration()) {
        cni_config(Value::Object(own).to_string().as_bytes());
    }
}

/// `prevResult`, and what an IPAM plugin prints.
pub(crate) fn prev_result(bytes: &[u8]) {
    for version in Version::ALL {
        let _ = taken(request::read_delegated(bytes, version));
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { continue };
        let Some(document) = taken(ResultDocument::parse(&value, version)) else { continue };
        let _ = taken(request::refuse_missing(&document, &key("c1", "eth0"), &[]));
        for other in Version::ALL {
            let _ = taken(document.to_json(other));
        }
        let _ = document.clone().after(document);
    }
}

/// What netavark writes to its plugins, and podman's networks.
pub(crate) fn netavark(bytes: &[u8]) {
    if let Some(call) = taken(PluginCall::parse(bytes)) {
        if let Some(key) = taken(call.key()) {
            safe_key(&key);
        }
        let _ = taken(call.routes());
        if let Some(own) = taken(call.configuration()) {
            cni_config(Value::Object(own).to_string().as_bytes());
        }
    }
    if let Some(key) = taken(Departure::parse(bytes)).and_then(|call| taken(call.key())) {
        safe_key(&key);
    }
    if let Ok(document) = serde_json::from_slice::<Map<String, Value>>(bytes)
        && let Some(completed) = taken(complete(document, &[]))
        && let Some(own) = taken(completed.network.configuration(&[]))
    {
        cni_config(Value::Object(own).to_string().as_bytes());
    }
}

/// The state of a container, with its annotations.
pub(crate) fn oci_state(bytes: &[u8]) {
    let Some(state) = taken(State::parse(bytes)) else { return };
    let _ = (state.moment(), state.bundle());
    for allowed in [Allowed::default(), Allowed { networks: vec!["n".into()], keys: vec!["ip".into()] }] {
        if let Some(keys) = taken(state.interfaces(&allowed)) {
            read_interfaces(&keys);
        }
    }
}

/// Lines `NAME=value` are the environment, others the words of a hook's line.
pub(crate) fn lxc_hook(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.contains(&b'='));
    let words: Vec<String> = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let variables = variables(bytes);
    for words in [words, Vec::new()] {
        if let Some(call) = taken(lxc::HookCall::read(&words, |name| variables.get(name).cloned())) {
            safe(call.container.as_str());
        }
    }
}

/// The interfaces of a container, as `/etc/springline/lxc/NAME.json` has them.
pub(crate) fn interfaces_file(bytes: &[u8]) {
    if let Some(keys) = taken(wanted::InterfacesFile::parse(bytes)) {
        read_interfaces(&keys);
    }
}

fn read_interfaces(keys: &[wanted::InterfaceKey]) {
    for interface in taken(wanted::to_model(keys)).iter().flatten() {
        safe(interface.network.as_str());
        safe_link(&interface.ifname);
    }
}

/// What stands in a record, or was damaged.
pub(crate) fn record_file(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        safe_key(&record.key);
        let _ = (record.addresses(), record.as_sibling());
        let _ = springline::plan::detach(&record, &springline::plan::Facts::default());
        // Whoever writes it down again writes the same.
        let again = serde_json::to_vec(&record).expect("a record is JSON");
        assert_eq!(serde_json::from_slice::<Record>(&again).expect("a record"), record);
    }
    if let Some(key) = AttachmentKey::parse(&String::from_utf8_lossy(bytes)) {
        safe_key(&key);
    }
}

/// What stands in a lease.
pub(crate) fn lease_file(bytes: &[u8]) {
    if let Ok(lease) = serde_json::from_slice::<Ownership>(bytes) {
        safe_key(&lease.owner);
    }
}

/// The same bytes in every file of a state folder at `root`: whatever is read, nothing panics, and addresses are given out.
pub(crate) fn state_folder(root: &Path, bytes: &[u8]) {
    let store = Store::at(root.join("state")).expect("a boot id");
    let (own, network) = (key("c1", "eth0"), NetworkName::parse("n").expect("a name"));
    let address: IpAddr = "10.22.0.2".parse().expect("an address");
    let lease = Lease { network: network.clone(), address, data_dir: None, slot: None };
    let subnet = "10.22.0.0/28".parse().expect("a network");
    let [start, end] = ["10.22.0.2", "10.22.0.14"].map(|text| text.parse().expect("an address"));
    let set = RangeSet(vec![Range { subnet, start, end, gateway: None, exclude: Vec::new() }]);
    let picked = store.pick(&network, None, &set).expect("pick an address").expect("one is free");
    store.reserve(&lease, &own).expect("reserve an address");
    let write = |path: &str| {
        let path = root.join("state").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(path, bytes).expect("write a file");
    };
    for path in ["leases/n/10.22.0.2", "attachments/n/c1@eth0.json", "shared/bridge-br0/x", ".unfinished"] {
        write(path);
    }
    write(&format!("leases/n/.ring-{}", picked.slot.ring));
    let owner = store.lease_owner(&lease).expect("read a lease");
    if let Some(owner) = &owner {
        safe_key(owner);
    }
    let _ = (taken(store.record(&own)), taken(store.leases_of(&network, None)), taken(store.stakes()));
    let _ = (taken(store.attachments()), taken(store.stakes_of(&own)), taken(store.usage(&network, None, &set)));
    let picked = store.pick(&network, None, &set).expect("pick an address").expect("one is free");
    assert!(set.0[0].contains(picked.address), "{} is none of the range's", picked.address);
    assert!(owner.is_none() || picked.address != address, "{address} was given twice");
    let _ = taken(store.release(&lease, &own));
    let _ = taken(store.remove_record(&own));
}

/// What is taken; of what is not, a word is expected.
fn taken<T>(result: Result<T>) -> Option<T> {
    let said = |error: &Error| assert!(!error.message().is_empty() && !error.to_string().is_empty());
    result.inspect_err(said).ok()
}

fn key(container: &str, ifname: &str) -> AttachmentKey {
    AttachmentKey {
        network: NetworkName::parse("n").expect("a name"),
        container: ContainerId::parse(container).expect("an id"),
        ifname: IfName::parse(ifname).expect("a name"),
    }
}

fn variables(bytes: &[u8]) -> BTreeMap<String, OsString> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let pairs = lines.filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((String::from_utf8_lossy(&line[..at]).into_owned(), OsString::from_vec(line[at + 1..].to_vec())))
    });
    pairs.collect()
}

/// Of what is taken for a name, a file is made.
fn safe(name: &str) {
    assert!(!name.is_empty() && name.len() <= 255, "{} bytes", name.len());
    assert!(!name.contains('/') && !name.contains('\0') && name != "." && name != "..", "{name:?}");
}

fn safe_link(name: &IfName) {
    let name = name.as_str();
    safe(name);
    // `dev_valid_name()` in `net/core/dev.c`.
    assert!(name.len() < 16 && !name.contains(|c: char| c == ':' || c.is_ascii_whitespace()), "{name:?}");
}

fn safe_key(key: &AttachmentKey) {
    safe(key.network.as_str());
    safe(key.container.as_str());
    safe_link(&key.ifname);
}
