//! Files that say whose something is.
//!
//! A lease or a stake is its owner's record by another name (link(2)), which costs no more than the name. Where that cannot
//! be, in a `dataDir` or before there is a record, it is a file of its own with as much of it as it takes.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::{Store, atomic};
use crate::model::AttachmentKey;

/// The content of such a file, or what of a record is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Whose it is.
    #[serde(rename = "key")]
    pub owner: AttachmentKey,
    /// The boot in which it was given; a lease of an earlier boot holds nothing.
    pub boot: String,
}

impl Store {
    /// Makes a file that says whose it is; fails with `AlreadyExists` if it is there.
    pub(super) fn name_owner(&self, path: &Path, owner: &AttachmentKey) -> io::Result<()> {
        match fs::hard_link(self.record_path(owner), path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                atomic::create(path, &self.ownership(owner)?, false)
            }
            linked => linked,
        }
    }

    /// The content of a file of its own.
    pub(super) fn ownership(&self, owner: &AttachmentKey) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&Ownership { owner: owner.clone(), boot: self.boot.clone() })?)
    }
}
