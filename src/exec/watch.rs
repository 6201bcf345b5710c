//! What has happened to an attachment, and what follows from it: `springline watch`.

use super::run::Run;
use super::{Engine, Today, refused};
use crate::error::Result;
use crate::model::AttachmentKey;
use crate::plan::{self, Difference, Object, Phase, Record, Route, Side, Step};

/// What an attachment has come to.
#[derive(Debug)]
pub enum Reconciled {
    /// It is as it should be, or in the making, or no more.
    Well,
    /// Somebody else is at work on it.
    Busy,
    /// Its container's interface is down: the host's routes to it are gone, these just now.
    Withdrawn(Vec<Step>),
    /// What had drifted, and does not any more.
    Repaired(Vec<Difference>),
    /// Its namespace was gone, and now so is it.
    Reclaimed,
}

impl Engine {
    /// Looks at an attachment and does what follows: takes it away if its namespace is gone, withdraws its routes if its
    /// interface is down, and puts right what has drifted if it is up. `today` is what the front knows of it.
    pub fn reconcile(&self, key: &AttachmentKey, today: impl FnOnce() -> Today) -> Result<Reconciled> {
        // Whoever holds the lock knows better what it is to come to. It is let go of before `detach` and `repair` take it.
        let Some(lock) = self.store.try_lock_attachment(key)? else { return Ok(Reconciled::Busy) };
        let Some(record) = self.store.record(key)? else { return Ok(Reconciled::Well) };
        if !self.is_alive(&record) {
            drop(lock);
            return self.reclaim_orphan(key, today());
        }
        if record.phase == Phase::Begun {
            return Ok(Reconciled::Well); // killed half way: the next ADD of the same key clears it away
        }
        if self.is_unplugged(&record)? {
            let there = self.host_routes(&record)?;
            let steps: Vec<Step> = there.into_iter().map(|route| Step::Del(Object::Route(Side::Host, route))).collect();
            if steps.is_empty() {
                return Ok(Reconciled::Well);
            }
            let mut run = Run::new(self, key, None);
            return match run.run_all(&steps).into_iter().next() {
                Some(error) => Err(error.context(format!("withdraw the routes of {key}"))),
                None => Ok(Reconciled::Withdrawn(steps)),
            };
        }
        drop(lock);
        let differences = self.repair(key)?;
        Ok(if differences.is_empty() { Reconciled::Well } else { Reconciled::Repaired(differences) })
    }

    /// Puts back the routes of an attachment that were withdrawn. How many.
    pub fn announce_again(&self, key: &AttachmentKey) -> Result<usize> {
        let _lock = self.store.lock_attachment(key)?;
        let Some(record) = self.store.record(key)?.filter(|record| self.is_alive(record)) else { return Ok(0) };
        let there = self.host_routes(&record)?;
        let missing = recorded_routes(&record).filter(|route| !there.iter().any(|there| route.is(there)));
        let steps: Vec<Step> = missing.map(|route| Step::Add(Object::Route(Side::Host, route.clone()))).collect();
        Run::new(self, key, None).run(&steps).map(|()| steps.len())
    }

    /// The attachment whose link on the host has this alias, if it is one of ours.
    pub fn key_of_alias(&self, alias: &str) -> Option<AttachmentKey> {
        let owner = plan::owner_of_alias(alias)?;
        if owner.starts_with('#') {
            // Too long for an alias: only a hash of it is there.
            return self.store.attachments().ok()?.into_iter().find(|key| key.alias() == alias);
        }
        AttachmentKey::parse(owner)
    }

    fn reclaim_orphan(&self, key: &AttachmentKey, today: Today) -> Result<Reconciled> {
        self.detach(key, today)?;
        self.remove_what_is_empty(&key.network)?;
        Ok(Reconciled::Reclaimed)
    }

    /// Whether the host routes to it by a link of its own that is up, and whose other end is not.
    fn is_unplugged(&self, record: &Record) -> Result<bool> {
        let Some(link) = record.host_link().filter(|_| recorded_routes(record).next().is_some()) else {
            return Ok(false);
        };
        let (views, _) =
            self.host.look_up(std::slice::from_ref(link), &[]).map_err(|error| refused(&error, "look at the host"))?;
        Ok(views.into_iter().flatten().any(|view| view.link.up && !view.carrier))
    }

    /// Those of the host's recorded routes that are there.
    fn host_routes(&self, record: &Record) -> Result<Vec<Route>> {
        let Some(link) = record.host_link() else { return Ok(Vec::new()) };
        let look = |tables: &[u32]| {
            self.host.look_up(std::slice::from_ref(link), &[])?;
            let Some(index) = self.host.index(link) else { return Ok(Vec::new()) };
            self.host.routes_of(link, index, tables)
        };
        let mut tables: Vec<u32> = recorded_routes(record).map(|route| route.table).collect();
        tables.sort_unstable();
        tables.dedup();
        let there = look(&tables).map_err(|error| refused(&error, "look at routes"))?;
        Ok(recorded_routes(record).filter(|route| there.iter().any(|there| route.is(there))).cloned().collect())
    }
}

fn recorded_routes(record: &Record) -> impl Iterator<Item = &Route> {
    record.steps.iter().filter_map(|step| match step {
        Step::Add(Object::Route(Side::Host, route)) => Some(route),
        _ => None,
    })
}
