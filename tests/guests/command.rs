//! `springline distconfig` as a person or a hook calls it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::{Lab, tool};
use crate::support::{Kind, Root, add, dual_interface, network, springline};

fn config(lab: &Lab) -> String {
    let path = lab.dir().join("guest.json");
    fs::write(&path, json!({"interfaces": [dual_interface("eth0")]}).to_string()).expect("write the description");
    path.display().to_string()
}

fn distconfig(lab: &Lab, root: &Root, arguments: &[&str]) -> (bool, String, String) {
    let path = root.path().display().to_string();
    springline(lab, &[&["distconfig", "--rootfs", path.as_str()], arguments].concat())
}

#[test]
fn files_are_named_with_what_became_of_them() {
    let (lab, root) = (Lab::new(), Kind::named("debian").make());
    let config = config(&lab);
    let (ok, out, errors) = distconfig(&lab, &root, &["--config", &config]);
    assert!(ok && errors.is_empty(), "{errors}");
    assert_eq!(out, "written    /etc/network/interfaces\nwritten    /etc/network/interfaces.d/springline\n");
    let (_, out, _) = distconfig(&lab, &root, &["--config", &config, "-o", "json"]);
    let value: Value = serde_json::from_str(&out).expect("JSON");
    let unchanged = |path: &str| json!({"path": path, "state": "unchanged"});
    assert_eq!(value["files"][1], unchanged("/etc/network/interfaces.d/springline"));
    assert_eq!((&value["distro"], &value["service"]), (&json!("debian"), &json!("ifupdown")));
    let (ok, out, _) = distconfig(&lab, &root, &["--remove"]);
    assert!(ok);
    assert_eq!(out, "written    /etc/network/interfaces\nremoved    /etc/network/interfaces.d/springline\n");
}

#[test]
fn a_dry_run_shows_and_touches_nothing() {
    let (lab, root) = (Lab::new(), Kind::named("arch").make());
    let before = root.listing();
    let (ok, out, _) = distconfig(&lab, &root, &["--config", &config(&lab), "--dry-run"]);
    assert!(ok && out.starts_with("==> /etc/systemd/network/05-springline-eth0.network (0644)\n# This file"), "{out}");
    assert_eq!(root.listing(), before);
    let (_, out, _) = distconfig(&lab, &root, &["--config", &config(&lab), "--dry-run", "-o", "json"]);
    let value: Value = serde_json::from_str(&out).expect("JSON");
    assert!(value["files"][0]["content"].as_str().is_some_and(|text| text.contains("Gateway=169.254.0.1\n")));
}

#[test]
fn a_container_that_is_not_known_is_an_error() {
    let (lab, root) = (Lab::new(), Kind::named("arch").make());
    let before = root.listing();
    let (ok, _, errors) = distconfig(&lab, &root, &["--id", "nobody"]);
    assert!(!ok && errors.contains("container nobody has no attachment"), "{errors}");
    let (ok, _, errors) = distconfig(&lab, &root, &[]);
    assert!(!ok && errors.contains("--config"), "{errors}");
    assert_eq!(root.listing(), before);
}

/// A hook must not keep a container from starting for this.
#[test]
fn a_distribution_that_is_not_known_is_a_warning() {
    let (lab, root) = (Lab::new(), Kind::named("arch").make());
    root.put("etc/os-release", "ID=plan9\n");
    let before = root.listing();
    let (ok, out, errors) = distconfig(&lab, &root, &["--config", &config(&lab)]);
    assert!(ok && out.is_empty() && errors.contains("\"plan9\" is not known"), "{errors}");
    assert_eq!(root.listing(), before);
    let (ok, _, errors) = distconfig(&lab, &root, &["--config", &config(&lab), "--distro", "plan9"]);
    assert!(!ok && errors.contains("known are auto, alpine, arch"), "{errors}");
    let (ok, out, _) = distconfig(&lab, &root, &["--config", &config(&lab), "--distro", "arch"]);
    assert!(ok && out.contains("written"), "{out}");
}

#[test]
fn a_description_that_is_wrong_is_refused_with_its_place() {
    let (lab, root) = (Lab::new(), Kind::named("arch").make());
    let refused = |text: &str| {
        let path = lab.dir().join("wrong.json");
        fs::write(&path, text).expect("write");
        let (ok, _, errors) = distconfig(&lab, &root, &["--config", &path.display().to_string()]);
        assert!(!ok, "{text}");
        errors
    };
    assert!(refused(r#"{"interfaces": [{"name": "e", "adresses": []}]}"#).contains("interfaces[0]"));
    assert!(refused(r#"{"interfaces": [{"name": "$(reboot)"}]}"#).contains("cannot be written"));
    assert!(refused(r#"{"interfaces": [{"name": "e"}, {"name": "e"}]}"#).contains("twice"));
    assert!(refused(r#"{"interfaces": []}"#).contains("no interfaces"));
    assert!(refused("[").contains("wrong.json"));
}

/// The way in which an LXC hook names the rootfs: the last component is a magic link.
#[test]
fn a_rootfs_may_be_that_of_a_process() {
    let lab = Lab::new();
    let container = lab.container("c");
    add(&lab, &network(&json!({})), &container, "eth0");
    let root = Kind::named("arch").make();
    let mut command = container.netns().command(&tool("unshare"));
    let script = format!(
        "mount --bind {0} {0}; cd {0}; mkdir -p old; pivot_root . old; echo ready; read x",
        root.path().display()
    );
    command.args(["-m", "--propagation", "private", "/bin/sh", "-c", &script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a container");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says that it is ready");
    assert_eq!(line, "ready\n");
    let path = format!("/proc/{}/root", child.id());
    assert!(Path::new(&path).join("old/proc").exists(), "its root is another one");
    let (ok, out, errors) = springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]);
    drop(child.stdin.take());
    child.wait().expect("it ends");
    assert!(ok, "{errors}");
    assert_eq!(out, "written    /etc/systemd/network/05-springline-eth0.network\n");
    assert!(root.read("etc/systemd/network/05-springline-eth0.network").contains("Address=10.30.0.7/32"));
}
