//! CHECK: which recorded steps do not hold any more.

use std::borrow::Cow;

use super::facts::Facts;
use super::record::Record;
use super::ruleset::Element;
use super::step::{Object, Setting, Side, Step};

/// The recorded steps whose effect is missing.
///
/// Plugins that are chained behind us may have changed what is theirs to change (CNI 1.1, CHECK): the MAC
/// and MTU (`tuning`), sysctls inside the container, the table of a route inside the container (`sbr`). So
/// none of these counts as drift.
///
/// An address of the host that several attachments share is missed by each that has a stake in it, whoever put it there.
///
/// Of an interface that somebody has renamed, the name is missing, and whatever else does not hold but for that.
#[must_use]
pub fn drift(record: &Record, facts: &Facts) -> Vec<Step> {
    let name = record.ifname();
    let renamed = facts.peer.as_ref().filter(|there| *there != name);
    let renaming = renamed.map(|link| Step::Set(Setting::Name { link: link.clone(), name: name.clone() }));
    let mut named = Cow::Borrowed(facts);
    if let Some(step) = &renaming {
        named.to_mut().apply(step, &record.key);
    }
    // Routes by other interfaces, which this one's default route has moved: they may be gone by now, and are those's to miss.
    let is_others = |step: &Step| match step {
        Step::Add(Object::Route(Side::Container, route)) => route.link != *name,
        _ => false,
    };
    let is_missing = |step: &Step| is_checked(step) && !is_others(step) && !holds_loosely(step, &named);
    let found_there: Vec<Step> = record.steps.iter().filter_map(|step| found_there(step, record)).collect();
    let missing = record.steps.iter().chain(&found_there).filter(|step| is_missing(step));
    renaming.iter().chain(missing).cloned().collect()
}

/// The step by which another attachment has made what this one found there and took a stake in: an address.
fn found_there(step: &Step, record: &Record) -> Option<Step> {
    let Step::Add(Object::Use(shared)) = step else { return None };
    let made = Step::Add(Object::Address(Side::Host, shared.address()?));
    (!record.steps.contains(&made)).then_some(made)
}

/// A recorded step that does not hold, beside what there is in its place.
#[derive(Debug, Clone)]
pub struct Difference {
    /// What should be.
    pub expected: Step,
    /// What is there instead, if anything is.
    pub actual: Option<String>,
}

impl Difference {
    /// The step beside what `facts` have in its place.
    #[must_use]
    pub fn of(expected: Step, facts: &Facts) -> Self {
        let actual = match &expected {
            Step::Set(Setting::Name { link, .. }) => Some(format!("it is called {link}")),
            Step::Set(setting) => facts.current(setting).map(|there| Step::Set(there).to_string()),
            Step::Add(Object::Route(side, route)) => {
                let there = facts.namespace(*side).routes.iter().find(|there| there.dst == route.dst);
                there.map(|there| Step::Add(Object::Route(*side, there.clone())).to_string())
            }
            Step::Add(Object::Element(held)) => {
                let there = facts.elements.get(&(held.element.set, held.element.key.clone()));
                there.map(|there| Element { value: there.value.clone(), ..held.element.clone() }.to_string())
            }
            Step::Add(Object::Limit(link, _)) => facts.limits.get(link).map(|bits| format!("{bits}bit")),
            Step::Add(Object::Lease(lease)) => {
                facts.leases.get(&(lease.network.clone(), lease.address)).map(|owner| format!("leased to {owner}"))
            }
            _ => None,
        };
        Self { expected, actual }
    }
}

fn is_checked(step: &Step) -> bool {
    match step {
        Step::Add(Object::Element(held)) => !held.sibling,
        Step::Add(object) => !matches!(object, Object::Record(_) | Object::Delegation(_)),
        Step::Set(Setting::Sysctl(sysctl)) => sysctl.side == Side::Host && !sysctl.precaution,
        Step::Set(setting) => !matches!(
            setting,
            Setting::Flags { .. }
                | Setting::Mtu { .. }
                | Setting::AddressGeneration { .. }
                | Setting::StrictArp { .. }
                | Setting::Alias { .. }
        ),
        // Out of the VLAN into which the bridge puts its ports: back in it, the container hears others.
        Step::Del(Object::Vlan(_)) => true,
        Step::Del(_) | Step::Await(_) | Step::Announce(..) | Step::Forget(_) | Step::Proclaim(..) => false,
    }
}

fn holds_loosely(step: &Step, facts: &Facts) -> bool {
    match step {
        Step::Add(Object::Route(Side::Container, wanted)) => facts
            .container
            .routes
            .iter()
            .any(|there| there.dst == wanted.dst && there.link == wanted.link && there.via == wanted.via),
        Step::Add(Object::Veth(veth)) => {
            let is_port = facts.host_link(&veth.host).is_some_and(|link| link.master == veth.bridge);
            is_port && facts.holds(step) && facts.container.links.contains_key(&veth.peer)
        }
        _ => facts.holds(step),
    }
}
