//! What is known of the system, and what a step would make of it: a kernel in memory.
//!
//! Facts are partial. `kernel::observe` reads what a plan needs and no more; what was not read counts as
//! absent. Nothing here may take the absence of a fact for proof: deletions ask for an alias or an owner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::link::{Link, LinkKind};
use super::made::BridgeVlan;
use super::pool::Pool;
use super::route::Route;
use super::ruleset::{Element, GuardedLink, Key, Part, Set, Value};
use super::step::{Held, LinkAddress, Object, Setting, Shared, Side, Step};
use crate::model::{AttachmentKey, Family, IfName, Mac, NetworkName, PortMap};

/// What is known of host, container and store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's namespace.
    pub host: Namespace,
    /// The container's namespace.
    pub container: Namespace,
    /// The name of the link inside the container that is the other end of the pair, if that was looked for.
    pub peer: Option<IfName>,
    /// Which links the kernel renames.
    pub renames: Renames,
    /// Records that exist.
    pub records: BTreeSet<AttachmentKey>,
    /// Leases by network and address, with their owners.
    pub leases: BTreeMap<(NetworkName, IpAddr), AttachmentKey>,
    /// Whether a delegated IPAM plugin holds something for the attachment.
    pub delegated: bool,
    /// Who uses what several attachments share.
    pub users: BTreeMap<Shared, Users>,
    /// What the host's FIB says about the prefixes that are wanted.
    pub fib: Vec<FibMatch>,
    /// The MTU of the link that the host's default route uses.
    pub uplink_mtu: Option<u32>,
    /// Links with a default route learnt from router advertisements.
    pub advertised_uplinks: Vec<IfName>,
    /// Whether the host's kernel has IPv6.
    pub host_ipv6: bool,
    /// The parts of the ruleset that are whole, and of this version.
    pub parts: BTreeSet<Part>,
    /// In which VLANs of bridges ports and the host are, and whether without a tag (PVID, untagged).
    pub vlans: BTreeMap<(IfName, u16), bool>,
    /// Networks that are unreachable where no container is.
    pub pools: BTreeSet<Pool>,
    /// For which addresses the host answers on which of its links.
    pub proxies: BTreeSet<(IfName, IpAddr)>,
    /// Who answers there for addresses that are wanted.
    pub answering: BTreeMap<(IfName, IpAddr), Mac>,
    /// The networks that the host is connected to, if that matters.
    pub connected: Vec<(IpNet, IfName)>,
    /// Networks' own chains that are there.
    pub chains: BTreeSet<String>,
    /// The links by which the host's loopback addresses are good.
    pub loopback: BTreeSet<(Family, IfName)>,
    /// Elements that are there, by set and key.
    pub elements: BTreeMap<(Set, Key), ElementFact>,
    /// Links of the host that are limited, with their rates in bits a second.
    pub limits: BTreeMap<IfName, u64>,
    /// Links of the host from which everything is redirected.
    pub redirected: BTreeSet<IfName>,
    /// The container's other attachments.
    pub siblings: Vec<Sibling>,
    /// Who has ports that are wanted.
    pub port_claims: Vec<PortClaim>,
    /// `SO_NETNS_COOKIE` of the container's namespace.
    pub container_cookie: u64,
    /// Whether the container's kernel has IPv6, and it is not switched off for new links.
    pub container_ipv6: bool,
}

/// Which links the kernel renames: one does not ask it, but finds out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Renames {
    /// All of them: Linux 6.2 and later.
    #[default]
    All,
    /// Those that are down.
    Down,
}

/// What is known of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementFact {
    /// What it leads to.
    pub value: Option<Value>,
    /// Its comment: whose it is. `None`: somebody else has put it there, by hand.
    pub owner: Option<String>,
}

/// Another attachment of the same container. The container may answer by one of its links for an address of another: its
/// routes decide by which link a packet leaves, and they go by the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// Its link, if it is guarded.
    pub guarded: Option<GuardedLink>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Somebody who has a port of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortClaim {
    /// Which.
    pub map: PortMap,
    /// Who.
    pub holder: PortHolder,
}

/// Who has a port of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortHolder {
    /// The element of a port map, with its comment.
    Element(Element, Option<String>),
    /// A process that listens, as text.
    Process(String),
}

/// Who uses a shared object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Users {
    /// The attachment that the facts were gathered for.
    pub mine: bool,
    /// Anybody else.
    pub others: bool,
}

/// What is known of one network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Links by name.
    pub links: BTreeMap<IfName, Link>,
    /// Addresses on those links.
    pub addresses: BTreeSet<LinkAddress>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Values below `/proc/sys/net`.
    pub sysctls: BTreeMap<String, String>,
}

