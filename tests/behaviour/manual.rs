//! `springline netns`, `attach` and `detach`: all that a tester needs.

use serde_json::Value;

use crate::common::Lab;
use crate::common::state::assert_unchanged;
use crate::support::{springline, with_networks};

/// A name of the test's own, taken away with the value.
struct Name<'a>(&'a Lab, String);

impl<'a> Name<'a> {
    fn new(lab: &'a Lab, name: &str) -> Self {
        Self(lab, format!("springline-{}-{name}", std::process::id()))
    }

    /// What a command of iproute2's shows of the namespace.
    fn ip(&self, arguments: &str) -> String {
        self.0.host().shell(&format!("ip -n {} {arguments}", self.1))
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        let _ = springline(self.0, &["netns", "del", &self.1]);
    }
}

#[test]
fn a_namespace_by_name() {
    let lab = Lab::new();
    let name = Name::new(&lab, "named");
    let (ok, said) = springline(&lab, &["netns", "add", &name.1]);
    assert!(ok && said.is_empty(), "{said}");
    assert!(name.ip("link show lo").contains("UP"), "its loopback link is down");
    name.ip("link add mark type bridge");
    let (ok, said) = springline(&lab, &["netns", "add", &name.1]);
    assert!(!ok && said.contains("exists already"), "{said}");
    assert!(name.ip("link").contains("mark"), "another namespace was put over it");
    let (ok, said) = springline(&lab, &["netns", "exec", &name.1, "ls", "/sys/class/net"]);
    assert!(ok && said.contains("mark"), "{said}");
    let (ok, said) = springline(&lab, &["netns", "exec", &name.1, "--", "sh", "-c", "exit 7"]);
    assert!(!ok && said.is_empty(), "{said}");
    let (ok, said) = springline(&lab, &["netns", "exec", &name.1, "no-such-program"]);
    assert!(!ok && said.contains("run no-such-program in"), "{said}");
    let (ok, said) = springline(&lab, &["netns", "del", &name.1]);
    assert!(ok && said.is_empty(), "{said}");
    let (ok, said) = springline(&lab, &["netns", "ls"]);
    assert!(ok && !said.contains(&name.1), "{said}");
    for bad in ["", "..", "a/b"] {
        let (ok, said) = springline(&lab, &["netns", "add", bad]);
        assert!(!ok && said.contains("the name"), "{bad:?}: {said}");
    }
    let (ok, said) = springline(&lab, &["netns", "del", &name.1]);
    assert!(!ok && said.contains("No such file"), "{said}");
}

#[test]
fn attached_by_hand() {
    let lab = with_networks();
    let before = lab.host_state();
    let name = Name::new(&lab, "hand");
    assert!(springline(&lab, &["netns", "add", &name.1]).0);
    for network in ["a", "b"] {
        let address = if network == "a" { "10.30.0.9" } else { "10.31.0.9" };
        let line = ["attach", network, "--netns", &name.1, "--ip", address, "-p", "8080:80", "--id", "c"];
        let (ok, said) = springline(&lab, &line);
        assert!(ok && said.contains(&format!("attached  {network}/c/eth0")) && said.contains(address), "{said}");
        assert!(name.ip("-4 address show dev eth0").contains(address) && lab.host().ping(address));
        let (ok, said) = springline(&lab, &["netns", "ls", "-o", "json"]);
        let listed: Vec<Value> = serde_json::from_str(&said).expect("JSON");
        let own = listed.iter().find(|entry| entry["name"] == name.1.as_str()).expect("the namespace");
        assert!(ok && own["attachments"][0] == format!("{network}/c/eth0"), "{said}");
        let (ok, said) = springline(&lab, &line);
        assert!(!ok && said.contains("exists already"), "{said}");
        let (ok, said) = springline(&lab, &["detach", network]);
        assert!(!ok && said.contains("is a network"), "{said}");
        let (ok, said) = springline(&lab, &["detach", "c"]);
        assert!(ok && said.trim() == format!("detached  {network}/c/eth0"), "{said}");
        assert_unchanged(&before, &lab.host_state());
        let (ok, said) = springline(&lab, &["detach", "c"]);
        assert!(!ok && said.contains("no such attachment"), "{said}");
    }
}

#[test]
fn mistakes_are_told() {
    let lab = with_networks();
    let c = lab.container("c");
    let before = lab.host_state();
    let path = c.path();
    let cases: [(&[&str], &str); 7] = [
        (&["attach", "nope", "--netns", &path], "networks there: a, b, none"),
        (&["attach", "a"], "--netns"),
        (&["attach", "a", "--netns", "no-such-name"], "no-such-name"),
        (&["attach", "a", "--netns", &path, "--ip", "10.30.0.300"], "10.30.0.300"),
        (&["attach", "a", "--netns", &path, "--ip", "198.18.7.1"], "198.18.7.1"),
        (&["attach", "a", "--netns", &path, "--ifname", "sixteen-bytes-16"], "15 bytes"),
        (&["attach", "a", "--netns", "/proc/self/ns/net"], "is the namespace that springline runs in"),
    ];
    for (line, word) in cases {
        let (ok, said) = springline(&lab, line);
        assert!(!ok && said.contains(word), "{line:?}: {said}");
        assert_unchanged(&before, &lab.host_state());
    }
}
