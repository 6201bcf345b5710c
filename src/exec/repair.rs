//! What has drifted, put right: the recorded steps that do not hold, run again, and no others.

use super::run::Run;
use super::{Container, Engine};
use crate::error::{Code, Error, Result};
use crate::model::AttachmentKey;
use crate::plan::{self, Difference, Object, Record, Step};

impl Engine {
    /// The recorded steps of an attachment that do not hold, as its namespace is now.
    pub fn inspect(&self, key: &AttachmentKey) -> Result<Vec<Step>> {
        let differences = self.differences(key)?;
        Ok(differences.into_iter().map(|difference| difference.expected).collect())
    }

    /// The same, beside what there is in their place.
    pub fn differences(&self, key: &AttachmentKey) -> Result<Vec<Difference>> {
        let _key_lock = self.store.lock_attachment(key)?;
        let (record, container) = self.recorded(key)?;
        let facts = self.facts_to_check(&record, Some(&container))?;
        let missing = plan::drift(&record, &facts);
        Ok(missing.into_iter().map(|step| Difference::of(step, &facts)).collect())
    }

    /// Runs what does not hold. What that was, and what there was in its place. A change that was killed half way is taken
    /// back first.
    pub fn repair(&self, key: &AttachmentKey) -> Result<Vec<Difference>> {
        self.finish_change(key)?;
        let _key_lock = self.store.lock_attachment(key)?;
        let (record, container) = self.recorded(key)?;
        let mut run = Run::new(self, key, Some(&container));
        run.lock()?;
        let facts = self.facts_to_check(&record, Some(&container))?;
        let missing = plan::drift(&record, &facts);
        if let Some(step) = missing.iter().find(|step| matches!(step, Step::Add(Object::Veth(_)))) {
            return Err(Error::new(Code::Drift, format!("missing: {step}"))
                .context(format!("attachment {key} has lost its link, with all that stood on it"))
                .hint("detach it, and have its runtime attach it again"));
        }
        let steps: Vec<Step> = missing.iter().flat_map(|step| plan::with_room(step, &facts)).collect();
        run.run(&steps)?;
        Ok(missing.into_iter().map(|step| Difference::of(step, &facts)).collect())
    }

    /// The record of an attachment that is whole, and its namespace, if that is still the same.
    pub(super) fn recorded(&self, key: &AttachmentKey) -> Result<(Record, Container)> {
        let record = self.store.record(key)?.ok_or_else(|| {
            Error::new(Code::Drift, "there is no record of it").context(format!("attachment {key} is not known"))
        })?;
        let gone = || {
            Error::new(Code::Drift, format!("{} leads to it no more", record.netns.path))
                .context(format!("attachment {key} is orphaned: its namespace is gone"))
                .hint("GC removes it, or DEL")
        };
        let container = Container::open(&record.netns.path, true).map_err(|_| gone())?;
        if container.endpoint.socket.cookie() != record.netns.cookie {
            return Err(gone());
        }
        Ok((record, container))
    }
}
