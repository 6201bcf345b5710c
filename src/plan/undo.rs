//! The way back, from facts rather than from wishes.

use super::facts::Facts;
use super::record::Record;
use super::step::{BridgeLink, Holder, LinkAddress, Object, Shared, Side, Step};
use crate::model::AttachmentKey;

/// The steps that remove what `record` and `now` show to be the attachment's. Needs neither the container's
/// namespace nor today's configuration.
#[must_use]
pub fn detach(record: &Record, now: &Facts) -> Vec<Step> {
    undo(&record.key, &record.steps, None, now)
}

/// The steps back from a failure: `done` are the steps that took effect since `before`, `now` is how things
/// are. Without `before`, settings stay: what they replaced is not known.
#[must_use]
pub fn undo(key: &AttachmentKey, done: &[Step], before: Option<&Facts>, now: &Facts) -> Vec<Step> {
    let pair = done.iter().find_map(|step| match step {
        Step::Add(Object::Veth(veth)) => Some((veth.host.as_str(), veth.peer.as_str())),
        _ => None,
    });
    // What is bound to a link of the pair goes with it: no step of its own, and no need to enter the container.
    let goes_with_pair = |step: &Step| match (step.link(), pair) {
        (Some((Side::Host, link)), Some((host, _))) => link == host,
        (Some((Side::Container, link)), Some((_, peer))) => link == peer,
        _ => false,
    };
    let mut facts = now.clone();
    let mut steps = Vec::new();
    // The delegate's address is released when the link that held it is gone: until then it may be in use.
    let last = |step: &&Step| matches!(step, Step::Add(Object::Delegation(_) | Object::Record(_)));
    let (last, first): (Vec<&Step>, Vec<&Step>) =
        done.iter().rev().filter(|step| !goes_with_pair(step)).partition(last);
    for step in first.into_iter().chain(last) {
        for inverse in inverses(key, step, before, &facts) {
            if !facts.holds(&inverse) {
                facts.apply(&inverse, key);
                steps.push(inverse);
            }
        }
    }
    steps
}

fn inverses(key: &AttachmentKey, step: &Step, before: Option<&Facts>, now: &Facts) -> Vec<Step> {
    match step {
        Step::Add(object) => match object {
            Object::Lease(lease) => match now.leases.get(&(lease.network.clone(), lease.address)) {
                Some(owner) if owner == key => vec![Step::Del(object.clone())],
                _ => Vec::new(), // given to somebody else in the meantime
            },
            Object::Use(shared) => {
                let last = !now.users(shared).others;
                let unused = last.then(|| shared_object(shared, now)).flatten();
                unused.map(Step::Del).into_iter().chain([Step::Del(object.clone())]).collect()
            }
            // Shared objects go with their last use; what stands on them goes with them.
            Object::Bridge(_) | Object::Holder(_) | Object::Address(Side::Host, _) => Vec::new(),
            Object::Record(_)
            | Object::Delegation(_)
            | Object::Veth(_)
            | Object::Address(Side::Container, _)
            | Object::Route(..) => vec![Step::Del(object.clone())],
        },
        Step::Set(setting) => before.and_then(|before| before.current(setting)).map(Step::Set).into_iter().collect(),
        Step::Del(_) | Step::Await(_) | Step::Announce(..) => Vec::new(),
    }
}

/// The object to delete when its last user goes: only if it is still what we made, and nobody else moved in.
fn shared_object(shared: &Shared, now: &Facts) -> Option<Object> {
    match shared {
        Shared::Bridge(name) => {
            let link = now.host_link(name).filter(|link| link.is_ours(BridgeLink::ALIAS))?;
            let has_ports = now.host.links.values().any(|port| port.master.as_ref() == Some(name));
            let bridge = BridgeLink { name: name.clone(), mac: link.mac?, mtu: link.mtu };
            (!has_ports).then_some(Object::Bridge(bridge))
        }
        Shared::Holder(name) => {
            now.host_link(name).filter(|link| link.is_ours(Holder::ALIAS))?;
            Some(Object::Holder(Holder { name: name.clone() }))
        }
        Shared::Address(link, net) => {
            let address = LinkAddress { link: link.clone(), net: *net, host_scope: false };
            Some(Object::Address(Side::Host, address))
        }
    }
}
