//! sysctls of the host that keep containers from working.

use super::{Finding, HostFacts, Level, Moored, all_of, set_sysctl};
use crate::model::{Family, Gateway};

/// The strict filter takes a packet only if the host would answer it by the link that it came in by. Containers whose
/// addresses are routed to them pass; two kinds do not.
pub(super) fn rp_filter(facts: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for moored in facts.moored.iter().filter(|moored| moored.families.contains(&Family::V4)) {
        let Moored { link, name, .. } = moored;
        if facts.greater_of_ipv4(link, "rp_filter") != Some(1) {
            continue;
        }
        let (level, what, why) = if let Some(address) = &moored.astray {
            let why = format!(
                "the host's routes lead to {address} by another link, or not at all (is there a rule for the table of \
                 its routes?): all that {name} sends from there is dropped"
            );
            (Level::Error, format!("strict on {link}, and the way back to {address} is another one"), why)
        } else if !moored.anti_spoof {
            let what = format!("strict on {link}, by which {name} may send from any address (\"antiSpoof\": false)");
            (
                Level::Warning,
                what,
                "what it sends from addresses that are not routed to it is dropped all the same".into(),
            )
        } else {
            continue;
        };
        // The greater of `all` and the link's own counts: 2, loose, is greater than any 1.
        let mend = set_sysctl(&format!("ipv4/conf/{link}/rp_filter"), 2);
        found.push(Finding::new(level, link, what, why).mended_by(mend));
    }
    found
}

/// Who must be answered by ARP for an address that the host holds elsewhere or with scope host is not, if the host is
/// strict (`arp_ignore()` in `net/ipv4/arp.c`).
pub(super) fn arp_ignore(facts: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for moored in facts.moored.iter().filter(|moored| moored.families.contains(&Family::V4)) {
        let Moored { link, name, gateway, .. } = moored;
        let Some(value) = facts.greater_of_ipv4(link, "arp_ignore") else { continue };
        // 1: only addresses on the link itself; 2: and only to askers of the same subnet; 3: none with scope host;
        // 8: none at all. Others are as 0.
        let (allowed, silent): (u64, &[u64]) = match gateway {
            Some(Gateway::LinkLocal) => (1, &[2, 3, 8]),
            Some(Gateway::Shared(_)) => (0, &[1, 2, 3, 8]),
            Some(Gateway::Interconnect(_)) => (1, &[2, 8]),
            None => (2, &[8]),
            Some(Gateway::Inet6 | Gateway::None) => continue,
        };
        if !silent.contains(&value) {
            continue;
        }
        let why = format!(
            "the host does not answer {name}, which asks for its gateway: it reaches nothing by IPv4. (The scheme \
             \"inet6\" needs no answer by ARP.)"
        );
        let keys = ["all", link].map(|name| format!("ipv4/conf/{name}/arp_ignore"));
        let culprits = keys.iter().filter(|key| facts.number(key).is_some_and(|value| value > allowed));
        let mends: Vec<String> = culprits.map(|key| set_sysctl(key, allowed)).collect();
        let what = format!("{value} on {link}, and its gateway is of the scheme {:?}", scheme(gateway.as_ref()));
        found.push(Finding::new(Level::Error, link, what, why).mended_by(all_of(&mends)));
    }
    found
}

fn scheme(gateway: Option<&Gateway>) -> &'static str {
    match gateway {
        Some(Gateway::LinkLocal) => "link-local",
        Some(Gateway::Inet6) => "inet6",
        Some(Gateway::Shared(_)) => "shared",
        Some(Gateway::Interconnect(_)) => "interconnect",
        Some(Gateway::None) => "none",
        None => "bridge",
    }
}

/// IPv6 that is switched off where it is needed.
pub(super) fn disable_ipv6(facts: &HostFacts) -> Vec<Finding> {
    let is_off = |link: &str| facts.sysctl(&format!("ipv6/conf/{link}/disable_ipv6")) == Some("1");
    let turn_on = |link: &str| set_sysctl(&format!("ipv6/conf/{link}/disable_ipv6"), 0);
    let in_need: Vec<&Moored> = facts.moored.iter().filter(|moored| moored.needs_ipv6).collect();
    if in_need.is_empty() && !facts.needs(Family::V6) {
        return Vec::new();
    }
    if facts.has_ipv6 == Some(false) {
        let why = "networks with IPv6 cannot be served; ipv6.disable=1 on the kernel's command line has this effect";
        return vec![Finding::new(Level::Error, "", "the kernel has no IPv6", why)];
    }
    let mut found = Vec::new();
    for moored in in_need.into_iter().filter(|moored| is_off(&moored.link)) {
        let Moored { link, name, .. } = moored;
        let why = format!("the host's link-local address, by which {name} is connected, is gone");
        // What was on the link went with IPv6; its record says what that was.
        let mend = all_of(&[turn_on(link), format!("springline check --repair {name}")]);
        found.push(Finding::new(Level::Error, link, format!("IPv6 is off on {link}"), why).mended_by(mend));
    }
    if is_off("default") {
        let why = "links are made without IPv6: the next ADD to a network with IPv6 fails";
        let what = "IPv6 is off for new links";
        found.push(Finding::new(Level::Error, "default", what, why).mended_by(turn_on("default")));
    }
    let uplinks = facts.uplinks.iter().map(|uplink| uplink.link.as_str());
    let uplinks: std::collections::BTreeSet<&str> = uplinks.filter(|link| is_off(link)).collect();
    for link in uplinks.into_iter().filter(|_| facts.needs(Family::V6)) {
        let why = "containers with IPv6 reach nothing by it";
        found.push(
            Finding::new(Level::Warning, link, format!("IPv6 is off on the uplink {link}"), why)
                .mended_by(turn_on(link)),
        );
    }
    found
}

