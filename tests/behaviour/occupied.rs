//! Names of links that a stranger has: refused, and the stranger keeps what it has.

use serde_json::json;

use crate::common::Lab;
use crate::support::{Attached, assert_refused, bridged, with_addresses};

/// The host's link has a name that the configuration chooses; a stranger's link of that name is left alone.
#[test]
fn host_interface_is_a_strangers() {
    let lab = Lab::new();
    let c = lab.container("c");
    let conf = with_addresses(&["10.30.0.7/32"], &json!({"hostInterface": "mine-{id}"}));
    let attached = Attached::new(&lab, &conf, &c);
    assert_eq!(attached.link, "mine-c");
    attached.detach();
    for kind in ["bridge", "veth peer name other0"] {
        lab.host().ip(&format!("link add mine-c type {kind}"));
        assert_refused(&lab, &conf, &c, 7, &["mine-c"]);
        lab.host().ip("link del mine-c");
    }
    Attached::new(&lab, &conf, &c);
}

/// So is one that has the name which would be made of the attachment.
#[test]
fn usual_name_is_a_strangers() {
    let lab = Lab::new();
    let c = lab.container("c");
    for conf in [with_addresses(&["10.30.0.7/32"], &json!({})), bridged(&["10.22.0.0/24"], &json!({}))] {
        let attached = Attached::new(&lab, &conf, &c);
        attached.detach();
        lab.host().ip(&format!("link add {} type bridge", attached.link));
        assert_refused(&lab, &conf, &c, 7, &[&attached.link]);
        lab.host().ip(&format!("link del {}", attached.link));
    }
}

/// The same id and interface in two networks may make the same name: the second is refused, and the first named.
#[test]
fn host_interface_is_another_attachments() {
    let lab = Lab::new();
    let (here, there) = (lab.container("c"), lab.container("x").renamed("c"));
    let conf = |name: &str, address: &str| {
        with_addresses(&[address], &json!({"name": name, "hostInterface": "{id}-{ifname}"}))
    };
    Attached::new(&lab, &conf("b", "10.30.0.8/32"), &there).detach();
    let first = Attached::new(&lab, &conf("a", "10.30.0.7/32"), &here);
    assert_refused(&lab, &conf("b", "10.30.0.8/32"), &there, 7, &["c-eth0", "a/c/eth0"]);
    assert!(lab.host().ping("10.30.0.7"));
    first.detach();
    Attached::new(&lab, &conf("b", "10.30.0.8/32"), &there);
}

/// A bridge's name that is the name of something else.
#[test]
fn bridge_is_none() {
    let lab = Lab::new();
    let c = lab.container("c");
    let conf = bridged(&["10.22.0.0/24"], &json!({}));
    Attached::new(&lab, &conf, &c).detach();
    lab.host().ip("link add br0 type veth peer name other0");
    assert_refused(&lab, &conf, &c, 7, &["br0", "not a bridge"]);
    lab.host().ip("link del br0");
    Attached::new(&lab, &conf, &c);
}

/// The container's interface exists.
#[test]
fn interface_is_there() {
    let lab = Lab::new();
    let c = lab.container("c");
    for conf in [with_addresses(&["10.30.0.7/32"], &json!({})), bridged(&["10.22.0.0/24"], &json!({}))] {
        c.netns().ip("link add eth0 type bridge");
        assert_refused(&lab, &conf, &c, 4, &["eth0"]);
        c.netns().ip("link del eth0");
        Attached::new(&lab, &conf, &c).detach();
    }
}
