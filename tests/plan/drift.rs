//! CHECK: what is missing is named, and nothing else.

use ipnet::IpNet;
use proptest::prelude::*;
use springline::model::IfName;
use springline::plan::{self, Facts, LinkAddress, Object, Setting, Shared, Side, Step, Sysctl};

use crate::given::{given, thousand};
use crate::world::{after, record};

proptest! {
    #![proptest_config(thousand())]

    #[test]
    fn a_fresh_attachment_has_not_drifted(given in given()) {
        let now = after(&given.before, given.key(), &given.steps);
        prop_assert_eq!(plan::drift(&record(&given.plan()), &now), Vec::new());
    }

    #[test]
    fn what_is_gone_is_named_with_what_stood_on_it(given in given()) {
        let record = record(&given.plan());
        let now = after(&given.before, given.key(), &given.steps);
        for step in given.steps.iter().filter(|step| is_looked_at(step)) {
            let Step::Add(object) = step else { continue };
            let facts = after(&now, given.key(), [&Step::Del(object.clone())]);
            let added = given.steps.iter().filter(|other| !matches!(other, Step::Del(_)));
            let gone = added
                .filter(|other| *other == step || stands_on(other, object) || goes_with_address(other, object, &now));
            let expected: Vec<Step> = gone.filter(|step| is_looked_at(step)).cloned().collect();
            prop_assert_eq!(plan::drift(&record, &facts), expected, "without {}", step);
        }
    }

    #[test]
    fn settings_that_were_changed_are_named(given in given()) {
        let record = record(&given.plan());
        let now = after(&given.before, given.key(), &given.steps);
        for step in given.steps.iter().filter(|step| is_looked_at(step)) {
            let Step::Set(setting) = step else { continue };
            let facts = after(&now, given.key(), [&Step::Set(turned(setting))]);
            let drift = plan::drift(&record, &facts);
            // A link that is down has lost routes, too, and IPv6 addresses: those that others have put there as well.
            let others = given.steps.iter().filter_map(shared_address).filter(|address| !given.steps.contains(address));
            let all = given.steps.iter().cloned().chain(others);
            let expected: Vec<Step> = all.filter(|other| other == step || is_lost_with(other, setting, &facts)).collect();
            prop_assert_eq!(drift, expected, "with {} turned", step);
        }
    }

    /// Whoever is root inside may rename the interface: its name is missing then, and nothing else.
    #[test]
    fn another_name_is_one_difference(given in given()) {
        let record = record(&given.plan());
        let now = after(&given.before, given.key(), &given.steps);
        let (is, was) = (IfName::parse("renamed0").unwrap(), record.ifname().clone());
        let renamed = after(&now, given.key(), [&Step::Set(Setting::Name { link: was.clone(), name: is.clone() })]);
        let name = Step::Set(Setting::Name { link: is, name: was });
        prop_assert_eq!(plan::drift(&record, &renamed), vec![name.clone()]);
        let repaired = after(&renamed, given.key(), [&name]);
        prop_assert_eq!(plan::drift(&record, &repaired), Vec::new());
    }

    /// Plugins behind us in a chain change the MAC, the MTU, sysctls of the container and the table of its
    /// routes (`tuning`, `sbr`): that is what they are for.
    #[test]
    fn what_other_plugins_may_change_is_not_drift(given in given(), table in 1..1000u32) {
        let mut now = after(&given.before, given.key(), &given.steps);
        now.container.sysctls.values_mut().for_each(|value| *value = "7".into());
        now.container.routes.iter_mut().for_each(|route| route.table = table);
        for link in now.container.links.values_mut() {
            link.mtu = 1300;
            link.mac = None;
        }
        prop_assert_eq!(plan::drift(&record(&given.plan()), &now), Vec::new());
    }
}

/// Whether CHECK looks at the step at all. Routes of the container are compared loosely, so that one of two
/// like routes may go unnoticed: they have a test of their own.
fn is_looked_at(step: &Step) -> bool {
    match step {
        Step::Add(Object::Record(_) | Object::Delegation(_)) => false,
        // The container's other attachments come and go.
        Step::Add(Object::Element(held)) => !held.sibling,
        Step::Add(Object::Route(Side::Container, route)) => route.link.as_str() == "eth0",
        // A precaution may have been denied: that was no error then, and is none now.
        Step::Set(Setting::Sysctl(Sysctl { side, precaution, .. })) => *side == Side::Host && !precaution,
        Step::Add(_)
        | Step::Del(Object::Vlan(_))
        | Step::Set(Setting::State { .. } | Setting::Port(_) | Setting::VlanFiltering { .. }) => true,
        _ => false,
    }
}

/// Whether the step's effect goes with `object`.
fn stands_on(step: &Step, object: &Object) -> bool {
    let gone: Vec<(Side, &str)> = match object {
        Object::Veth(veth) => vec![(Side::Host, veth.host.as_str()), (Side::Container, veth.peer.as_str())],
        Object::Bridge(bridge) => vec![(Side::Host, bridge.name.as_str())],
        Object::VlanLink(link) => vec![(Side::Host, link.name.as_str())],
        Object::Holder(holder) => vec![(Side::Host, holder.name.as_str())],
        Object::Ifb(ifb) => vec![(Side::Host, ifb.name.as_str())],
        _ => Vec::new(),
    };
    step.link().is_some_and(|link| gone.contains(&link))
}

/// Whether the step is a route that the kernel takes away with the address: it has it for its source, or the address is
/// the last IPv4 one of its link.
fn goes_with_address(step: &Step, object: &Object, now: &Facts) -> bool {
    let (Step::Add(Object::Route(side, route)), Object::Address(there, address)) = (step, object) else { return false };
    let is_v4 = |net: IpNet| net.addr().is_ipv4();
    let all = now.namespace(*side).addresses.iter();
    let on_link = all.filter(|other| other.link == address.link && is_v4(other.net)).count();
    let was_last = is_v4(address.net) && on_link == 1;
    side == there
        && (route.src == Some(address.net.addr()) || was_last && route.link == address.link && is_v4(route.dst))
}

/// The address in which the step takes a stake, if it does.
fn shared_address(step: &Step) -> Option<Step> {
    let Step::Add(Object::Use(Shared::Address(link, net))) = step else { return None };
    let address = LinkAddress { link: link.clone(), net: *net, host_scope: false };
    Some(Step::Add(Object::Address(Side::Host, address)))
}

/// Whether the step's effect is gone with a link's being up.
fn is_lost_with(step: &Step, setting: &Setting, facts: &Facts) -> bool {
    let Setting::State { side, link, .. } = setting else { return false };
    let is_lost = matches!(step, Step::Add(Object::Address(..) | Object::Route(..))) && !facts.holds(step);
    is_lost && step.link() == Some((*side, link.as_str()))
}

/// The setting with another value.
fn turned(setting: &Setting) -> Setting {
    let mut turned = setting.clone();
    match &mut turned {
        Setting::State { up, .. } => *up = !*up,
        Setting::Port(port) => port.isolated = !port.isolated,
        Setting::VlanFiltering { on, .. } => *on = !*on,
        Setting::Sysctl(sysctl) => sysctl.value = "9".into(),
        Setting::AddressGeneration { .. }
        | Setting::StrictArp { .. }
        | Setting::Alias { .. }
        | Setting::Name { .. }
        | Setting::Route(..)
        | Setting::Mtu { .. }
        | Setting::Flags { .. } => {
            unreachable!("not looked at")
        }
    }
    turned
}
