//! Changes: whatever an attachment is changed to, it comes to what attaching that would have come to; and back.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use springline::model::{
    Address, Addressing, Attachment, IfName, Isolation, Lease, Mode, PortMap, Protocol, Rate, RoutedNetwork,
};
use springline::plan::{self, Facts, Link, LinkKind, Object, Record, Renames, Set, Setting, Shared, Step};

use crate::given::{Given, given, ip, net, thousand};
use crate::world::{after, record, same, with_fib};

/// The same attachment with some of its addresses and networks, and some others.
fn other(attachment: &Attachment) -> impl Strategy<Value = Attachment> + use<> {
    let base = attachment.clone();
    let is_routed = matches!(base.network.mode, Mode::Routed(_));
    let extra = ["10.77.0.5/32", "10.77.0.6/32", "2001:db8:77::5/128"].map(net);
    let networks = ["10.78.0.0/24", "2001:db8:78::/64"].map(net);
    let count = base.addresses.len();
    (
        subsequence((0..count).collect::<Vec<_>>(), 0..=count),
        subsequence(extra.to_vec(), 0..=3),
        subsequence(networks.to_vec(), 0..=2),
        any::<(bool, bool, bool, bool)>(),
        option::weighted(0.3, Just(IfName::parse("renamed0").unwrap())),
    )
        .prop_map(move |(kept, extra, networks, (ports, limited, isolated, keep_networks), renamed)| {
            let mut other = base.clone();
            other.addresses = kept.iter().map(|at| base.addresses[*at].clone()).collect();
            let gateway = |family| {
                base.addresses.iter().find(|there| there.net.family() == family).and_then(|there| there.gateway)
            };
            other.addresses.extend(extra.iter().map(|net| Address { net: *net, gateway: gateway(net.family()) }));
            let lease = |address: &Address| Lease {
                network: base.key.network.clone(),
                address: address.net.addr(),
                data_dir: None,
                slot: None,
            };
            other.leases = other.addresses.iter().map(lease).collect();
            if !keep_networks {
                other.network.routes.clear();
            }
            if is_routed {
                other.network.routes.extend(networks.iter().map(|dst| RoutedNetwork { dst: *dst, via: None }));
            }
            if ports {
                let map = PortMap {
                    host: Some(ip("192.0.2.1")),
                    protocol: Protocol::Udp,
                    host_port: 999,
                    container_port: 99,
                };
                other.ports = vec![map];
            }
            let rate = limited.then_some(Rate { bits: 77_000_000, burst_bits: None });
            (other.rates.received, other.rates.sent) = (rate.clone(), rate);
            other.renamed = renamed;
            other.network.isolation = Isolation { ports: isolated, network: false };
            other
        })
}

/// What is there, what is wanted, and which links the kernel renames.
fn pairs() -> impl Strategy<Value = (Given, Attachment, Renames)> {
    given().prop_flat_map(|given| {
        let others = other(&given.attachment);
        (Just(given), others, select(vec![Renames::All, Renames::Down]))
    })
}

/// The record of what was attached, and how things are then.
fn attached(given: &Given) -> (Record, Facts) {
    let record = Record { wanted: Some(Box::new(given.attachment.clone())), ..record(&given.plan()) };
    (record, after(&given.before, given.key(), &given.steps))
}

