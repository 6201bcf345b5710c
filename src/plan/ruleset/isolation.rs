//! Which containers reach which, as far as the host routes between them. On one bridge, the bridge decides.
//!
//! Containers are what is behind links of our group: a bridge that is somebody else's counts as the outside.

use ipnet::IpNet;

use super::nat::PUBLISHED;
use super::rule::{Chain, Constant, Hook, Rule, Selector, Term};
use super::{Element, Field, Set, Value};
use crate::model::{Addressing, Attachment, Family, IfName, LINK_GROUP};

use Selector::{Destination4, Destination6, InGroup, InLink, OutGroup, OutLink, Source4, Source6};
use Term::{Drop, In, Is, Jump, Map, Return};

const CONTAINERS: Constant = Constant::Number(LINK_GROUP, "171");

pub(super) fn chains() -> Vec<Chain> {
    let hook = Hook { kind: "filter", name: "forward", number: 2, priority: 0 };
    let rules = vec![
        // What a container publishes is for everybody, its neighbours included.
        vec![Jump(PUBLISHED)],
        vec![In(vec![InLink], Set::IsolatedLinks), Is(OutGroup, CONTAINERS), Drop],
        vec![In(vec![OutLink], Set::IsolatedLinks), Is(InGroup, CONTAINERS), Drop],
        vec![Map(vec![InLink], Set::IsolatedNetworks)],
        vec![Map(vec![OutLink], Set::IsolatedNetworks)],
    ];
    // The chain `published` is filled by the part `nat`: only there do connections have a state.
    vec![Chain::base("isolation", hook, rules), Chain::inner(PUBLISHED, Vec::new())]
}

fn between_containers() -> Rule {
    vec![Is(InGroup, CONTAINERS), Is(OutGroup, CONTAINERS), Drop]
}

/// The rules of a chain that keeps traffic between containers among `nets`.
pub(super) fn among(nets: &[IpNet]) -> Vec<Rule> {
    let pairs = nets.iter().flat_map(|from| nets.iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from.family() == to.family());
    let stay = pairs.map(|(from, to)| {
        let (source, destination) = match from.family() {
            Family::V4 => (Source4, Destination4),
            Family::V6 => (Source6, Destination6),
        };
        vec![Is(source, Constant::Net(*from)), Is(destination, Constant::Net(*to)), Return]
    });
    stay.chain([between_containers()]).collect()
}

/// The rules of a chain that keeps traffic between containers on one bridge.
pub(super) fn on(bridge: &IfName) -> Vec<Rule> {
    let is = |selector| Is(selector, Constant::Link(bridge.clone()));
    vec![vec![is(InLink), is(OutLink), Return], between_containers()]
}

/// The elements of the link behind which an attachment is. `chain` is its network's.
pub(in crate::plan) fn elements(attachment: &Attachment, chain: Option<&str>) -> Vec<Element> {
    let link = || [Field::Link(attachment.port_link())];
    let ports = attachment.network.isolation.ports.then(|| Element::of(Set::IsolatedLinks, link()));
    let network = chain.map(|chain| Element::leading(Set::IsolatedNetworks, link(), Value::Goto(chain.to_owned())));
    ports.into_iter().chain(network).collect()
}
