//! Gateway schemes: exactly which addresses and routes there are on both sides.

use serde_json::{Value, json};

use crate::common::state::assert_unchanged;
use crate::common::{Lab, text_of};
use crate::support::{Attached, with_addresses};

const V4: &str = "10.30.0.7/32";
const V6: &str = "2001:db8:30::7/128";

/// What a scheme makes of the two addresses above.
struct Sides<'a> {
    host: (&'a [&'a str], &'a [&'a str]),
    container: (&'a [&'a str], &'a [&'a str]),
}

/// Attaches under a scheme, compares, and detaches: then the host is as it was.
#[track_caller]
fn assert_scheme(keys: &Value, addresses: &[&str], sides: &Sides) {
    let lab = Lab::new();
    let container = lab.container("c");
    let before = lab.host_state();
    let attached = Attached::new(&lab, &with_addresses(addresses, keys), &container);
    attached.assert_is(sides.host, sides.container);
    let outside = attached.outside();
    assert_eq!((&outside["ifalias"], &outside["group"]), (&json!("springline:n/c/eth0"), &json!("171")));
    attached.detach();
    assert_unchanged(&before, &lab.host_state());
}

/// `link-local`: both gateways on the link itself, the IPv4 one with scope host.
#[test]
fn link_local() {
    let sides = Sides {
        host: (
            &["169.254.0.1/32 scope host", "fe80::1/64 scope link nodad"],
            &["10.30.0.7 proto 171 scope link", "2001:db8:30::7 metric 1024 proto 171"],
        ),
        container: (
            &["10.30.0.7/32 scope global", "2001:db8:30::7/128 scope global nodad", "fe80::2/64 scope link nodad"],
            &["default via 169.254.0.1 proto static onlink", "default via fe80::1 metric 1024 proto static"],
        ),
    };
    assert_scheme(&json!({}), &[V4, V6], &sides);
    assert_scheme(&json!({"gateway": "link-local"}), &[V4, V6], &sides);
    assert_scheme(&json!({"gateway": {"scheme": "link-local"}}), &[V4, V6], &sides);
}

/// `link-local` with one family only: nothing of the other.
#[test]
fn link_local_of_one_family() {
    let v4 = Sides {
        host: (&["169.254.0.1/32 scope host"], &["10.30.0.7 proto 171 scope link"]),
        container: (&["10.30.0.7/32 scope global"], &["default via 169.254.0.1 proto static onlink"]),
    };
    assert_scheme(&json!({}), &[V4], &v4);
    let v6 = Sides {
        host: (&["fe80::1/64 scope link nodad"], &["2001:db8:30::7 metric 1024 proto 171"]),
        container: (
            &["2001:db8:30::7/128 scope global nodad", "fe80::2/64 scope link nodad"],
            &["default via fe80::1 metric 1024 proto static"],
        ),
    };
    assert_scheme(&json!({}), &[V6], &v6);
}

/// `inet6`: no IPv4 address on the host at all, and an IPv6 next hop for both families in both directions.
#[test]
fn inet6() {
    let sides = Sides {
        host: (
            &["fe80::1/64 scope link nodad"],
            &["10.30.0.7 via fe80::2 proto 171", "2001:db8:30::7 metric 1024 proto 171"],
        ),
        container: (
            &["10.30.0.7/32 scope global", "2001:db8:30::7/128 scope global nodad", "fe80::2/64 scope link nodad"],
            &["default via fe80::1 proto static", "default via fe80::1 metric 1024 proto static"],
        ),
    };
    assert_scheme(&json!({"gateway": "inet6"}), &[V4, V6], &sides);
    let v4 = Sides {
        host: (&["fe80::1/64 scope link nodad"], &["10.30.0.7 via fe80::2 proto 171"]),
        container: (
            &["10.30.0.7/32 scope global", "fe80::2/64 scope link nodad"],
            &["default via fe80::1 proto static"],
        ),
    };
    assert_scheme(&json!({"gateway": "inet6"}), &[V4], &v4);
}

