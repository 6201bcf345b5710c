//! Records: what was done for each attachment.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{Store, atomic, names_in, read_optional, remove_optional};
use crate::error::{Code, Coded, Error, Result};
use crate::model::{AttachmentKey, ContainerId, IfName, NetworkName};
use crate::plan::Record;

impl Store {
    fn record_path(&self, key: &AttachmentKey) -> PathBuf {
        let AttachmentKey { network, container, ifname } = key;
        self.root.join("attachments").join(network.as_str()).join(container.as_str()).join(format!("{ifname}.json"))
    }

    /// The record of an attachment, if there is one. A record that cannot be read is an error: what it
    /// stood for may still be there, and must not be forgotten.
    pub fn record(&self, key: &AttachmentKey) -> Result<Option<Record>> {
        let path = self.record_path(key);
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        let record = serde_json::from_slice(&bytes).map(Some);
        let doing = || format!("record {} cannot be read", path.display());
        record.coded(Code::Io, doing).map_err(|error| error.hint("DEL removes what can be found without it"))
    }

    /// Writes or replaces a record.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        let path = self.record_path(&record.key);
        if let Some(dir) = path.parent() {
            self.make_dir(dir)?;
        }
        let bytes = serde_json::to_vec(record).coded(Code::Internal, || "encode record")?;
        atomic::replace(&path, &bytes, &self.root, false).coded(Code::Io, || format!("write record {}", path.display()))
    }

    /// Says in the record that ADD has succeeded: one write of five bytes, which happens or does not.
    pub fn complete_record(&self, key: &AttachmentKey) -> Result<()> {
        let path = self.record_path(key);
        let begun = br#""phase":"begun""#;
        let doing = || format!("complete record {}", path.display());
        let file = fs::File::options().read(true).write(true).open(&path).coded(Code::Io, doing)?;
        let mut head = [0u8; 64];
        let count = file.read_at(&mut head, 0).coded(Code::Io, doing)?;
        let at = head[..count].windows(begun.len()).position(|window| window == begun);
        let at = at.ok_or_else(|| Error::new(Code::Internal, "it is not in the phase \"begun\"").context(doing()))?;
        file.write_all_at(br#""phase":"ready""#, at as u64).coded(Code::Io, doing)
    }

    /// Removes a record, and the directories that it leaves empty.
    pub fn remove_record(&self, key: &AttachmentKey) -> Result<()> {
        let path = self.record_path(key);
        remove_optional(&path)?;
        for dir in path.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(dir); // refuses to if another interface or container is there
        }
        Ok(())
    }

    /// Whether no attachment has a record, of whatever network.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        names_in(&self.root.join("attachments")).is_ok_and(|networks| networks.is_empty())
    }

    /// The networks of which there are records.
    pub fn networks(&self) -> Result<Vec<NetworkName>> {
        let names = names_in(&self.root.join("attachments"))?;
        let mut networks: Vec<NetworkName> = names.iter().filter_map(|name| NetworkName::parse(name).ok()).collect();
        networks.sort();
        Ok(networks)
    }

    /// The keys of all records.
    pub fn attachments(&self) -> Result<Vec<AttachmentKey>> {
        let mut keys = Vec::new();
        for network in self.networks()? {
            keys.extend(self.attachments_of(&network)?);
        }
        Ok(keys)
    }

    /// The keys of all records of a container, of whatever network.
    pub fn attachments_of_container(&self, container: &ContainerId) -> Result<Vec<AttachmentKey>> {
        let root = self.root.join("attachments");
        let mut keys = Vec::new();
        for network in names_in(&root)? {
            let Ok(network) = NetworkName::parse(&network) else { continue };
            for file in names_in(&root.join(network.as_str()).join(container.as_str()))? {
                if let Some(Ok(ifname)) = file.strip_suffix(".json").map(IfName::parse) {
                    keys.push(AttachmentKey { network: network.clone(), container: container.clone(), ifname });
                }
            }
        }
        Ok(keys)
    }

    /// The keys of all records of a network.
    pub fn attachments_of(&self, network: &NetworkName) -> Result<Vec<AttachmentKey>> {
        let dir = self.root.join("attachments").join(network.as_str());
        let mut keys = Vec::new();
        for container in names_in(&dir)? {
            let Ok(id) = ContainerId::parse(&container) else { continue };
            for file in names_in(&dir.join(&container))? {
                let ifname = file.strip_suffix(".json").map(IfName::parse);
                if let Some(Ok(ifname)) = ifname {
                    keys.push(AttachmentKey { network: network.clone(), container: id.clone(), ifname });
                }
            }
        }
        keys.sort();
        Ok(keys)
    }
}