/// The FIB's answer for one prefix that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FibMatch {
    /// The prefix that was asked about.
    pub asked: IpNet,
    /// The route that answers for it.
    pub dst: IpNet,
    /// What the route does.
    pub kind: RouteKind,
    /// Its link's name.
    pub link: Option<IfName>,
    /// Its link's alias.
    pub alias: Option<String>,
    /// Its table.
    pub table: u32,
    /// Its metric.
    pub metric: u32,
    /// Its protocol number.
    pub protocol: u8,
}

/// What a route does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// Forwards it.
    Unicast,
    /// Delivers it to the host itself.
    Local,
    /// Drops or refuses it.
    Reject,
}

impl Facts {
    /// The namespace of a side.
    #[must_use]
    pub fn namespace(&self, side: Side) -> &Namespace {
        match side {
            Side::Host => &self.host,
            Side::Container => &self.container,
        }
    }

    pub(super) fn namespace_mut(&mut self, side: Side) -> &mut Namespace {
        match side {
            Side::Host => &mut self.host,
            Side::Container => &mut self.container,
        }
    }

    /// A link of the host.
    #[must_use]
    pub fn host_link(&self, name: &IfName) -> Option<&Link> {
        self.host.links.get(name)
    }

    /// Adds what `other` knows besides.
    pub fn absorb(&mut self, other: Self) {
        for (own, more) in [(&mut self.host, other.host), (&mut self.container, other.container)] {
            for (name, link) in more.links {
                own.links.entry(name).or_insert(link);
            }
            own.addresses.extend(more.addresses);
            let new: Vec<Route> = more.routes.into_iter().filter(|route| !own.routes.contains(route)).collect();
            own.routes.extend(new);
            for (key, value) in more.sysctls {
                own.sysctls.entry(key).or_insert(value);
            }
        }
        self.peer = self.peer.take().or(other.peer);
        self.records.extend(other.records);
        self.leases.extend(other.leases);
        self.users.extend(other.users);
        self.parts.extend(other.parts);
        self.vlans.extend(other.vlans);
        self.pools.extend(other.pools);
        self.proxies.extend(other.proxies);
        self.chains.extend(other.chains);
        self.loopback.extend(other.loopback);
        self.elements.extend(other.elements);
        self.limits.extend(other.limits);
        self.redirected.extend(other.redirected);
    }

    /// Who uses a shared object.
    #[must_use]
    pub fn users(&self, shared: &Shared) -> Users {
        self.users.get(shared).copied().unwrap_or_default()
    }

    /// Whether loopback addresses of any family are good by a link of the host.
    #[must_use]
    pub fn is_open(&self, link: &IfName) -> bool {
        self.loopback.iter().any(|(_, there)| there == link)
    }

    /// Whether the step's effect is there already.
    #[must_use]
    pub fn holds(&self, step: &Step) -> bool {
        match step {
            Step::Add(object) => self.has(object),
            Step::Del(Object::Vlan(vlan)) => !self.vlans.contains_key(&(vlan.link.clone(), vlan.id)),
            Step::Del(object) => !self.has(object),
            Step::Set(setting) => self.has_set(setting),
            Step::Await(_) | Step::Announce(..) | Step::Forget(_) | Step::Proclaim(..) => false,
        }
    }

    /// Whether the object is there.
    #[must_use]
    pub fn has(&self, object: &Object) -> bool {
        match object {
            Object::Record(key) => self.records.contains(key),
            Object::Lease(lease) => self.leases.contains_key(&(lease.network.clone(), lease.address)),
            Object::Delegation(_) => self.delegated,
            Object::Use(shared) => self.users(shared).mine,
            Object::Veth(veth) => self.host_link(&veth.host).is_some_and(|link| link.is_host_side(veth)),
            Object::Bridge(bridge) => self.host_link(&bridge.name).is_some_and(|link| link.kind == LinkKind::Bridge),
            Object::Vlan(BridgeVlan { link, id, is_bridge }) => {
                self.vlans.get(&(link.clone(), *id)).is_some_and(|untagged| *untagged || *is_bridge)
            }
            Object::VlanLink(link) => self.host_link(&link.name).is_some(),
            Object::Holder(holder) => self.host_link(&holder.name).is_some(),
            Object::Address(side, wanted) => {
                self.namespace(*side).addresses.iter().any(|there| there.link == wanted.link && there.net == wanted.net)
            }
            Object::Route(side, wanted) => self.namespace(*side).routes.iter().any(|there| wanted.is(there)),
            Object::Pool(pool) => self.pools.contains(pool),
            Object::Proxy(link, address) => self.proxies.contains(&(link.clone(), *address)),
            Object::Part(part) => self.parts.contains(part),
            Object::Chain(chain) => self.chains.contains(&chain.name),
            Object::Element(Held { element, .. }) => {
                let there = self.elements.get(&(element.set, element.key.clone()));
                there.is_some_and(|there| there.value == element.value)
            }
            Object::Ifb(ifb) => self.host_link(&ifb.name).is_some_and(|link| link.is_ours(&ifb.alias)),
            Object::Limit(link, rate) => self.limits.get(link).is_some_and(|bits| rate.is_about(*bits)),
            Object::Redirect(from, _) => self.redirected.contains(from),
            Object::Loopback(family, link) => self.loopback.contains(&(*family, link.clone())),
        }
    }

