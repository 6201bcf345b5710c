//! GC: DEL of every recorded attachment that is not valid any more.

use std::collections::BTreeSet;

use super::{Engine, Today};
use crate::error::{Error, Result};
use crate::model::{AttachmentKey, NetworkName};

impl Engine {
    /// Removes the attachments of `network` that `valid` does not list, by container id and interface name.
    /// `today` is what the front knows of each. Without a list, those are spared whose namespace is provably alive. Goes on after errors.
    pub async fn collect(
        &self,
        network: &NetworkName,
        valid: Option<&BTreeSet<(String, String)>>,
        today: impl Fn(&AttachmentKey) -> Today,
    ) -> Result<()> {
        drop(self.store.lock()?); // clears away what a killed process left unfinished, also if nothing is stale
        let mut errors = Vec::new();
        for key in self.store.attachments_of(network)? {
            if self.is_valid(&key, valid) {
                continue;
            }
            if let Err(error) = self.detach(&key, today(&key)).await {
                errors.push(error.context(format!("remove stale attachment {key}")));
            }
        }
        if errors.is_empty() && self.store.is_unused() {
            let _lock = self.store.lock()?;
            self.remove_empty_tables()?;
        }
        join(errors)
    }

    fn is_valid(&self, key: &AttachmentKey, valid: Option<&BTreeSet<(String, String)>>) -> bool {
        let id = (key.container.to_string(), key.ifname.to_string());
        match (valid, self.store.record(key)) {
            (Some(valid), _) => valid.contains(&id),
            (None, Ok(record)) => record.is_some_and(|record| self.is_alive(&record)),
            (None, Err(_)) => false,
        }
    }
}

fn join(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    Err(errors.fold(first, |first, other| first.hint(format!("{:#}", other.source))))
}
