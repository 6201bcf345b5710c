//! A change of an attachment that is in use: one plan for all that it takes, undone as a whole if a step fails.

use ipnet::IpNet;

use super::run::Run;
use super::{Container, Engine, refused};
use crate::error::{Code, Error, Result};
use crate::kernel::{KernelError, LOCAL_TABLE};
use crate::model::{Attachment, AttachmentKey, Family, IfName, Outcome};
use crate::plan::{self, Facts, Record, Renames, RouteKind, Step};
use crate::store::Lock;

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
    /// that already. With `may_interrupt`, the link may go down for a change that the kernel refuses while it is up.
    pub fn change(
        &self,
        key: &AttachmentKey,
        edit: impl FnOnce(&mut Attachment) -> Result<()>,
        may_interrupt: bool,
    ) -> Result<Vec<Step>> {
        let _key_lock = self.store.lock_attachment(key)?;
        let (before, container) = self.recorded(key)?;
        let mut wanted = wanted_by(&before)?;
        let mut run = Run::new(self, key, Some(&container));
        run.lock()?;
        edit(&mut wanted)?;
        let neighbours = self.neighbours(&before, wanted.ifname())?;
        match self.change_once(&mut run, (&before, &wanted), &container, &neighbours, Renames::All) {
            Err(_) if may_interrupt && run.was_busy => {
                run.lock()?;
                self.change_once(&mut run, (&before, &wanted), &container, &neighbours, Renames::Down)
            }
            done => done,
        }
    }

    fn change_once(
        &self,
        run: &mut Run<'_>,
        (before, wanted): (&Record, &Attachment),
        container: &Container,
        neighbours: &[Neighbour],
        renames: Renames,
    ) -> Result<Vec<Step>> {
        let facts = self.facts_to_change(before, container, wanted, renames)?;
        let change = plan::change(before, wanted, &facts)?;
        if change.steps.is_empty() && before.wanted.as_deref() == Some(wanted) && !before.changing {
            return Ok(Vec::new());
        }
        // Killed half way, all that there may be of both is in the record. Of two names, it is the new one: whatever is
        // not done by then, a repair does.
        let half_way = before.renamed(wanted.ifname());
        let old = half_way.steps.iter().filter(|step| !change.recorded.contains(step));
        let both: Vec<Step> = change.recorded.iter().chain(old).cloned().collect();
        self.store.write_record(&Record { steps: both, changing: true, ..half_way.clone() })?;
        let nets = |outcome: &Outcome| -> Vec<IpNet> { outcome.addresses.iter().map(|address| address.net).collect() };
        let there = nets(&change.outcome);
        let mut withdrawn = before.withdrawn.clone();
        withdrawn.extend(before.outcome.iter().flat_map(nets));
        withdrawn.retain(|net| !there.contains(net));
        let record = Record {
            steps: change.recorded,
            wanted: Some(Box::new(wanted.clone())),
            withdrawn,
            outcome: Some(change.outcome),
            changing: false,
            ..before.clone()
        };
        let told = neighbours.iter().try_for_each(|there| self.store.write_record(&there.after));
        let done = told.and_then(|()| run.run(&change.steps)).and_then(|()| run.lock());
        if let Err(error) = done.and_then(|()| self.store.write_record(&record)) {
            return Err(self.change_back(run, before, &facts, neighbours, error));
        }
        if before.changing {
            self.forget_stakes(&before.steps, &record.steps);
        }
        Ok(change.steps)
    }

    /// Takes back what a killed change has left of itself. Whether there was one.
    pub(super) fn finish_change(&self, key: &AttachmentKey) -> Result<bool> {
        let is_changing = self.store.record(key)?.is_some_and(|record| record.changing);
        if is_changing {
            // A change to what is wanted anyway.
            self.change(key, |_| Ok(()), false)?;
        }
        Ok(is_changing)
    }

    fn change_back(
        &self,
        run: &mut Run<'_>,
        record: &Record,
        before: &Facts,
        neighbours: &[Neighbour],
        error: Error,
    ) -> Error {
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
            let records = neighbours.iter().map(|there| &there.before).chain([record]);
            failures.extend(records.filter_map(|record| self.store.write_record(record).err()));
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
    fn facts_to_change(
        &self,
        record: &Record,
        container: &Container,
        wanted: &Attachment,
        renames: Renames,
    ) -> Result<Facts> {
        let there = self.facts_to_check(record, Some(container))?;
        // Its link is looked at under the name that it has.
        let as_named = Attachment { renamed: there.peer.clone().or(wanted.renamed.clone()), ..wanted.clone() };
        let mut facts = self.facts_to_attach(container, &as_named)?;
        facts.absorb(there);
        facts.renames = renames;
        if renames == Renames::Down {
            observe_what_goes_with_up(&mut facts, container).map_err(|error| refused(&error, "look inside"))?;
        }
        Ok(facts)
    }

    /// The container's other attachments whose records name the interface that `record` is about and that is to be
    /// called `name`; their locks are held.
    fn neighbours(&self, record: &Record, name: &IfName) -> Result<Vec<Neighbour>> {
        let mut neighbours = Vec::new();
        if record.ifname() == name {
            return Ok(neighbours);
        }
        for key in self.store.attachments_of_container(&record.key.container)? {
            // An unreadable record is for its own DEL to settle.
            let Ok(Some(before)) = self.store.record(&key) else { continue };
            if key == record.key || before.netns.cookie != record.netns.cookie {
                continue;
            }
            let after = before.naming_other(record.ifname(), name);
            if after != before {
                let lock = self.store.try_lock_attachment(&key)?;
                let busy = || Error::new(Code::TryAgainLater, format!("attachment {key} is being worked on, too"));
                neighbours.push(Neighbour { _lock: lock.ok_or_else(busy)?, before, after });
            }
        }
        Ok(neighbours)
    }
}

/// The record of another attachment of the same container, in which another name changes.
struct Neighbour {
    _lock: Lock,
    before: Record,
    after: Record,
}

/// What the container's link loses when it goes down and a check does not look at: routes of all tables, and whether IPv6
/// addresses stay. Addresses with lifetimes are those who gave them to give again, and not known here.
fn observe_what_goes_with_up(facts: &mut Facts, container: &Container) -> Result<(), KernelError> {
    let endpoint = &container.endpoint;
    let Some((name, index)) = facts.peer.clone().and_then(|name| Some((name.clone(), endpoint.index(&name)?))) else {
        return Ok(());
    };
    for family in Family::BOTH {
        let all = endpoint.fib(family, 0, Some(index))?; // table 0 is all of them
        let lasting = all.iter().filter(|route| route.kind == RouteKind::Unicast && route.table != LOCAL_TABLE);
        let known = &mut facts.container.routes;
        for route in lasting.map(|route| route.to_route(&name)) {
            if !known.contains(&route) {
                known.push(route);
            }
        }
    }
    for passing in endpoint.passing_addresses(&name, index)? {
        facts.container.addresses.remove(&passing);
    }
    for of in ["all", name.as_str()] {
        let key = format!("ipv6/conf/{of}/keep_addr_on_down");
        facts.container.sysctls.extend(container.read_sysctl(&key).ok().map(|value| (key, value)));
    }
    Ok(())
}

fn wanted_by(record: &Record) -> Result<Box<Attachment>> {
    record.wanted.clone().ok_or_else(|| {
        Error::new(Code::Drift, "its record does not say what was asked for")
            .context(format!("attachment {} cannot be changed", record.key))
            .hint("attach it anew: then its record has what this takes")
    })
}