    fn has_set(&self, setting: &Setting) -> bool {
        match setting {
            Setting::State { side, link, up } => {
                self.namespace(*side).links.get(link).is_some_and(|there| there.up == *up)
            }
            Setting::AddressGeneration { side, link, on } => {
                self.namespace(*side).links.get(link).is_some_and(|there| there.address_generation == *on)
            }
            Setting::Alias { link, alias } => {
                self.host_link(link).is_some_and(|there| there.alias.as_ref() == Some(alias))
            }
            Setting::Name { link, name } => {
                let links = &self.container.links;
                links.contains_key(name) && (link == name || !links.contains_key(link))
            }
            Setting::StrictArp { side, link } => {
                self.namespace(*side).links.get(link).is_some_and(|there| there.strict_arp)
            }
            Setting::Flags { side, link, flags } => {
                self.namespace(*side).links.get(link).is_some_and(|there| there.flags == *flags)
            }
            Setting::Mtu { side, link, mtu } => {
                self.namespace(*side).links.get(link).is_some_and(|there| there.mtu == *mtu)
            }
            Setting::Port(port) => {
                self.host_link(&port.link).is_some_and(|there| there.port == (port.isolated, port.hairpin))
            }
            Setting::VlanFiltering { bridge, on } => self.host_link(bridge).is_some_and(|there| there.vlans.0 == *on),
            Setting::Route(side, route) => {
                self.namespace(*side).routes.iter().any(|there| route.is(there) && route.src == there.src)
            }
            Setting::Sysctl(sysctl) => self.namespace(sysctl.side).sysctls.get(&sysctl.key) == Some(&sysctl.value),
        }
    }

    /// The value that `setting` would replace, as a setting; `None` if it is not known or not there.
    #[must_use]
    pub fn current(&self, setting: &Setting) -> Option<Setting> {
        match setting {
            Setting::State { side, link, .. } => {
                let up = self.namespace(*side).links.get(link)?.up;
                Some(Setting::State { side: *side, link: link.clone(), up })
            }
            Setting::AddressGeneration { side, link, .. } => {
                let on = self.namespace(*side).links.get(link)?.address_generation;
                Some(Setting::AddressGeneration { side: *side, link: link.clone(), on })
            }
            Setting::StrictArp { .. } | Setting::Alias { .. } => None, // only ever set on a link that we made
            Setting::Name { link, name } => {
                self.container.links.get(link)?;
                Some(Setting::Name { link: name.clone(), name: link.clone() })
            }
            Setting::Flags { side, link, .. } => {
                let flags = self.namespace(*side).links.get(link)?.flags;
                Some(Setting::Flags { side: *side, link: link.clone(), flags })
            }
            Setting::Mtu { side, link, .. } => {
                let mtu = self.namespace(*side).links.get(link)?.mtu;
                Some(Setting::Mtu { side: *side, link: link.clone(), mtu })
            }
            Setting::Port(port) => {
                let (isolated, hairpin) = self.host_link(&port.link)?.port;
                Some(Setting::Port(super::Port { link: port.link.clone(), isolated, hairpin }))
            }
            Setting::VlanFiltering { bridge, .. } => {
                let (on, _) = self.host_link(bridge)?.vlans;
                Some(Setting::VlanFiltering { bridge: bridge.clone(), on })
            }
            Setting::Route(side, route) => {
                let there = self.namespace(*side).routes.iter().find(|there| there.collides(route))?;
                Some(Setting::Route(*side, there.clone()))
            }
            Setting::Sysctl(sysctl) => {
                let value = self.namespace(sysctl.side).sysctls.get(&sysctl.key)?.clone();
                Some(Setting::Sysctl(super::Sysctl { value, ..sysctl.clone() }))
            }
        }
    }
}

/// The sysctl behind [`Object::Loopback`] for IPv4.
#[must_use]
pub fn localnet_key(link: &IfName) -> String {
    format!("ipv4/conf/{link}/route_localnet")
}
