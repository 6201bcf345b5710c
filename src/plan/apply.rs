//! What a step makes of facts: a kernel in memory, with what the real one does beside what it was asked for.

use ipnet::IpNet;

use super::facts::{ElementFact, Facts, Namespace, Users};
use super::link::{Link, LinkKind};
use super::made::{BridgeLink, VlanLink};
use super::name::renamed_key;
use super::ruleset::NetworkChain;
use super::step::{Held, LinkAddress, Object, Setting, Step};
use crate::model::{AttachmentKey, IfName, LINK_GROUP};

impl Facts {
    /// Does to the facts what the step does to the system. `key` is the attachment that acts.
    pub fn apply(&mut self, step: &Step, key: &AttachmentKey) {
        match step {
            Step::Add(object) => self.add(object, key),
            Step::Del(object) => self.del(object),
            Step::Set(setting) => self.set(setting),
            Step::Await(_) | Step::Announce(..) | Step::Forget(_) | Step::Proclaim(..) => {}
        }
    }

    fn add(&mut self, object: &Object, key: &AttachmentKey) {
        match object {
            Object::Record(key) => drop(self.records.insert(key.clone())),
            Object::Lease(lease) => drop(self.leases.insert((lease.network.clone(), lease.address), key.clone())),
            Object::Delegation(_) => self.delegated = true,
            Object::Use(shared) => self.users.entry(shared.clone()).or_default().mine = true,
            Object::Veth(veth) => {
                let mut host = Link::new(LinkKind::Veth, veth.host_mtu);
                (host.mac, host.group, host.master) = (Some(veth.host_mac), LINK_GROUP, veth.bridge.clone());
                self.host.links.insert(veth.host.clone(), host);
                let default =
                    veth.bridge.as_ref().and_then(|bridge| self.host_link(bridge)).map_or(0, |link| link.vlans.1);
                if default != 0 {
                    self.vlans.insert((veth.host.clone(), default), true);
                }
                let mut peer = Link::new(LinkKind::Veth, veth.mtu);
                peer.mac = Some(veth.mac);
                self.container.links.insert(veth.peer.clone(), peer);
                self.peer = Some(veth.peer.clone());
            }
            Object::Bridge(bridge) => {
                let mut link = Link::new(LinkKind::Bridge, bridge.mtu);
                (link.mac, link.group) = (Some(bridge.mac), LINK_GROUP);
                link.vlans = (false, BridgeLink::DEFAULT_VLAN);
                self.host.links.insert(bridge.name.clone(), link);
                self.vlans.insert((bridge.name.clone(), BridgeLink::DEFAULT_VLAN), true);
            }
            Object::Vlan(vlan) if vlan.is_bridge => drop(self.vlans.insert((vlan.link.clone(), vlan.id), false)),
            Object::Vlan(vlan) => {
                // There is one PVID (`__vlan_add_pvid()` in `net/bridge/br_vlan.c`).
                self.vlans.iter_mut().filter(|((link, _), _)| *link == vlan.link).for_each(|(_, pvid)| *pvid = false);
                self.vlans.insert((vlan.link.clone(), vlan.id), true);
            }
            Object::VlanLink(VlanLink { name, bridge, id }) => {
                let lower = self.host_link(bridge);
                let mut link = Link::new(LinkKind::Vlan(*id), lower.map_or(1500, |lower| lower.mtu));
                (link.mac, link.group) = (lower.and_then(|lower| lower.mac), LINK_GROUP);
                link.lower = Some(bridge.clone());
                self.host.links.insert(name.clone(), link);
            }
            Object::Holder(holder) => {
                let mut link = Link::new(LinkKind::Dummy, 1500);
                link.group = LINK_GROUP;
                self.host.links.insert(holder.name.clone(), link);
            }
            Object::Address(side, address) => drop(self.namespace_mut(*side).addresses.insert(address.clone())),
            Object::Route(side, route) => self.namespace_mut(*side).routes.push(route.clone()),
            Object::Pool(pool) => drop(self.pools.insert(pool.clone())),
            Object::Proxy(link, address) => drop(self.proxies.insert((link.clone(), *address))),
            Object::Part(part) => drop(self.parts.insert(*part)),
            Object::Chain(NetworkChain { name, .. }) => drop(self.chains.insert(name.clone())),
            Object::Element(Held { element, shared, .. }) => {
                let owner = Some(if *shared { Held::SHARED.to_owned() } else { key.comment() });
                let fact = ElementFact { value: element.value.clone(), owner };
                self.elements.insert((element.set, element.key.clone()), fact);
            }
            Object::Ifb(ifb) => {
                let mut link = Link::new(LinkKind::Other("ifb".into()), 1500);
                link.group = LINK_GROUP;
                self.host.links.insert(ifb.name.clone(), link);
            }
            Object::Limit(link, rate) => drop(self.limits.insert(link.clone(), rate.bits)),
            Object::Redirect(from, _) => drop(self.redirected.insert(from.clone())),
            Object::Loopback(family, link) => drop(self.loopback.insert((*family, link.clone()))),
        }
    }

