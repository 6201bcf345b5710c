//! DEL: what record and facts show to be the attachment's, removed.

use std::net::IpAddr;
use std::path::PathBuf;

use super::Engine;
use super::run::Run;
use crate::error::Result;
use crate::ipam::Delegate;
use crate::kernel::{Conntrack, KernelError, LinkView};
use crate::model::{AttachmentKey, HostLinkTemplate, IfName, Ipam, Lease, Maker};
use crate::plan::{self, Held, Ifb, LinkKind, NetnsIdentity, Object, Phase, Record, Step, Veth};

/// What a front knows today of an attachment that is to be removed, beside its record.
#[derive(Debug, Default)]
pub struct Today {
    /// How it would call a delegated IPAM plugin now.
    pub delegate: Option<Delegate>,
    /// Links of the host that may be the attachment's, if its record has been lost.
    pub links: Vec<IfName>,
    /// Where the configuration keeps leases.
    pub data_dir: Option<PathBuf>,
}

impl Engine {
    /// Removes an attachment. Whether anything was known of it.
    pub fn detach(&self, key: &AttachmentKey, today: Today) -> Result<bool> {
        let _key_lock = self.store.lock_attachment(key)?;
        let mut run = Run::new(self, key, None);
        run.lock()?;
        let record = match self.store.record(key) {
            Ok(Some(record)) => record,
            Ok(None) => match self.lost_record(key, &today)? {
                Some(record) => record,
                None => return Ok(false),
            },
            Err(unreadable) => self.reconstruct(key, &today).map_err(|_| unreadable)?,
        };
        let errors = self.remove(&mut run, &record, today.delegate)?;
        errors.into_iter().next().map_or(Ok(true), Err)
    }

    /// The addresses that an attachment has by its record, if it has one.
    pub fn addresses_of(&self, key: &AttachmentKey) -> Result<Vec<IpAddr>> {
        Ok(self.store.record(key)?.map(|record| record.addresses()).unwrap_or_default())
    }

    /// Has the kernel forget UDP flows from and to addresses that are elsewhere now.
    pub fn forget_flows(&self, addresses: &[IpAddr]) -> Result<()> {
        let forget = |ipv6: bool| {
            let conntrack = Conntrack::open()?;
            conntrack.udp_of(addresses, ipv6)?.iter().try_for_each(|connection| conntrack.forget(connection))
        };
        for ipv6 in [false, true] {
            if addresses.iter().any(|address| address.is_ipv6() == ipv6) {
                forget(ipv6).map_err(|error: KernelError| super::refused(&error, "forget UDP flows"))?;
            }
        }
        Ok(())
    }

    /// Runs the steps back. The errors, each with its cause; the record stays if there are any.
    pub(super) fn remove(
        &self,
        run: &mut Run<'_>,
        record: &Record,
        delegate: Option<Delegate>,
    ) -> Result<Vec<crate::error::Error>> {
        let facts = self.facts_to_detach(record)?;
        let steps = plan::detach(record, &facts);
        run.delegate = Delegate::of(record, delegate);
        let errors = run.run_all(&steps);
        let given_up = |step: &Step| match step {
            Step::Del(object) => Some(Step::Add(object.clone())),
            _ => None,
        };
        let given_up: Vec<Step> = steps.iter().filter_map(given_up).collect();
        self.forget_stakes(&record.steps, &given_up);
        Ok(errors)
    }

    /// Removes the folders that there may be of stakes which were never taken, or were given up by somebody who was killed
    /// then: of those in `steps` and not in `kept`.
    pub(super) fn forget_stakes(&self, steps: &[Step], kept: &[Step]) {
        for step in steps.iter().filter(|step| !kept.contains(step)) {
            if let Step::Add(Object::Use(shared)) = step {
                self.store.forget_unused(shared);
            }
        }
    }

    /// A record for an attachment that has none any more, if there is a trace of it: a link with its alias
    /// among those where it is likely to be, its guard, or a stake. (Leases alone are found when their range is full.)
    pub(super) fn lost_record(&self, key: &AttachmentKey, today: &Today) -> Result<Option<Record>> {
        let (container, ifname) = (key.container.as_str(), key.ifname.as_str());
        let usual = HostLinkTemplate::default().render(key.hash(""), container, ifname).ok();
        let names: Vec<IfName> = today.links.iter().cloned().chain(usual).collect();
        let found = self.host.look_up(&names, &[]);
        let (views, _) = found.map_err(|error| super::refused(&error, "look at the host"))?;
        let has_link = views.iter().flatten().any(|view| view.link.alias == Some(key.alias()));
        if !has_link && self.store.stakes_of(key)?.is_empty() && !self.has_guarded_link(key, &names)? {
            return Ok(None);
        }
        self.reconstruct(key, today).map(Some)
    }

