//! Lease files: where they are, what a broken one blocks, and what finding a free address costs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::{Container, Lab};
use crate::support::{Attached, FAMILIES, network, not_run, with_ranges};

/// One address to give out.
fn only(address: &str) -> Value {
    let range = json!({"subnet": "10.22.0.0/24", "rangeStart": address, "rangeEnd": address});
    network(&json!({"ipam": {"type": "springline", "ranges": [[range]]}}))
}

fn lease_dir(lab: &Lab) -> PathBuf {
    lab.state_dir().join("leases/n")
}

/// Files that name nobody block nothing: empty, cut off, of another shape, no text at all.
#[test]
fn broken_leases_block_nothing() {
    let whole = {
        let lab = Lab::new();
        let c = lab.container("c");
        Attached::new(&lab, &only("10.22.0.5"), &c);
        fs::read(lease_dir(&lab).join("10.22.0.5")).expect("the lease")
    };
    for content in [&b""[..], b"garbage", b"{}", b"null", b"c1\neth0\n", &[0xff, 0xfe, 0x00], &whole[..whole.len() / 2]]
    {
        let lab = Lab::new();
        let c = lab.container("c1");
        fs::create_dir_all(lease_dir(&lab)).expect("make the directory of leases");
        fs::write(lease_dir(&lab).join("10.22.0.5"), content).expect("write a lease");
        let attached = Attached::new(&lab, &only("10.22.0.5"), &c);
        assert_eq!(attached.ips(), ["10.22.0.5"], "{}", String::from_utf8_lossy(content));
        attached.detach();
        assert!(!lease_dir(&lab).join("10.22.0.5").exists());
    }
}

/// Nor do they when they appear after the first ADD, or when they have been asked for by name.
#[test]
fn broken_leases_block_nothing_later() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let conf = with_ranges(&["10.22.0.0/30"], &json!({}));
    Attached::new(&lab, &conf, &c1).detach();
    fs::write(lease_dir(&lab).join("10.22.0.2"), "").expect("write a lease");
    let asking = merged(&conf, &json!({"runtimeConfig": {"ips": ["10.22.0.2"]}}));
    Attached::new(&lab, &asking, &c1).detach();
    fs::write(lease_dir(&lab).join("10.22.0.2"), "").expect("write a lease");
    assert_eq!(Attached::new(&lab, &conf, &c2).ips(), ["10.22.0.2"]);
}

/// A lease of this boot holds its address: the control; the same of an earlier boot does not.
#[test]
fn leases_of_an_earlier_boot_block_nothing() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let conf = with_ranges(&["10.22.0.0/29"], &json!({}));
    let first = Attached::new(&lab, &conf, &c1);
    let file = lease_dir(&lab).join("10.22.0.2");
    let mut lease: Value = serde_json::from_slice(&fs::read(&file).expect("the lease")).expect("a lease is JSON");
    let asking = merged(&conf, &json!({"runtimeConfig": {"ips": ["10.22.0.2"]}}));
    let error = crate::support::add(&lab, &asking, &c2, "eth0").error();
    error.saying("10.22.0.2").saying("n/c1/eth0");
    first.detach();
    lease["boot"] = json!("00000000-0000-0000-0000-000000000000");
    fs::write(&file, lease.to_string()).expect("write a lease");
    assert_eq!(Attached::new(&lab, &asking, &c2).ips(), ["10.22.0.2"]);
}

/// A whole range full of leases of an earlier boot is free, and asks for no GC.
#[test]
fn a_range_full_of_an_earlier_boot() {
    let lab = Lab::new();
    let conf = with_ranges(&["10.22.0.0/29"], &json!({}));
    let template = template(&lab, &conf);
    for last in 2..7 {
        let mut lease = template.clone();
        lease["boot"] = json!("00000000-0000-0000-0000-000000000000");
        fs::write(lease_dir(&lab).join(format!("10.22.0.{last}")), lease.to_string()).expect("write a lease");
    }
    let containers: Vec<Container> = (0..5).map(|number| lab.container(&format!("c{number}"))).collect();
    let mut given: Vec<String> = containers.iter().flat_map(|c| Attached::new(&lab, &conf, c).ips()).collect();
    given.sort();
    assert_eq!(given, ["10.22.0.2", "10.22.0.3", "10.22.0.4", "10.22.0.5", "10.22.0.6"]);
}

