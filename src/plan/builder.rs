//! Collects steps, leaving out those whose effect is there already.

use super::facts::Facts;
use super::step::{LinkAddress, Object, Readiness, Setting, Shared, Side, Step};
use crate::model::{AttachmentKey, IfName};

/// A plan in the making: the steps so far, and the facts as they will be after them.
pub(super) struct Builder<'a> {
    key: &'a AttachmentKey,
    /// The facts as they will be after the steps so far.
    pub(super) facts: Facts,
    steps: Vec<Step>,
    /// Whether there was a record of the attachment before: what holds is written in it.
    is_recorded: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(key: &'a AttachmentKey, facts: &Facts) -> Self {
        Self { key, facts: facts.clone(), steps: Vec::new(), is_recorded: facts.records.contains(key) }
    }

    pub(super) fn push(&mut self, step: Step) {
        if !self.facts.holds(&step) {
            self.facts.apply(&step, self.key);
            self.steps.push(step);
        }
    }

    /// Whether an element's owner is the attachment itself, or whoever shares it.
    pub(super) fn is_mine(&self, owner: &str, shared: bool) -> bool {
        owner == if shared { super::Held::SHARED.to_owned() } else { self.key.comment() }
    }

    /// Adds a step although its effect may be there already, unless a record says so: what no record names is never
    /// taken away.
    pub(super) fn push_unless_recorded(&mut self, step: Step) {
        if !(self.steps.contains(&step) || self.is_recorded && self.facts.holds(&step)) {
            self.facts.apply(&step, self.key);
            self.steps.push(step);
        }
    }

    pub(super) fn add(&mut self, object: Object) {
        self.push(Step::Add(object));
    }

    /// Takes a stake in a shared object: in the plan, and so in the record, also if it was taken before. What the
    /// record does not name is never given up.
    pub(super) fn claim(&mut self, shared: Shared) {
        let step = Step::Add(Object::Use(shared));
        if self.steps.contains(&step) {
            return;
        }
        self.facts.apply(&step, self.key);
        self.steps.push(step);
    }

    /// Puts an address on a link that is shared. One that was there before us stays when we go: no stake in it,
    /// no deletion.
    pub(super) fn hold_address(&mut self, address: LinkAddress) {
        self.hold(Shared::Address(address.link.clone(), address.net), Object::Address(Side::Host, address));
    }

    /// The same for any object that is there or not.
    pub(super) fn hold(&mut self, shared: Shared, object: Object) {
        let users = self.facts.users(&shared);
        if !self.facts.has(&object) || users.mine || users.others {
            self.claim(shared);
        }
        self.add(object);
    }

    pub(super) fn set(&mut self, setting: Setting) {
        self.push(Step::Set(setting));
    }

    /// What the steps so far leave to the kernel's work queues: both ends of the pair, whatever the host's is a
    /// port of and the host's own link in its VLAN, and the IPv6 addresses.
    pub(super) fn readiness(&self, host_link: &IfName, ifname: &IfName) -> Vec<Readiness> {
        let master = self.facts.host_link(host_link).and_then(|link| link.master.clone());
        let vlan_link = self.steps.iter().find_map(|step| match step {
            Step::Add(Object::Use(Shared::VlanLink(link))) => Some(link.clone()),
            _ => None,
        });
        let links: Vec<IfName> = [host_link.clone()].into_iter().chain(master).chain(vlan_link).collect();
        let sides = [(Side::Host, links), (Side::Container, vec![ifname.clone()])];
        let readiness = sides.map(|(side, links)| {
            let added = self.steps.iter().filter_map(|step| match step {
                Step::Add(Object::Address(there, address)) if *there == side => Some(address),
                _ => None,
            });
            let addresses = added.filter(|address| address.net.addr().is_ipv6()).cloned().collect();
            Readiness { side, links, addresses }
        });
        readiness.into()
    }

    pub(super) fn finish(self) -> Vec<Step> {
        self.steps
    }
}
