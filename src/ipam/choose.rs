//! Choosing addresses: what was asked for by name, what the container had before, or the next free one.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use crate::error::{Code, Error, Result};
use crate::model::{
    Address, Attachment, AttachmentKey, ContainerRoute, FixedAddress, Ipam, Lease, NetworkName, Range, RangeSet,
    RingSlot, single,
};
use crate::store::{RangeFull, Store};

/// What is wished for one attachment beyond the network's configuration.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Addresses asked for by name, with their prefix length if one was given.
    pub requested: Vec<IpNet>,
    /// Addresses that the same container had before: given back if they are free.
    pub previous: Vec<IpAddr>,
}

/// What was chosen.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// What the interface holds.
    pub addresses: Vec<Address>,
    /// The leases to reserve for it.
    pub leases: Vec<Lease>,
    /// Routes inside the container; `None`: default routes.
    pub routes: Option<Vec<ContainerRoute>>,
}

impl Chosen {
    /// Has the attachment want what was chosen for it.
    pub fn give_to(self, attachment: &mut Attachment) {
        attachment.addresses = self.addresses;
        attachment.leases = self.leases;
        attachment.container_routes = self.routes;
    }
}

/// Chooses the addresses of `key` from the network's own ranges. Nothing is reserved yet; under the
/// store's lock, what is free stays free.
pub fn choose(store: &Store, key: &AttachmentKey, ipam: &Ipam, wishes: &Wishes) -> Result<Chosen> {
    let Ipam::BuiltIn { ranges, addresses, routes, data_dir } = ipam else { return Ok(Chosen::default()) };
    let mut previous = wishes.previous.clone();
    if let Some(data_dir) = data_dir {
        previous.extend(store.addresses_of(key, Some(data_dir))?);
    }
    let mut choice = Choice { store, key, ranges, data_dir: data_dir.as_deref(), chosen: Chosen::default() };
    choice.chosen.routes.clone_from(routes);
    let (inside, outside): (Vec<IpNet>, Vec<IpNet>) =
        wishes.requested.iter().partition(|wish| choice.range_of(wish.addr()).is_some());
    if let (Some(stray), false) = (outside.first(), ranges.is_empty()) {
        let all: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        return Err(Error::new(Code::InvalidConfig, format!("the ranges are {}", all.join(", "))).context(format!(
            "requested address {} is not in the ranges of network {}",
            stray.addr(),
            key.network
        )));
    }
    for set in ranges {
        choice.take_one(set, &inside, &previous)?;
    }
    for fixed in addresses {
        choice.take_fixed(*fixed)?;
    }
    for wish in outside {
        choice.take_fixed(FixedAddress { net: wish, gateway: None })?;
    }
    Ok(choice.chosen)
}

struct Choice<'a> {
    store: &'a Store,
    key: &'a AttachmentKey,
    ranges: &'a [RangeSet],
    data_dir: Option<&'a Path>,
    chosen: Chosen,
}

impl Choice<'_> {
    fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.ranges.iter().flat_map(|set| &set.0).find(|range| range.contains(address))
    }

    /// One address of the set; more if more were asked for by name.
    fn take_one(&mut self, set: &RangeSet, requested: &[IpNet], previous: &[IpAddr]) -> Result<()> {
        let here = |address: &IpAddr| set.0.iter().any(|range| range.contains(*address));
        let wishes: Vec<IpAddr> = requested.iter().map(IpNet::addr).filter(here).collect();
        for address in &wishes {
            let range = self.range_of(*address);
            if range.is_some_and(|range| range.gateway == Some(*address)) {
                return Err(Error::new(Code::InvalidConfig, "it is the range's gateway")
                    .context(format!("requested address {address} cannot be given out")));
            }
            self.refuse_leased(*address)?;
            self.take(*address, set, self.store.slot_of(set, *address));
        }
        if !wishes.is_empty() {
            return Ok(());
        }
        let had = previous.iter().copied().filter(here).find(|address| self.is_available(set, *address));
        if let Some(address) = had {
            self.take(address, set, self.store.slot_of(set, address));
            return Ok(());
        }
        match self.store.pick(self.network(), self.data_dir, set)? {
            Ok(picked) => {
                self.take(picked.address, set, Some(picked.slot));
                Ok(())
            }
            Err(full) => Err(range_full(self.network(), set, full)),
        }
    }

    fn network(&self) -> &NetworkName {
        &self.key.network
    }

    fn is_available(&self, set: &RangeSet, address: IpAddr) -> bool {
        let reserved = set
            .0
            .iter()
            .any(|range| range.gateway == Some(address) || range.exclude.iter().any(|net| net.contains(&address)));
        !reserved && self.refuse_leased(address).is_ok()
    }

    fn lease(&self, address: IpAddr, slot: Option<RingSlot>) -> Lease {
        Lease { network: self.network().clone(), address, data_dir: self.data_dir.map(Into::into), slot }
    }

    fn refuse_leased(&self, address: IpAddr) -> Result<()> {
        let lease = self.lease(address, None);
        match self.store.lease_owner(&lease)? {
            Some(holder) if holder != *self.key => Err(crate::store::leased(&lease, &holder)),
            _ => Ok(()),
        }
    }

    fn take(&mut self, address: IpAddr, set: &RangeSet, slot: Option<RingSlot>) {
        let range = set.0.iter().find(|range| range.contains(address));
        let length = range.map_or_else(|| single(address).prefix_len(), |range| range.subnet.prefix_len());
        let net = IpNet::new(address, length).unwrap_or_else(|_| single(address));
        self.chosen.addresses.push(Address { net, gateway: range.and_then(|range| range.gateway) });
        self.chosen.leases.push(self.lease(address, slot));
    }

    fn take_fixed(&mut self, fixed: FixedAddress) -> Result<()> {
        let address = fixed.net.addr();
        if self.chosen.leases.iter().any(|lease| lease.address == address) {
            return Ok(()); // asked for twice
        }
        self.refuse_leased(address)?;
        let set = self.ranges.iter().find(|set| set.0.iter().any(|range| range.contains(address)));
        let range = self.range_of(address);
        let gateway = fixed.gateway.or_else(|| range.and_then(|range| range.gateway));
        let slot = set.and_then(|set| self.store.slot_of(set, address));
        self.chosen.addresses.push(Address { net: fixed.net, gateway });
        self.chosen.leases.push(self.lease(address, slot));
        Ok(())
    }
}

fn range_full(network: &NetworkName, set: &RangeSet, full: RangeFull) -> Error {
    let why = format!("{} used of {} total in {set}", full.used, full.total);
    Error::new(Code::TryAgainLater, why).context(format!("no free address in network {network}"))
}
