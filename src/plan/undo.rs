//! The way back, from facts rather than from wishes.

use super::facts::Facts;
use super::link::LinkKind;
use super::made::{BridgeLink, BridgeVlan, Holder, VlanLink};
use super::record::Record;
use super::ruleset::{Element, Field, NetworkChain, NetworkRules, Set, Value};
use super::step::{Held, Object, Setting, Shared, Side, Stale, Step, owner_of_alias};
use crate::model::{AttachmentKey, IfName, PortMap, Protocol};

/// The steps that remove what `record` and `now` show to be the attachment's. Needs neither the container's
/// namespace nor today's configuration.
#[must_use]
pub fn detach(record: &Record, now: &Facts) -> Vec<Step> {
    let steps = undo(&record.key, &record.steps, None, now);
    // The container's other attachments know its addresses: somebody else may get them now.
    let known = now
        .siblings
        .iter()
        .filter_map(|sibling| sibling.guarded.as_ref())
        .flat_map(|link| record.addresses().into_iter().flat_map(|address| link.source(address)));
    let del = |element| Step::Del(Object::Element(Held { element, shared: false, sibling: true }));
    let known = known.map(del).filter(|step| !now.holds(step) && !steps.contains(step));
    known.collect::<Vec<_>>().into_iter().chain(steps.clone()).collect()
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
        let claimed = |shared: &Shared| match shared {
            Shared::Bridge(name) | Shared::Holder(name) | Shared::VlanLink(name) => name == link,
            _ => false,
        };
        !ours && done.iter().any(|step| matches!(step, Step::Add(Object::Use(shared)) if claimed(shared)))
    };
    let is_theirs = |step: &Step| match step {
        Step::Del(Object::Address(Side::Host, address)) => replaced(&address.link),
        Step::Del(Object::Vlan(vlan)) => replaced(&vlan.link),
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
                let unused = if last { shared_objects(shared, now) } else { Vec::new() };
                unused.into_iter().map(Step::Del).chain([Step::Del(object.clone())]).collect()
            }
            // Shared objects go with their last use; what stands on them goes with them. The ruleset stays: it is the
            // same for all who come after.
            Object::Part(_)
            | Object::Pool(_)
            | Object::Bridge(_)
            | Object::VlanLink(_)
            | Object::Holder(_)
            | Object::Address(Side::Host, _)
            | Object::Chain(_)
            | Object::Loopback(..)
            // These go with their links, or with the host's stake.
            | Object::Vlan(_)
            | Object::Limit(..)
            | Object::Redirect(..)
            | Object::Element(Held { shared: true, .. }) => Vec::new(),
            Object::Element(held) => element(key, held, now),
            Object::Record(_)
            | Object::Delegation(_)
            | Object::Veth(_)
            | Object::Ifb(_)
            | Object::Proxy(..)
            | Object::Address(Side::Container, _)
            | Object::Route(Side::Host, _) => vec![Step::Del(object.clone())],
            // Of another link of the container, which may be gone by now: it stays, unless the ADD has failed.
            Object::Route(Side::Container, _) => before.map(|_| Step::Del(object.clone())).into_iter().collect(),
        },
        Step::Set(setting) => before.map(|before| turn_back(setting, before)).unwrap_or_default(),
        // What had to make room, or was not wanted any more.
        Step::Del(object) => {
            let was_there = before.is_some_and(|before| before.has(object));
            was_there.then(|| Step::Add(object.clone())).into_iter().collect()
        }
        Step::Await(_) | Step::Announce(..) | Step::Forget(_) | Step::Proclaim(..) => Vec::new(),
    }
}

/// A link that was down goes down again, and would lose the IPv6 addresses that it had all the same.
fn turn_back(setting: &Setting, before: &Facts) -> Vec<Step> {
    let Some(was) = before.current(setting) else { return Vec::new() };
    let lost = match &was {
        Setting::State { side, link, up: false } => {
            let there = before.namespace(*side).addresses.iter();
            let lost = there.filter(|address| address.link == *link && address.net.addr().is_ipv6());
            lost.map(|address| Step::Add(Object::Address(*side, address.clone()))).collect()
        }
        _ => Vec::new(),
    };
    [vec![Step::Set(was)], lost].concat()
}

