//! The nf_tables ruleset: constant chains, and sets and maps to which attachments add elements.
//!
//! ```text
//! table inet springline      guard      prerouting raw   what a routed container may send
//!                            nat        pre-/postrouting, output: masquerade and port maps
//!                            isolation  forward          which containers reach which
//! table arp springline       guard      input            whom a routed container may claim to be
//! table bridge springline    guard      prerouting       the same for ports of bridges, MACs included
//! ```
//!
//! So cost does not grow with containers: no rule is ever added for one, and none is ever listed. The tables
//! are in parts, each made by the first attachment that needs it: a chain of type `nat` makes the kernel track every
//! connection of the host (`nf_ct_netns_get()`), which a host that only routes must not pay for.
//!
//! Rules are data here: they print as `nft` reads and lists them, and `kernel::nft` turns them into what the kernel
//! runs. Elements are keyed by the names of links, not by indices: they can be there before their link, and are
//! there after it, for nf_tables does not know that a link is gone.

mod element;
mod guard;
mod isolation;
mod nat;
mod rule;
mod script;
mod set;

pub use element::{Element, Field, Key, Value};
pub use guard::GuardedLink;
pub(super) use guard::elements as guard_elements;
pub(super) use isolation::elements as isolation_elements;
pub(super) use nat::elements as nat_elements;
pub use rule::{Chain, Constant, Hook, Rule, Selector, Term};
pub(super) use script::{IF_WHOLE, is_recent};
pub use set::{Kind, Leads, Set, Table};

use serde::{Deserialize, Serialize};

use crate::model::{IfName, stable_hash};

/// The name of each of our tables.
pub const TABLE: &str = "springline";

/// The version of the ruleset, kept as the comment of each part's first chain. A ruleset of another version is
/// replaced, in one transaction and with its elements kept, by the first attachment that meets it. Sets
/// must therefore never change their type under one name.
pub const VERSION: &str = "springline 2";

/// A part of the ruleset, made as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What routed containers may send.
    Guard,
    /// Whom routed containers may claim to be by ARP.
    GuardArp,
    /// What containers on bridges may send.
    GuardBridge,
    /// Masquerade and port maps.
    Nat,
    /// Which containers reach which.
    Isolation,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 5] = [Self::Guard, Self::GuardArp, Self::GuardBridge, Self::Nat, Self::Isolation];

    /// The table that it is in.
    #[must_use]
    pub fn table(self) -> Table {
        match self {
            Self::Guard | Self::Nat | Self::Isolation => Table::Inet,
            Self::GuardArp => Table::Arp,
            Self::GuardBridge => Table::Bridge,
        }
    }

    /// Its sets and maps.
    #[must_use]
    pub fn sets(self) -> Vec<Set> {
        Set::ALL.into_iter().filter(|set| set.part() == self).collect()
    }

    /// The first of its chains, which has a hook and stands for the part: its name, and how many rules it has. As numbers,
    /// for each ADD asks for them, and needs nothing else of the rules.
    #[must_use]
    pub fn first_chain(self) -> (&'static str, usize) {
        match self {
            Self::Guard | Self::GuardArp => ("guarding", 1),
            Self::GuardBridge => ("guarding", 2),
            Self::Nat => ("prerouting", 1),
            Self::Isolation => ("isolation", 5),
        }
    }

    /// Its chains.
    #[must_use]
    pub fn chains(self) -> Vec<Chain> {
        match self {
            Self::Guard => guard::routed(),
            Self::GuardArp => guard::routed_arp(),
            Self::GuardBridge => guard::bridged(),
            Self::Nat => nat::chains(),
            Self::Isolation => isolation::chains(),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Guard | Self::GuardArp | Self::GuardBridge => "guard",
            Self::Nat => "nat",
            Self::Isolation => "isolation",
        };
        write!(f, "{name} in table {} {TABLE}", self.table())
    }
}

/// A chain of one network's own, made when its settings need rules, and gone with its last attachment. Its name holds
/// a hash of what is in it: a network whose configuration changes gets another one beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkChain {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub rules: NetworkRules,
}

/// What a network's own chain is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkRules {
    /// Masquerade, but not toward these networks.
    MasqueradeExcept(Vec<ipnet::IpNet>),
    /// Traffic between containers stays among these networks.
    StayAmong(Vec<ipnet::IpNet>),
    /// Traffic between containers stays on this bridge.
    StayOn(IfName),
}

impl NetworkChain {
    /// The chain of these rules.
    #[must_use]
    pub fn new(rules: NetworkRules) -> Self {
        let (prefix, parts): (_, Vec<String>) = match &rules {
            NetworkRules::MasqueradeExcept(nets) => ("masquerade", nets.iter().map(ToString::to_string).collect()),
            NetworkRules::StayAmong(nets) => ("among", nets.iter().map(ToString::to_string).collect()),
            NetworkRules::StayOn(bridge) => ("on", vec![bridge.to_string()]),
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Self { name: format!("{prefix}_{:012x}", stable_hash(&parts) >> 80), rules }
    }

    /// As a chain with its rules.
    #[must_use]
    pub fn chain(&self) -> Chain {
        let rules = match &self.rules {
            NetworkRules::MasqueradeExcept(nets) => nat::except(nets),
            NetworkRules::StayAmong(nets) => isolation::among(nets),
            NetworkRules::StayOn(bridge) => isolation::on(bridge),
        };
        Chain { name: self.name.clone().into(), hook: None, rules }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_chains_are_what_is_said_of_them() {
        for part in Part::ALL {
            let chains = part.chains();
            assert_eq!(part.first_chain(), (chains[0].name.as_ref(), chains[0].rules.len()), "{part}");
            assert!(chains[0].hook.is_some(), "{part}");
        }
    }
}
