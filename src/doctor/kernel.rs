//! What the kernel lacks of all that springline uses, and what that means.

use super::{Feature, Finding, HostFacts, Level};

/// Who misses a feature.
enum MissedBy {
    /// Everybody.
    All,
    /// Networks on bridges.
    Bridges,
    /// Networks in VLANs of bridges.
    Vlans,
    /// Networks in VLANs of bridges, if the host has addresses there.
    VlanGateways,
    /// Networks whose containers are limited in what they receive.
    Limits,
    /// Networks whose containers are limited in what they send.
    SendLimits,
    /// Nobody: there is something else that does.
    Nobody,
}

/// What is asked for: by the name of the feature, who misses it, what that means, and the module that has it.
const FEATURES: [(&str, MissedBy, &str, &str); 11] = [
    ("veth", MissedBy::All, "no container can be attached", "veth"),
    ("nf_tables", MissedBy::All, "anti-spoofing, masquerade and ports need it: ADD is refused", "nf_tables"),
    (
        "netns cookie",
        MissedBy::All,
        "a namespace cannot be told from another one at the same path: Linux 5.14 or newer is needed",
        "",
    ),
    ("bridge", MissedBy::Bridges, "bridged networks cannot be served", "bridge"),
    (
        "bridge VLANs",
        MissedBy::Vlans,
        "bridge.vlan cannot be served: it was built without CONFIG_BRIDGE_VLAN_FILTERING",
        "",
    ),
    ("vlan", MissedBy::VlanGateways, "the host can hold no gateway addresses in VLANs of bridges", "8021q"),
    ("tbf", MissedBy::Limits, "without cake, rates cannot be limited", "sch_tbf"),
    ("ifb", MissedBy::SendLimits, "what containers send cannot be limited", "ifb"),
    ("cake", MissedBy::Nobody, "rates are limited by tbf instead", "sch_cake"),
    ("fq_codel", MissedBy::Nobody, "where tbf limits, packets wait in a plain queue", "sch_fq_codel"),
    ("dummy", MissedBy::Nobody, "the scheme \"shared\" holds its address on a bridge without ports instead", "dummy"),
];

pub(super) fn kernel(facts: &HostFacts) -> Vec<Finding> {
    let missing = |name: &str| {
        let is_it = |feature: &&Feature| feature.name == name;
        facts.features.iter().find(is_it).and_then(|feature| feature.missing.clone())
    };
    let mut found = Vec::new();
    for (name, missed, meaning, module) in &FEATURES {
        let Some(error) = missing(name) else { continue };
        let is_missed = match missed {
            MissedBy::All => true,
            MissedBy::Bridges => facts.served.iter().any(|served| served.is_bridged),
            MissedBy::Vlans => facts.served.iter().any(|served| served.has_vlan),
            MissedBy::VlanGateways => facts.served.iter().any(|served| served.has_vlan && !served.families.is_empty()),
            MissedBy::Limits => {
                missing("cake").is_some() && facts.served.iter().any(|served| served.limits.contains(&true))
            }
            MissedBy::SendLimits => facts.served.iter().any(|served| served.limits[1]),
            MissedBy::Nobody => false,
        };
        let level = if is_missed { Level::Error } else { Level::Note };
        let finding = Finding::new(level, *name, format!("the kernel has no {name}: {error}"), *meaning);
        found.push(match *module {
            "" => finding,
            module => finding.mended_by(format!("modprobe {module}")),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Served;
    use super::*;
    use crate::model::Forwarding;

    #[test]
    fn it_depends_on_who_is_there_what_is_missed() {
        for (lacking, is_bridged, limits, levels) in [
            (&["nf_tables"][..], false, [false, false], &[Level::Error][..]),
            (&["bridge"], false, [false, false], &[Level::Note]),
            (&["bridge"], true, [false, false], &[Level::Error]),
            (&["bridge VLANs"], true, [false, false], &[Level::Error]),
            (&["bridge VLANs"], false, [false, false], &[Level::Note]),
            (&["vlan"], true, [false, false], &[Level::Note]),
            (&["ifb"], false, [true, false], &[Level::Note]),
            (&["ifb"], false, [true, true], &[Level::Error]),
            (&["cake"], false, [true, true], &[Level::Note]),
            (&["tbf"], false, [true, true], &[Level::Note]),
            (&["tbf", "cake"], false, [true, false], &[Level::Error, Level::Note]),
            (&[], true, [true, true], &[]),
        ] {
            let served = Served {
                name: "n".into(),
                families: Vec::new(),
                forwarding: Forwarding::Enable,
                is_bridged,
                has_vlan: is_bridged,
                links: Vec::new(),
                limits,
            };
            let features = FEATURES
                .iter()
                .map(|(name, ..)| Feature { name, missing: lacking.contains(name).then(|| "ENOENT".to_owned()) });
            let facts = HostFacts { served: vec![served], features: features.collect(), ..HostFacts::default() };
            let found: Vec<Level> = kernel(&facts).iter().map(|finding| finding.level).collect();
            assert_eq!(found, levels, "{lacking:?}");
        }
    }
}
