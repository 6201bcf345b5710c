//! Another name for the interface inside a container that is in use.

use super::change::Changing;
use super::facts::{Namespace, Renames};
use super::record::Record;
use super::route::Route;
use super::step::{Object, Readiness, Setting, Side, Step};
use crate::error::{Code, Error, Result};
use crate::model::{Attachment, IfName};

/// `RTPROT_KERNEL`, `RTPROT_RA`: routes that the kernel makes itself.
const BY_THE_KERNEL: [u8; 2] = [2, 9];

impl Changing<'_> {
    /// Gives the container's end the name that is wanted, whatever its name is now: somebody inside may have renamed it.
    /// The record as it is then.
    pub(super) fn rename(&mut self, record: &Record, wanted: &Attachment) -> Result<Record> {
        let to = wanted.ifname();
        let from = self.facts.peer.clone().unwrap_or_else(|| record.ifname().clone());
        if from != *to && self.facts.container.links.contains_key(&from) {
            self.refuse_taken_name(&from, wanted)?;
            self.give_name(&from, to);
        }
        Ok(record.renamed(to))
    }

    /// The kernel says no more than "File exists".
    fn refuse_taken_name(&self, from: &IfName, wanted: &Attachment) -> Result<()> {
        let name = wanted.ifname();
        let why = self.facts.container.links.iter().find_map(|(there, link)| {
            if there == name {
                return Some(format!("{name} already exists in {} ({}, mtu {})", wanted.netns, link.kind, link.mtu));
            }
            let has_it = link.also_known_as.iter().any(|alternative| alternative == name.as_str());
            has_it.then(|| format!("{there} in {} has it as an alternative name (ip link property)", wanted.netns))
        });
        let refusal = |why| Error::new(Code::InvalidConfig, why).context(format!("{from} cannot be renamed to {name}"));
        why.map_or(Ok(()), |why| Err(refusal(why)))
    }

    /// One message, and nobody notices. Where the kernel does not rename what is up, the link goes down for it, and gets
    /// back what that takes away.
    pub(super) fn give_name(&mut self, from: &IfName, to: &IfName) {
        let is_up = self.facts.container.links.get(from).is_some_and(|link| link.up);
        let name = Step::Set(Setting::Name { link: from.clone(), name: to.clone() });
        if !(is_up && self.facts.renames == Renames::Down) {
            return self.push(name);
        }
        let before = self.facts.container.clone();
        let state = |link: &IfName, up| Step::Set(Setting::State { side: Side::Container, link: link.clone(), up });
        self.push(state(from, false));
        self.push(name);
        self.push(state(to, true));
        self.restore(&before, from, to);
        let host_is_up = self.facts.host_link(self.own_link).is_some_and(|link| link.up);
        let ends = [(Side::Container, to, true), (Side::Host, self.own_link, host_is_up)];
        for (side, link, _) in ends.into_iter().filter(|(_, _, is_up)| *is_up) {
            self.push(Step::Await(Readiness { side, links: vec![link.clone()], addresses: Vec::new() }));
        }
    }

    /// Puts back what a link had `before`, when it was called `from`. Routes to next hops come behind those that lead to
    /// the next hops.
    pub(super) fn restore(&mut self, before: &Namespace, from: &IfName, to: &IfName) {
        let Some(link) = before.links.get(from) else { return };
        let made_from_mac = |net: &ipnet::IpNet| {
            link.address_generation && link.mac.is_some_and(|mac| net.addr() == std::net::IpAddr::V6(mac.link_local()))
        };
        let addresses = before.addresses.iter().filter(|address| address.link == *from && !made_from_mac(&address.net));
        for address in addresses {
            self.put_back(Object::Address(Side::Container, address.clone().renamed(from, to)));
        }
        let is_own = |route: &&Route| route.link == *from && !BY_THE_KERNEL.contains(&route.protocol);
        let (direct, indirect): (Vec<&Route>, Vec<&Route>) =
            before.routes.iter().filter(is_own).partition(|route| route.via.is_none());
        for route in direct.into_iter().chain(indirect) {
            self.put_back(Object::Route(Side::Container, route.clone().renamed(from, to)));
        }
    }

    fn put_back(&mut self, object: Object) {
        if !self.facts.has(&object) {
            self.push(Step::Add(object));
        }
    }
}
