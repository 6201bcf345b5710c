//! The way back, from facts rather than from wishes.

use super::facts::Facts;
use super::record::Record;
use super::step::{BridgeLink, Holder, LinkAddress, Object, Shared, Side, Step, owner_of_alias};
use crate::model::{AttachmentKey, IfName};

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
    // A bridge of ours that somebody replaced by their own: what stands on it is theirs.
    let replaced = |link: &IfName| {
        let ours = now.host_link(link).and_then(|link| link.alias.as_deref()).and_then(owner_of_alias).is_some();
        let claimed = |shared: &Shared| matches!(shared, Shared::Bridge(name) | Shared::Holder(name) if name == link);
        !ours && done.iter().any(|step| matches!(step, Step::Add(Object::Use(shared)) if claimed(shared)))
    };
    let is_theirs = |step: &Step| match step {
        Step::Del(Object::Address(Side::Host, address)) => replaced(&address.link),
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
            if !facts.holds(&inverse) && !is_theirs(&inverse) {
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
            let bridge = BridgeLink { name: name.clone(), mac: link.mac?, mtu: link.mtu };
            (!has_ports(now, name)).then_some(Object::Bridge(bridge))
        }
        Shared::Holder(name) => {
            now.host_link(name).filter(|link| link.is_ours(Holder::ALIAS))?;
            (!has_ports(now, name)).then(|| Object::Holder(Holder { name: name.clone() }))
        }
        Shared::Address(link, net) => {
            let address = LinkAddress { link: link.clone(), net: *net, host_scope: false };
            Some(Object::Address(Side::Host, address))
        }
    }
}

fn has_ports(now: &Facts, name: &IfName) -> bool {
    now.host.links.values().any(|port| port.master.as_ref() == Some(name))
}
