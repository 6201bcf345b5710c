//! GC: DEL of every recorded attachment that is not valid any more.

use std::collections::BTreeSet;

use super::{Engine, Today};
use crate::error::{Error, Result};
use crate::model::{AttachmentKey, Face, NetworkName};
use crate::plan::Record;

/// Which attachments GC spares.
#[derive(Debug, Clone, Copy)]
pub enum Spared<'a> {
    /// Those that are listed, by container id and interface name; of others than the CNI face's, those that are alive.
    Listed(&'a BTreeSet<(String, String)>),
    /// Those whose namespace is provably alive, and those of these containers.
    AliveOr(&'a [String]),
}

impl Engine {
    /// Removes the attachments of `network` that are not spared, and returns them. `today` is what the front knows of
    /// each. Goes on after errors.
    pub fn collect(
        &self,
        network: &NetworkName,
        spared: Spared<'_>,
        today: impl Fn(&AttachmentKey) -> Today,
    ) -> Result<Vec<AttachmentKey>> {
        drop(self.store.lock()?); // clears away what a killed process left unfinished, also if nothing is stale
        let (mut removed, mut errors) = (Vec::new(), Vec::new());
        for key in self.store.attachments_of(network)? {
            if self.is_spared(&key, spared) {
                continue;
            }
            match self.detach(&key, today(&key)) {
                Ok(_) => removed.push(key),
                Err(error) => errors.push(error.context(format!("remove stale attachment {key}"))),
            }
        }
        if errors.is_empty() {
            self.remove_what_is_empty(network)?;
        }
        Error::all(errors).map(|()| removed)
    }

    /// Removes the directory of a network without attachments, and if there are none at all, the tables in nf_tables.
    pub(super) fn remove_what_is_empty(&self, network: &NetworkName) -> Result<()> {
        let _lock = self.store.lock()?;
        self.store.tidy(network);
        if self.store.is_unused() { self.remove_empty_tables() } else { Ok(()) }
    }

    fn is_spared(&self, key: &AttachmentKey, spared: Spared<'_>) -> bool {
        let record = || self.store.record(key).ok().flatten();
        match spared {
            // Whoever lists knows of its own only; on the same network there may be containers of hooks.
            Spared::Listed(valid) => {
                let is_anothers = |record: &Record| record.maker.face != Face::Cni && self.is_alive(record);
                valid.contains(&(key.container.to_string(), key.ifname.to_string()))
                    || record().is_some_and(|record| is_anothers(&record))
            }
            Spared::AliveOr(kept) => {
                kept.iter().any(|id| id == key.container.as_str())
                    || record().is_some_and(|record| self.is_alive(&record))
            }
        }
    }
}
