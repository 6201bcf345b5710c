//! Whether the host forwards, and whether it will still have a default route.

use std::collections::BTreeSet;

use super::{Finding, HostFacts, Level, all_of, set_sysctl, some_of};
use crate::model::{Family, Forwarding};

const IPV4: &str = "ipv4/ip_forward";
const IPV6: &str = "ipv6/conf/all/forwarding";

/// IPv4 is decided by the link that a packet comes in by (`IN_DEV_FORWARD`), IPv6 by one switch for all, or since
/// Linux 6.17 by the incoming link's `force_forwarding`.
pub(super) fn forwarding(facts: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for family in Family::BOTH {
        let users: Vec<_> = facts.moored.iter().filter(|moored| moored.families.contains(&family)).collect();
        if users.is_empty() {
            found.extend(not_yet_needed(facts, family));
            continue;
        }
        let names: Vec<String> = users.iter().map(|moored| moored.name.clone()).collect();
        let own: BTreeSet<&str> = users.iter().map(|moored| moored.link.as_str()).collect();
        let uplinks = facts.uplinks.iter().filter(|uplink| uplink.family == family);
        let uplinks: BTreeSet<&str> = uplinks.map(|uplink| uplink.link.as_str()).collect();
        let is_off = |link: &&str| facts.sysctl(&link_key(family, link)).is_some_and(|value| value == "0");
        let is_off_for_all = facts.sysctl(all_key(family)) == Some("0");
        // force_forwarding says the same for one link as the switch for all; it is missing in older kernels.
        let is_forced = |link: &&str| facts.sysctl(&format!("ipv6/conf/{link}/force_forwarding")) == Some("1");
        let (own_off, uplinks_off): (Vec<&str>, Vec<&str>) = match family {
            Family::V4 => (own.into_iter().filter(is_off).collect(), uplinks.into_iter().filter(is_off).collect()),
            Family::V6 if is_off_for_all => (own.into_iter().filter(|link| !is_forced(link)).collect(), Vec::new()),
            Family::V6 => (Vec::new(), Vec::new()),
        };
        if is_off_for_all && !own_off.is_empty() {
            let what = format!("{} forwarding is off", text(family));
            let why = format!("{} cannot send to anything beyond the host, nor be reached", some_of(&names));
            found.push(
                Finding::new(Level::Error, sysctl_name(all_key(family)), what, why).mended_by(turn_on(facts, family)),
            );
            continue;
        }
        for (links, level, whose) in [
            (own_off, Level::Error, "what its container sends is dropped"),
            (uplinks_off, Level::Warning, "what comes from the host's default route to containers is dropped"),
        ] {
            found.extend(links.into_iter().map(|link| {
                let what = format!("{} forwarding is off on {link}", text(family));
                Finding::new(level, link, what, whose).mended_by(set_sysctl(&link_key(family, link), 1))
            }));
        }
    }
    found
}

/// Nobody uses it now: what matters is what the networks would make of it.
fn not_yet_needed(facts: &HostFacts, family: Family) -> Option<Finding> {
    if facts.sysctl(all_key(family)) != Some("0") {
        return None;
    }
    let served = facts.served.iter().filter(|served| served.families.contains(&family));
    let (strict, lenient): (Vec<_>, Vec<_>) = served.partition(|served| served.forwarding != Forwarding::Enable);
    let what = format!("{} forwarding is off", text(family));
    let about = sysctl_name(all_key(family));
    if let Some(network) = strict.first() {
        let why = match network.forwarding {
            Forwarding::Require => format!("network {} requires it: ADD is refused", network.name),
            _ => {
                format!("network {} does not turn it on: its containers will reach nothing but the host", network.name)
            }
        };
        return Some(Finding::new(Level::Warning, about, what, why).mended_by(turn_on(facts, family)));
    }
    let network = lenient.first()?;
    let why = format!("the first container of network {} turns it on: there is nothing to do", network.name);
    Some(Finding::new(Level::Note, about, what, why))
}

/// Default routes that were learnt from router advertisements, which a host that forwards does not hear unless
/// `accept_ra` is 2 (`ipv6_accept_ra()` in `include/net/ipv6.h`).
pub(super) fn router_advertisements(facts: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for uplink in facts.uplinks.iter().filter(|uplink| uplink.family == Family::V6 && uplink.is_learnt) {
        let link = &uplink.link;
        if facts.sysctl(&accept_ra(link)) != Some("1") {
            continue; // 2: it goes on hearing; 0: somebody in user space hears for the kernel
        }
        let forwards = facts.sysctl(&link_key(Family::V6, link)) == Some("1");
        if forwards {
            let why = "a host that forwards IPv6 hears no advertisements unless accept_ra is 2: the route goes when \
                       its lifetime ends, and with it IPv6 of host and containers";
            let what = format!("the IPv6 default route by {link} was learnt from advertisements and will be lost");
            found.push(Finding::new(Level::Warning, link, what, why).mended_by(set_sysctl(&accept_ra(link), 2)));
        } else if facts.needs(Family::V6) {
            let what = format!("the IPv6 default route by {link} would be lost if forwarding were turned on by hand");
            let why = "springline sets accept_ra to 2 before it turns IPv6 forwarding on; other programs do not";
            found.push(Finding::new(Level::Note, link, what, why).mended_by(set_sysctl(&accept_ra(link), 2)));
        }
    }
    found
}

