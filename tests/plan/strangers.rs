//! Whatever has become of the system: nothing of a stranger's is removed.

use proptest::prelude::*;
use proptest::sample::subsequence;
use springline::model::LINK_GROUP;
use springline::plan::{
    self, BridgeLink, Facts, Held, Holder, Link, LinkKind, Object, Shared, Step, VlanLink, owner_of_alias,
};

use crate::given::{Given, given, key, name, thousand};
use crate::world::{after, record};

/// What may have happened since the attachment was made.
#[derive(Debug, Clone, Copy)]
enum Change {
    HostLinkIsAStrangers,
    HostLinkIsAnothers,
    BridgeIsAStrangers,
    BridgeLostItsGroup,
    BridgeHasAnotherPort,
    VlanLinkIsAStrangers,
    HolderIsAStrangers,
    LeasesAreAnothers,
    OthersMovedIn,
}

const CHANGES: [Change; 9] = [
    Change::HostLinkIsAStrangers,
    Change::HostLinkIsAnothers,
    Change::BridgeIsAStrangers,
    Change::BridgeLostItsGroup,
    Change::BridgeHasAnotherPort,
    Change::VlanLinkIsAStrangers,
    Change::HolderIsAStrangers,
    Change::LeasesAreAnothers,
    Change::OthersMovedIn,
];

proptest! {
    #![proptest_config(thousand())]

    #[test]
    fn nothing_of_a_strangers_is_removed(
        given in given(),
        changes in subsequence(CHANGES.to_vec(), 0..=CHANGES.len()),
        share in 0..=100usize,
    ) {
        let k = given.steps.len() * share / 100;
        let mut now = after(&given.before, given.key(), &given.steps[..k]);
        for change in changes {
            happen(change, &given, &mut now);
        }
        let record = record(&given.plan());
        let ways_back = [
            plan::undo(given.key(), &given.steps[..k], Some(&given.before), &now),
            plan::undo(given.key(), &given.steps[..k], None, &now),
            // The record names what was to be run, however little of it was.
            plan::detach(&record, &now),
        ];
        for back in ways_back {
            for step in &back {
                assert_ours(step, &given, &now);
            }
            let then = after(&now, given.key(), &back);
            for (name, link) in now.host.links.iter().filter(|(_, link)| !may_remove(link, &given)) {
                prop_assert_eq!(then.host.links.get(name).map(|link| &link.kind), Some(&link.kind));
            }
            let others = |facts: &Facts| facts.leases.values().filter(|owner| *owner != given.key()).count();
            prop_assert_eq!(others(&then), others(&now));
        }
    }
}

fn happen(change: Change, given: &Given, now: &mut Facts) {
    let bridge = name("spring0");
    let holder = plan::holder_name().unwrap();
    let host = &given.attachment.host_link;
    let stranger = |kind| Link { up: true, ..Link::new(kind, 1500) };
    match change {
        Change::HostLinkIsAStrangers => drop(now.host.links.insert(host.clone(), stranger(LinkKind::Veth))),
        Change::HostLinkIsAnothers => {
            let alias = Some(key("c9").alias());
            let link = Link { alias, group: LINK_GROUP, ..stranger(LinkKind::Veth) };
            now.host.links.insert(host.clone(), link);
        }
        Change::BridgeIsAStrangers => drop(now.host.links.insert(bridge, stranger(LinkKind::Bridge))),
        Change::BridgeLostItsGroup => {
            if let Some(link) = now.host.links.get_mut(&bridge) {
                link.group = 0;
            }
        }
        Change::BridgeHasAnotherPort => {
            let port = Link { master: Some(bridge), ..stranger(LinkKind::Other("tap".into())) };
            now.host.links.insert(name("tap0"), port);
        }
        Change::VlanLinkIsAStrangers => {
            let link = Link { lower: Some(bridge), ..stranger(LinkKind::Vlan(7)) };
            now.host.links.insert(name("spring0.7"), link);
        }
        Change::HolderIsAStrangers => drop(now.host.links.insert(holder, stranger(LinkKind::Dummy))),
        Change::LeasesAreAnothers => now.leases.values_mut().for_each(|owner| *owner = key("c9")),
        Change::OthersMovedIn => now.users.values_mut().for_each(|users| users.others = true),
    }
}