/// What a change leaves alone: the host's ruleset and forwarding, once they are on; stakes in shared links, with what
/// stands on those; what a link's first address has set for good; what goes by the time.
fn without_traces(facts: &Facts, given: &Given) -> Facts {
    let mut facts = facts.clone();
    facts.parts.clear();
    facts.delegated = false;
    facts.port_claims.clear();
    facts.fib.clear();
    facts.users.retain(|shared, _| matches!(shared, Shared::Chain(_) | Shared::Isolated(_)));
    facts.elements.retain(|(set, _), _| *set != Set::LoopbackLinks);
    let own = &given.attachment.host_link;
    let is_shared = |link: &Link| link.alias.as_deref().is_none_or(|alias| !alias.contains('/'));
    facts.host.links.retain(|name, link| name == own || !is_shared(link));
    facts.loopback.retain(|(_, link)| link == own);
    facts.vlans.retain(|(link, _), _| link == own);
    let links = facts.host.links.clone();
    facts.host.addresses.retain(|address| links.contains_key(&address.link));
    for namespace in [&mut facts.host, &mut facts.container] {
        namespace.sysctls.clear();
        namespace.routes.iter_mut().for_each(|route| route.onlink = false);
        namespace.routes.sort_by_key(ToString::to_string);
        for link in namespace.links.values_mut() {
            (link.mtu, link.strict_arp, link.address_generation) = (0, false, false);
        }
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..thousand() })]

    #[test]
    fn comes_to_what_attaching_comes_to((given, wanted, renames) in pairs()) {
        let (record, now) = attached(&given);
        let now = Facts { renames, ..with_fib(now, &wanted) };
        let Ok(direct) = plan::attach(&wanted, &with_fib(given.before.clone(), &wanted)) else { return Ok(()) };
        let Ok(change) = plan::change(&record, &wanted, &now) else { return Ok(()) };
        let changed = after(&now, given.key(), &change.steps);
        let expected = Facts { renames, ..after(&given.before, given.key(), &direct.steps) };
        same(&without_traces(&changed, &given), &without_traces(&expected, &given), "changed, and attached like that")?;
        // What is recorded holds, and takes all of it away.
        let recorded = Record { steps: change.recorded.clone(), wanted: Some(Box::new(wanted.clone())), ..record.clone() };
        let missing: Vec<&Step> = change.recorded.iter().filter(|step| is_lasting(step) && !changed.holds(step)).collect();
        prop_assert!(missing.is_empty(), "{missing:?}");
        let gone = after(&changed, given.key(), &plan::detach(&recorded, &changed));
        let all = after(&now, given.key(), &plan::detach(&record, &now));
        same(&without_traces(&gone, &given), &without_traces(&all, &given), "detached after it, and before")?;
    }

    #[test]
    fn to_the_same_is_nothing(given in given()) {
        let (record, now) = attached(&given);
        let now = with_fib(now, &given.attachment);
        let change = plan::change(&record, &given.attachment, &now).unwrap();
        prop_assert!(change.steps.is_empty(), "{:?}", change.steps);
    }

    /// Everything stays with the link under its new name: there is nothing else to do.
    #[test]
    fn a_new_name_is_one_step(given in given()) {
        let (record, now) = attached(&given);
        let renamed = IfName::parse("renamed0").unwrap();
        let wanted = Attachment { renamed: Some(renamed.clone()), ..given.attachment.clone() };
        let change = plan::change(&record, &wanted, &with_fib(now.clone(), &wanted)).unwrap();
        let name = Setting::Name { link: record.ifname().clone(), name: renamed };
        prop_assert_eq!(&change.steps, &vec![Step::Set(name)]);
        // Whoever made it knows it by its key.
        let recorded = Record { steps: change.recorded, ..record.renamed(wanted.ifname()) };
        prop_assert_eq!(&recorded.key, &record.key);
        prop_assert_eq!(recorded.ifname(), wanted.ifname());
        prop_assert_eq!(&recorded.renamed(record.ifname()).steps, &record.steps);
    }

    #[test]
    fn a_name_that_another_link_has_is_refused(given in given(), is_alternative in any::<bool>()) {
        let (record, mut now) = attached(&given);
        let name = IfName::parse("renamed0").unwrap();
        let mut other = Link::new(LinkKind::Dummy, 1500);
        let there = if is_alternative { IfName::parse("other0").unwrap() } else { name.clone() };
        other.also_known_as.extend(is_alternative.then(|| name.to_string()));
        now.container.links.insert(there.clone(), other);
        let wanted = Attachment { renamed: Some(name), ..given.attachment.clone() };
        let error = plan::change(&record, &wanted, &with_fib(now, &wanted)).unwrap_err().to_string();
        prop_assert!(error.contains("cannot be renamed to renamed0") && error.contains(there.as_str()), "{error}");
    }

    #[test]
    fn adds_before_it_deletes((given, wanted, renames) in pairs()) {
        let (record, now) = attached(&given);
        let now = Facts { renames, ..now };
        let Ok(change) = plan::change(&record, &wanted, &with_fib(now.clone(), &wanted)) else { return Ok(()) };
        let kept: Vec<&Step> = record.steps.iter().filter(|step| change.recorded.contains(step) && is_lasting(step)).collect();
        let mut facts = now;
        for step in &change.steps {
            facts.apply(step, given.key());
            // Whatever both want is there at each moment, but for the routes that go with the last address.
            let missing: Vec<_> = kept.iter().filter(|kept| !facts.holds(kept) && !is_route(kept)).collect();
            prop_assert!(missing.is_empty(), "after {step}: {missing:?}");
        }
    }

    #[test]
    fn undone_after_any_step((given, wanted, renames) in pairs()) {
        let (record, now) = attached(&given);
        let now = Facts { renames, ..with_fib(now, &wanted) };
        let Ok(change) = plan::change(&record, &wanted, &now) else { return Ok(()) };
        for count in 0..=change.steps.len() {
            let done = &change.steps[..count];
            let half = after(&now, given.key(), done);
            let back = after(&half, given.key(), &plan::change_back(&record, done, &now, &half));
            same(&without_traces(&back, &given), &without_traces(&now, &given), "undone")?;
        }
    }
}

fn is_lasting(step: &Step) -> bool {
    matches!(step, Step::Add(object) if !matches!(object, Object::Record(_) | Object::Delegation(_)))
        || matches!(step, Step::Set(Setting::Port(_)))
}

fn is_route(step: &Step) -> bool {
    matches!(step, Step::Add(Object::Route(..)))
}
