//! The ruleset as `nft` shows it: what is meant is what is there.

use std::fmt::Write as _;

use serde_json::json;
use springline::plan::{Leads, Part, Set, TABLE};

use crate::common::Lab;
use crate::support::{Attached, bridged, with_ranges};

const SUBNETS: [&str; 2] = ["10.30.0.0/24", "2001:db8:30::/64"];

/// A part of the ruleset as `nft list` prints it, by chain.
fn expected(part: Part) -> Vec<(String, Vec<String>)> {
    let chains = part.chains().into_iter().filter(|chain| !chain.rules.is_empty());
    let rule = |terms: &Vec<_>| terms.iter().map(ToString::to_string).collect::<Vec<String>>().join(" ");
    chains.map(|chain| (chain.name.to_string(), chain.rules.iter().map(rule).collect())).collect()
}

/// The rules of a chain, as nft of another version may print them.
fn listed(lab: &Lab, part: Part, chain: &str) -> Vec<String> {
    let text = lab.host().shell(&format!("nft list chain {} {TABLE} {chain}", part.table()));
    let lines = text.lines().map(str::trim);
    let is_rule = |line: &&str| {
        !["table ", "chain ", "type ", "comment "].iter().any(|word| line.starts_with(word))
            && !["}", ""].contains(line)
    };
    // Since 1.0.8, nft knows what the octets are that a neighbour solicitation or advertisement is about.
    lines.filter(is_rule).map(|line| line.replace("icmpv6 taddr", "@th,64,128")).collect()
}

/// A host with every part of the ruleset.
fn everything(lab: &Lab, check: impl Fn()) {
    let (c, other) = (lab.container("c"), lab.container("other"));
    let keys = json!({"masquerade": true, "isolation": "ports"});
    let first = Attached::new(lab, &with_ranges(&SUBNETS, &keys), &c);
    let second = Attached::new(lab, &bridged(&["10.31.0.0/24"], &json!({"name": "b"})), &other);
    check();
    second.detach();
    first.detach();
}

#[test]
fn every_rule_is_listed_as_it_is_meant() {
    let lab = Lab::new();
    everything(&lab, || {
        for part in Part::ALL {
            for (chain, rules) in expected(part) {
                assert_eq!(listed(&lab, part, &chain), rules, "{part}: {chain}");
            }
        }
    });
}

#[test]
fn every_set_is_listed_with_its_type() {
    let lab = Lab::new();
    everything(&lab, || {
        for set in Set::ALL {
            let mut kind: String = set.key().iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ");
            let word = if set.leads() == Leads::Nowhere { "set" } else { "map" };
            match set.leads() {
                Leads::Nowhere => {}
                Leads::ToChain => kind.push_str(" : verdict"),
                Leads::ToIpv4 => write!(kind, " : ipv4_addr . inet_service").expect("a string"),
                Leads::ToIpv6 => write!(kind, " : ipv6_addr . inet_service").expect("a string"),
            }
            let text = lab.host().shell(&format!("nft list {word} {} {TABLE} {}", set.part().table(), set.name()));
            assert!(text.contains(&format!("type {kind}\n")), "{kind}: {text}");
            assert_eq!(text.contains("flags interval"), set.has_networks(), "{text}");
        }
    });
}

/// However many attachments come and go, and at once: each rule is there once, and none is added for any of them.
#[test]
fn rules_do_not_grow() {
    let lab = Lab::new();
    let containers: Vec<_> = (0..8).map(|number| lab.container(&format!("c{number}"))).collect();
    let conf = with_ranges(&SUBNETS, &json!({"masquerade": true}));
    std::thread::scope(|scope| {
        for container in &containers {
            scope.spawn(|| Attached::new(&lab, &conf, container));
        }
    });
    for part in [Part::Guard, Part::GuardArp, Part::Nat] {
        for (chain, rules) in expected(part) {
            assert_eq!(listed(&lab, part, &chain), rules, "{part}: {chain}");
        }
    }
}

/// A ruleset of another version is replaced, and the elements of everybody stay.
#[test]
fn another_version_is_replaced() {
    let lab = Lab::new();
    let (c, other) = (lab.container("c"), lab.container("other"));
    let conf = with_ranges(&SUBNETS, &json!({}));
    let first = Attached::new(&lab, &conf, &c);
    // As if it were of another version: a rule is missing, another is too many.
    lab.host().shell("nft flush chain inet springline guarding; nft insert rule inet springline guard counter accept");
    let second = Attached::new(&lab, &conf, &other);
    for (chain, rules) in expected(Part::Guard) {
        assert_eq!(listed(&lab, Part::Guard, &chain), rules, "{chain}");
    }
    let elements = lab.host().shell("nft list set inet springline guarded_links");
    assert!(elements.contains(&first.link) && elements.contains(&second.link), "{elements}");
    second.detach();
    first.detach();
}
