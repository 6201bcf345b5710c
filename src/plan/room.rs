//! A step into a place that somebody else's value may have taken.

use super::facts::Facts;
use super::ruleset::Element;
use super::step::{Held, Object, Setting, Step};

/// The step, with what it takes where something else is in its place: an element that leads elsewhere is removed first; a
/// route that does is replaced by one message, so that at no time there is none.
#[must_use]
pub fn with_room(step: &Step, facts: &Facts) -> Vec<Step> {
    match step {
        Step::Add(Object::Route(side, route))
            if facts.namespace(*side).routes.iter().any(|there| there.collides(route)) =>
        {
            vec![Step::Set(Setting::Route(*side, route.clone()))]
        }
        Step::Add(Object::Element(held)) => {
            let there = facts.elements.get(&(held.element.set, held.element.key.clone()));
            let in_the_way = there.map(|there| Element { value: there.value.clone(), ..held.element.clone() });
            let removal = in_the_way.map(|element| Step::Del(Object::Element(Held { element, ..held.clone() })));
            removal.into_iter().chain([step.clone()]).collect()
        }
        _ => vec![step.clone()],
    }
}
