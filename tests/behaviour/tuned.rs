//! What the reference plugin `tuning` does: sysctls and flags; and which network leads outside.

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::state::assert_unchanged;
use crate::common::{Lab, text_of};
use crate::support::{Attached, add, with_ranges};

fn conf(keys: &Value) -> Value {
    with_ranges(&["10.30.0.0/24", "2001:db8:30::/64"], keys)
}

#[test]
fn sysctls_of_the_namespace() {
    let lab = Lab::new();
    let c = lab.container("c");
    let sysctls = json!({
        "net.core.somaxconn": "777",
        "net.ipv4.conf.IFNAME.log_martians": 1,
        "net/ipv6/conf/IFNAME/hop_limit": "33",
        "net.ipv4.ip_unprivileged_port_start": "80",
    });
    let here = lab.host().read_sysctl("net/core/somaxconn");
    let attached = Attached::new(&lab, &conf(&json!({ "sysctl": sysctls })), &c);
    let inside = |key: &str| c.netns().read_sysctl(key);
    assert_eq!(inside("net/core/somaxconn"), "777");
    assert_eq!(inside("net/ipv4/conf/eth0/log_martians"), "1");
    assert_eq!(inside("net/ipv6/conf/eth0/hop_limit"), "33");
    assert_eq!(inside("net/ipv4/ip_unprivileged_port_start"), "80");
    assert_eq!(lab.host().read_sysctl("net/core/somaxconn"), here, "the host's own");
    attached.detach();
}

/// An ADD that fails puts them back; one that is not the namespace's own is refused before anything is done.
#[test]
fn sysctls_of_a_failed_add() {
    let lab = Lab::new();
    let c = lab.container("c");
    let (host, inside) = (lab.host_state(), c.netns().state());
    let before = c.netns().read_sysctl("net/core/somaxconn");
    let sysctls = json!({"net.core.somaxconn": "777", "net.core.there_is_none_such": "1"});
    let error = add(&lab, &conf(&json!({ "sysctl": sysctls })), &c, "eth0").error();
    assert!(error.text().contains("there_is_none_such"), "{}", error.text());
    assert_eq!(c.netns().read_sysctl("net/core/somaxconn"), before);
    for (key, why) in [("kernel.hostname", "not below net"), ("net/../kernel/hostname", "not the name of a sysctl")] {
        let error = add(&lab, &conf(&json!({ "sysctl": {key: "x"} })), &c, "eth0").error().with_code(7);
        assert!(error.text().contains(why), "{}", error.text());
    }
    assert_unchanged(&host, &lab.host_state());
    assert_unchanged(&inside, &c.netns().state());
}

#[test]
fn flags_and_queue() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &conf(&json!({"promisc": true, "allmulti": true, "txqueuelen": 321})), &c);
    let link = attached.inside();
    let flags: Vec<&str> = link["flags"].as_array().into_iter().flatten().map(text_of).collect();
    assert!(flags.contains(&"PROMISC") && flags.contains(&"ALLMULTI"), "{flags:?}");
    assert_eq!(link["txqlen"], 321);
    attached.detach();
    let attached = Attached::new(&lab, &conf(&json!({})), &c);
    let flags = attached.inside()["flags"].to_string();
    assert!(!flags.contains("PROMISC") && !flags.contains("ALLMULTI"), "{flags}");
    attached.detach();
}

/// A veth uses one queue each way however many it has: of more, the kernel only keeps the memory.
#[test]
fn no_queue_too_many() {
    let lab = Lab::new();
    let queues = |link: &Value| [link["num_tx_queues"].clone(), link["num_rx_queues"].clone()];
    lab.host().ip("link add plain type veth peer name other");
    let plain = lab.host().ip_json("link show plain");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if processors > 1 {
        assert_ne!(queues(&plain[0]), [json!(1), json!(1)], "the kernel has become thrifty itself");
    }
    let c = lab.container("c");
    let attached = Attached::new(&lab, &conf(&json!({})), &c);
    assert_eq!(queues(&attached.outside()), [json!(1), json!(1)]);
    assert_eq!(queues(&attached.inside()), [json!(1), json!(1)]);
    attached.detach();
}

