//! Two attachments that share a bridge or a holder.

use proptest::prelude::*;
use springline::model::{Attachment, Gateway, Mode};
use springline::plan::{Facts, Namespace, Setting, Step};

use crate::given::{Given, given, key, neighbour, thousand};
use crate::world::{World, same};

/// Attachments that leave room for a second one of the same network: without what only one can have.
fn sociable() -> impl Strategy<Value = (Given, Attachment)> {
    given().prop_filter_map("only one container can have an interconnecting network", |mut given| {
        if matches!(given.attachment.network.mode, Mode::Routed(Gateway::Interconnect(_))) {
            return None;
        }
        given.attachment.network.routes.clear();
        // Addresses alone may not be IPv6 where the routes were.
        let facts = &mut given.before;
        (facts.host_ipv6, facts.container_ipv6) = (true, true);
        let second = neighbour(&given.attachment, "c2");
        springline::plan::attach(&given.attachment, facts).ok()?;
        Some((given, second))
    })
}

proptest! {
    #![proptest_config(thousand())]

    #[test]
    fn one_going_leaves_the_other_whole_and_both_leave_nothing((given, second) in sociable(), first_goes in any::<bool>()) {
        let empty = world(&given);
        let mut world = empty.clone();
        let mut records = vec![world.attach(&given.attachment), world.attach(&second)];
        let settings: Vec<Step> = records.iter().flat_map(|record| record.steps.clone()).collect();
        let gone = records.remove(usize::from(!first_goes));
        let stays = records.remove(0);
        world.detach(&gone);
        prop_assert_eq!(world.drift(&stays), Vec::new());
        prop_assert!(!world.common.records.contains(&gone.key));
        prop_assert!(!world.common.leases.values().any(|owner| *owner == gone.key));
        prop_assert!(!world.common.host.links.values().any(|link| link.alias == Some(gone.key.alias())));
        world.detach(&stays);
        same(&without_containers(&world), &without_containers(&with_settings(empty, &settings)), "after both")?;
    }
}

/// The world in which both live.
fn world(given: &Given) -> World {
    let facts = &given.before;
    let others = facts.users.keys().map(|shared| (shared.clone(), [key("c9")].into()));
    let containers = [given.key().clone(), key("c2")].map(|key| (key, facts.container.clone()));
    World {
        common: Facts { container: Namespace::default(), users: [].into(), ..facts.clone() },
        containers: containers.into(),
        stakes: others.collect(),
    }
}

/// The world with those host-wide settings of the steps that had a value before: they stay.
fn with_settings(mut world: World, steps: &[Step]) -> World {
    for step in steps {
        let host_wide = |setting: &Setting| world.common.current(setting).is_some();
        if matches!(step, Step::Set(setting) if host_wide(setting)) {
            world.common.apply(step, &key("c1"));
        }
    }
    world
}

/// Containers keep their loopback link up; what else is theirs went with the pair.
fn without_containers(world: &World) -> World {
    World { containers: [].into(), ..world.clone() }
}
