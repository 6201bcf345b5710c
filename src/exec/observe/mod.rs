//! Gathers the facts that a plan needs, in as few datagrams as they take.

mod answering;
mod check;
mod container;
mod host;
mod shared;

use std::collections::BTreeSet;

use container::observe_container;
pub(super) use host::uplink_of;
use shared::{link_of, link_of_proxy, pool_of, shared_objects, vlan_of};

use super::{Container, Engine, refused};
use crate::error::Result;
use crate::model::{Attachment, IfName};
use crate::plan::{Facts, Object, Record, Shared, Step};

impl Engine {
    /// The facts for `plan::attach`.
    pub(super) fn facts_to_attach(&self, container: &Container, attachment: &Attachment) -> Result<Facts> {
        let container_cookie = container.endpoint.socket.cookie();
        let mut facts = Facts { container_cookie, ..Facts::default() };
        self.observe_store(&mut facts, attachment)?;
        self.observe_host(&mut facts, attachment).map_err(|error| refused(&error, "look at the host"))?;
        observe_container(&mut facts, container, attachment)
            .map_err(|error| refused(&error, format!("look at {}", attachment.netns)))?;
        self.observe_proxies(&mut facts, attachment).map_err(|error| refused(&error, "look at neighbours"))?;
        self.observe_forwarding(&mut facts, attachment).map_err(|error| refused(&error, "look at forwarding"))?;
        self.observe_filter_to_attach(&mut facts, attachment)?;
        Ok(facts)
    }

    fn observe_store(&self, facts: &mut Facts, attachment: &Attachment) -> Result<()> {
        let key = &attachment.key;
        if self.store.record(key)?.is_some() {
            facts.records.insert(key.clone());
        }
        for lease in &attachment.leases {
            if let Some(owner) = self.store.lease_owner(lease)? {
                facts.leases.insert((lease.network.clone(), lease.address), owner);
            }
        }
        for shared in shared_objects(attachment) {
            let users = self.store.users(&shared, key)?;
            if let Shared::Pool(pool) = &shared
                && (users.mine || users.others)
            {
                facts.pools.insert(pool.clone()); // not looked for: to add what is there does no harm
            }
            facts.users.insert(shared, users);
        }
        Ok(())
    }

    /// The facts for `plan::detach`: what the record names, as far as it is there.
    pub(super) fn facts_to_detach(&self, record: &Record) -> Result<Facts> {
        let mut facts = Facts::default();
        let mut names = BTreeSet::new();
        for step in &record.steps {
            match step {
                Step::Add(Object::Record(key)) => drop(facts.records.insert(key.clone())),
                Step::Add(Object::Lease(lease)) => {
                    // A lease that names nobody any more is still ours to remove.
                    let owner = self.store.lease_owner(lease)?.unwrap_or_else(|| record.key.clone());
                    facts.leases.insert((lease.network.clone(), lease.address), owner);
                }
                Step::Add(Object::Delegation(_)) => facts.delegated = true,
                Step::Add(Object::Use(shared)) => {
                    let users = self.store.users(shared, &record.key)?;
                    facts.users.insert(shared.clone(), users);
                    names.extend(link_of(shared));
                    // To delete what is gone does no harm, to look for it would take a dump.
                    facts.pools.extend(pool_of(shared));
                    facts.vlans.extend(vlan_of(shared).map(|vlan| (vlan, false)));
                }
                Step::Add(Object::Veth(veth)) => drop(names.insert(veth.host.clone())),
                Step::Add(Object::Ifb(ifb)) => drop(names.insert(ifb.name.clone())),
                _ => {}
            }
        }
        let answering: BTreeSet<IfName> = record.steps.iter().filter_map(link_of_proxy).cloned().collect();
        if !answering.is_empty() {
            let links: Vec<IfName> = answering.into_iter().collect();
            let proxies = self.host.look_up(&links, &[]).and_then(|_| self.proxies());
            facts.proxies = proxies.map_err(|error| refused(&error, "look at neighbours"))?;
        }
        facts.records.insert(record.key.clone());
        let names: Vec<IfName> = names.into_iter().collect();
        self.observe_named(&mut facts, &names).map_err(|error| refused(&error, "look at the host"))?;
        self.observe_filter_of(&mut facts, record)?;
        Ok(facts)
    }
}
