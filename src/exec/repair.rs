//! What has drifted, put right: the recorded steps that do not hold, run again, and no others.

use super::run::Run;
use super::{Container, Engine};
use crate::error::{Code, Error, Result};
use crate::model::AttachmentKey;
use crate::plan::{self, Difference, Element, Facts, Held, Object, Record, Setting, Step};

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

    /// Runs what does not hold. What that was, and what there was in its place.
    pub fn repair(&self, key: &AttachmentKey) -> Result<Vec<Difference>> {
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
        let steps: Vec<Step> = missing.iter().flat_map(|step| with_room(step, &facts)).collect();
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

/// A step, behind the removal of what stands in its way: an element that leads elsewhere.
fn with_room(step: &Step, facts: &Facts) -> Vec<Step> {
    // A route that leads elsewhere is put right in one message: at no time is there none.
    if let Step::Add(Object::Route(side, route)) = step
        && facts.namespace(*side).routes.iter().any(|there| there.collides(route))
    {
        return vec![Step::Set(Setting::Route(*side, route.clone()))];
    }
    let in_the_way = match step {
        Step::Add(Object::Element(held)) => {
            let there = facts.elements.get(&(held.element.set, held.element.key.clone()));
            there
                .map(|there| Element { value: there.value.clone(), ..held.element.clone() })
                .map(|element| Step::Del(Object::Element(Held { element, ..held.clone() })))
        }
        _ => None,
    };
    in_the_way.into_iter().chain([step.clone()]).collect()
}
