//! Leases: one file an address, created exclusively, naming its owner.
//!
//! A lease is the owner's record by a second name, or in a `dataDir` a file of its own (ownership.rs).

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::ownership::Ownership;
use super::ring::{Numbering, Ring};
use super::{Store, atomic, names_in, read_optional, remove_optional};
use crate::error::{Code, Coded, Error, Result};
use crate::model::{AttachmentKey, Lease, NetworkName, RangeSet, RingSlot};

/// An address that is free to be reserved, and its place in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The address.
    pub address: IpAddr,
    /// Its place.
    pub slot: RingSlot,
}

/// No address of the range set is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeFull {
    /// Addresses given out.
    pub used: u32,
    /// Addresses that can be given out.
    pub total: u32,
}

impl Store {
    fn lease_dir(&self, network: &NetworkName, data_dir: Option<&Path>) -> PathBuf {
        let leases = data_dir.map_or_else(|| self.root.join("leases"), Path::to_owned);
        leases.join(network.as_str())
    }

    fn lease_path(&self, lease: &Lease) -> PathBuf {
        self.lease_dir(&lease.network, lease.data_dir.as_deref()).join(lease.address.to_string())
    }

    /// Who holds the lease of an address in this boot. An empty, broken or outdated file names nobody, and
    /// blocks nothing.
    pub fn lease_owner(&self, lease: &Lease) -> Result<Option<AttachmentKey>> {
        let path = self.lease_path(lease);
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        match serde_json::from_slice::<Ownership>(&bytes) {
            Ok(file) => Ok(Some(file.owner).filter(|_| file.boot == self.boot)),
            Err(_) => self.owner_by_inode(&path, &lease.network),
        }
    }

