//! `proxy`: containers with addresses of the network that the host itself is on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::cni::merged;
use crate::common::state::assert_unchanged;
use crate::common::{Lab, Netns, OUTSIDE_V4, OUTSIDE_V6, eventually, text_of};
use crate::support::{Attached, assert_refused, bridged, springline, with_addresses};

/// On the uplink's network, which the outside world is on, too.
const V4: &str = "198.18.0.77";
const V6: &str = "2001:db8:ffff::77";

fn network(keys: &Value) -> Value {
    with_addresses(&[&format!("{V4}/32"), &format!("{V6}/128")], keys)
}

/// For which addresses a host answers, and where.
fn proxies(host: &Netns) -> Vec<String> {
    let text = host.shell("ip -4 neigh show proxy; ip -6 neigh show proxy");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn both() -> Vec<String> {
    [V4, V6].map(|address| format!("{address} dev uplink proxy")).into()
}

/// The neighbours see the container at the host's MAC; all ways work, and when it goes, nobody answers.
#[test]
fn the_host_answers_for_it() {
    for proxy in [json!("auto"), json!("uplink"), json!({"link": "uplink"}), json!({"probe": false})] {
        let lab = Lab::with_uplink();
        let before = lab.host_state();
        let c = lab.container("c");
        let attached = Attached::new(&lab, &network(&json!({ "proxy": proxy })), &c);
        assert_eq!(proxies(lab.host()), both(), "{proxy}");
        assert!(lab.outside().ping(V4) && lab.outside().ping(V6), "from the network");
        assert!(c.netns().ping(OUTSIDE_V4) && c.netns().ping(OUTSIDE_V6), "to the network");
        assert!(lab.host().ping(V4) && lab.host().ping(V6), "from the host");
        let host = text_of(&lab.host().link("uplink").expect("the uplink")["address"]).to_owned();
        for neighbour in lab.outside().ip_json("neigh show dev downlink") {
            if [V4, V6].contains(&text_of(&neighbour["dst"])) {
                assert_eq!(neighbour["lladdr"], host.as_str(), "{neighbour}");
            }
        }
        attached.detach();
        assert_eq!(proxies(lab.host()), Vec::<String>::new());
        assert_unchanged(&before, &lab.host_state());
    }
}

/// Before and after, nobody does.
#[test]
fn without_it_nobody_answers() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    assert!(!lab.outside().ping(V4) && !lab.outside().ping(V6));
    lab.outside().ip("neigh flush dev downlink");
    let attached = Attached::new(&lab, &network(&json!({"proxy": "auto"})), &c);
    assert!(lab.outside().ping(V4) && lab.outside().ping(V6), "the control");
    attached.detach();
    lab.outside().ip("neigh flush dev downlink");
    assert!(!lab.outside().ping(V4) && !lab.outside().ping(V6));
}

/// Who has the address already is asked, and named; unless nobody is to be asked, for it is to move.
#[test]
fn an_address_in_use_is_not_given_out() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    for (address, family) in [(V4, "-4"), (V6, "-6")] {
        let length = if family == "-4" { "/32" } else { "/128 nodad" };
        lab.outside().ip(&format!("{family} address add {address}{length} dev downlink"));
        let mac = text_of(&lab.outside().link("downlink").expect("a link")["address"]).to_owned();
        // Known neighbours and unknown ones.
        for asked_before in [true, false] {
            if asked_before {
                assert!(lab.host().ping(address), "the control: somebody has it");
            } else {
                lab.host().ip("neigh flush dev uplink");
            }
            assert_refused(&lab, &network(&json!({"proxy": "auto"})), &c, 7, &[address, &mac, "uplink", "probe"]);
        }
        let conf = network(&json!({"proxy": {"link": "auto", "probe": false}}));
        let attached = Attached::new(&lab, &conf, &c);
        attached.detach();
        lab.outside().ip(&format!("{family} address flush dev downlink to {address}"));
    }
    lab.host().ip("neigh flush dev uplink");
    let attached = Attached::new(&lab, &network(&json!({"proxy": "auto"})), &c);
    let asked = |one: &Value| [V4, V6].contains(&text_of(&one["dst"]));
    let trace: Vec<Value> = lab.host().ip_json("neigh show dev uplink").into_iter().filter(asked).collect();
    assert_eq!(trace, Vec::<Value>::new(), "no trace of the question");
    attached.detach();
}

/// The kernel itself asks nobody from a link without a link-local address, or while it is tentative, as it is for a second
/// or two after the link came up.
#[test]
fn a_link_without_link_local_address_asks_too() {
    let lab = Lab::with_uplink();
    lab.host().ip("-6 address flush dev uplink scope link");
    let c = lab.container("c");
    let conf = network(&json!({"proxy": "auto"}));
    let attached = Attached::new(&lab, &conf, &c); // the control: nobody has it
    attached.detach();
    lab.outside().ip(&format!("-6 address add {V6}/128 nodad dev downlink"));
    let mac = text_of(&lab.outside().link("downlink").expect("a link")["address"]).to_owned();
    assert_refused(&lab, &conf, &c, 7, &[V6, &mac, "uplink", "probe"]);
}

