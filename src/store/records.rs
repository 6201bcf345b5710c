//! Records: what was done for each attachment.

use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::{fs, io};

use super::{Store, atomic, is_absent, names_in, read_optional, remove_optional};
use crate::error::{Code, Coded, Error, Result};
use crate::model::{AttachmentKey, ContainerId, IfName, NetworkName};
use crate::plan::Record;

/// Between container and interface in a file's name: ids do not contain it.
const AT: char = '@';

/// More than most records take, in bytes: nothing is copied while one grows.
const USUAL_LENGTH: usize = 8192;

/// A text that is written in pieces. Every other piece of a document in JSON is one character (quotes, colons, commas,
/// braces), and to append that as a slice takes three times as long.
struct Text(Vec<u8>);

impl io::Write for Text {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match piece {
            [byte] => self.0.push(*byte),
            piece => self.0.extend_from_slice(piece),
        }
        Ok(piece.len())
    }

    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.write(piece).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store {
    pub(super) fn record_path(&self, key: &AttachmentKey) -> PathBuf {
        let AttachmentKey { network, container, ifname } = key;
        self.records_of(network).join(format!("{container}{AT}{ifname}.json"))
    }

    fn records_of(&self, network: &NetworkName) -> PathBuf {
        self.root.join("attachments").join(network.as_str())
    }

    /// The record of an attachment, if there is one. A record that cannot be read is an error: what it
    /// stood for may still be there, and must not be forgotten.
    pub fn record(&self, key: &AttachmentKey) -> Result<Option<Record>> {
        let path = self.record_path(key);
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        let doing = || format!("record {} cannot be read", path.display());
        let record = serde_json::from_slice::<Record>(&bytes).coded(Code::Io, doing);
        // What a copy stands for is another's, who may be alive.
        let own = record.and_then(|record| {
            let other = || Error::new(Code::Io, format!("it is of {}", record.key)).context(doing());
            if record.key == *key { Ok(Some(record)) } else { Err(other()) }
        });
        own.map_err(|error| error.hint("DEL removes what can be found without it"))
    }

    /// Writes or replaces a record.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        let path = self.record_path(&record.key);
        if record.knows_siblings() {
            self.note_several(&record.key.container)?;
        }
        let mut text = Text(Vec::with_capacity(USUAL_LENGTH));
        serde_json::to_writer(&mut text, record).coded(Code::Internal, || "encode record")?;
        let replace = || atomic::replace_using(&self.spare_path(), &path, &text.0, &self.root);
        self.in_dir(&self.records_of(&record.key.network), replace)?
            .coded(Code::Io, || format!("write record {}", path.display()))
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

    /// Removes a record.
    pub fn remove_record(&self, key: &AttachmentKey) -> Result<()> {
        let several = self.several_path(&key.container);
        // Before the record: who is killed in between does it again. With one besides this one, nobody knows another.
        if several.exists() && self.attachments_of_container(&key.container)?.len() <= 2 {
            remove_optional(&several)?;
        }
        let path = self.record_path(key);
        match atomic::retire(&path, &self.spare_path()) {
            Err(error) if !is_absent(&error) => Err(error).coded(Code::Io, || format!("remove {}", path.display())),
            _ => Ok(()),
        }
    }

    /// The last removed record's file, for the next one.
    fn spare_path(&self) -> PathBuf {
        self.root.join("locks").join("spare")
    }

    /// Whether attachments of the container may know of each other, and so must be looked for: a directory of
    /// thousands is not to be read for each container that has but one.
    #[must_use]
    pub fn may_have_siblings(&self, container: &ContainerId) -> bool {
        self.several_path(container).exists()
    }

    fn several_path(&self, container: &ContainerId) -> PathBuf {
        self.root.join("several").join(container.as_str())
    }

    fn note_several(&self, container: &ContainerId) -> Result<()> {
        let path = self.several_path(container);
        let create = || fs::File::options().create(true).append(true).mode(0o600).open(&path).map(drop);
        self.in_dir(&self.root.join("several"), create)?.coded(Code::Io, || format!("write {}", path.display()))
    }

    /// Whether no attachment has a record, of whatever network.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.attachments().is_ok_and(|keys| keys.is_empty())
    }

    /// Removes the directory of a network's records, if none is left in it.
    pub fn tidy(&self, network: &NetworkName) {
        let _ = fs::remove_dir(self.records_of(network)); // refuses to otherwise
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
        let mut keys = self.attachments()?;
        keys.retain(|key| key.container == *container);
        Ok(keys)
    }

    /// The keys of all records of a network.
    pub fn attachments_of(&self, network: &NetworkName) -> Result<Vec<AttachmentKey>> {
        let names = names_in(&self.records_of(network))?;
        let mut keys: Vec<AttachmentKey> = names.iter().filter_map(|name| key_of(network, name)).collect();
        keys.sort();
        Ok(keys)
    }
}

/// The key that a record's file name stands for.
fn key_of(network: &NetworkName, name: &str) -> Option<AttachmentKey> {
    let (container, ifname) = name.strip_suffix(".json")?.split_once(AT)?;
    let (container, ifname) = (ContainerId::parse(container).ok()?, IfName::parse(ifname).ok()?);
    Some(AttachmentKey { network: network.clone(), container, ifname })
}
