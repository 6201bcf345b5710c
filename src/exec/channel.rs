//! By which way a step is done, and how many go together.

use crate::model::{Family, IfName};
use crate::plan::{Object, Setting, Side, Step};

/// How a step is done.
pub(super) enum Channel {
    /// One message among others.
    Netlink(Side),
    /// One change among others of a transaction in nf_tables.
    Transaction,
    /// By itself, under the lock.
    Alone,
    /// By itself, without the lock: it may take long, and changes nothing that others look at.
    Slow,
}

/// By which way the step is done.
pub(super) fn channel(step: &Step) -> Channel {
    match step {
        Step::Add(
            Object::Veth(_)
            | Object::Bridge(_)
            | Object::Vlan(_)
            | Object::VlanLink(_)
            | Object::Ifb(_)
            | Object::Loopback(..)
            | Object::Pool(_)
            | Object::Proxy(..),
        )
        | Step::Del(Object::Loopback(Family::V6, _) | Object::Vlan(_) | Object::Pool(_) | Object::Proxy(..))
        | Step::Set(Setting::Port(_) | Setting::VlanFiltering { .. } | Setting::Alias { .. }) => {
            Channel::Netlink(Side::Host)
        }
        Step::Add(Object::Address(side, _) | Object::Route(side, _))
        | Step::Del(Object::Address(side, _) | Object::Route(side, _))
        | Step::Set(
            Setting::Route(side, _)
            | Setting::Mtu { side, .. }
            | Setting::State { side, .. }
            | Setting::AddressGeneration { side, .. }
            | Setting::StrictArp { side, .. }
            | Setting::Flags { side, .. },
        ) => Channel::Netlink(*side),
        Step::Set(Setting::Name { .. }) => Channel::Netlink(Side::Container),
        Step::Add(Object::Part(_) | Object::Chain(_) | Object::Element(_))
        | Step::Del(Object::Chain(_) | Object::Element(_)) => Channel::Transaction,
        Step::Add(Object::Delegation(_))
        | Step::Del(Object::Delegation(_))
        | Step::Await(_)
        | Step::Announce(..)
        | Step::Proclaim(..)
        | Step::Forget(_) => Channel::Slow,
        Step::Add(_) | Step::Del(_) | Step::Set(Setting::Sysctl(_)) => Channel::Alone,
    }
}

/// How many steps go into one datagram. A new link ends it: what follows needs its index. So does a new name, for the
/// kernel may refuse it, and what follows is for a link that has it.
pub(super) fn batch_length(steps: &[Step], side: Side) -> usize {
    let same = |step: &&Step| matches!(channel(step), Channel::Netlink(other) if other == side);
    let run = steps.iter().take_while(same).count();
    let is_last = |step: &Step| created_link(step).is_some() || matches!(step, Step::Set(Setting::Name { .. }));
    steps[..run].iter().position(is_last).map_or(run, |at| at + 1)
}

/// The name of the link that a step creates by one message among others.
pub(super) fn created_link(step: &Step) -> Option<&IfName> {
    match step {
        Step::Add(Object::Veth(veth)) => Some(&veth.host),
        Step::Add(Object::Bridge(bridge)) => Some(&bridge.name),
        Step::Add(Object::VlanLink(link)) => Some(&link.name),
        Step::Add(Object::Ifb(ifb)) => Some(&ifb.name),
        _ => None,
    }
}