/// `shared`: the IPv4 gateway is not on the link, see shared.rs for where it is.
#[test]
fn shared() {
    let inside = |gateway: &str| [format!("default via {gateway} proto static onlink")];
    let default = inside("255.255.255.254");
    let chosen = inside("10.30.0.254");
    for (keys, routes) in [
        (json!({"gateway": "shared"}), default),
        (json!({"gateway": {"scheme": "shared", "address": "10.30.0.254"}}), chosen),
    ] {
        let sides = Sides {
            host: (
                &["fe80::1/64 scope link nodad"],
                &["10.30.0.7 proto 171 scope link", "2001:db8:30::7 metric 1024 proto 171"],
            ),
            container: (
                &["10.30.0.7/32 scope global", "2001:db8:30::7/128 scope global nodad", "fe80::2/64 scope link nodad"],
                &[&routes[0], "default via fe80::1 metric 1024 proto static"],
            ),
        };
        assert_scheme(&keys, &[V4, V6], &sides);
    }
}

/// `none`: the host reaches the container's addresses, and the container has no route but to itself.
#[test]
fn none() {
    let sides = Sides {
        host: (
            &["fe80::1/64 scope link nodad"],
            &["10.30.0.7 proto 171 scope link", "2001:db8:30::7 metric 1024 proto 171"],
        ),
        container: (
            &["10.30.0.7/32 scope global", "2001:db8:30::7/128 scope global nodad", "fe80::2/64 scope link nodad"],
            &[],
        ),
    };
    assert_scheme(&json!({"gateway": "none"}), &[V4, V6], &sides);
}

/// The interconnecting network of the first example in the issue, to the letter: 10.100.10.100/30 has the host at
/// .101 and the container at .102, through which 1.2.3.4 is routed and which speaks as 1.2.3.4.
#[test]
fn interconnect_example() {
    let sides = Sides {
        host: (&["10.100.10.101/30 brd 10.100.10.103 scope global"], &["1.2.3.4 via 10.100.10.102 proto 171"]),
        container: (
            &["10.100.10.102/30 brd 10.100.10.103 scope global", "1.2.3.4/32 scope global"],
            &["default via 10.100.10.101 src 1.2.3.4 proto static"],
        ),
    };
    let gateway = json!({"gateway": {"network": "10.100.10.100/30"}});
    assert_scheme(&gateway, &["1.2.3.4/32"], &sides);
    let gateway = json!({"gateway": {"scheme": "interconnect", "network": ["10.100.10.100/30"]}});
    assert_scheme(&gateway, &["1.2.3.4/32"], &sides);
}

/// The second example: a wide network with both addresses chosen.
#[test]
fn interconnect_with_chosen_addresses() {
    let sides = Sides {
        host: (&["10.0.0.254/24 brd 10.0.0.255 scope global"], &["1.2.3.4 via 10.0.0.1 proto 171"]),
        container: (
            &["10.0.0.1/24 brd 10.0.0.255 scope global", "1.2.3.4/32 scope global"],
            &["default via 10.0.0.254 src 1.2.3.4 proto static"],
        ),
    };
    let gateway = json!({"gateway": {"network": "10.0.0.0/24", "host": "10.0.0.254", "container": "10.0.0.1"}});
    assert_scheme(&gateway, &["1.2.3.4/32"], &sides);
}

/// With one address chosen, the other is the first or second that is left.
#[test]
fn interconnect_with_one_chosen_address() {
    for (keys, host, container) in [
        (json!({"host": "10.0.0.254"}), "10.0.0.254", "10.0.0.1"),
        (json!({"container": "10.0.0.1"}), "10.0.0.2", "10.0.0.1"),
        (json!({"container": "10.0.0.9"}), "10.0.0.1", "10.0.0.9"),
    ] {
        let (lab, mut conf) = (Lab::new(), with_addresses(&[V4], &json!({"gateway": keys})));
        conf["gateway"]["network"] = json!("10.0.0.0/24");
        let c = lab.container("c");
        let attached = Attached::new(&lab, &conf, &c);
        assert_eq!(lab.host().addresses(&attached.link), [format!("{host}/24")], "{keys}");
        assert!(c.netns().addresses("eth0").contains(&format!("{container}/24")), "{keys}");
    }
}

/// A /31 has no broadcast address: both addresses are used.
#[test]
fn interconnect_of_two_addresses() {
    let sides = Sides {
        host: (&["10.100.20.0/31 scope global"], &["10.30.0.7 via 10.100.20.1 proto 171"]),
        container: (
            &["10.100.20.1/31 scope global", "10.30.0.7/32 scope global"],
            &["default via 10.100.20.0 src 10.30.0.7 proto static"],
        ),
    };
    assert_scheme(&json!({"gateway": {"network": "10.100.20.0/31"}}), &[V4], &sides);
}