/// An element is ours to take away if it says so; somebody else may have the address or port by now.
fn element(key: &AttachmentKey, held: &Held, now: &Facts) -> Vec<Step> {
    let there = now.elements.get(&(held.element.set, held.element.key.clone()));
    if there.is_some_and(|there| there.owner.as_ref().is_none_or(|owner| *owner == key.comment())) {
        let del = Step::Del(Object::Element(held.clone()));
        return [del].into_iter().chain(stale(&held.element).map(Step::Forget)).collect();
    }
    Vec::new()
}

/// What the kernel remembers of a port map that is no more.
fn stale(element: &Element) -> Option<Stale> {
    let (host, ports) = match element.key.as_slice() {
        [Field::Address(host), ports @ ..] => (Some(*host), ports),
        ports => (None, ports),
    };
    match (ports, &element.value) {
        ([Field::Protocol(Protocol::Udp), Field::Port(host_port)], Some(Value::To(target, port))) => {
            let map = PortMap { host, protocol: Protocol::Udp, host_port: *host_port, container_port: *port };
            Some(Stale { map, target: *target, here: true })
        }
        _ => None,
    }
}

/// The objects to delete when their last user goes: only if they are still what we made, and nobody else moved in.
fn shared_objects(shared: &Shared, now: &Facts) -> Vec<Object> {
    let of_link = |set: Set, link: &IfName| {
        let key = vec![Field::Link(link.clone())];
        let there = now.elements.get(&(set, key.clone()))?;
        let element = Element { set, key, value: there.value.clone() };
        Some(Object::Element(Held { element, shared: true, sibling: false }))
    };
    match shared {
        Shared::Chain(name) => {
            let chain = NetworkChain { name: name.clone(), rules: NetworkRules::MasqueradeExcept(Vec::new()) };
            vec![Object::Chain(chain)]
        }
        Shared::Loopback(link) => {
            let open = now.loopback.iter().filter(|(_, there)| there == link);
            let open = open.map(|(family, link)| Object::Loopback(*family, link.clone()));
            open.chain(of_link(Set::LoopbackLinks, link)).collect()
        }
        Shared::Isolated(link) => {
            [of_link(Set::IsolatedLinks, link), of_link(Set::IsolatedNetworks, link)].into_iter().flatten().collect()
        }
        Shared::Pool(pool) => vec![Object::Pool(pool.clone())],
        Shared::Bridge(_) | Shared::Vlan(..) | Shared::VlanLink(_) | Shared::Holder(_) | Shared::Address(..) => {
            shared_object(shared, now).into_iter().collect()
        }
    }
}

fn shared_object(shared: &Shared, now: &Facts) -> Option<Object> {
    match shared {
        Shared::Chain(_) | Shared::Loopback(_) | Shared::Isolated(_) | Shared::Pool(_) => None,
        Shared::Bridge(name) => {
            let link = now.host_link(name).filter(|link| link.is_ours(BridgeLink::ALIAS))?;
            let bridge = BridgeLink { name: name.clone(), mac: link.mac?, mtu: link.mtu };
            (!has_ports(now, name)).then_some(Object::Bridge(bridge))
        }
        Shared::Vlan(bridge, id) => {
            now.host_link(bridge)?;
            Some(Object::Vlan(BridgeVlan { link: bridge.clone(), id: *id, is_bridge: true }))
        }
        Shared::VlanLink(name) => {
            let link = now.host_link(name).filter(|link| link.is_ours(VlanLink::ALIAS))?;
            let (LinkKind::Vlan(id), Some(bridge)) = (&link.kind, &link.lower) else { return None };
            Some(Object::VlanLink(VlanLink { name: name.clone(), bridge: bridge.clone(), id: *id }))
        }
        Shared::Holder(name) => {
            now.host_link(name).filter(|link| link.is_ours(Holder::ALIAS))?;
            (!has_ports(now, name)).then(|| Object::Holder(Holder { name: name.clone() }))
        }
        Shared::Address(..) => shared.address().map(|address| Object::Address(Side::Host, address)),
    }
}

fn has_ports(now: &Facts, name: &IfName) -> bool {
    now.host.links.values().any(|port| port.master.as_ref() == Some(name))
}