    /// A record for an attachment whose own is lost or cannot be read: from aliases, leases, stakes and comments in
    /// nf_tables, which takes a look at all links, all leases of the network and all elements.
    fn reconstruct(&self, key: &AttachmentKey, today: &Today) -> Result<Record> {
        let links = self.host.links(None).map_err(|error| super::refused(&error, "list the links"))?;
        let mut steps = vec![Step::Add(Object::Record(key.clone()))];
        let data_dir = today.data_dir.as_deref();
        let elsewhere = if data_dir.is_some() { self.store.leases_of(&key.network, data_dir)? } else { Vec::new() };
        let leases = self.store.leases_of(&key.network, None)?.into_iter().chain(elsewhere);
        steps.extend(leases.filter(|(_, owner)| owner == key).map(|(lease, _)| Step::Add(Object::Lease(lease))));
        steps.extend(self.store.stakes_of(key)?.into_iter().map(|shared| Step::Add(Object::Use(shared))));
        steps.extend(
            self.elements_of_owner(key)?
                .into_iter()
                .map(|element| Step::Add(Object::Element(Held { element, shared: false, sibling: false }))),
        );
        let ours = links.iter().filter(|view| view.link.alias == Some(key.alias()));
        steps.extend(ours.filter_map(|view| link_of(view, key)).map(Step::Add));
        let delegation = today.delegate.as_ref().map(|delegate| delegate.delegation.clone());
        steps.extend(delegation.iter().map(|delegation| Step::Add(Object::Delegation(delegation.plugin.clone()))));
        Ok(Record {
            version: Record::VERSION,
            phase: Phase::Ready,
            key: key.clone(),
            boot: self.store.boot().to_owned(),
            netns: NetnsIdentity { path: String::new(), cookie: 0 },
            steps,
            maker: Maker::default(),
            made_at: 0,
            wanted: None,
            withdrawn: Vec::new(),
            changing: false,
            outcome: None,
            delegation,
        })
    }

    /// Detaches attachments of the network that hold leases of such addresses and are dead, so that a full range has
    /// room. How many leases came free. The caller holds the state lock and its own attachment's.
    pub(super) fn reclaim(
        &self,
        key: &AttachmentKey,
        ipam: &Ipam,
        is_wanted: impl Fn(IpAddr) -> bool,
    ) -> Result<usize> {
        let Ipam::BuiltIn { data_dir, .. } = ipam else { return Ok(0) };
        let mut freed = 0;
        let leases = self.store.leases_of(&key.network, data_dir.as_deref())?;
        for (lease, owner) in leases.into_iter().filter(|(lease, _)| is_wanted(lease.address)) {
            // Whoever is at work on an attachment keeps its lock: it is not dead. Our own we hold already; fcntl(2)
            // would grant it a second time, and let go of both at once.
            let owner_lock = if owner == *key { None } else { self.store.try_lock_attachment(&owner)? };
            if owner_lock.is_none() && owner != *key {
                continue;
            }
            freed += usize::from(self.reclaim_lease(&lease, &owner)?);
        }
        Ok(freed)
    }

    fn reclaim_lease(&self, lease: &Lease, owner: &AttachmentKey) -> Result<bool> {
        // Without a record, whoever had it was killed between the two removals of a DEL.
        self.reclaim_if_dead(owner, || self.store.release(lease, owner))
    }

    /// Detaches an attachment, whose lock is held, if it is dead. If it has no record, `take_away` is all there is to
    /// do. Whether anything was freed.
    pub(super) fn reclaim_if_dead(
        &self,
        owner: &AttachmentKey,
        take_away: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        match self.store.record(owner) {
            Ok(Some(record)) if self.is_alive(&record) => Ok(false),
            Ok(Some(record)) => {
                let mut run = Run::new(self, owner, None);
                run.assume_locked();
                Ok(self.remove(&mut run, &record, None)?.is_empty())
            }
            Ok(None) => take_away().map(|()| true),
            Err(_) => Ok(false), // an unreadable record is for DEL to settle
        }
    }
}

/// A link of an attachment: its host side, or the one by which what it sends is led.
fn link_of(view: &LinkView, key: &AttachmentKey) -> Option<Object> {
    if view.link.kind == LinkKind::Other("ifb".into()) {
        return Some(Object::Ifb(Ifb { name: view.name.clone(), alias: key.alias() }));
    }
    veth_of(view, key).map(Object::Veth)
}

fn veth_of(view: &LinkView, key: &AttachmentKey) -> Option<Veth> {
    Some(Veth {
        host: view.name.clone(),
        host_mac: view.link.mac?,
        host_mtu: view.link.mtu,
        alias: key.alias(),
        bridge: None,
        peer: key.ifname.clone(),
        mac: view.link.mac?,
        mtu: view.link.mtu,
        txqueuelen: None,
    })
}
