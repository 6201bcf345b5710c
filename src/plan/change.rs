//! A change of an attachment that is in use: the difference of two plans, without a moment in which something that both
//! want is missing.

use super::facts::{Facts, PortHolder};
use super::made::Veth;
use super::record::Record;
use super::room::with_room;
use super::route::Route;
use super::ruleset::Field;
use super::step::{Held, LinkAddress, Object, Port, Readiness, Setting, Shared, Side, Stale, Step};
use super::{Plan, attach, outcome, undo};
use crate::error::Result;
use crate::model::{Attachment, AttachmentKey, IfName, Outcome};

/// What it takes to come from a record to what is wanted now.
#[derive(Debug, Clone)]
pub struct Change {
    /// What to do: all that is new first, then all that is not wanted any more.
    pub steps: Vec<Step>,
    /// What the attachment consists of afterwards.
    pub recorded: Vec<Step>,
    /// What it has come to.
    pub outcome: Outcome,
}

/// The change from what `record` says to `wanted`, which is for the same key. `facts` are how things are, with the
/// attachment in place.
pub fn change(record: &Record, wanted: &Attachment, facts: &Facts) -> Result<Change> {
    let key = &record.key;
    let mut changing = Changing { key, own_link: &wanted.host_link, facts: facts.clone(), steps: Vec::new() };
    let record = &changing.rename(record, wanted)?;
    let whole = whole_plan(record, wanted, &changing.facts)?;
    let resized = record.wanted.as_ref().is_some_and(|before| before.network.mtu != wanted.network.mtu);
    for step in &whole {
        match step {
            Step::Add(Object::Veth(veth)) if resized => changing.resize(veth),
            _ => changing.bring_about(step),
        }
    }
    let is_wanted = |step: &Step| whole.iter().any(|other| same(step, other));
    let unwanted = |step: &&Step| match step {
        Step::Add(object) => may_go(object, &wanted.host_link) && !is_wanted(step),
        Step::Set(Setting::Port(_)) => !is_wanted(step),
        _ => false,
    };
    for step in record.steps.iter().filter(unwanted).rev() {
        changing.take_away(step);
    }
    // What the kernel took away with the last address, or with the source of a route.
    for step in &whole {
        if matches!(step, Step::Add(Object::Route(..))) {
            changing.bring_about(step);
        }
    }
    let updated = |step: &Step| match step {
        Step::Add(Object::Veth(_)) if !resized => step.clone(),
        _ => whole.iter().find(|other| same(step, other)).unwrap_or(step).clone(),
    };
    let gone: Vec<&str> = record.steps.iter().filter(unwanted).filter_map(link_made).collect();
    let stands = |step: &&Step| step.link().is_none_or(|(_, link)| !gone.contains(&link));
    let kept = record.steps.iter().filter(|step| !unwanted(step)).filter(stands).map(updated);
    let mut recorded: Vec<Step> = kept.collect();
    let new: Vec<Step> = whole.into_iter().filter(|step| !recorded.iter().any(|there| same(there, step))).collect();
    recorded.extend(new);
    let links = record.outcome.as_ref().map(|outcome| outcome.links.clone()).unwrap_or_default();
    let plan = Plan { key: key.clone(), steps: recorded };
    let outcome = Outcome { links, ..outcome(wanted, &plan, None) };
    Ok(Change { steps: changing.steps, recorded: plan.steps, outcome })
}

/// The way back from a change that failed: `done` took effect since `before`, `now` is how things are. Unlike after a
/// failed attach, the pair stays, so nothing goes with it. What was recorded and held is brought about again.
#[must_use]
pub fn change_back(record: &Record, done: &[Step], before: &Facts, now: &Facts) -> Vec<Step> {
    let Some(own_link) = record.host_link() else { return Vec::new() };
    let mut back = Changing { key: &record.key, own_link, facts: now.clone(), steps: Vec::new() };
    let is = now.peer.as_ref().unwrap_or(record.ifname());
    let was = before.peer.as_ref().unwrap_or(record.ifname());
    if is != was {
        back.give_name(is, was);
    }
    for step in done.iter().rev().map(|step| step.renamed(is, was)) {
        match &step {
            Step::Add(object) if !before.has(object) => back.take_away(&step),
            Step::Set(Setting::Name { .. }) => {}
            Step::Set(setting) => {
                if let Some(setting) = before.current(setting) {
                    back.bring_about(&Step::Set(setting));
                }
            }
            _ => {}
        }
    }
    back.restore(&before.container, was, was);
    for step in record.steps.iter().filter(|step| before.holds(step)) {
        back.bring_about(step);
    }
    back.steps
}