/// Whether the link may be removed at all on behalf of the attachment.
fn may_remove(link: &Link, given: &Given) -> bool {
    let Some(alias) = link.alias.as_deref() else { return is_unfinished(link, given) };
    let Some(owner) = owner_of_alias(alias) else { return false };
    let is_shared =
        link.alias.as_deref().is_some_and(|alias| [BridgeLink::ALIAS, VlanLink::ALIAS, Holder::ALIAS].contains(&alias));
    (is_shared && link.group == LINK_GROUP) || owner == given.key().to_string()
}

/// Whether the link was made by us, by somebody who was killed before it could get its alias: in our group, and
/// for a pair with the MAC that is made from the attachment's key.
fn is_unfinished(link: &Link, given: &Given) -> bool {
    let is_pair = link.kind == LinkKind::Veth;
    link.group == LINK_GROUP && (!is_pair || link.mac == Some(given.attachment.host_mac))
}

fn assert_ours(step: &Step, given: &Given, now: &Facts) {
    let Step::Del(object) = step else { return };
    let link = |name| now.host_link(name).unwrap_or_else(|| panic!("{step}: there is none"));
    let others_use = |shared: Shared| now.users(&shared).others;
    match object {
        Object::Record(key) => assert_eq!(key, given.key()),
        Object::Lease(lease) => {
            assert_eq!(now.leases.get(&(lease.network.clone(), lease.address)), Some(given.key()), "{step}");
        }
        Object::Veth(veth) => assert!(may_remove(link(&veth.host), given), "{step}"),
        Object::Bridge(bridge) => {
            assert!(link(&bridge.name).is_ours(BridgeLink::ALIAS), "{step}");
            assert!(!others_use(Shared::Bridge(bridge.name.clone())), "{step}");
            let mut strangers = now.host.links.iter().filter(|(name, _)| **name != given.attachment.host_link);
            assert!(strangers.all(|(_, port)| port.master.as_ref() != Some(&bridge.name)), "{step}: it has ports");
        }
        Object::Vlan(vlan) => {
            assert!(vlan.is_bridge, "{step}: it goes with its link");
            assert!(!others_use(Shared::Vlan(vlan.link.clone(), vlan.id)), "{step}");
        }
        Object::VlanLink(vlan) => {
            assert!(link(&vlan.name).is_ours(VlanLink::ALIAS), "{step}");
            assert!(!others_use(Shared::VlanLink(vlan.name.clone())), "{step}");
        }
        Object::Holder(holder) => {
            assert!(link(&holder.name).is_ours(Holder::ALIAS), "{step}");
            assert!(!others_use(Shared::Holder(holder.name.clone())), "{step}");
        }
        Object::Address(_, address) => {
            assert!(!others_use(Shared::Address(address.link.clone(), address.net)), "{step}");
        }
        Object::Element(held) => {
            let there = &now.elements[&(held.element.set, held.element.key.clone())];
            let owner = if held.shared { Held::SHARED.to_owned() } else { given.key().comment() };
            assert_eq!(there.owner, Some(owner), "{step}");
        }
        Object::Chain(chain) => assert!(!others_use(Shared::Chain(chain.name.clone())), "{step}"),
        Object::Ifb(ifb) => assert!(link(&ifb.name).is_ours(&given.key().alias()), "{step}"),
        Object::Limit(..) | Object::Redirect(..) => panic!("{step}: it goes with its link"),
        Object::Loopback(_, link) => assert!(!others_use(Shared::Loopback(link.clone())), "{step}"),
        Object::Proxy(..) => assert!(given.steps.contains(&Step::Add(object.clone())), "{step}"),
        Object::Pool(pool) => assert!(!others_use(Shared::Pool(pool.clone())), "{step}"),
        Object::Part(_) => panic!("{step}: it is everybody's"),
        Object::Use(_) | Object::Delegation(_) | Object::Route(..) => {}
    }
}