    fn del(&mut self, object: &Object) {
        match object {
            Object::Record(key) => drop(self.records.remove(key)),
            Object::Lease(lease) => drop(self.leases.remove(&(lease.network.clone(), lease.address))),
            Object::Delegation(_) => self.delegated = false,
            Object::Use(shared) => {
                let others = self.users(shared).others;
                if others {
                    self.users.insert(shared.clone(), Users { mine: false, others });
                } else {
                    self.users.remove(shared);
                }
            }
            Object::Veth(veth) => {
                self.drop_host_link(&veth.host);
                let peer = self.peer.take();
                self.container.drop_link(peer.as_ref().unwrap_or(&veth.peer));
            }
            Object::Bridge(bridge) => self.drop_host_link(&bridge.name),
            Object::Vlan(vlan) => drop(self.vlans.remove(&(vlan.link.clone(), vlan.id))),
            Object::VlanLink(link) => self.drop_host_link(&link.name),
            Object::Holder(holder) => self.host.drop_link(&holder.name),
            Object::Address(side, address) => self.namespace_mut(*side).drop_address(address),
            Object::Route(side, route) => self.namespace_mut(*side).routes.retain(|there| !route.is(there)),
            Object::Pool(pool) => drop(self.pools.remove(pool)),
            Object::Proxy(link, address) => drop(self.proxies.remove(&(link.clone(), *address))),
            Object::Part(part) => drop(self.parts.remove(part)),
            Object::Chain(NetworkChain { name, .. }) => drop(self.chains.remove(name)),
            Object::Element(Held { element, .. }) => drop(self.elements.remove(&(element.set, element.key.clone()))),
            Object::Ifb(ifb) => self.drop_host_link(&ifb.name),
            Object::Limit(link, _) => drop(self.limits.remove(link)),
            Object::Redirect(from, _) => drop(self.redirected.remove(from)),
            Object::Loopback(family, link) => drop(self.loopback.remove(&(*family, link.clone()))),
        }
    }

    fn drop_host_link(&mut self, name: &IfName) {
        self.host.drop_link(name);
        self.loopback.retain(|(_, link)| link != name);
        self.limits.remove(name);
        self.redirected.remove(name);
        self.vlans.retain(|(link, _), _| link != name);
    }

