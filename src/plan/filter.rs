//! The steps in nf_tables: what a container may send, behind what it hides, by which ports it is reached, and which
//! others it reaches. All of them come before its link: there is no moment in which it could send more.

use std::net::IpAddr;

use ipnet::IpNet;

use super::builder::Builder;
use super::facts::{Facts, PortHolder, Sibling};
use super::made::{BridgeLink, Ifb};
use super::ruleset::{self, Element, Field, GuardedLink, NetworkChain, NetworkRules, Part, Set};
use super::step::{Held, Object, Setting, Shared, Side, Stale, Step};
use crate::error::{Code, Error, Result};
use crate::model::{Attachment, AttachmentKey, Family, Ipam, Mode, PortMap, Protocol};

/// What an attachment needs in nf_tables.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Parts of the ruleset.
    pub parts: Vec<Part>,
    /// Chains of the network's own.
    pub chains: Vec<NetworkChain>,
    /// Elements of the attachment's own.
    pub elements: Vec<Element>,
    /// Elements by which it and the container's other attachments know of each other.
    pub siblings: Vec<Element>,
    /// Elements that it shares with others on the same bridge.
    pub shared: Vec<(Shared, Element)>,
}

/// What `attachment` needs; of its ports, those that are not led to the same container by another network.
pub fn wanted(attachment: &Attachment, facts: &Facts) -> Result<Wanted> {
    let is_led = |map: &PortMap| facts.port_claims.iter().any(|claim| claim.map.overlaps(map));
    let ports = attachment.ports.iter().copied().filter(|map| !is_led(map)).collect();
    let attachment = &Attachment { ports, ..attachment.clone() };
    let network = &attachment.network;
    let mut wanted = Wanted::default();
    if network.anti_spoof {
        wanted.parts.extend(match &network.mode {
            Mode::Routed(_) => vec![Part::Guard, Part::GuardArp],
            Mode::Bridged(_) => vec![Part::GuardBridge],
        });
        wanted.elements.extend(ruleset::guard_elements(attachment));
    }
    wanted.siblings = sibling_elements(attachment, facts);
    let has_ports = Family::BOTH.into_iter().any(|family| has_ports(attachment, family));
    if network.masquerade.is_some() || has_ports {
        wanted.parts.push(Part::Nat);
        let chain = masquerade_chain(attachment, facts);
        wanted.elements.extend(ruleset::nat_elements(attachment, chain.as_ref()));
        wanted.chains.extend(chain);
    }
    if Family::BOTH.into_iter().any(|family| needs_loopback(attachment, family)) {
        let link = attachment.port_link();
        let element = Element::of(Set::LoopbackLinks, [Field::Link(link.clone())]);
        match &network.mode {
            Mode::Routed(_) => wanted.elements.push(element),
            Mode::Bridged(_) => wanted.shared.push((Shared::Loopback(link), element)),
        }
    }
    if network.isolation.ports || network.isolation.network {
        wanted.parts.push(Part::Isolation);
        let chain = isolation_chain(attachment)?;
        let elements = ruleset::isolation_elements(attachment, chain.as_ref().map(|chain| chain.name.as_str()));
        match &network.mode {
            Mode::Routed(_) => wanted.elements.extend(elements),
            Mode::Bridged(bridge) => {
                let shared = |element| (Shared::Isolated(bridge.ip_link()), element);
                wanted.shared.extend(elements.into_iter().map(shared));
            }
        }
        wanted.chains.extend(chain);
    }
    Ok(wanted)
}

/// What lets the container's links send from each other's addresses.
fn sibling_elements(attachment: &Attachment, facts: &Facts) -> Vec<Element> {
    let own = attachment.guarded_link();
    let sources = |link: &Option<GuardedLink>, addresses: &[IpAddr]| -> Vec<Element> {
        link.iter().flat_map(|link| addresses.iter().flat_map(|address| link.source(*address))).collect()
    };
    let addresses = attachment.routable_addresses();
    let both = |sibling: &Sibling| [sources(&own, &sibling.addresses), sources(&sibling.guarded, &addresses)].concat();
    facts.siblings.iter().flat_map(both).collect()
}

/// Whether the family's loopback addresses must be good by the container's link: for ports on each of the host's
/// addresses, and for those on 127.0.0.1 or `::1` only.
fn needs_loopback(attachment: &Attachment, family: Family) -> bool {
    let has_loopback = |map: &PortMap| map.is_on_all_addresses() || map.host.is_some_and(|host| host.is_loopback());
    let mut maps = attachment.ports.iter().filter(|map| map.is_of(family));
    attachment.port_target(family).is_some() && maps.any(has_loopback)
}

