//! Scheme `shared`: one link holds the gateway for all containers, and goes with the last of them.

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::state::assert_unchanged;
use crate::common::{Lab, Netns, text_of};
use crate::support::{Attached, Family, addresses, assert_refused, not_run, with_ranges};

const HOLDER: &str = "springline0";

fn shared(keys: &Value) -> Value {
    with_ranges(&["10.22.0.0/24", "2001:db8:22::/64"], &merged(&json!({"gateway": "shared"}), keys))
}

/// The links that hold an address, one line each.
fn holders(netns: &Netns, address: &str) -> Vec<String> {
    let links = netns.ip_json("address show");
    let holds = |link: &&Value| {
        let infos = link["addr_info"].as_array().into_iter().flatten();
        infos.into_iter().any(|info| info["local"] == address)
    };
    links.iter().filter(holds).map(|link| text_of(&link["ifname"]).to_owned()).collect()
}

/// A dummy link, where the kernel has such links; elsewhere a bridge without ports stands in.
#[test]
fn the_holder_is_a_dummy() {
    let lab = Lab::new();
    let c = lab.container("c");
    let refusal = lab.host().shell("ip link add probe type dummy 2>&1 && ip link del probe || true");
    let expected = if refusal.trim().is_empty() { "dummy" } else { "bridge" };
    if expected == "bridge" {
        not_run("the_holder_is_a_dummy", &format!("this kernel has no dummy links ({}): a bridge is", refusal.trim()));
    }
    let attached = Attached::new(&lab, &shared(&json!({})), &c);
    let holder = &lab.host().ip_json("-d link show springline0")[0];
    assert_eq!(holder["linkinfo"]["info_kind"], expected, "{holder}");
    assert!(c.netns().ping("255.255.255.254"));
    attached.detach();
    assert!(lab.host().link(HOLDER).is_none());
}

/// Two containers, one holder: it survives the first, and goes with the last.
#[test]
fn one_holder_for_all() {
    let lab = Lab::new();
    let before = lab.host_state();
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let first = Attached::new(&lab, &shared(&json!({})), &c1);
    let second = Attached::new(&lab, &shared(&json!({})), &c2);
    assert_eq!(holders(lab.host(), "255.255.255.254"), [HOLDER]);
    let holder = lab.host().link(HOLDER).expect("the holder");
    assert_eq!((&holder["ifalias"], &holder["group"]), (&json!("springline:shared"), &json!("171")));
    assert!(c1.netns().ping("255.255.255.254") && c2.netns().ping("255.255.255.254"));
    assert!(c1.netns().ping(&second.ip(Family::V4)) && c1.netns().ping(&second.ip(Family::V6)));
    first.detach();
    assert_eq!(holders(lab.host(), "255.255.255.254"), [HOLDER]);
    assert!(c2.netns().ping("255.255.255.254"), "the second has its gateway when the first is gone");
    second.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// The holder has the gateway's address and nothing else: no link-local address that is tentative, or that a
/// routing daemon would announce.
#[test]
fn holder_holds_nothing_else() {
    let lab = Lab::new();
    let c = lab.container("c");
    Attached::new(&lab, &shared(&json!({})), &c);
    assert_eq!(addresses(lab.host(), HOLDER), ["255.255.255.254/32 scope host"]);
}

/// Two networks under different addresses share the link, and each keeps its address as long as it is in use.
#[test]
fn two_networks() {
    let lab = Lab::new();
    let before = lab.host_state();
    let other = json!({"name": "other", "gateway": {"scheme": "shared", "address": "10.99.0.1"},
        "ipam": {"ranges": [[{"subnet": "10.23.0.0/24"}]]}});
    let (c1, c2) = (lab.container("c1"), lab.container("c2"));
    let first = Attached::new(&lab, &shared(&json!({})), &c1);
    let second = Attached::new(&lab, &shared(&other), &c2);
    assert!(c1.netns().ping("255.255.255.254") && c2.netns().ping("10.99.0.1"));
    assert!(c1.netns().ping(&second.ip(Family::V4)));
    first.detach();
    assert!(c2.netns().ping("10.99.0.1"), "the second network has its gateway when the first is gone");
    second.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// A stranger's link of the holder's name is not touched, and its name is said.
#[test]
fn holder_is_a_strangers() {
    let lab = Lab::new();
    let c = lab.container("c");
    Attached::new(&lab, &shared(&json!({})), &c).detach();
    lab.host().ip(&format!("link add {HOLDER} type bridge"));
    assert_refused(&lab, &shared(&json!({})), &c, 7, &[HOLDER]);
}