    /// A record that was damaged is damaged under both of its names; but by the other one it is known whose it is.
    fn owner_by_inode(&self, path: &Path, network: &NetworkName) -> Result<Option<AttachmentKey>> {
        let inode = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino(), file.nlink()));
        let Some(lease) = inode(path).filter(|(.., links)| *links > 1) else { return Ok(None) };
        let mut keys = self.attachments_of(network)?.into_iter();
        Ok(keys.find(|key| inode(&self.record_path(key)) == Some(lease)))
    }

    /// Reserves an address that [`Store::pick`] or the configuration chose.
    pub fn reserve(&self, lease: &Lease, owner: &AttachmentKey) -> Result<()> {
        let path = self.lease_path(lease);
        let doing = || format!("reserve {} in network {}", lease.address, lease.network);
        let durable = lease.data_dir.is_some();
        let dir = self.lease_dir(&lease.network, lease.data_dir.as_deref());
        let bytes = || self.ownership(owner);
        let create = || if durable { atomic::create(&path, &bytes()?, true) } else { self.name_owner(&path, owner) };
        match self.in_dir(&dir, create)? {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match self.lease_owner(lease)? {
                Some(holder) if holder != *owner => return Err(leased(lease, &holder)),
                _ => bytes().and_then(|bytes| atomic::replace(&path, &bytes, &dir, durable)).coded(Code::Io, doing)?,
            },
            Err(error) => return Err(error).coded(Code::Io, doing),
        }
        self.mark_slot(lease, true);
        if durable {
            let mut addresses = self.addresses_of(owner, lease.data_dir.as_deref())?;
            addresses.retain(|address| *address != lease.address);
            addresses.push(lease.address);
            self.write_addresses(owner, lease, &addresses)?;
        }
        Ok(())
    }

    /// The addresses that `owner` had, in an earlier boot too: on stable storage they are written down by owner,
    /// so that a container gets them back after a reboot without a search through all leases.
    pub fn addresses_of(&self, owner: &AttachmentKey, data_dir: Option<&Path>) -> Result<Vec<IpAddr>> {
        let text = read_optional(&owner_path(&self.lease_dir(&owner.network, data_dir), owner))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn write_addresses(&self, owner: &AttachmentKey, lease: &Lease, addresses: &[IpAddr]) -> Result<()> {
        let path = owner_path(&self.lease_dir(&lease.network, lease.data_dir.as_deref()), owner);
        if addresses.is_empty() {
            return remove_optional(&path).map(drop);
        }
        let lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let text = lines.join("\n") + "\n";
        atomic::replace(&path, text.as_bytes(), path.parent().unwrap_or(&self.root), true)
            .coded(Code::Io, || format!("write {}", path.display()))
    }

    /// Gives an address back, if it is still `owner`'s.
    pub fn release(&self, lease: &Lease, owner: &AttachmentKey) -> Result<()> {
        if self.lease_owner(lease)?.is_some_and(|holder| holder != *owner) {
            return Ok(()); // it has gone to somebody else since
        }
        remove_optional(&self.lease_path(lease))?;
        self.mark_slot(lease, false);
        if lease.data_dir.is_some() {
            let mut addresses = self.addresses_of(owner, lease.data_dir.as_deref())?;
            addresses.retain(|address| *address != lease.address);
            self.write_addresses(owner, lease, &addresses)?;
        }
        Ok(())
    }

    /// The ring is a hint (see ring.rs): failing to update it costs time, never correctness.
    fn mark_slot(&self, lease: &Lease, taken: bool) {
        let Some(slot) = &lease.slot else { return };
        let dir = self.lease_dir(&lease.network, lease.data_dir.as_deref());
        if let Some(ring) = Ring::reopen(&ring_path(&dir, &slot.ring)) {
            let _ = ring.mark(slot.index, taken);
            if taken {
                let _ = ring.set_cursor(slot.index + 1);
            }
        }
    }

    /// The next free address of a range set that `wanted` accepts. Under [`Store::lock`], what is picked
    /// stays free until it is reserved.
    pub fn pick(
        &self,
        network: &NetworkName,
        data_dir: Option<&Path>,
        set: &RangeSet,
    ) -> Result<std::result::Result<Picked, RangeFull>> {
        if self.is_imagined {
            return Ok(Numbering::new(set).first());
        }
        let dir = self.lease_dir(network, data_dir);
        let doing = || format!("look for a free address of network {network} in {}", dir.display());
        let numbering = Numbering::new(set);
        let name = numbering.name();
        let path = ring_path(&dir, &name);
        let ring = self.in_dir(&dir, || Ring::open(&path, &numbering))?.coded(Code::Io, doing)?;
        for attempt in 0..2 {
            let mut from = ring.cursor().coded(Code::Io, doing)?;
            while let Some(index) = ring.next_free(from).coded(Code::Io, doing)? {
                let Some(address) = numbering.address(index) else { break };
                let lease = Lease { network: network.clone(), address, data_dir: data_dir.map(Into::into), slot: None };
                if self.lease_owner(&lease)?.is_none() {
                    return Ok(Ok(Picked { address, slot: RingSlot { ring: name, index } }));
                }
                ring.mark(index, true).coded(Code::Io, doing)?;
                from = index + 1;
            }
            if attempt == 0 {
                self.rebuild(&ring, &numbering, network, data_dir)?;
            }
        }
        let (used, total) = ring.usage(&numbering).coded(Code::Io, doing)?;
        Ok(Err(RangeFull { used, total }))
    }

    /// The place of an address in the ring of its range set, for addresses that were asked for by name.
    #[must_use]
    pub fn slot_of(&self, set: &RangeSet, address: IpAddr) -> Option<RingSlot> {
        let numbering = Numbering::new(set);
        let index = numbering.index(address)?;
        Some(RingSlot { ring: numbering.name(), index })
    }

    /// Reads the directory, the truth, into the ring.
    fn rebuild(
        &self,
        ring: &Ring,
        numbering: &Numbering<'_>,
        network: &NetworkName,
        data_dir: Option<&Path>,
    ) -> Result<()> {
        let leases = self.leases_of(network, data_dir)?;
        let taken = leases.iter().filter_map(|(lease, _)| numbering.index(lease.address));
        let doing = || format!("rebuild the allocation ring of network {network}");
        let cursor = ring.cursor().coded(Code::Io, doing)?;
        ring.reset(numbering, taken, cursor).coded(Code::Io, doing)
    }

    /// All leases of a network in this boot, with their owners.
    pub fn leases_of(&self, network: &NetworkName, data_dir: Option<&Path>) -> Result<Vec<(Lease, AttachmentKey)>> {
        let mut leases = Vec::new();
        for name in names_in(&self.lease_dir(network, data_dir))? {
            let Ok(address) = name.parse() else { continue };
            let lease = Lease { network: network.clone(), address, data_dir: data_dir.map(Into::into), slot: None };
            if let Some(owner) = self.lease_owner(&lease)? {
                leases.push((lease, owner));
            }
        }
        Ok(leases)
    }

    /// The networks of which there are leases below the state directory.
    pub fn leased_networks(&self) -> Result<Vec<NetworkName>> {
        let names = names_in(&self.root.join("leases"))?;
        Ok(names.iter().filter_map(|name| NetworkName::parse(name).ok()).collect())
    }

    /// The files of [`Store::leases_of`], with the owners.
    pub fn lease_files_of(
        &self,
        network: &NetworkName,
        data_dir: Option<&Path>,
    ) -> Result<Vec<(PathBuf, AttachmentKey)>> {
        let leases = self.leases_of(network, data_dir)?.into_iter();
        Ok(leases.map(|(lease, owner)| (self.lease_path(&lease), owner)).collect())
    }

    /// How much of a range set is given out: used and total. For STATUS; makes no ring where none is.
    pub fn usage(&self, network: &NetworkName, data_dir: Option<&Path>, set: &RangeSet) -> Result<RangeFull> {
        let numbering = Numbering::new(set);
        let path = ring_path(&self.lease_dir(network, data_dir), &numbering.name());
        if fs::exists(&path).unwrap_or(false) {
            let doing = || format!("read {}", path.display());
            let ring = Ring::open(&path, &numbering).coded(Code::Io, doing)?;
            let (used, total) = ring.usage(&numbering).coded(Code::Io, doing)?;
            return Ok(RangeFull { used, total });
        }
        Ok(RangeFull { used: 0, total: numbering.size })
    }
}

fn owner_path(dir: &Path, owner: &AttachmentKey) -> PathBuf {
    dir.join(format!(".owner-{:032x}", owner.hash("")))
}

fn ring_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!(".ring-{name}"))
}

/// The refusal of an address that somebody else has.
pub(crate) fn leased(lease: &Lease, holder: &AttachmentKey) -> Error {
    Error::new(Code::InvalidConfig, format!("it belongs to attachment {holder}"))
        .context(format!("address {} of network {} is taken", lease.address, lease.network))
}