fn has_ports(attachment: &Attachment, family: Family) -> bool {
    attachment.port_target(family).is_some() && attachment.ports.iter().any(|map| map.is_of(family))
}

/// The network's own masquerading chain, if there is something that it leaves alone.
fn masquerade_chain(attachment: &Attachment, facts: &Facts) -> Option<NetworkChain> {
    let mut except = attachment.network.masquerade.as_ref()?.except.clone();
    // Behind a bridge of ours nothing is masqueraded. Behind another one, with br_netfilter, what merely crosses the
    // bridge would be: its own networks are left alone.
    if let Mode::Bridged(bridge) = &attachment.network.mode
        && facts.host_link(&bridge.name).is_some_and(|link| !link.is_ours(BridgeLink::ALIAS))
    {
        except.extend(attachment.addresses.iter().map(|address| address.net.trunc()));
    }
    let except = IpNet::aggregate(&except);
    (!except.is_empty()).then(|| NetworkChain::new(NetworkRules::MasqueradeExcept(except)))
}

/// The chain that knows the network's own containers, if it is to be left by none.
fn isolation_chain(attachment: &Attachment) -> Result<Option<NetworkChain>> {
    let network = &attachment.network;
    if !network.isolation.network {
        return Ok(None);
    }
    let rules = match (&network.mode, &network.ipam) {
        (Mode::Bridged(bridge), _) => NetworkRules::StayOn(bridge.ip_link()),
        (Mode::Routed(_), Some(Ipam::Delegated { plugin })) => {
            let why = format!("it goes by the network's ranges, which plugin {plugin} keeps to itself");
            return Err(Error::new(Code::InvalidConfig, why)
                .context("isolation \"network\" of a routed network needs addresses of springline's own")
                .hint("\"ipam\": {\"type\": \"springline\"}, or \"isolation\": \"ports\""));
        }
        (Mode::Routed(_), ipam) => {
            let built_in = ipam.as_ref().map(Ipam::networks).unwrap_or_default();
            let nets: Vec<IpNet> = built_in.into_iter().chain(network.routes.iter().map(|route| route.dst)).collect();
            NetworkRules::StayAmong(IpNet::aggregate(&nets))
        }
    };
    Ok(Some(NetworkChain::new(rules)))
}

/// The steps before the link is there.
pub(super) fn plan(builder: &mut Builder<'_>, attachment: &Attachment) -> Result<()> {
    let wanted = wanted(attachment, &builder.facts)?;
    for part in wanted.parts {
        builder.add(Object::Part(part));
    }
    for chain in wanted.chains {
        builder.claim(Shared::Chain(chain.name.clone()));
        builder.add(Object::Chain(chain));
    }
    for element in wanted.elements {
        builder.put(Held { element, shared: false, sibling: false })?;
    }
    for element in wanted.siblings {
        builder.put(Held { element, shared: false, sibling: true })?;
    }
    for (shared, element) in wanted.shared {
        // An administrator who has opened the bridge to loopback addresses before us means it.
        let users = builder.facts.users(&shared);
        let is_open = matches!(&shared, Shared::Loopback(link) if builder.facts.is_open(link));
        if is_open && !users.mine && !users.others {
            continue;
        }
        builder.claim(shared);
        builder.put(Held { element, shared: true, sibling: false })?;
    }
    Ok(())
}

/// By which `br_netfilter` has IP's hooks called for frames on bridges.
pub const BRIDGE_NETFILTER: [&str; 2] = ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"];

/// Whether a frame must be able to leave by the port that it came in by. With `br_netfilter`, what a container sends to
/// a port of the host that leads back to itself is not routed, but bridged to its new destination
/// (`br_nf_pre_routing_finish()` in `net/bridge/br_netfilter_hooks.c`).
pub(super) fn needs_hairpin(attachment: &Attachment, facts: &Facts) -> bool {
    let is_on = |key: &&str| facts.host.sysctls.get(*key).is_some_and(|value| value == "1");
    !attachment.ports.is_empty() && BRIDGE_NETFILTER.iter().any(is_on)
}

/// Has the host route a family's loopback addresses by the link; IPv6's when it is up, for they are a route. There is no
/// link if the host is not in the containers' VLAN.
pub(super) fn open_loopback(builder: &mut Builder<'_>, attachment: &Attachment, family: Family) {
    let link = attachment.port_link();
    if builder.facts.host_link(&link).is_some() && needs_loopback(attachment, family) {
        builder.add(Object::Loopback(family, link));
    }
}

