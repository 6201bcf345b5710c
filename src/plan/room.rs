//! A step into a place that somebody else's value may have taken.

use super::facts::Facts;
use super::route::Route;
use super::ruleset::Element;
use super::step::{Held, Object, Setting, Side, Step};

/// The step, with what it takes where something else is in its place: an element that leads elsewhere is removed first; a
/// route that does is replaced by one message, so that at no time there is none. A route by another interface of the
/// container is not ours to replace: ours goes behind it.
#[must_use]
pub fn with_room(step: &Step, facts: &Facts) -> Vec<Step> {
    match step {
        Step::Add(Object::Route(side, route)) => {
            let route = if *side == Side::Container { behind_others(route, facts) } else { route.clone() };
            let is_taken = facts.namespace(*side).routes.iter().any(|there| there.collides(&route));
            vec![if is_taken {
                Step::Set(Setting::Route(*side, route))
            } else {
                Step::Add(Object::Route(*side, route))
            }]
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

fn behind_others(route: &Route, facts: &Facts) -> Route {
    let mut route = route.clone();
    let there = &facts.container.routes;
    while there.iter().any(|other| other.collides(&route) && other.link != route.link) {
        route.metric = route.effective_metric() + 1;
    }
    route
}
