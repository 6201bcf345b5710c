//! Other people's firewalls in the way of what containers send and receive.

use super::{Finding, HostFacts, Level, all_of, set_sysctl};
use crate::plan::BRIDGE_NETFILTER;

pub(super) fn firewall(facts: &HostFacts) -> Vec<Finding> {
    let walls = facts.walls.iter().map(|wall| {
        let is_used = facts.moored.iter().any(|moored| moored.name.starts_with(&format!("{}/", wall.network)));
        let level = if is_used { Level::Error } else { Level::Warning };
        let what = format!(
            "{} drops {}, and no rule of it names the containers of network {}",
            wall.place, wall.how, wall.network
        );
        let mut why = "its verdict stands, whatever other firewalls say: containers reach the host at best".to_owned();
        if !wall.remark.is_empty() {
            why = format!("{why} ({})", wall.remark);
        }
        Finding::new(level, &wall.network, what, why).mended_by(&wall.allow)
    });
    let mut found: Vec<Finding> = walls.collect();
    if facts.legacy_tables.iter().any(|table| table == "filter") {
        let why = "what the legacy iptables drop cannot be seen from here: if containers reach nothing, look for a policy \
                   DROP and allow group 171 in FORWARD";
        found.push(
            Finding::new(Level::Note, "iptables-legacy", "its table filter is in use beside nf_tables", why)
                .mended_by("iptables-legacy -S FORWARD"),
        );
    }
    found
}

/// With `br_netfilter`, what one container sends another on the same bridge passes through the host's IP firewall.
pub(super) fn br_netfilter(facts: &HostFacts) -> Vec<Finding> {
    let on: Vec<&str> = BRIDGE_NETFILTER.into_iter().filter(|key| facts.sysctl(key) == Some("1")).collect();
    let bridged = facts.served.iter().find(|served| served.is_bridged);
    let (Some(network), false) = (bridged, on.is_empty()) else { return Vec::new() };
    let mends: Vec<String> = on.iter().map(|key| set_sysctl(key, 0)).collect();
    // Only where a firewall drops does it matter that bridged packets come by it.
    let level = if facts.walls.iter().any(|wall| wall.network == network.name) { Level::Warning } else { Level::Note };
    let what = "packets between containers on one bridge go through the host's IP firewall";
    let why = format!(
        "a firewall that drops forwarded traffic also cuts the containers of network {} off from each other. Leave it \
         on where kube-proxy or Docker need it",
        network.name
    );
    vec![Finding::new(level, "br_netfilter", what, why).mended_by(all_of(&mends))]
}

#[cfg(test)]
mod tests {
    use super::super::sysctls::tests::{known, moored};
    use super::super::{Served, Wall};
    use super::*;
    use crate::model::{Family, Forwarding};

    fn wall() -> Wall {
        Wall {
            network: "n".into(),
            place: "chain FORWARD of table ip filter".into(),
            how: "by its policy",
            allow: "iptables -P FORWARD ACCEPT".into(),
            remark: String::new(),
        }
    }

    #[test]
    fn a_wall_is_worse_when_somebody_stands_before_it() {
        let mut facts = HostFacts { walls: vec![wall()], ..HostFacts::default() };
        assert_eq!(firewall(&facts)[0].level, Level::Warning);
        facts.moored.push(moored());
        assert_eq!(firewall(&facts)[0].level, Level::Error);
    }

    #[test]
    fn legacy_tables_are_told_of() {
        let facts = HostFacts { legacy_tables: vec!["nat".into(), "filter".into()], ..HostFacts::default() };
        assert_eq!(firewall(&facts)[0].level, Level::Note);
        let facts = HostFacts { legacy_tables: vec!["nat".into()], ..HostFacts::default() };
        assert_eq!(firewall(&facts), []);
    }

    #[test]
    fn br_netfilter_is_of_concern_to_bridges() {
        let mut facts = known(&[("bridge/bridge-nf-call-iptables", "1"), ("bridge/bridge-nf-call-ip6tables", "0")]);
        assert_eq!(br_netfilter(&facts), []);
        facts.served.push(Served {
            name: "n".into(),
            families: vec![Family::V4],
            forwarding: Forwarding::Enable,
            is_bridged: true,
            has_vlan: false,
            links: Vec::new(),
            limits: [false, false],
        });
        assert_eq!(br_netfilter(&facts)[0].level, Level::Note);
        facts.walls.push(wall());
        let found = br_netfilter(&facts);
        assert_eq!(found[0].level, Level::Warning);
        assert_eq!(found[0].mend.as_deref(), Some("sysctl -w net.bridge.bridge-nf-call-iptables=0"));
    }
}