/// A /126 begins after the routers' anycast address, a /127 does without it (RFC 6164).
#[test]
fn interconnect_of_ipv6() {
    for (network, host, container) in [
        ("2001:db8:100::/126", "2001:db8:100::1", "2001:db8:100::2"),
        ("2001:db8:100::/127", "2001:db8:100::", "2001:db8:100::1"),
    ] {
        let length = network.split('/').nth(1).expect("a length");
        let sides = Sides {
            host: (
                &[&format!("{host}/{length} scope global nodad"), "fe80::1/64 scope link nodad"],
                &[&format!("2001:db8:30::7 via {container} metric 1024 proto 171")],
            ),
            container: (
                &[
                    &format!("{container}/{length} scope global nodad"),
                    "2001:db8:30::7/128 scope global nodad",
                    "fe80::2/64 scope link nodad",
                ],
                &[&format!("default via {host} src 2001:db8:30::7 metric 1024 proto static")],
            ),
        };
        assert_scheme(&json!({"gateway": {"network": network}}), &[V6], &sides);
    }
}

/// One interconnecting network of each family.
#[test]
fn interconnect_of_both_families() {
    let sides = Sides {
        host: (
            &[
                "10.100.10.101/30 brd 10.100.10.103 scope global",
                "2001:db8:100::1/126 scope global nodad",
                "fe80::1/64 scope link nodad",
            ],
            &["10.30.0.7 via 10.100.10.102 proto 171", "2001:db8:30::7 via 2001:db8:100::2 metric 1024 proto 171"],
        ),
        container: (
            &[
                "10.100.10.102/30 brd 10.100.10.103 scope global",
                "10.30.0.7/32 scope global",
                "2001:db8:100::2/126 scope global nodad",
                "2001:db8:30::7/128 scope global nodad",
                "fe80::2/64 scope link nodad",
            ],
            &[
                "default via 10.100.10.101 src 10.30.0.7 proto static",
                "default via 2001:db8:100::1 src 2001:db8:30::7 metric 1024 proto static",
            ],
        ),
    };
    assert_scheme(&json!({"gateway": {"network": ["10.100.10.100/30", "2001:db8:100::/126"]}}), &[V4, V6], &sides);
}

/// A family without an interconnecting network has its gateway on the link.
#[test]
fn interconnect_of_the_other_family() {
    let lab = Lab::new();
    let conf = with_addresses(&[V4, V6], &json!({"gateway": {"network": "10.100.10.100/30"}}));
    let c = lab.container("c");
    Attached::new(&lab, &conf, &c);
    assert!(lab.host().ping("10.30.0.7") && lab.host().ping("2001:db8:30::7"));
    assert!(c.netns().ping(crate::common::HOST_V4) && c.netns().ping(crate::common::HOST_V6));
}

/// Several addresses of both families: each has its route, the container is reached by each and has one way out.
#[test]
fn several_addresses() {
    let lab = Lab::new();
    let c = lab.container("c");
    let given = ["10.30.0.7/32", "10.30.9.8/24", "2001:db8:30::7/128", "2001:db8:31::8/64"];
    let attached = Attached::new(&lab, &with_addresses(&given, &json!({})), &c);
    attached.assert_is(
        (
            &["169.254.0.1/32 scope host", "fe80::1/64 scope link nodad"],
            &[
                "10.30.0.7 proto 171 scope link",
                "10.30.9.8 proto 171 scope link",
                "2001:db8:30::7 metric 1024 proto 171",
                "2001:db8:31::8 metric 1024 proto 171",
            ],
        ),
        (
            &[
                "10.30.0.7/32 scope global",
                "10.30.9.8/32 scope global",
                "2001:db8:30::7/128 scope global nodad",
                "2001:db8:31::8/128 scope global nodad",
                "fe80::2/64 scope link nodad",
            ],
            &["default via 169.254.0.1 proto static onlink", "default via fe80::1 metric 1024 proto static"],
        ),
    );
    for address in given {
        let address = address.split('/').next().expect("an address");
        assert!(lab.host().ping(address), "{address}");
    }
    let routes = attached.result["routes"].as_array().expect("routes").iter();
    let defaults: Vec<_> = routes.map(|route| text_of(&route["dst"])).collect();
    assert_eq!(defaults, ["0.0.0.0/0", "::/0"]);
}
