//! Ports that somebody has: other attachments, living and dead, and processes.

use std::collections::BTreeSet;

use super::{Engine, refused};
use crate::error::Result;
use crate::kernel;
use crate::kernel::nft::Change;
use crate::model::{Attachment, AttachmentKey, Family, PortMap};
use crate::plan::{Element, Facts, Field, PortClaim, PortHolder, Set, Value};

impl Engine {
    /// Who has the ports that are wanted: other attachments, by the elements that are there; processes, by the sockets.
    pub(super) fn port_claims(&self, attachment: &Attachment, facts: &Facts) -> Result<Vec<PortClaim>> {
        let mut listeners = Vec::new();
        let callers = if attachment.ports_are_held { kernel::callers() } else { Vec::new() };
        let families: Vec<Family> =
            Family::BOTH.into_iter().filter(|family| attachment.port_target(*family).is_some()).collect();
        // A port on all addresses is taken too if somebody has it on one of them.
        let mut rivals: Vec<(Element, Option<String>)> = facts
            .elements
            .iter()
            .map(|((set, key), there)| {
                (Element { set: *set, key: key.clone(), value: there.value.clone() }, there.owner.clone())
            })
            .collect();
        for family in &families {
            let maps: Vec<&PortMap> = attachment.ports.iter().filter(|map| map.is_of(*family)).collect();
            let [any, one] = sets_of(*family);
            if maps.iter().any(|map| map.is_on_all_addresses()) {
                rivals.extend(self.elements_of(one)?);
            }
            let on_one = maps.iter().filter(|map| !map.is_on_all_addresses());
            let everywhere: Vec<Element> = on_one
                .map(|map| Element::of(any, [Field::Protocol(map.protocol), Field::Port(map.host_port)]))
                .collect();
            if !everywhere.is_empty() {
                let views = self.look_up_elements(&everywhere)?;
                rivals.extend(everywhere.into_iter().zip(views).filter_map(|(element, view)| {
                    let view = view?;
                    Some((Element { value: view.value, ..element }, view.comment))
                }));
            }
            let listening = maps.iter().filter_map(|map| {
                let process = kernel::listener(map, *family, attachment.key.container.as_str(), &callers)?;
                Some(PortClaim { map: **map, holder: PortHolder::Process(process) })
            });
            listeners.extend(listening);
        }
        let of_others = rivals.into_iter().filter_map(|(element, owner)| {
            let map = map_of(&element)?;
            Some(PortClaim { map, holder: PortHolder::Element(element, owner) })
        });
        // Attachments first: their names say more than those of processes that keep ports for them.
        let is_wanted = |claim: &PortClaim| attachment.ports.iter().any(|map| map.overlaps(&claim.map));
        Ok(of_others.filter(is_wanted).chain(listeners).collect())
    }

    /// The attachments that have ports which `attachment` wants, and whose namespaces have ended without a DEL.
    pub(super) fn reclaim_ports(&self, attachment: &Attachment, facts: &Facts) -> Result<usize> {
        let mut freed = 0;
        let owners: BTreeSet<&String> = facts
            .port_claims
            .iter()
            .filter_map(|claim| match &claim.holder {
                PortHolder::Element(_, owner) => owner.as_ref(),
                PortHolder::Process(_) => None,
            })
            .filter(|owner| **owner != attachment.key.comment())
            .collect();
        for owner in owners {
            let Some(key) = AttachmentKey::parse(owner) else { continue };
            let Some(_lock) = self.store.try_lock_attachment(&key)? else { continue };
            let take_away = || {
                let theirs = facts.port_claims.iter().filter_map(|claim| match &claim.holder {
                    PortHolder::Element(element, Some(there)) if there == owner => Some(element.clone()),
                    _ => None,
                });
                let changes: Vec<Change> = theirs.map(Change::DeleteElement).collect();
                let taken = self.nft()?.transact(&changes);
                taken.map_err(|failure| refused(&failure.error, "take over ports of a lost attachment"))
            };
            freed += usize::from(self.reclaim_if_dead(&key, take_away)?);
        }
        Ok(freed)
    }
}

/// The maps of ports: on all addresses, on one of them.
fn sets_of(family: Family) -> [Set; 2] {
    match family {
        Family::V4 => [Set::Ports4, Set::AddressPorts4],
        Family::V6 => [Set::Ports6, Set::AddressPorts6],
    }
}

/// The port map that an element stands for.
fn map_of(element: &Element) -> Option<PortMap> {
    let any = |family: Family| family.default_route().addr();
    let (host, ports) = match (element.set, element.key.as_slice()) {
        (Set::Ports4, ports) => (any(Family::V4), ports),
        (Set::Ports6, ports) => (any(Family::V6), ports),
        (Set::AddressPorts4 | Set::AddressPorts6, [Field::Address(host), ports @ ..]) => (*host, ports),
        _ => return None,
    };
    let [Field::Protocol(protocol), Field::Port(host_port)] = ports else { return None };
    let container_port = match element.value {
        Some(Value::To(_, port)) => port,
        _ => 0,
    };
    Some(PortMap { host: Some(host), protocol: *protocol, host_port: *host_port, container_port })
}