/// Room in the neighbour tables, which are the whole machine's: at `gc_thresh3` entries, the next neighbour gets none
/// and is unreachable.
pub(super) fn neighbours(facts: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, family) in ["ipv4", "ipv6"].into_iter().enumerate() {
        let key = format!("{family}/neigh/default/gc_thresh3");
        let Some(limit) = facts.number(&key) else { continue }; // shown in the first namespace only
        let sum: usize = facts.moored.iter().map(|moored| moored.neighbours[at]).sum();
        let expected = u64::try_from(sum).unwrap_or(u64::MAX);
        // The rest of the host has neighbours, too: a quarter is theirs.
        if expected <= limit / 4 * 3 {
            continue;
        }
        let what = format!("{limit} entries at most, and containers alone take {expected}");
        let why = "a container for which there is no entry left is not reached (\"neighbour: table overflow!\")";
        let room = expected.saturating_mul(2).max(1024).next_power_of_two();
        let about = format!("net.{}", key.replace('/', "."));
        found.push(Finding::new(Level::Warning, about, what, why).mended_by(set_sysctl(&key, room)));
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A host with these sysctls.
    pub(in super::super) fn known(sysctls: &[(&str, &str)]) -> HostFacts {
        let sysctls = sysctls.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        HostFacts { sysctls, ..HostFacts::default() }
    }

    /// A routed container with both families behind `veth1`.
    pub(in super::super) fn moored() -> Moored {
        Moored {
            name: "n/c/eth0".into(),
            link: "veth1".into(),
            families: Family::BOTH.to_vec(),
            gateway: Some(Gateway::LinkLocal),
            needs_ipv6: true,
            anti_spoof: true,
            astray: None,
            neighbours: [1, 2],
        }
    }

    #[test]
    fn strict_filters_hurt_two_kinds_of_containers() {
        for (all, own, strict) in [("0", "1", true), ("1", "0", true), ("0", "0", false), ("2", "1", false)] {
            let mut facts = known(&[("ipv4/conf/all/rp_filter", all), ("ipv4/conf/veth1/rp_filter", own)]);
            facts.moored = vec![moored()];
            assert_eq!(rp_filter(&facts), [], "as it usually is");
            facts.moored[0].anti_spoof = false;
            assert_eq!(rp_filter(&facts).iter().any(|found| found.level == Level::Warning), strict, "{all} {own}");
            facts.moored[0].astray = Some("10.0.0.1".into());
            assert_eq!(rp_filter(&facts).iter().any(|found| found.level == Level::Error), strict, "{all} {own}");
        }
    }

    #[test]
    fn each_scheme_has_values_that_silence_it() {
        let shared = Gateway::Shared(Ipv4Addr::BROADCAST);
        for (gateway, silent) in [
            (Some(Gateway::LinkLocal), &[2, 3, 8][..]),
            (Some(shared), &[1, 2, 3, 8]),
            (Some(Gateway::Interconnect(Vec::new())), &[2, 8]),
            (Some(Gateway::Inet6), &[]),
            (Some(Gateway::None), &[]),
            (None, &[8]),
        ] {
            for value in 0..=8 {
                let text = value.to_string();
                let mut facts = known(&[("ipv4/conf/all/arp_ignore", &text), ("ipv4/conf/veth1/arp_ignore", "0")]);
                facts.moored = vec![Moored { gateway: gateway.clone(), ..moored() }];
                assert_eq!(!arp_ignore(&facts).is_empty(), silent.contains(&value), "{gateway:?} {value}");
            }
        }
    }

    #[test]
    fn whoever_is_too_strict_is_named() {
        let mut facts = known(&[("ipv4/conf/all/arp_ignore", "2"), ("ipv4/conf/veth1/arp_ignore", "1")]);
        facts.moored = vec![moored()];
        assert_eq!(arp_ignore(&facts)[0].mend.as_deref(), Some("sysctl -w net.ipv4.conf.all.arp_ignore=1"));
        facts.sysctls.insert("ipv4/conf/veth1/arp_ignore".into(), "8".into());
        assert!(arp_ignore(&facts)[0].mend.as_deref().is_some_and(|mend| mend.contains(" && ")));
    }

    #[test]
    fn ipv6_is_missed_only_by_those_who_need_it() {
        let off = [("ipv6/conf/veth1/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")];
        let mut facts = known(&off);
        facts.moored = vec![Moored { families: vec![Family::V4], needs_ipv6: false, ..moored() }];
        assert_eq!(disable_ipv6(&facts), []);
        facts.moored = vec![moored()];
        let about: Vec<String> = disable_ipv6(&facts).into_iter().map(|finding| finding.about).collect();
        assert_eq!(about, ["veth1", "default"]);
        facts.has_ipv6 = Some(false);
        assert_eq!(disable_ipv6(&facts)[0].what, "the kernel has no IPv6");
    }

    #[test]
    fn many_containers_need_many_entries() {
        let mut facts = known(&[("ipv4/neigh/default/gc_thresh3", "1024"), ("ipv6/neigh/default/gc_thresh3", "1024")]);
        facts.moored = vec![moored(); 384];
        assert_eq!(neighbours(&facts), []);
        facts.moored = vec![moored(); 500];
        let found = neighbours(&facts);
        assert_eq!(found.len(), 1, "IPv6 has two entries for each: {found:?}");
        assert_eq!(found[0].mend.as_deref(), Some("sysctl -w net.ipv6.neigh.default.gc_thresh3=2048"));
    }
}