/// The limits of what the container receives and sends; the link is not up yet.
pub(super) fn limit(builder: &mut Builder<'_>, attachment: &Attachment) -> Result<()> {
    let link = &attachment.host_link;
    if let Some(rate) = &attachment.rates.received {
        builder.add(Object::Limit(link.clone(), rate.clone()));
    }
    if let Some(rate) = &attachment.rates.sent {
        let ifb = Ifb { name: attachment.ifb()?, alias: attachment.key.alias() };
        let name = ifb.name.clone();
        builder.add(Object::Ifb(ifb));
        builder.set(Setting::Alias { link: name.clone(), alias: attachment.key.alias() });
        if builder.facts.host_ipv6 {
            builder.set(Setting::AddressGeneration { side: Side::Host, link: name.clone(), on: false });
        }
        builder.add(Object::Limit(name.clone(), rate.clone()));
        builder.set(Setting::State { side: Side::Host, link: name.clone(), up: true });
        builder.add(Object::Redirect(link.clone(), name));
    }
    Ok(())
}

/// The steps when all is done: what the kernel remembers of the ports from before.
pub(super) fn forget_stale(builder: &mut Builder<'_>, attachment: &Attachment) {
    let added: Vec<(PortMap, IpAddr)> = Family::BOTH
        .into_iter()
        .filter_map(|family| Some((family, attachment.port_target(family)?)))
        .flat_map(|(family, target)| {
            let udp = attachment.ports.iter().filter(|map| map.protocol == Protocol::Udp);
            udp.filter(move |map| map.is_of(family)).map(move |map| (*map, target))
        })
        .collect();
    for (map, target) in added {
        builder.push(Step::Forget(Stale { map, target, here: false }));
    }
}

/// Whether an element's owner is an attachment of the same container.
fn is_of_container(owner: &str, attachment: &Attachment) -> bool {
    let same = |key: AttachmentKey| key.container == attachment.key.container;
    owner == attachment.key.comment() || AttachmentKey::parse(owner).is_some_and(same)
}

/// Refuses ports that somebody has; leaves out those that lead to the same container by another network.
pub(super) fn refuse_taken_ports(attachment: &Attachment, facts: &Facts) -> Result<()> {
    for map in &attachment.ports {
        let mut claims = facts.port_claims.iter().filter(|claim| claim.map.overlaps(map));
        let taken = claims.find_map(|claim| match &claim.holder {
            PortHolder::Element(_, Some(owner)) if is_of_container(owner, attachment) => None,
            PortHolder::Element(_, Some(owner)) => Some(format!("{} leads to attachment {owner}", claim.map)),
            PortHolder::Element(element, None) => {
                Some(format!("{} is in nf_tables by somebody else's hand: {element}", claim.map))
            }
            PortHolder::Process(process) => Some(format!("{process} listens on {}", claim.map)),
        });
        if let Some(why) = taken {
            return Err(Error::new(Code::InvalidConfig, why)
                .context(format!("port {map} of the host cannot be mapped to {}", attachment.key)));
        }
    }
    Ok(())
}

impl Builder<'_> {
    /// Adds an element. One that was left by an attachment whose record is lost is taken over; one that leads elsewhere
    /// is replaced if it is ours.
    fn put(&mut self, held: Held) -> Result<()> {
        let key = (held.element.set, held.element.key.clone());
        let there = self.facts.elements.get(&key).cloned();
        let with_value = |value| Held { element: Element { value, ..held.element.clone() }, ..held.clone() };
        let Some(there) = there else {
            self.push(Step::Add(Object::Element(held)));
            return Ok(());
        };
        let mine = there.owner.as_ref().is_none_or(|owner| self.is_mine(owner, held.shared));
        match (there.value == held.element.value, mine) {
            (true, true) => self.push_unless_recorded(Step::Add(Object::Element(held))),
            (true, false) => {}
            (false, true) if !held.shared => {
                self.push(Step::Del(Object::Element(with_value(there.value))));
                self.push(Step::Add(Object::Element(held)));
            }
            (false, _) => {
                let owner = there.owner.clone().unwrap_or_default();
                let why = format!("{} is there, and belongs to {owner}", with_value(there.value).element);
                return Err(Error::new(Code::InvalidConfig, why).context(format!("cannot add {}", held.element)));
            }
        }
        Ok(())
    }
}