/// The plan of `wanted` as if the attachment were not there, with the metrics that its routes have: those depend on which
/// other networks the container had at the time, and one whose default route leads has moved others since.
fn whole_plan(record: &Record, wanted: &Attachment, facts: &Facts) -> Result<Vec<Step>> {
    let mut without = facts.clone();
    for step in undo(&record.key, &record.steps, None, facts) {
        without.apply(&step, &record.key);
    }
    // Its own ports are nobody else's.
    let own = record.key.comment();
    let is_own = |holder: &PortHolder| matches!(holder, PortHolder::Element(_, Some(owner)) if *owner == own);
    without.port_claims.retain(|claim| !is_own(&claim.holder));
    let mut steps = attach(wanted, &without)?.steps;
    for step in &mut steps {
        if let Step::Add(Object::Route(Side::Container, route)) = step {
            let recorded = recorded_route(record, route).map_or(route.metric, |there| there.metric);
            let recorded = Route { metric: recorded, ..route.clone() };
            let moved = || facts.container.routes.iter().find(|there| recorded.is_but_for_its_metric(there));
            let holds = facts.container.routes.iter().any(|there| recorded.is(there));
            route.metric = if holds { recorded.metric } else { moved().map_or(recorded.metric, |there| there.metric) };
        }
    }
    Ok(steps)
}

fn recorded_route<'a>(record: &'a Record, like: &Route) -> Option<&'a Route> {
    record.steps.iter().find_map(|step| match step {
        Step::Add(Object::Route(Side::Container, route)) => {
            ((&route.dst, route.table, &route.link) == (&like.dst, like.table, &like.link)).then_some(route)
        }
        _ => None,
    })
}

/// Whether the two bring about the same thing; what waits and announces goes by what was new at the time.
fn same(one: &Step, other: &Step) -> bool {
    match (one, other) {
        // Whose MTU was the uplink's at the time, or which had a wish.
        (Step::Add(Object::Veth(one)), Step::Add(Object::Veth(other))) => one.host == other.host,
        (Step::Await(one), Step::Await(other)) => one.side == other.side,
        (Step::Set(Setting::Port(one)), Step::Set(Setting::Port(other))) => one.link == other.link,
        // Whether a next hop needs to be called "on the link" depends on the other addresses: the route stays.
        (Step::Add(Object::Route(side, one)), Step::Add(Object::Route(other_side, other))) => {
            side == other_side && Route { onlink: other.onlink, ..one.clone() } == *other
        }
        (one, other) => one == other,
    }
}

/// The link that the step makes, if a change may take it away.
fn link_made(step: &Step) -> Option<&str> {
    match step {
        Step::Add(Object::Ifb(ifb)) => Some(ifb.name.as_str()),
        _ => None,
    }
}

/// What a change may take away. All else stays as long as the attachment: so do stakes in a bridge and in what stands on
/// it, and in the holder of a shared gateway.
fn may_go(object: &Object, own_link: &IfName) -> bool {
    match object {
        Object::Use(shared) => matches!(shared, Shared::Chain(_) | Shared::Isolated(_)),
        Object::Address(Side::Host, LinkAddress { link, .. }) | Object::Loopback(_, link) => link == own_link,
        Object::Lease(_)
        | Object::Address(Side::Container, _)
        | Object::Route(..)
        | Object::Proxy(..)
        | Object::Chain(_)
        | Object::Element(_)
        | Object::Ifb(_)
        | Object::Limit(..)
        | Object::Redirect(..) => true,
        Object::Record(_)
        | Object::Delegation(_)
        | Object::Veth(_)
        | Object::Bridge(_)
        | Object::Vlan(_)
        | Object::VlanLink(_)
        | Object::Holder(_)
        | Object::Pool(_)
        | Object::Part(_) => false,
    }
}

/// Whether the step adds the port map of which something else may be remembered.
fn is_map_to(step: &Step, stale: &Stale) -> bool {
    let Step::Add(Object::Element(held)) = step else { return false };
    held.element.value == Some(super::Value::To(stale.target, stale.map.container_port))
}

