//! CHECK: which recorded steps do not hold any more.

use super::facts::Facts;
use super::record::Record;
use super::step::{Object, Setting, Side, Step};

/// The recorded steps whose effect is missing.
///
/// Plugins that are chained behind us may have changed what is theirs to change (CNI 1.1, CHECK): the MAC
/// and MTU (`tuning`), sysctls inside the container, the table of a route inside the container (`sbr`). So
/// none of these counts as drift.
#[must_use]
pub fn drift(record: &Record, facts: &Facts) -> Vec<Step> {
    record.steps.iter().filter(|step| is_checked(step) && !holds_loosely(step, facts)).cloned().collect()
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
        Step::Del(_) | Step::Await(_) | Step::Announce(..) | Step::Forget(_) => false,
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