/// `dataDir` is where leases are kept, one file an address below the network's name; DEL and a full range know.
#[test]
fn leases_may_be_kept_elsewhere() {
    let lab = Lab::new();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let dir = lab.dir().join("kept/elsewhere");
    let conf =
        merged(&with_ranges(&["10.22.0.0/30", "2001:db8:22::/64"], &json!({})), &json!({"ipam": {"dataDir": dir}}));
    let first = Attached::new(&lab, &conf, &c1);
    for family in FAMILIES {
        assert!(dir.join("n").join(first.ip(family)).is_file());
        assert!(!lease_dir(&lab).join(first.ip(family)).exists());
    }
    crate::support::assert_refused(&lab, &conf, &c2, 11, &["1 used of 1"]);
    first.detach();
    assert!(FAMILIES.iter().all(|family| !dir.join("n").join(first.ip(*family)).exists()));
    assert_eq!(Attached::new(&lab, &conf, &c2).ips()[0], "10.22.0.2");
}

/// With two thousand leases, whose addresses are never given again, ADD reads no directory of leases.
#[test]
fn two_thousand_leases() {
    let lab = Lab::new();
    let conf = with_ranges(&["10.22.0.0/16"], &json!({}));
    let mut lease = template(&lab, &conf);
    for number in 10..2010 {
        lease["owner"]["container"] = json!(format!("ghost{number}"));
        let address = format!("10.22.{}.{}", number / 256, number % 256);
        fs::write(lease_dir(&lab).join(address), lease.to_string()).expect("write a lease");
    }
    let containers: Vec<Container> = (0..9).map(|number| lab.container(&format!("c{number}"))).collect();
    let given: Vec<String> = containers.iter().flat_map(|c| Attached::new(&lab, &conf, c).ips()).collect();
    assert_eq!(given[..6], ["10.22.0.3", "10.22.0.4", "10.22.0.5", "10.22.0.6", "10.22.0.7", "10.22.0.8"]);
    assert_eq!(given[6..], ["10.22.0.9", "10.22.7.218", "10.22.7.219"], "behind the ghosts");
    let (c, netns) = (lab.container("traced"), lab.container("traced2"));
    let dir = lease_dir(&lab);
    let strace = Path::new("/usr/bin/strace");
    if !strace.is_file() {
        return not_run("two_thousand_leases: which directories are read", "no strace: install the package strace");
    }
    let listed = traced(&lab, &dir, Path::new("/bin/ls"), &[&dir.display().to_string()], None, &c);
    assert!(!listed.is_empty(), "the control: ls reads the directory");
    let binary = crate::common::cni::Plugin::Routed.binary();
    let read = traced(&lab, &dir, &binary, &[], Some(&conf), &netns);
    assert_eq!(read, [""; 0]);
    assert!(dir.join("10.22.7.220").is_file(), "the traced ADD took the next address");
}

/// The lines of a trace that read a directory of leases.
fn traced(lab: &Lab, dir: &Path, program: &Path, args: &[&str], conf: Option<&Value>, c: &Container) -> Vec<String> {
    let trace = lab.dir().join(format!("trace-{}", c.id));
    let input = lab.dir().join("stdin");
    fs::write(&input, conf.map_or_else(String::new, Value::to_string)).expect("write stdin");
    let mut command = lab.host().command(Path::new("/usr/bin/strace"));
    command.args(["-f", "-y", "-e", "trace=getdents64,getdents", "-o"]).arg(&trace).arg(program).args(args);
    command.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", &c.id).env("CNI_NETNS", c.path());
    command.env("CNI_IFNAME", "eth0").env("CNI_PATH", "/nowhere").env("SPRINGLINE_STATE_DIR", lab.state_dir());
    let output = command.stdin(fs::File::open(&input).expect("open stdin")).output().expect("run strace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    let text = fs::read_to_string(&trace).expect("the trace");
    text.lines().filter(|line| line.contains(&*dir.to_string_lossy())).map(str::to_owned).collect()
}

/// A lease as it is written, of a container that is detached again.
fn template(lab: &Lab, conf: &Value) -> Value {
    let c = lab.container("template");
    let attached = Attached::new(lab, conf, &c);
    let bytes = fs::read(lease_dir(lab).join(&attached.ips()[0])).expect("the lease");
    attached.detach();
    serde_json::from_slice(&bytes).expect("a lease is JSON")
}
