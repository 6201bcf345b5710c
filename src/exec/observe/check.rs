//! What CHECK compares with the record: both sides as they are, and the store.

use std::collections::BTreeSet;

use super::shared::link_of_vlan;
use crate::error::Result;
use crate::exec::{Container, Engine, refused};
use crate::kernel::{self, Endpoint, KernelError, LinkView};
use crate::model::{Addressing, IfName};
use crate::plan::{self, Facts, Object, Record, Route, Setting, Side, Step};

impl Engine {
    /// The facts for `plan::drift`: both sides, and the store.
    pub(in crate::exec) fn facts_to_check(&self, record: &Record, container: Option<&Container>) -> Result<Facts> {
        let mut facts = self.facts_to_detach(record)?;
        // Without a pessimistic reading of leases: a lease that is gone is drift.
        facts.leases.clear();
        self.observe_pools(&mut facts, record).map_err(|error| refused(&error, "look at routes"))?;
        facts.vlans.clear();
        for link in record.steps.iter().filter_map(link_of_vlan).collect::<BTreeSet<_>>() {
            self.observe_vlans(&mut facts, link).map_err(|error| refused(&error, "look at VLANs"))?;
        }
        for step in &record.steps {
            if let Step::Add(Object::Lease(lease)) = step
                && let Some(owner) = self.store.lease_owner(lease)?
                && owner == record.key
            {
                facts.leases.insert((lease.network.clone(), lease.address), owner);
            }
            if let Step::Add(Object::Loopback(_, link)) = step {
                self.observe_loopback(&mut facts, link)?;
            }
            if let Step::Set(Setting::Sysctl(sysctl)) = step
                && sysctl.side == Side::Host
                && let Ok(value) = self.sysctls.read(&sysctl.key)
            {
                facts.host.sysctls.insert(sysctl.key.clone(), value);
            }
        }
        self.observe_limits(&mut facts, record).map_err(|error| refused(&error, "look at rate limits"))?;
        self.observe_rules(&mut facts)?;
        if let (Some(link), Some(container)) = (record.host_link(), container) {
            let peer = self.other_end(link, container);
            facts.peer = peer.map_err(|error| refused(&error, "look at the pair"))?;
        }
        let host = [(Side::Host, Some(&self.host)), (Side::Container, container.map(|container| &container.endpoint))];
        for (side, endpoint) in host {
            let Some(endpoint) = endpoint else { continue };
            let peer = facts.peer.clone().filter(|_| side == Side::Container);
            let looked = observe_steps(&mut facts, record, side, endpoint, peer);
            looked.map_err(|error| refused(&error, "look at what was set up"))?;
        }
        Ok(facts)
    }

    /// How the other end of a pair is called in the container, if it is there: each end knows the other's index, which a
    /// rename does not change.
    pub(in crate::exec) fn other_end(
        &self,
        link: &IfName,
        container: &Container,
    ) -> Result<Option<IfName>, KernelError> {
        let (views, _) = self.host.look_up(std::slice::from_ref(link), &[])?;
        let Some(own) = views.into_iter().flatten().next() else { return Ok(None) };
        let Some(peer) = own.peer else { return Ok(None) };
        let ends = container.endpoint.look_up_indices(&[peer])?;
        let is_end = |view: &LinkView| view.link.kind == plan::LinkKind::Veth && view.peer == Some(own.index);
        Ok(ends.into_iter().find(is_end).map(|view| view.name))
    }

    /// Which networks are unreachable where no container is, of those that the record names.
    fn observe_pools(&self, facts: &mut Facts, record: &Record) -> Result<(), KernelError> {
        facts.pools.clear();
        let pools = record.steps.iter().filter_map(|step| match step {
            Step::Add(Object::Pool(pool)) => Some((pool.dst.family(), pool.table, pool.protocol)),
            _ => None,
        });
        for (family, table, protocol) in pools.collect::<BTreeSet<_>>() {
            facts.pools.extend(self.host.pools(family, table, protocol)?);
        }
        Ok(())
    }

    /// The rates to which links are limited, as the kernel tells them.
    fn observe_limits(&self, facts: &mut Facts, record: &Record) -> Result<(), KernelError> {
        for step in &record.steps {
            let Step::Add(Object::Limit(link, _) | Object::Redirect(link, _)) = step else { continue };
            let Some(index) = self.host.index(link) else { continue };
            match step {
                Step::Add(Object::Limit(..)) => {
                    let rate = kernel::rate_of(&self.host, index)?;
                    facts.limits.extend(rate.map(|rate| (link.clone(), rate)));
                }
                _ if kernel::is_redirected(&self.host, index)? => drop(facts.redirected.insert(link.clone())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The links that the record's steps are about, and `also`, with addresses and routes, on one side.
fn observe_steps(
    facts: &mut Facts,
    record: &Record,
    side: Side,
    endpoint: &Endpoint,
    also: Option<IfName>,
) -> Result<(), KernelError> {
    let mut names: BTreeSet<IfName> = also.into_iter().collect();
    let mut tables: BTreeSet<u32> = BTreeSet::from([Route::MAIN]);
    for step in &record.steps {
        if let Some((_, link)) = step.link().filter(|(there, _)| *there == side) {
            names.extend(IfName::parse(link).ok());
        }
        match step {
            Step::Add(Object::Route(there, route)) if *there == side => drop(tables.insert(route.table)),
            Step::Add(Object::Veth(veth)) if side == Side::Container => drop(names.insert(veth.peer.clone())),
            Step::Add(Object::Veth(veth)) => names.extend(veth.bridge.clone()),
            _ => {}
        }
    }
    let names: Vec<IfName> = names.into_iter().collect();
    let tables: Vec<u32> = tables.into_iter().collect();
    let (views, _) = endpoint.look_up(&names, &[])?;
    let namespace = match side {
        Side::Host => &mut facts.host,
        Side::Container => &mut facts.container,
    };
    for view in views.into_iter().flatten() {
        namespace.addresses.extend(endpoint.addresses(&view.name, view.index)?);
        namespace.routes.extend(endpoint.routes_of(&view.name, view.index, &tables)?);
        let master = view.master.and_then(|index| endpoint.name(index));
        namespace.links.insert(view.name, plan::Link { master, ..view.link });
    }
    Ok(())
}
