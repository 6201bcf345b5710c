//! Files to the letter: every kind of rootfs with every case. `UPDATE_GUESTS=1` writes them anew: read the difference.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};
use springline::exec::guest_of_container;
use springline::guest::{Ownership, draft};
use springline::model::{ContainerId, Guest};
use springline::store::Store;

use crate::common::Lab;
use crate::common::cni::merged;
use crate::support::{KINDS, Kind, add, bridged, distro, network};

/// Attachments of one container: configurations and names of interfaces.
fn cases() -> Vec<(&'static str, Vec<(Value, &'static str)>)> {
    let interconnect = json!({"gateway": {"network": ["10.100.10.100/30", "2001:db8:9::/126"]}});
    let second =
        network(&json!({"name": "m", "runtimeConfig": {"mac": "02:00:5e:10:00:02"}, "dns": null, "mtu": 1400, "ipam":
        {"addresses": ["10.40.0.7/32"], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.64.0.0/10", "mtu": 1300}]}}));
    vec![
        ("link-local", vec![(network(&json!({})), "eth0")]),
        ("inet6", vec![(network(&json!({"gateway": "inet6"})), "eth0")]),
        ("interconnect", vec![(network(&interconnect), "eth0")]),
        ("bridged", vec![(bridged(), "eth0")]),
        ("automatic", vec![(network(&json!({"mode": "bridged", "ipam": null, "dns": null})), "eth0")]),
        ("leading", vec![(network(&json!({})), "eth0"), (merged(&second, &json!({"defaultRoute": true})), "eth1")]),
        ("two", vec![(network(&json!({})), "eth0"), (second, "eth1")]),
    ]
}

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(path)
}

/// Compares with a file, or writes it.
fn compare(path: &str, text: &str, differences: &mut String) {
    let file = here(path);
    if env::var_os("UPDATE_GUESTS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("make the folder");
        fs::write(&file, text).expect("write the golden file");
    } else if fs::read_to_string(&file).unwrap_or_default() != text {
        let _ = write!(differences, "--- {path} is now\n{text}\n");
    }
}

/// From ADD by the record to the guest that is to be told.
#[test]
fn records_say_what_the_guest_is_told() {
    let mut differences = String::new();
    for (name, attachments) in cases() {
        let lab = Lab::new();
        let container = lab.container("c");
        for (conf, ifname) in &attachments {
            add(&lab, conf, &container, ifname);
        }
        let store = Store::at(lab.state_dir()).expect("the state");
        let id = ContainerId::parse(&container.id).expect("an id");
        let (guest, warnings) = guest_of_container(&store, &id).expect("read the records");
        assert_eq!(warnings, Vec::<String>::new());
        let text = serde_json::to_string_pretty(&guest).expect("JSON") + "\n";
        compare(&format!("cases/{name}.json"), &text, &mut differences);
    }
    assert!(differences.is_empty(), "UPDATE_GUESTS=1 takes the new files for the right ones:\n{differences}");
}

#[test]
fn files_are_as_written() {
    let mut differences = String::new();
    for (name, _) in cases() {
        let text = fs::read_to_string(here(&format!("cases/{name}.json"))).expect("a case");
        let guest: Guest = serde_json::from_str(&text).expect("a guest");
        for kind in &KINDS {
            compare(&format!("golden/{}/{name}.txt", kind.name), &show(kind, &guest), &mut differences);
        }
    }
    assert!(differences.is_empty(), "UPDATE_GUESTS=1 takes the new files for the right ones:\n{differences}");
}

fn show(kind: &Kind, guest: &Guest) -> String {
    let draft = draft(guest, distro(kind.distro), kind);
    let mut text =
        format!("service: {}\n", draft.service.map_or_else(|| "none".to_owned(), |service| service.to_string()));
    for warning in &draft.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for file in &draft.files {
        let mode = if file.ownership == Ownership::Shared { "shared".into() } else { format!("{:04o}", file.mode) };
        let _ = write!(text, "\n==> /{} ({mode})\n{}", file.path, file.content);
    }
    text
}
