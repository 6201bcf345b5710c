//! Collects steps, leaving out those whose effect is there already.

use super::facts::Facts;
use super::step::{Object, Setting, Step};
use crate::model::AttachmentKey;

/// A plan in the making: the steps so far, and the facts as they will be after them.
pub(super) struct Builder<'a> {
    key: &'a AttachmentKey,
    /// The facts as they will be after the steps so far.
    pub(super) facts: Facts,
    steps: Vec<Step>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(key: &'a AttachmentKey, facts: &Facts) -> Self {
        Self { key, facts: facts.clone(), steps: Vec::new() }
    }

    pub(super) fn push(&mut self, step: Step) {
        if !self.facts.holds(&step) {
            self.facts.apply(&step, self.key);
            self.steps.push(step);
        }
    }

    pub(super) fn add(&mut self, object: Object) {
        self.push(Step::Add(object));
    }

    pub(super) fn set(&mut self, setting: Setting) {
        self.push(Step::Set(setting));
    }

    pub(super) fn finish(self) -> Vec<Step> {
        self.steps
    }
}