/// The network remembers another host's MAC for the address; word goes round, and it is the new one's at once.
#[test]
fn the_network_learns_of_it_at_once() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let stale = "02:00:00:00:00:99";
    let knows = |mac: &str| {
        let all = lab.outside().ip_json("neigh show dev downlink");
        all.iter().filter(|one| [V4, V6].contains(&text_of(&one["dst"])) && one["lladdr"] == mac).count()
    };
    let host = text_of(&lab.host().link("uplink").expect("the uplink")["address"]).to_owned();
    // The best of three: what is measured includes the program that looks, on a machine that may be busy.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        for address in [V4, V6] {
            lab.outside().ip(&format!("neigh replace {address} lladdr {stale} dev downlink nud reachable"));
        }
        assert_eq!(knows(stale), 2, "the control");
        let attached = Attached::new(&lab, &network(&json!({"proxy": "auto"})), &c);
        let begin = Instant::now();
        eventually("the network has learnt of it", || knows(&host) == 2);
        best = best.min(begin.elapsed());
        assert!(lab.outside().ping(V4) && lab.outside().ping(V6));
        attached.detach();
    }
    println!("take-over: {} ms from the end of ADD", best.as_millis());
    assert!(best < Duration::from_millis(200), "{best:?}");
}

/// What is gone of it is missed, and put back; what a dead container leaves goes; addresses that come and go do so here, too.
#[test]
fn it_is_looked_after() {
    let lab = Lab::with_uplink();
    let before = lab.host_state();
    let c = lab.container("c");
    let _attached = Attached::new(&lab, &network(&json!({"proxy": "auto"})), &c);
    for (line, missing) in [
        (format!("ip neigh del proxy {V4} dev uplink"), format!("ip neigh add proxy {V4} dev uplink")),
        (format!("ip neigh del proxy {V6} dev uplink"), format!("ip neigh add proxy {V6} dev uplink")),
        ("echo 0 > /proc/sys/net/ipv6/conf/all/proxy_ndp".to_owned(), "ipv6/conf/all/proxy_ndp=1".to_owned()),
        ("echo 0 > /proc/sys/net/ipv6/conf/uplink/proxy_ndp".to_owned(), "ipv6/conf/uplink/proxy_ndp=1".to_owned()),
    ] {
        lab.host().shell(&line);
        let (ok, said) = springline(&lab, &["check"]);
        assert!(!ok && said.contains(&missing), "{line}: {said}");
        let (ok, said) = springline(&lab, &["check", "--repair"]);
        assert!(ok, "{said}");
        assert_eq!(proxies(lab.host()), both());
        assert!(springline(&lab, &["check"]).0);
    }
    let (ok, said) = springline(&lab, &["ip", "add", "c", "eth0", "198.18.0.78"]);
    assert!(ok, "{said}");
    assert!(lab.outside().ping("198.18.0.78") && proxies(lab.host()).len() == 3);
    let (ok, said) = springline(&lab, &["ip", "del", "c", "eth0", "198.18.0.78"]);
    assert!(ok, "{said}");
    assert_eq!(proxies(lab.host()), both());
    c.kill();
    assert!(springline(&lab, &["gc"]).0);
    assert_eq!(proxies(lab.host()), Vec::<String>::new());
    assert_unchanged(&before, &lab.host_state());
}

/// Entries that somebody else has made stay, whoever uses them.
#[test]
fn an_entry_of_somebody_elses_stays() {
    let lab = Lab::with_uplink();
    lab.host().ip(&format!("neigh add proxy {V4} dev uplink"));
    let c = lab.container("c");
    let attached = Attached::new(&lab, &network(&json!({"proxy": "auto"})), &c);
    assert_eq!(proxies(lab.host()), both());
    attached.detach();
    assert_eq!(proxies(lab.host()), vec![format!("{V4} dev uplink proxy")]);
}

/// Where there is nothing to answer on, and what makes no sense, is refused.
#[test]
fn where_nobody_can_answer_is_refused() {
    let lab = Lab::with_uplink();
    let c = lab.container("c");
    let elsewhere = with_addresses(&["10.66.0.7/32"], &json!({"proxy": "auto"}));
    assert_refused(&lab, &elsewhere, &c, 7, &["10.66.0.7", "no network that it is in"]);
    assert_refused(&lab, &network(&json!({"proxy": "eth9"})), &c, 7, &["no link eth9"]);
    assert_refused(&lab, &network(&json!({"proxy": true})), &c, 7, &["neither \"auto\""]);
    assert_refused(&lab, &network(&json!({"proxy": {"prob": false}})), &c, 2, &["proxy.prob", "proxy.probe"]);
    let conf = merged(&bridged(&["10.31.0.0/24"], &json!({})), &json!({"proxy": "auto"}));
    assert_refused(&lab, &conf, &c, 7, &["mode"]);
}