/// Turns forwarding on without losing a default route.
fn turn_on(facts: &HostFacts, family: Family) -> String {
    let learnt = facts.uplinks.iter().filter(|uplink| uplink.is_learnt && family == Family::V6);
    let at_risk = learnt.filter(|uplink| facts.sysctl(&accept_ra(&uplink.link)) == Some("1"));
    let mut commands: Vec<String> = at_risk.map(|uplink| set_sysctl(&accept_ra(&uplink.link), 2)).collect();
    commands.push(set_sysctl(all_key(family), 1));
    all_of(&commands)
}

fn accept_ra(link: &str) -> String {
    format!("ipv6/conf/{link}/accept_ra")
}

fn all_key(family: Family) -> &'static str {
    match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    }
}

fn link_key(family: Family, link: &str) -> String {
    match family {
        Family::V4 => format!("ipv4/conf/{link}/forwarding"),
        Family::V6 => format!("ipv6/conf/{link}/forwarding"),
    }
}

fn sysctl_name(key: &str) -> String {
    format!("net.{}", key.replace('/', "."))
}

fn text(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::super::sysctls::tests::{known, moored};
    use super::super::{Served, Uplink};
    use super::*;

    fn uplink(family: Family, is_learnt: bool) -> Uplink {
        Uplink { link: "eth0".into(), family, is_learnt }
    }

    #[test]
    fn off_for_all() {
        let mut facts = known(&[(IPV4, "0"), ("ipv4/conf/veth1/forwarding", "0"), ("ipv4/conf/eth0/forwarding", "0")]);
        facts.moored.push(moored());
        facts.uplinks.push(uplink(Family::V4, false));
        let found = forwarding(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].level, found[0].mend.as_deref()), (Level::Error, Some("sysctl -w net.ipv4.ip_forward=1")));
    }

    #[test]
    fn off_on_single_links() {
        let mut facts = known(&[(IPV4, "1"), ("ipv4/conf/veth1/forwarding", "1"), ("ipv4/conf/eth0/forwarding", "0")]);
        facts.moored.push(moored());
        facts.uplinks.push(uplink(Family::V4, false));
        let found = forwarding(&facts);
        assert_eq!(found[0].mend.as_deref(), Some("sysctl -w net.ipv4.conf.eth0.forwarding=1"));
        assert_eq!((found.len(), found[0].level), (1, Level::Warning));
        // The reverse: off for all, on where it counts.
        let pairs = [(IPV4, "0"), ("ipv4/conf/veth1/forwarding", "1"), ("ipv4/conf/eth0/forwarding", "1")];
        facts.sysctls = known(&pairs).sysctls;
        assert_eq!(forwarding(&facts), []);
    }

    #[test]
    fn ipv6_has_one_switch_and_since_6_17_one_for_each_link() {
        let mut facts = known(&[(IPV6, "0"), ("ipv6/conf/eth0/accept_ra", "1")]);
        facts.moored.push(moored());
        facts.uplinks.push(uplink(Family::V6, true));
        let mend = "sysctl -w net.ipv6.conf.eth0.accept_ra=2 && sysctl -w net.ipv6.conf.all.forwarding=1";
        assert_eq!(forwarding(&facts)[0].mend.as_deref(), Some(mend));
        facts.sysctls.insert("ipv6/conf/veth1/force_forwarding".into(), "1".into());
        assert_eq!(forwarding(&facts), []);
    }

    #[test]
    fn what_networks_say_counts_while_nobody_is_there() {
        for (wanted, level) in [
            (Forwarding::Enable, Level::Note),
            (Forwarding::Require, Level::Warning),
            (Forwarding::Leave, Level::Warning),
        ] {
            let mut facts = known(&[(IPV4, "0"), (IPV6, "1")]);
            facts.served.push(Served {
                name: "n".into(),
                families: vec![Family::V4],
                forwarding: wanted,
                is_bridged: false,
                has_vlan: false,
                links: Vec::new(),
                limits: [false, false],
            });
            let found = forwarding(&facts);
            assert_eq!(found.iter().map(|finding| finding.level).collect::<Vec<_>>(), [level]);
        }
    }

    #[test]
    fn learnt_routes_are_at_risk_only_where_the_kernel_hears_and_forwards() {
        for (accept_ra, forwarding, is_learnt, level) in [
            ("1", "1", true, Some(Level::Warning)),
            ("1", "0", true, Some(Level::Note)),
            ("2", "1", true, None),
            ("0", "1", true, None),
            ("1", "1", false, None),
        ] {
            let mut facts =
                known(&[("ipv6/conf/eth0/accept_ra", accept_ra), ("ipv6/conf/eth0/forwarding", forwarding)]);
            facts.uplinks.push(uplink(Family::V6, is_learnt));
            facts.moored.push(moored());
            let found = router_advertisements(&facts);
            assert_eq!(found.first().map(|finding| finding.level), level, "{accept_ra} {forwarding}");
            assert!(
                found
                    .iter()
                    .all(|finding| { finding.mend.as_deref() == Some("sysctl -w net.ipv6.conf.eth0.accept_ra=2") })
            );
        }
    }
}