    fn set(&mut self, setting: &Setting) {
        match setting {
            Setting::State { side, link, up } => self.namespace_mut(*side).set_state(link, *up),
            Setting::Name { link, name } => {
                self.container.rename_link(link, name);
                if self.peer.as_ref() == Some(link) {
                    self.peer = Some(name.clone());
                }
            }
            Setting::AddressGeneration { side, link, on } => {
                if let Some(link) = self.namespace_mut(*side).links.get_mut(link) {
                    link.address_generation = *on;
                }
            }
            Setting::Alias { link, alias } => {
                if let Some(link) = self.host.links.get_mut(link) {
                    link.alias = Some(alias.clone());
                }
            }
            Setting::StrictArp { side, link } => {
                if let Some(link) = self.namespace_mut(*side).links.get_mut(link) {
                    link.strict_arp = true;
                }
            }
            Setting::Flags { side, link, flags } => {
                if let Some(link) = self.namespace_mut(*side).links.get_mut(link) {
                    link.flags = *flags;
                }
            }
            Setting::Mtu { side, link, mtu } => {
                if let Some(link) = self.namespace_mut(*side).links.get_mut(link) {
                    link.mtu = *mtu;
                }
            }
            Setting::Port(port) => {
                if let Some(link) = self.host.links.get_mut(&port.link) {
                    link.port = (port.isolated, port.hairpin);
                }
            }
            Setting::VlanFiltering { bridge, on } => {
                if let Some(link) = self.host.links.get_mut(bridge) {
                    link.vlans.0 = *on;
                }
            }
            Setting::Route(side, route) => {
                let routes = &mut self.namespace_mut(*side).routes;
                routes.retain(|there| !there.collides(route));
                routes.push(route.clone());
            }
            Setting::Sysctl(sysctl) => {
                self.namespace_mut(sysctl.side).sysctls.insert(sysctl.key.clone(), sysctl.value.clone());
            }
        }
    }
}

impl Namespace {
    /// An address takes with it the routes that have it for their source (`fib_sync_down_addr()`), and the last IPv4 one
    /// of a link all IPv4 routes of that link (`fib_disable_ip()`, `net/ipv4/fib_frontend.c`).
    fn drop_address(&mut self, address: &LinkAddress) {
        self.addresses.retain(|other| (&other.link, other.net) != (&address.link, address.net));
        let (link, own) = (&address.link, address.net.addr());
        let is_v4 = |net: IpNet| net.addr().is_ipv4();
        let was_last =
            is_v4(address.net) && !self.addresses.iter().any(|there| there.link == *link && is_v4(there.net));
        self.routes.retain(|route| {
            let without_addresses = was_last && route.link == *link && is_v4(route.dst);
            !without_addresses && route.src != Some(own)
        });
    }

    /// A link that goes down loses its routes (`fib_disable_ip()`, `rt6_sync_down_dev()`) and its IPv6 addresses, but for
    /// those that `keep_addr_on_down` keeps (`addrconf_ifdown()`); what the kernel makes itself comes back with it.
    fn set_state(&mut self, name: &IfName, up: bool) {
        let Some(link) = self.links.get_mut(name) else { return };
        let goes_down = link.up && !up;
        link.up = up;
        if goes_down {
            let conf = |of: &str| format!("ipv6/conf/{of}/keep_addr_on_down");
            let is_set = |key: &String| self.sysctls.get(key).is_some_and(|value| value != "0");
            let keeps = ["all", name.as_str()].map(conf).iter().any(is_set);
            let stays = |net: IpNet| match net {
                IpNet::V4(_) => true,
                IpNet::V6(net) => keeps && !net.addr().is_unicast_link_local(),
            };
            self.addresses.retain(|address| address.link != *name || stays(address.net));
            self.routes.retain(|route| route.link != *name);
        }
    }

    /// Everything of a link goes on under another name.
    fn rename_link(&mut self, from: &IfName, to: &IfName) {
        let Some(link) = self.links.remove(from) else { return };
        self.links.insert(to.clone(), link);
        let addresses = std::mem::take(&mut self.addresses).into_iter();
        self.addresses = addresses.map(|address| address.renamed(from, to)).collect();
        let routes = std::mem::take(&mut self.routes).into_iter();
        self.routes = routes.map(|route| route.renamed(from, to)).collect();
        let sysctls = std::mem::take(&mut self.sysctls).into_iter();
        self.sysctls = sysctls.map(|(key, value)| (renamed_key(&key, from, to), value)).collect();
    }

    /// A link takes its addresses, routes and sysctls with it.
    fn drop_link(&mut self, name: &IfName) {
        self.links.remove(name);
        self.addresses.retain(|address| address.link != *name);
        self.routes.retain(|route| route.link != *name);
        self.sysctls.retain(|key, _| key.split('/').nth(2) != Some(name.as_str()));
    }
}
