//! A change of an attachment that is in use: one plan for all that it takes, undone as a whole if a step fails.

use ipnet::IpNet;

use super::run::Run;
use super::{Container, Engine};
use crate::error::{Code, Error, Result};
use crate::model::{Attachment, AttachmentKey, Outcome};
use crate::plan::{self, Facts, Record, Step};

impl Engine {
    /// What is wanted for an attachment by its record.
    pub fn wanted(&self, key: &AttachmentKey) -> Result<Box<Attachment>> {
        let record = self.store.record(key)?.ok_or_else(|| {
            Error::new(Code::UnknownContainer, "there is no record of it")
                .context(format!("attachment {key} is not known"))
        })?;
        wanted_by(&record)
    }

    /// Changes an attachment to what `edit` makes of what is wanted for it. The steps that it took; none if it is like
    /// that already.
    pub fn change(&self, key: &AttachmentKey, edit: impl FnOnce(&mut Attachment) -> Result<()>) -> Result<Vec<Step>> {
        let _key_lock = self.store.lock_attachment(key)?;
        let (before, container) = self.recorded(key)?;
        let mut wanted = wanted_by(&before)?;
        let mut run = Run::new(self, key, Some(&container));
        run.lock()?;
        edit(&mut wanted)?;
        let facts = self.facts_to_change(&before, &container, &wanted)?;
        let change = plan::change(&before, &wanted, &facts)?;
        if change.steps.is_empty() && before.wanted.as_ref() == Some(&wanted) {
            return Ok(Vec::new());
        }
        // Killed half way, all that there may be of both is in the record.
        let old = before.steps.iter().filter(|step| !change.recorded.contains(step));
        let both: Vec<Step> = change.recorded.iter().chain(old).cloned().collect();
        self.store.write_record(&Record { steps: both, ..before.clone() })?;
        if let Err(error) = run.run(&change.steps) {
            return Err(self.change_back(run, &before, &facts, error));
        }
        run.lock()?;
        let nets = |outcome: &Outcome| -> Vec<IpNet> { outcome.addresses.iter().map(|address| address.net).collect() };
        let there = nets(&change.outcome);
        let mut withdrawn = before.withdrawn.clone();
        withdrawn.extend(before.outcome.iter().flat_map(nets));
        withdrawn.retain(|net| !there.contains(net));
        let record = Record {
            steps: change.recorded,
            wanted: Some(wanted),
            withdrawn,
            outcome: Some(change.outcome),
            ..before.clone()
        };
        self.store.write_record(&record)?;
        Ok(change.steps)
    }

    fn change_back(&self, mut run: Run<'_>, record: &Record, before: &Facts, error: Error) -> Error {
        let done = std::mem::take(&mut run.done);
        if let Err(why) = run.lock() {
            return error.hint(format!("the undo could not begin: {:#}", why.source));
        }
        let mut now = before.clone();
        for step in &done {
            now.apply(step, &record.key);
        }
        let steps = plan::change_back(record, &done, before, &now);
        let mut failures = run.run_all(&steps);
        failures.extend(run.lock().err());
        if failures.is_empty() {
            failures.extend(self.store.write_record(record).err());
        }
        match failures.as_slice() {
            [] => error.hint("everything was undone"),
            failures => {
                let failures: Vec<String> = failures.iter().map(|failure| format!("{:#}", failure.source)).collect();
                let repair = format!("springline check --repair {}", record.key);
                error.hint(format!("the undo is not complete: {}", failures.join("; "))).hint(repair)
            }
        }
    }

    /// What is there of the record, and what the change is about.
    fn facts_to_change(&self, record: &Record, container: &Container, wanted: &Attachment) -> Result<Facts> {
        let there = self.facts_to_check(record, Some(container))?;
        let mut facts = self.facts_to_attach(container, wanted)?;
        facts.absorb(there);
        Ok(facts)
    }
}

fn wanted_by(record: &Record) -> Result<Box<Attachment>> {
    record.wanted.clone().ok_or_else(|| {
        Error::new(Code::Drift, "its record does not say what was asked for")
            .context(format!("attachment {} cannot be changed", record.key))
            .hint("attach it anew: then its record has what this takes")
    })
}
