//! Stakes in what several attachments share: one file each, so that the last one out is known without
//! reading every record.

use std::path::PathBuf;
use std::{fs, io};

use super::ownership::Ownership;
use super::{Store, each_name_in, names_in, read_optional, remove_optional};
use crate::error::{Code, Coded, Result};
use crate::model::{AttachmentKey, IfName};
use crate::plan::{Pool, Shared, Users};

impl Store {
    fn shared_dir(&self, shared: &Shared) -> PathBuf {
        let name = match shared {
            Shared::Bridge(name) => format!("bridge-{name}"),
            Shared::Vlan(bridge, id) => format!("vlan-{id}-{bridge}"),
            Shared::VlanLink(name) => format!("vlanlink-{name}"),
            Shared::Holder(name) => format!("holder-{name}"),
            Shared::Chain(name) => format!("chain-{name}"),
            Shared::Loopback(link) => format!("loopback-{link}"),
            Shared::Isolated(link) => format!("isolated-{link}"),
            Shared::Pool(Pool { dst, table, protocol }) => {
                format!("pool-{table}-{protocol}-{}", dst.to_string().replace('/', "_"))
            }
            Shared::Address(link, net) => format!("address-{link}-{}", net.to_string().replace('/', "_")),
        };
        self.root.join("shared").join(name)
    }

    /// Who uses a shared object, as seen from `key`.
    pub fn users(&self, shared: &Shared, key: &AttachmentKey) -> Result<Users> {
        let (dir, own) = (self.shared_dir(shared), stake_name(key));
        let mine = dir.join(&own).try_exists().coded(Code::Io, || format!("look for {own} in {}", dir.display()))?;
        let mut stakes = each_name_in(&dir)?;
        let others = stakes.find_map(|stake| stake.map(|stake| (stake != own).then_some(())).transpose());
        Ok(Users { mine, others: others.transpose()?.is_some() })
    }

    /// All stakes of an attachment, found by looking into every shared object's folder.
    pub fn stakes_of(&self, key: &AttachmentKey) -> Result<Vec<Shared>> {
        let own = stake_name(key);
        let shared = self.root.join("shared");
        let names = names_in(&shared)?.into_iter().filter(|name| shared.join(name).join(&own).exists());
        Ok(names.filter_map(|name| parse(&name)).collect())
    }

    /// The files of all stakes, with their owners.
    pub fn stakes(&self) -> Result<Vec<(PathBuf, AttachmentKey)>> {
        let shared = self.root.join("shared");
        let mut found = Vec::new();
        for object in names_in(&shared)? {
            for stake in names_in(&shared.join(&object))? {
                let path = shared.join(&object).join(stake);
                let file = read_optional(&path)?.and_then(|text| serde_json::from_slice::<Ownership>(&text).ok());
                found.extend(file.map(|file| (path, file.owner)));
            }
        }
        Ok(found)
    }

    /// Takes a stake.
    pub fn add_use(&self, shared: &Shared, key: &AttachmentKey) -> Result<()> {
        let dir = self.shared_dir(shared);
        let path = dir.join(stake_name(key));
        let taken = match self.in_dir(&dir, || self.name_owner(&path, key))? {
            // One of an earlier attachment of the same name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_optional(&path)?;
                self.name_owner(&path, key)
            }
            taken => taken,
        };
        taken.coded(Code::Io, || format!("write {}", path.display()))
    }

    /// Gives a stake up, and removes what the last one leaves empty.
    pub fn del_use(&self, shared: &Shared, key: &AttachmentKey) -> Result<()> {
        let dir = self.shared_dir(shared);
        remove_optional(&dir.join(stake_name(key)))?;
        self.forget_unused(shared);
        Ok(())
    }

    /// Removes the folder of a shared object in which nobody has a stake.
    pub fn forget_unused(&self, shared: &Shared) {
        for dir in self.shared_dir(shared).ancestors().take(2) {
            let _ = fs::remove_dir(dir); // refuses to while there are other stakes
        }
    }
}

/// The shared object that a folder's name stands for; see [`Store::shared_dir`].
fn parse(name: &str) -> Option<Shared> {
    let (kind, rest) = name.split_once('-')?;
    let link = |text: &str| IfName::parse(text).ok();
    Some(match kind {
        "bridge" => Shared::Bridge(link(rest)?),
        "vlan" => {
            let (id, bridge) = rest.split_once('-')?;
            Shared::Vlan(link(bridge)?, id.parse().ok()?)
        }
        "vlanlink" => Shared::VlanLink(link(rest)?),
        "holder" => Shared::Holder(link(rest)?),
        "chain" => Shared::Chain(rest.to_owned()),
        "loopback" => Shared::Loopback(link(rest)?),
        "isolated" => Shared::Isolated(link(rest)?),
        "pool" => {
            let mut parts = rest.splitn(3, '-');
            let (table, protocol) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Shared::Pool(Pool { dst: parts.next()?.replace('_', "/").parse().ok()?, table, protocol })
        }
        "address" => {
            let (name, net) = rest.rsplit_once('-')?; // a link's name may contain '-', an address does not
            Shared::Address(link(name)?, net.replace('_', "/").parse().ok()?)
        }
        _ => return None,
    })
}

fn stake_name(key: &AttachmentKey) -> String {
    format!("{:032x}", key.hash(""))
}
