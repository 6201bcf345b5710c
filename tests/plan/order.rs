//! The order of steps: what must have happened before what.

use proptest::prelude::*;
use springline::model::{Address, Addressing, Attachment, Family, IfName, Mode};
use springline::plan::{self, Object, Setting, Side, Step};

use crate::given::{given, thousand};
use crate::world::{after, record};

proptest! {
    #![proptest_config(thousand())]

    #[test]
    fn the_record_is_first_written_and_last_removed(given in given()) {
        let is_record = |step: &Step| matches!(step, Step::Add(Object::Record(_)) | Step::Del(Object::Record(_)));
        prop_assert_eq!(&given.steps[0], &Step::Add(Object::Record(given.key().clone())));
        prop_assert_eq!(given.steps.iter().filter(|step| is_record(step)).count(), 1);
        let now = after(&given.before, given.key(), &given.steps);
        let back = plan::detach(&record(&given.plan()), &now);
        prop_assert_eq!(back.last(), Some(&Step::Del(Object::Record(given.key().clone()))));
    }

    #[test]
    fn nothing_in_a_plan_is_a_removal_or_done_twice(given in given()) {
        for (at, step) in given.steps.iter().enumerate() {
            let is_default_vlan = matches!(step, Step::Del(Object::Vlan(vlan)) if vlan.id == 1);
            prop_assert!(is_default_vlan || !matches!(step, Step::Del(_)), "{}", step);
            prop_assert!(!given.steps[..at].contains(step), "{}", step);
        }
    }

    #[test]
    fn each_step_is_missing_before_and_holds_after(given in given()) {
        let mut facts = given.before.clone();
        for step in &given.steps {
            prop_assert!(is_recorded_anyway(step) || !facts.holds(step), "{}", step);
            facts.apply(step, given.key());
            let lasting = !matches!(step, Step::Await(_) | Step::Announce(..) | Step::Forget(_));
            prop_assert!(!lasting || facts.holds(step), "{}", step);
        }
    }

    #[test]
    fn leases_are_reserved_before_the_pair_is_made(given in given()) {
        let pair = position(&given.steps, |step| matches!(step, Step::Add(Object::Veth(_))));
        let leases = given.steps.iter().filter(|step| matches!(step, Step::Add(Object::Lease(_))));
        prop_assert_eq!(leases.count(), given.attachment.leases.len());
        for (at, step) in given.steps.iter().enumerate() {
            prop_assert!(!matches!(step, Step::Add(Object::Lease(_))) || at < pair);
        }
    }

    /// An ARP request that comes before the route costs 0.9 s.
    #[test]
    fn the_host_is_ready_before_the_container_can_speak(given in given()) {
        let up = position(&given.steps, |step| *step == is_up(Side::Container, &given.key().ifname));
        for (at, step) in given.steps.iter().enumerate() {
            let of_host = matches!(step, Step::Add(Object::Route(Side::Host, _) | Object::Address(Side::Host, _)));
            prop_assert!(!of_host || at < up, "{}", step);
        }
        prop_assert!(position(&given.steps, |step| *step == is_up(Side::Host, &given.attachment.host_link)) < up);
    }

    /// A link that is up takes router advertisements, and makes itself a link-local address that is tentative
    /// for two seconds: too late to forbid it then. A port of a bridge takes no advertisements; and at the other end of a
    /// routed link nobody sends any.
    #[test]
    fn links_are_quiet_before_they_are_up(given in given()) {
        let host = &given.attachment.host_link;
        let is_routed = matches!(given.attachment.network.mode, Mode::Routed(_));
        if is_routed && given.attachment.needs_ipv6() {
            prop_assert!(is_quiet(&given.steps, Side::Host, host));
        }
        let has_ipv6 = if is_routed { given.attachment.needs_ipv6() } else { given.before.host_ipv6 };
        if has_ipv6 {
            prop_assert!(makes_no_address(&given.steps, Side::Host, host));
        }
        let addressed = !given.attachment.addresses.is_empty();
        if given.before.container_ipv6 && addressed {
            prop_assert!(is_routed || is_quiet(&given.steps, Side::Container, &given.key().ifname));
            prop_assert!(makes_no_address(&given.steps, Side::Container, &given.key().ifname));
        }
    }

    /// The kernel refuses a route through a link that is down, and takes a route's source address only if it
    /// is there.
    #[test]
    fn what_a_step_needs_is_there_before_it(given in given()) {
        let mut facts = given.before.clone();
        for step in &given.steps {
            if let Some((side, link)) = step.link().filter(|(_, link)| *link != "all") {
                let link = facts.namespace(side).links.get(&IfName::parse(link).unwrap());
                prop_assert!(link.is_some(), "{} before its link", step);
                let is_route = matches!(step, Step::Add(Object::Route(..)));
                prop_assert!(!is_route || link.is_some_and(|link| link.up), "{} before its link is up", step);
            }
            if let Step::Add(Object::Route(side, route)) = step {
                let mut held = facts.namespace(*side).addresses.iter().map(|address| address.net.addr());
                prop_assert!(route.src.is_none_or(|src| held.any(|own| own == src)), "{} before its source", step);
            }
            facts.apply(step, given.key());
        }
    }

    /// An address is reachable from the host if one of its routes covers it; and by nothing but its own next
    /// hop from inside.
    #[test]
    fn every_address_of_a_routed_container_has_a_route(given in given()) {
        if matches!(given.attachment.network.mode, Mode::Bridged(_)) {
            return Ok(());
        }
        let now = after(&given.before, given.key(), &given.steps);
        for address in &given.attachment.addresses {
            let covers = |route: &&plan::Route| route.dst.contains(&address.net.addr());
            let ours = |route: &&plan::Route| route.link == given.attachment.host_link;
            prop_assert_eq!(now.host.routes.iter().filter(ours).filter(covers).count(), routes_over(&given.attachment, address));
        }
        for route in now.host.routes.iter().filter(|route| route.link == given.attachment.host_link) {
            let wide = route.dst.prefix_len() < route.dst.max_prefix_len();
            prop_assert!(!wide || route.via.is_some(), "{route} would let a scan fill the neighbour table");
            let v4_through_v6 = route.dst.family() == Family::V4 && route.via.is_some_and(|via| via.is_ipv6());
            prop_assert!(!v4_through_v6 || given.attachment.needs_ipv6(), "{route}");
        }
    }
}