/// The default routes of a container, as (link, metric) in the order in which they are used.
fn defaults(c: &crate::common::Container, family: &str) -> Vec<(String, u64)> {
    let routes = c.netns().ip_json(&format!("{family} route show default"));
    let mut found: Vec<(String, u64)> =
        routes.iter().map(|route| (text_of(&route["dev"]).to_owned(), route["metric"].as_u64().unwrap_or(0))).collect();
    found.sort_by_key(|(_, metric)| *metric);
    found
}

fn links(found: &[(String, u64)]) -> Vec<&str> {
    found.iter().map(|(link, _)| link.as_str()).collect()
}

/// Who leads outside of a container with several networks.
#[test]
fn default_routes_of_several_networks() {
    let lab = Lab::new();
    let c = lab.container("c");
    let other = |number: u8, keys: &Value| {
        let subnets = [format!("10.{number}.0.0/24"), format!("2001:db8:{number}::/64")];
        with_ranges(&[&subnets[0], &subnets[1]], &merged(&json!({"name": format!("n{number}")}), keys))
    };
    let first = Attached::new(&lab, &conf(&json!({})), &c);
    let behind = Attached::named(&lab, &other(31, &json!({})), &c, "eth1");
    let never = Attached::named(&lab, &other(32, &json!({"defaultRoute": false})), &c, "eth2");
    for family in ["-4", "-6"] {
        assert_eq!(links(&defaults(&c, family)), ["eth0", "eth1"], "{family}");
    }
    let lead = Attached::named(&lab, &other(33, &json!({"defaultRoute": true})), &c, "eth3");
    for family in ["-4", "-6"] {
        assert_eq!(links(&defaults(&c, family)), ["eth3", "eth0", "eth1"], "{family}: {:?}", defaults(&c, family));
    }
    // A second one goes before the first; and each of them may go without the others.
    let again = Attached::named(&lab, &other(34, &json!({"defaultRoute": true})), &c, "eth4");
    for family in ["-4", "-6"] {
        assert_eq!(links(&defaults(&c, family)), ["eth4", "eth3", "eth0", "eth1"], "{family}");
    }
    lead.detach();
    again.detach();
    for family in ["-4", "-6"] {
        assert_eq!(links(&defaults(&c, family)), ["eth0", "eth1"], "{family}");
    }
    never.detach();
    behind.detach();
    first.detach();
}

/// A metric of one's choice.
#[test]
fn metric() {
    let lab = Lab::new();
    let c = lab.container("c");
    let attached = Attached::new(&lab, &conf(&json!({"metric": 77})), &c);
    for family in ["-4", "-6"] {
        assert_eq!(defaults(&c, family), [("eth0".to_owned(), 77)]);
    }
    assert_eq!(attached.result["routes"][0]["priority"], 77);
    attached.detach();
}

/// An ADD that wants to lead and fails leaves the container's routes as they were.
#[test]
fn leading_and_failing() {
    let lab = Lab::new();
    let c = lab.container("c");
    let first = Attached::new(&lab, &conf(&json!({})), &c);
    let before = (defaults(&c, "-4"), defaults(&c, "-6"));
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "192.0.2.0/24", "gw": "203.0.113.99"}]);
    let failing = json!({"name": "b", "defaultRoute": true, "gateway": "none",
        "ipam": {"type": "springline", "ranges": [[{"subnet": "10.31.0.0/24"}]], "routes": routes}});
    add(&lab, &conf(&failing), &c, "eth1").error();
    assert_eq!((defaults(&c, "-4"), defaults(&c, "-6")), before);
    first.detach();
}
