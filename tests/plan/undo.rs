//! The way back: from a failure anywhere, and from an attachment that is whole.

use proptest::prelude::*;
use springline::model::{DefaultRoute, IfName};
use springline::plan::{self, FORWARDING, Facts, Object, Setting, Side, Step};

use crate::given::{Given, given, thousand};
use crate::world::{after, record, same, with_fib};

proptest! {
    #![proptest_config(thousand())]

    #[test]
    fn failing_after_any_step_and_undoing_changes_nothing(given in given()) {
        for k in 0..=given.steps.len() {
            let done: Vec<&Step> = given.steps[..k].iter().collect();
            same(&undone(&given, &done), &given.before, &format!("after {k} steps"))?;
        }
    }

    /// The kernel goes on after an error in a batch: what came later may have been done all the same.
    #[test]
    fn failing_within_a_batch_and_undoing_changes_nothing(given in given(), survivors in any::<u64>()) {
        for failed in 0..given.steps.len() {
            let rest = &given.steps[failed + 1..];
            let batch = rest[..rest_of_batch(&given.steps[failed], rest)].iter().enumerate();
            let later = batch.filter(|(at, _)| survivors >> (at % 64) & 1 == 1).map(|(_, step)| step);
            let done: Vec<&Step> = given.steps[..failed].iter().chain(later).collect();
            same(&undone(&given, &done), &given.before, &format!("after the failure of {}", given.steps[failed]))?;
        }
    }

    /// Who wants to lead may have to move routes of others: back they go.
    #[test]
    fn failing_to_lead_changes_nothing(given in given()) {
        let mut attachment = given.attachment.clone();
        attachment.network.default_route = DefaultRoute::Lead;
        let Ok(plan) = plan::attach(&attachment, &given.before) else { return Ok(()) };
        for k in 0..=plan.steps.len() {
            let done: Vec<&Step> = plan.steps[..k].iter().collect();
            let in_order = |mut facts: Facts| {
                facts.container.routes.sort_by_key(|route| format!("{route}"));
                facts
            };
            let expected = in_order(given.before.clone());
            same(&in_order(undone(&given, &done)), &expected, &format!("after {k} steps"))?;
        }
        let now = with_fib(after(&given.before, given.key(), &plan.steps), &attachment);
        let again = plan::attach(&attachment, &now).unwrap();
        let moves = again.steps.iter().any(|step| matches!(step, Step::Add(Object::Route(..)) | Step::Del(_)));
        prop_assert!(!moves, "{:?}", again.steps);
    }

    #[test]
    fn attaching_and_detaching_changes_nothing_but_settings(given in given()) {
        let now = after(&given.before, given.key(), &given.steps);
        let back = plan::detach(&record(&given.plan()), &now);
        prop_assert!(!back.iter().any(|step| matches!(step.link(), Some((Side::Container, _)))),
            "the container may be gone by then");
        let stays: Vec<&Step> = given.steps.iter().filter(|step| stays(step, &given)).collect();
        prop_assert!(stays.iter().all(|step| may_stay(step)), "{stays:?}");
        prop_assert!(back.iter().any(|step| matches!(step, Step::Del(Object::Veth(_)))));
        same(&after(&now, given.key(), &back), &after(&given.before, given.key(), stays), "after all")?;
    }

    #[test]
    fn detaching_twice_changes_nothing_more(given in given()) {
        let record = record(&given.plan());
        let now = after(&given.before, given.key(), &given.steps);
        let gone = after(&now, given.key(), &plan::detach(&record, &now));
        prop_assert_eq!(plan::detach(&record, &gone), Vec::new());
    }

    #[test]
    fn attaching_twice_changes_nothing_more(given in given()) {
        let now = with_fib(after(&given.before, given.key(), &given.steps), &given.attachment);
        let again = plan::attach(&given.attachment, &now).unwrap();
        // A stake is claimed again, for the record that the second plan will be written to.
        let is_harmless = |step: &&Step| {
            matches!(step, Step::Await(_) | Step::Announce(..) | Step::Forget(_) | Step::Add(Object::Use(_)))
        };
        prop_assert!(again.steps.iter().all(|step| is_harmless(&step)), "{:?}", again.steps);
        same(&after(&now, given.key(), &again.steps), &now, "after the second plan")?;
    }
}

/// The facts after `done` was done and undone.
fn undone(given: &Given, done: &[&Step]) -> Facts {
    let now = after(&given.before, given.key(), done.iter().copied());
    let done: Vec<Step> = done.iter().map(|step| (*step).clone()).collect();
    let back = plan::undo(given.key(), &done, Some(&given.before), &now);
    after(&now, given.key(), &back)
}

/// How many steps after `step` are in the same datagram: those of the same side, up to a link that is new,
/// whose index the others need.
fn rest_of_batch(step: &Step, rest: &[Step]) -> usize {
    let Some(side) = netlink_side(step).filter(|_| !is_new_link(step)) else { return 0 };
    let run = rest.iter().take_while(|step| netlink_side(step) == Some(side)).count();
    rest[..run].iter().position(is_new_link).map_or(run, |at| at + 1)
}

fn is_new_link(step: &Step) -> bool {
    matches!(step, Step::Add(Object::Veth(_) | Object::Bridge(_) | Object::VlanLink(_)))
}

fn netlink_side(step: &Step) -> Option<Side> {
    match step {
        Step::Add(Object::Veth(_) | Object::Bridge(_) | Object::Vlan(_) | Object::VlanLink(_))
        | Step::Del(Object::Vlan(_))
        | Step::Set(Setting::Port(_) | Setting::VlanFiltering { .. } | Setting::Alias { .. }) => Some(Side::Host),
        Step::Add(Object::Address(side, _) | Object::Route(side, _))
        | Step::Set(
            Setting::State { side, .. } | Setting::AddressGeneration { side, .. } | Setting::StrictArp { side, .. },
        ) => Some(*side),
        _ => None,
    }
}

/// Settings of what was there before stay when an attachment goes: others may rely on them by then.
fn stays(step: &Step, given: &Given) -> bool {
    matches!(step, Step::Set(setting) if given.before.current(setting).is_some())
}

/// What is known to stay, and nothing else: forwarding with what it takes to keep advertised routes, and that
/// a bridge, the loopback link or the holder is up.
fn may_stay(step: &Step) -> bool {
    match step {
        Step::Set(Setting::State { up: true, link, .. }) => {
            is_one_of(link, &["spring0", "spring0.7", "springline0", "lo"])
        }
        Step::Set(Setting::VlanFiltering { on: true, bridge }) => is_one_of(bridge, &["spring0"]),
        Step::Set(Setting::Sysctl(sysctl)) => {
            let forwarding = FORWARDING.iter().any(|(_, key)| *key == sysctl.key) && sysctl.value == "1";
            let advertised = sysctl.key.ends_with("/accept_ra") && sysctl.value == "2";
            let asked = sysctl.side == Side::Container && sysctl.key == "core/somaxconn";
            asked || sysctl.side == Side::Host && (forwarding || advertised)
        }
        _ => false,
    }
}

fn is_one_of(link: &IfName, names: &[&str]) -> bool {
    names.contains(&link.as_str())
}