/// What others may have done, too, and what goes without saying in the default VLAN: CHECK is to miss it all the same.
fn is_recorded_anyway(step: &Step) -> bool {
    match step {
        Step::Set(Setting::VlanFiltering { .. }) => true,
        Step::Add(Object::Vlan(vlan)) => !vlan.is_bridge,
        _ => false,
    }
}

/// One route of its own, or one for each of the routed networks that cover it.
fn routes_over(attachment: &Attachment, address: &Address) -> usize {
    attachment.network.routes.iter().filter(|route| route.dst.contains(&address.net.addr())).count().max(1)
}

fn position(steps: &[Step], is_it: impl FnMut(&Step) -> bool) -> usize {
    steps.iter().position(is_it).unwrap()
}

fn is_up(side: Side, link: &IfName) -> Step {
    Step::Set(Setting::State { side, link: link.clone(), up: true })
}

/// The steps before the link is up.
fn before_up<'a>(steps: &'a [Step], side: Side, link: &IfName) -> &'a [Step] {
    &steps[..position(steps, |step| *step == is_up(side, link))]
}

fn is_quiet(steps: &[Step], side: Side, link: &IfName) -> bool {
    let key = format!("ipv6/conf/{link}/accept_ra");
    before_up(steps, side, link).iter().any(|step| {
        matches!(step, Step::Set(Setting::Sysctl(sysctl))
            if sysctl.side == side && sysctl.key == key && sysctl.value == "0")
    })
}

fn makes_no_address(steps: &[Step], side: Side, link: &IfName) -> bool {
    let off = Step::Set(Setting::AddressGeneration { side, link: link.clone(), on: false });
    before_up(steps, side, link).contains(&off)
}
