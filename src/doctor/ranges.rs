//! Addresses that two networks give out.

use std::net::IpAddr;

use super::{Finding, HostFacts, Level};
use crate::model::{Ipam, Mode, Network, Range};

/// Two networks with an address in common, on the same bridge and in the same VLAN of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The networks' names.
    pub networks: [String; 2],
    /// The bridge, with the VLAN if they are in one.
    pub place: String,
    /// The first address that both give out.
    pub address: IpAddr,
}

impl Overlap {
    /// Those among `networks`. (Routed, an address that somebody has is refused: the host has a route to it.)
    #[must_use]
    pub fn among(networks: &[Network]) -> Vec<Self> {
        let pairs =
            networks.iter().enumerate().flat_map(|(at, one)| networks[at + 1..].iter().map(move |two| (one, two)));
        pairs.filter_map(|(one, two)| Self::of(one, two)).collect()
    }

    fn of(one: &Network, two: &Network) -> Option<Self> {
        let (Mode::Bridged(bridge), Mode::Bridged(other)) = (&one.mode, &two.mode) else { return None };
        if (&bridge.name, bridge.vlan) != (&other.name, other.vlan) {
            return None;
        }
        let others = ranges(two);
        let address = ranges(one).iter().find_map(|range| others.iter().find_map(|other| range.first_shared(other)))?;
        let vlan = bridge.vlan.map(|id| format!(", VLAN {id}")).unwrap_or_default();
        let networks = [one, two].map(|network| network.name.to_string());
        Some(Self { networks, place: format!("bridge {}{vlan}", bridge.name), address })
    }
}

/// The ranges of a network; a fixed address is one of its own.
fn ranges(network: &Network) -> Vec<Range> {
    let Some(Ipam::BuiltIn { ranges, addresses, .. }) = &network.ipam else { return Vec::new() };
    let single = addresses.iter().map(|address| {
        let addr = address.net.addr();
        Range { subnet: address.net, start: addr, end: addr, gateway: None, exclude: Vec::new() }
    });
    ranges.iter().flat_map(|set| set.0.clone()).chain(single).collect()
}

pub(super) fn addresses(facts: &HostFacts) -> Vec<Finding> {
    let finding = |overlap: &Overlap| {
        let Overlap { networks: [one, two], place, address } = overlap;
        let what = format!("networks {one} and {two} on {place} both give out {address}");
        let why = "each has leases of its own, so two containers may get one address, and hear half of what is for them: \
            give them ranges apart (rangeStart, rangeEnd, exclude), or VLANs or bridges of their own";
        Finding::new(Level::Warning, one, what, why)
    };
    facts.overlaps.iter().map(finding).collect()
}