/// A change in the making: the steps so far, and the facts as they will be after them.
pub(super) struct Changing<'a> {
    key: &'a AttachmentKey,
    /// The host's end of the pair; other links of the host are shared.
    pub(super) own_link: &'a IfName,
    pub(super) facts: Facts,
    steps: Vec<Step>,
}

impl Changing<'_> {
    pub(super) fn push(&mut self, step: Step) {
        self.facts.apply(&step, self.key);
        self.steps.push(step);
    }

    /// Another MTU: the end inside last when it grows, so that neither sends what the other cannot take. (A veth pair drops
    /// what is longer than the receiver's MTU, `is_skb_forwardable()`.)
    fn resize(&mut self, veth: &Veth) {
        let host = Setting::Mtu { side: Side::Host, link: veth.host.clone(), mtu: veth.host_mtu };
        let inside = Setting::Mtu { side: Side::Container, link: veth.peer.clone(), mtu: veth.mtu };
        let grows = self.facts.container.links.get(&veth.peer).is_some_and(|link| link.mtu < veth.mtu);
        let both = if grows { [host, inside] } else { [inside, host] };
        for step in both.map(Step::Set) {
            if !self.facts.holds(&step) {
                self.push(step);
            }
        }
    }

    /// Does what is missing of a step.
    fn bring_about(&mut self, step: &Step) {
        match step {
            // With another source it is another route.
            Step::Add(Object::Route(side, route))
                if !self.facts.holds(&Step::Set(Setting::Route(*side, route.clone()))) =>
            {
                self.push_with_room(step);
            }
            Step::Await(readiness) => {
                let added = |address: &&LinkAddress| {
                    let step = Step::Add(Object::Address(readiness.side, (*address).clone()));
                    self.steps.contains(&step)
                };
                let addresses: Vec<_> = readiness.addresses.iter().filter(added).cloned().collect();
                if !addresses.is_empty() {
                    self.push(Step::Await(Readiness { side: readiness.side, links: Vec::new(), addresses }));
                }
            }
            Step::Announce(..) => {
                let is_address = |step: &Step| matches!(step, Step::Add(Object::Address(Side::Container, _)));
                if self.steps.iter().any(is_address) {
                    self.push(step.clone());
                }
            }
            Step::Proclaim(link, address)
                if !self.steps.contains(&Step::Add(Object::Proxy(link.clone(), *address))) => {}
            // What is remembered of others matters only where a port is new.
            Step::Forget(stale) if !self.steps.iter().any(|step| is_map_to(step, stale)) => {}
            _ if !self.facts.holds(step) => self.push_with_room(step),
            _ => {}
        }
    }

    fn push_with_room(&mut self, step: &Step) {
        for step in with_room(step, &self.facts) {
            self.push(step);
        }
    }

    /// Takes away what is left of a step that is not wanted any more.
    fn take_away(&mut self, step: &Step) {
        let Step::Add(object) = step else {
            if let Step::Set(Setting::Port(port)) = step {
                self.bring_about(&Step::Set(Setting::Port(Port { isolated: false, hairpin: false, ..port.clone() })));
            }
            return;
        };
        let steps = match object {
            // A route that got another next hop or source is not there in its old shape.
            Object::Route(side, route) => {
                let set = Step::Set(Setting::Route(*side, route.clone()));
                if self.facts.holds(&set) { vec![Step::Del(object.clone())] } else { Vec::new() }
            }
            Object::Limit(..) | Object::Redirect(..) | Object::Loopback(..) | Object::Address(Side::Container, _) => {
                vec![Step::Del(object.clone())]
            }
            Object::Address(Side::Host, LinkAddress { link, .. }) if link == self.own_link => {
                vec![Step::Del(object.clone())]
            }
            // One kind of isolation of a bridge for another.
            Object::Element(Held { element, shared: true, .. }) => match element.key.first() {
                Some(Field::Link(link)) if !self.facts.users(&Shared::Isolated(link.clone())).others => {
                    vec![Step::Del(object.clone())]
                }
                _ => Vec::new(),
            },
            // On a shared link it goes with the last stake in it.
            _ => undo(self.key, std::slice::from_ref(step), None, &self.facts),
        };
        for step in steps {
            if !self.facts.holds(&step) || matches!(step, Step::Forget(_)) {
                self.push(step);
            }
        }
    }
}
