//! Gathers the facts that a plan needs, in as few datagrams as they take.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Container, Engine, refused};
use crate::error::Result;
use crate::kernel::{self, Endpoint, FibAnswer, KernelError, LinkView};
use crate::model::{Addressing, Attachment, Family, Forwarding, Gateway, IfName, Mode, Mtu};
use crate::plan::{self, Facts, FibMatch, Object, Pool, Record, Route, Setting, Shared, Side, Step, owner_of_alias};

/// Destinations that no route but a default route leads to: "this" network (RFC 1122) and the unassigned
/// part beside the loopback address (RFC 4291).
const NOWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 2))];

/// `RTPROT_RA`: learnt from router advertisements.
const ROUTER_ADVERTISEMENT: u8 = 9;

impl Engine {
    /// The facts for `plan::attach`.
    pub(super) fn facts_to_attach(&self, container: &Container, attachment: &Attachment) -> Result<Facts> {
        let container_cookie = container.endpoint.socket.cookie();
        let mut facts = Facts { container_cookie, ..Facts::default() };
        self.observe_store(&mut facts, attachment)?;
        self.observe_host(&mut facts, attachment).map_err(|error| refused(&error, "look at the host"))?;
        observe_container(&mut facts, container, attachment)
            .map_err(|error| refused(&error, format!("look at {}", attachment.netns)))?;
        self.observe_proxies(&mut facts, attachment).map_err(|error| refused(&error, "look at neighbours"))?;
        self.observe_forwarding(&mut facts, attachment).map_err(|error| refused(&error, "look at forwarding"))?;
        self.observe_filter_to_attach(&mut facts, attachment)?;
        Ok(facts)
    }

    fn observe_host(&self, facts: &mut Facts, attachment: &Attachment) -> Result<(), KernelError> {
        let prefixes = plan::wanted_prefixes(attachment);
        let mut destinations: Vec<IpAddr> = prefixes.iter().map(IpNet::addr).collect();
        if attachment.network.mtu == Mtu::Auto {
            destinations.extend(NOWHERE);
        }
        let names: Vec<IfName> =
            [Some(attachment.host_link.clone()), shared_link(attachment), attachment.network.host_routes.vrf.clone()]
                .into_iter()
                .flatten()
                .chain(vlan_link(attachment))
                .collect();
        let (views, mut answers) = self.host.look_up(&names, &destinations)?;
        let uplinks = answers.split_off(prefixes.len());
        let mut found: Vec<(IpNet, FibAnswer)> =
            prefixes.iter().copied().zip(answers).filter_map(|(asked, answer)| Some((asked, answer?))).collect();
        found.extend(self.look_into_tables(attachment, &prefixes)?);
        let uplink =
            uplinks.iter().flatten().find(|answer| answer.dst.prefix_len() == 0).and_then(|answer| answer.link);
        let views: Vec<LinkView> = views.into_iter().flatten().collect();
        let is_seen = |index: &u32| views.iter().any(|view| view.index == *index);
        let indices: BTreeSet<u32> = found.iter().filter_map(|(_, answer)| answer.link).chain(uplink).collect();
        let unseen: Vec<u32> = indices.into_iter().filter(|index| !is_seen(index)).collect();
        let others = self.host.look_up_indices(&unseen)?;
        let by_index = |index: u32| views.iter().chain(&others).find(|view| view.index == index);
        facts.uplink_mtu = uplink.and_then(by_index).map(|view| view.link.mtu);
        facts.fib =
            found.iter().map(|(asked, answer)| fib_match(*asked, answer, answer.link.and_then(by_index))).collect();
        for view in views {
            self.observe_link(facts, view)?;
        }
        match &attachment.network.mode {
            Mode::Bridged(bridge) if bridge.vlan.is_some() => {
                [&bridge.name, &attachment.host_link].into_iter().try_for_each(|link| self.observe_vlans(facts, link))
            }
            _ => Ok(()),
        }
    }

    /// In which VLANs a bridge or a port of it is; the link was looked up before.
    fn observe_vlans(&self, facts: &mut Facts, link: &IfName) -> Result<(), KernelError> {
        let Some(index) = self.host.index(link) else { return Ok(()) };
        let vlans = self.host.vlans(index)?.into_iter();
        facts.vlans.extend(vlans.map(|(id, untagged)| ((link.clone(), id), untagged)));
        Ok(())
    }

    /// Where the host is to answer for the attachment, for whom it does already, and who else does.
    fn observe_proxies(&self, facts: &mut Facts, attachment: &Attachment) -> Result<(), KernelError> {
        let Some(proxy) = &attachment.network.proxy else { return Ok(()) };
        let views = if let Some(link) = &proxy.link {
            self.host.look_up(std::slice::from_ref(link), &[])?.0.into_iter().flatten().collect()
        } else {
            let connected = self.host.connected()?;
            let indices: BTreeSet<u32> = connected.iter().map(|(_, index)| *index).collect();
            let views = self.host.look_up_indices(&indices.into_iter().collect::<Vec<_>>())?;
            let ours = |view: &&LinkView| view.link.alias.as_deref().and_then(owner_of_alias).is_none();
            for view in views.iter().filter(ours) {
                let of_link = connected.iter().filter(|(_, index)| *index == view.index);
                facts.connected.extend(of_link.map(|(net, _)| (*net, view.name.clone())));
            }
            views
        };
        for view in views {
            facts.host.links.entry(view.name).or_insert(view.link);
        }
        facts.proxies = self.proxies()?;
        let mut asked = Vec::new();
        for address in plan::proxied(attachment) {
            let Ok(link) = plan::link_of_proxy(proxy, address, facts) else { continue }; // the plan says why
            for (key, _) in plan::sysctls_of_proxy(&link, address) {
                facts.host.sysctls.extend(self.sysctls.read(&key).ok().map(|value| (key, value)));
            }
            if proxy.probe && !facts.proxies.contains(&(link.clone(), address)) {
                asked.extend(self.host.index(&link).map(|index| (link, index, address)));
            }
        }
        let wanted: Vec<(u32, IpAddr)> = asked.iter().map(|(_, index, address)| (*index, *address)).collect();
        let answers = if wanted.is_empty() { Vec::new() } else { self.host.who_answers(&wanted)? };
        for ((link, _, address), mac) in asked.into_iter().zip(answers) {
            facts.answering.extend(mac.map(|mac| ((link, address), mac)));
        }
        Ok(())
    }

    /// For which addresses the host answers on which links.
    fn proxies(&self) -> Result<BTreeSet<(IfName, IpAddr)>, KernelError> {
        let proxies = self.host.proxies()?;
        let unknown: BTreeSet<u32> =
            proxies.iter().map(|(index, _)| *index).filter(|index| self.host.name(*index).is_none()).collect();
        if !unknown.is_empty() {
            self.host.look_up_indices(&unknown.into_iter().collect::<Vec<_>>())?;
        }
        Ok(proxies.into_iter().filter_map(|(index, address)| Some((self.host.name(index)?, address))).collect())
    }

    /// Wider networks may contain routes that a single look-up does not show, and tables of their own are
    /// not looked up by the host's rules at all: both are read.
    fn look_into_tables(
        &self,
        attachment: &Attachment,
        prefixes: &[IpNet],
    ) -> Result<Vec<(IpNet, FibAnswer)>, KernelError> {
        let table = match &attachment.network.mode {
            Mode::Routed(_) => attachment.network.host_routes.table,
            Mode::Bridged(_) => return Ok(Vec::new()),
        };
        let mut found = Vec::new();
        for family in Family::BOTH {
            let wanted = |prefix: &&IpNet| prefix.family() == family && (table != Route::MAIN || !is_single(**prefix));
            let wanted: Vec<&IpNet> = prefixes.iter().filter(wanted).collect();
            if wanted.is_empty() {
                continue;
            }
            for route in self.host.fib(family, table, None)? {
                let touched = wanted.iter().filter(|asked| asked.contains(&route.dst) || route.dst.contains(**asked));
                found.extend(touched.map(|asked| (**asked, route.clone())));
            }
        }
        Ok(found)
    }

    /// A link by name, with what stands on it; and whose ports it has, if nobody else has a stake in it and so
    /// it may be time for it to go. (Never otherwise: there may be thousands.)
    fn observe_link(&self, facts: &mut Facts, view: LinkView) -> Result<(), KernelError> {
        let LinkView { name, index, peer, link, .. } = view;
        facts.host.addresses.extend(self.host.addresses(&name, index)?);
        if matches!(link.kind, plan::LinkKind::Vlan(_)) {
            let lower = peer.and_then(|lower| self.host.name(lower));
            facts.host.links.insert(name, plan::Link { lower, ..link });
            return Ok(());
        }
        let stakes = [Shared::Bridge(name.clone()), Shared::Holder(name.clone())];
        if link.kind == plan::LinkKind::Veth {
            facts.host.routes.extend(self.host.routes_of(&name, index, &[Route::MAIN])?);
        } else if link.alias.as_deref().and_then(owner_of_alias).is_some()
            && !stakes.iter().any(|shared| facts.users(shared).others)
        {
            for port in self.host.links(Some(index))?.into_iter().filter(|port| port.master == Some(index)) {
                facts.host.links.insert(port.name, plan::Link { master: Some(name.clone()), ..port.link });
            }
        }
        facts.host.links.insert(name, link);
        Ok(())
    }

    fn observe_forwarding(&self, facts: &mut Facts, attachment: &Attachment) -> Result<(), KernelError> {
        let read = |key: &str| self.sysctls.read(key).ok();
        let forwards = self.host.forwards()?;
        for ((_, key), forwards) in plan::FORWARDING.into_iter().zip(forwards) {
            facts.host.sysctls.extend(forwards.map(|forwards| (key.to_owned(), u8::from(forwards).to_string())));
        }
        let [_, ipv6] = forwards;
        facts.host_ipv6 = ipv6.is_some();
        // What it is matters to hosts that forward only.
        if ipv6 == Some(true) {
            let key = plan::DEFAULT_ACCEPT_RA;
            facts.host.sysctls.extend(read(key).map(|value| (key.to_owned(), value)));
        }
        // Looked at only when forwarding is about to be turned on: a host may have a full BGP table.
        let is_off = ipv6 == Some(false);
        if is_off && attachment.uses(Family::V6) && attachment.network.forwarding == Forwarding::Enable {
            let routes = self.host.fib(Family::V6, Route::MAIN, None)?;
            let learnt =
                routes.iter().filter(|route| route.dst.prefix_len() == 0 && route.protocol == ROUTER_ADVERTISEMENT);
            let indices: BTreeSet<u32> = learnt.filter_map(|route| route.link).collect();
            for view in self.host.look_up_indices(&indices.into_iter().collect::<Vec<_>>())? {
                let key = format!("ipv6/conf/{}/accept_ra", view.name);
                let value = read(&key).unwrap_or_default();
                facts.host.links.entry(view.name.clone()).or_insert(view.link);
                facts.host.sysctls.insert(key, value);
                facts.advertised_uplinks.push(view.name);
            }
        }
        Ok(())
    }

    fn observe_store(&self, facts: &mut Facts, attachment: &Attachment) -> Result<()> {
        let key = &attachment.key;
        if self.store.record(key)?.is_some() {
            facts.records.insert(key.clone());
        }
        for lease in &attachment.leases {
            if let Some(owner) = self.store.lease_owner(lease)? {
                facts.leases.insert((lease.network.clone(), lease.address), owner);
            }
        }
        for shared in shared_objects(attachment) {
            let users = self.store.users(&shared, key)?;
            if let Shared::Pool(pool) = &shared
                && (users.mine || users.others)
            {
                facts.pools.insert(pool.clone()); // not looked for: to add what is there does no harm
            }
            facts.users.insert(shared, users);
        }
        Ok(())
    }

    /// The facts for `plan::detach`: what the record names, as far as it is there.
    pub(super) fn facts_to_detach(&self, record: &Record) -> Result<Facts> {
        let mut facts = Facts::default();
        let mut names = BTreeSet::new();
        for step in &record.steps {
            match step {
                Step::Add(Object::Record(key)) => drop(facts.records.insert(key.clone())),
                Step::Add(Object::Lease(lease)) => {
                    // A lease that names nobody any more is still ours to remove.
                    let owner = self.store.lease_owner(lease)?.unwrap_or_else(|| record.key.clone());
                    facts.leases.insert((lease.network.clone(), lease.address), owner);
                }
                Step::Add(Object::Delegation(_)) => facts.delegated = true,
                Step::Add(Object::Use(shared)) => {
                    let users = self.store.users(shared, &record.key)?;
                    facts.users.insert(shared.clone(), users);
                    names.extend(link_of(shared));
                    // To delete what is gone does no harm, to look for it would take a dump.
                    facts.pools.extend(pool_of(shared));
                    facts.vlans.extend(vlan_of(shared).map(|vlan| (vlan, false)));
                }
                Step::Add(Object::Veth(veth)) => drop(names.insert(veth.host.clone())),
                Step::Add(Object::Ifb(ifb)) => drop(names.insert(ifb.name.clone())),
                _ => {}
            }
        }
        let answering: BTreeSet<IfName> = record.steps.iter().filter_map(link_of_proxy).cloned().collect();
        if !answering.is_empty() {
            let links: Vec<IfName> = answering.into_iter().collect();
            let proxies = self.host.look_up(&links, &[]).and_then(|_| self.proxies());
            facts.proxies = proxies.map_err(|error| refused(&error, "look at neighbours"))?;
        }
        facts.records.insert(record.key.clone());
        let names: Vec<IfName> = names.into_iter().collect();
        self.observe_named(&mut facts, &names).map_err(|error| refused(&error, "look at the host"))?;
        self.observe_filter_of(&mut facts, record)?;
        Ok(facts)
    }

    fn observe_named(&self, facts: &mut Facts, names: &[IfName]) -> Result<(), KernelError> {
        let (views, _) = self.host.look_up(names, &[])?;
        for view in views.into_iter().flatten() {
            if view.link.kind == plan::LinkKind::Veth {
                facts.host.links.insert(view.name.clone(), view.link); // goes with all that stands on it
            } else {
                self.observe_link(facts, view)?;
            }
        }
        Ok(())
    }

    /// The facts for `plan::drift`: both sides, and the store.
    pub(super) fn facts_to_check(&self, record: &Record, container: Option<&Container>) -> Result<Facts> {
        let mut facts = self.facts_to_detach(record)?;
        // Without a pessimistic reading of leases: a lease that is gone is drift.
        facts.leases.clear();
        self.observe_pools(&mut facts, record).map_err(|error| refused(&error, "look at routes"))?;
        facts.vlans.clear();
        for link in record.steps.iter().filter_map(link_of_vlan).collect::<BTreeSet<_>>() {
            self.observe_vlans(&mut facts, link).map_err(|error| refused(&error, "look at VLANs"))?;
        }
        for step in &record.steps {
            if let Step::Add(Object::Lease(lease)) = step
                && let Some(owner) = self.store.lease_owner(lease)?
                && owner == record.key
            {
                facts.leases.insert((lease.network.clone(), lease.address), owner);
            }
            if let Step::Add(Object::Loopback(_, link)) = step {
                self.observe_loopback(&mut facts, link)?;
            }
            if let Step::Set(Setting::Sysctl(sysctl)) = step
                && sysctl.side == Side::Host
                && let Ok(value) = self.sysctls.read(&sysctl.key)
            {
                facts.host.sysctls.insert(sysctl.key.clone(), value);
            }
        }
        self.observe_limits(&mut facts, record).map_err(|error| refused(&error, "look at rate limits"))?;
        self.observe_rules(&mut facts)?;
        if let (Some(link), Some(container)) = (record.host_link(), container) {
            let peer = self.other_end(link, container);
            facts.peer = peer.map_err(|error| refused(&error, "look at the pair"))?;
        }
        let host = [(Side::Host, Some(&self.host)), (Side::Container, container.map(|container| &container.endpoint))];
        for (side, endpoint) in host {
            let Some(endpoint) = endpoint else { continue };
            let peer = facts.peer.clone().filter(|_| side == Side::Container);
            let looked = observe_steps(&mut facts, record, side, endpoint, peer);
            looked.map_err(|error| refused(&error, "look at what was set up"))?;
        }
        Ok(facts)
    }
}

impl Engine {
    /// How the other end of a pair is called in the container, if it is there: each end knows the other's index, which a
    /// rename does not change.
    pub(super) fn other_end(&self, link: &IfName, container: &Container) -> Result<Option<IfName>, KernelError> {
        let (views, _) = self.host.look_up(std::slice::from_ref(link), &[])?;
        let Some(own) = views.into_iter().flatten().next() else { return Ok(None) };
        let Some(peer) = own.peer else { return Ok(None) };
        let ends = container.endpoint.look_up_indices(&[peer])?;
        let is_end = |view: &LinkView| view.link.kind == plan::LinkKind::Veth && view.peer == Some(own.index);
        Ok(ends.into_iter().find(is_end).map(|view| view.name))
    }

    /// Which networks are unreachable where no container is, of those that the record names.
    fn observe_pools(&self, facts: &mut Facts, record: &Record) -> Result<(), KernelError> {
        facts.pools.clear();
        let pools = record.steps.iter().filter_map(|step| match step {
            Step::Add(Object::Pool(pool)) => Some((pool.dst.family(), pool.table, pool.protocol)),
            _ => None,
        });
        for (family, table, protocol) in pools.collect::<BTreeSet<_>>() {
            facts.pools.extend(self.host.pools(family, table, protocol)?);
        }
        Ok(())
    }

    /// The rates to which links are limited, as the kernel tells them.
    fn observe_limits(&self, facts: &mut Facts, record: &Record) -> Result<(), KernelError> {
        for step in &record.steps {
            let Step::Add(Object::Limit(link, _) | Object::Redirect(link, _)) = step else { continue };
            let Some(index) = self.host.index(link) else { continue };
            match step {
                Step::Add(Object::Limit(..)) => {
                    let rate = kernel::rate_of(&self.host, index)?;
                    facts.limits.extend(rate.map(|rate| (link.clone(), rate)));
                }
                _ if kernel::is_redirected(&self.host, index)? => drop(facts.redirected.insert(link.clone())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The links that the record's steps are about, and `also`, with addresses and routes, on one side.
fn observe_steps(
    facts: &mut Facts,
    record: &Record,
    side: Side,
    endpoint: &Endpoint,
    also: Option<IfName>,
) -> Result<(), KernelError> {
    let mut names: BTreeSet<IfName> = also.into_iter().collect();
    let mut tables: BTreeSet<u32> = BTreeSet::from([Route::MAIN]);
    for step in &record.steps {
        if let Some((_, link)) = step.link().filter(|(there, _)| *there == side) {
            names.extend(IfName::parse(link).ok());
        }
        match step {
            Step::Add(Object::Route(there, route)) if *there == side => drop(tables.insert(route.table)),
            Step::Add(Object::Veth(veth)) if side == Side::Container => drop(names.insert(veth.peer.clone())),
            Step::Add(Object::Veth(veth)) => names.extend(veth.bridge.clone()),
            _ => {}
        }
    }
    let names: Vec<IfName> = names.into_iter().collect();
    let tables: Vec<u32> = tables.into_iter().collect();
    let (views, _) = endpoint.look_up(&names, &[])?;
    let namespace = match side {
        Side::Host => &mut facts.host,
        Side::Container => &mut facts.container,
    };
    for view in views.into_iter().flatten() {
        namespace.addresses.extend(endpoint.addresses(&view.name, view.index)?);
        namespace.routes.extend(endpoint.routes_of(&view.name, view.index, &tables)?);
        let master = view.master.and_then(|index| endpoint.name(index));
        namespace.links.insert(view.name, plan::Link { master, ..view.link });
    }
    Ok(())
}

fn observe_container(facts: &mut Facts, container: &Container, attachment: &Attachment) -> Result<(), KernelError> {
    let endpoint = &container.endpoint;
    let ifname = attachment.ifname();
    let views = endpoint.links(None)?;
    let is_alone = views.iter().all(|view| view.name == IfName::loopback());
    if matches!(attachment.network.mode, Mode::Bridged(_)) || !attachment.network.sysctls.is_empty() {
        let _ = container.sysctls(); // whoever writes them says what is the matter
    }
    facts.container_ipv6 = has_ipv6(container, attachment, &views);
    for view in views {
        let (name, index) = (view.name.clone(), view.index);
        if name == *ifname {
            facts.container.addresses.extend(endpoint.addresses(&name, index)?);
        }
        facts.container.links.insert(name, view.link);
    }
    if !is_alone {
        for family in Family::BOTH {
            for route in endpoint.fib(family, Route::MAIN, None)? {
                let link = route.link.and_then(|index| endpoint.name(index));
                facts.container.routes.extend(link.map(|link| route.to_route(&link)));
            }
        }
    }
    for key in plan::asked_sysctls(attachment) {
        facts.container.sysctls.extend(container.read_sysctl(&key).ok().map(|value| (key, value)));
    }
    Ok(())
}

/// Whether the container's link has IPv6, or will have it.
fn has_ipv6(container: &Container, attachment: &Attachment, links: &[LinkView]) -> bool {
    let of = |name: &IfName| links.iter().find(|view| view.name == *name).map(|view| view.ipv6);
    match (of(attachment.ifname()), of(&IfName::loopback()).flatten()) {
        (Some(own), _) if attachment.needs_ipv6() => own == Some(true),
        // A new link starts from `default`, which no message tells of. Who turns IPv6 off does it for `all`, and then the
        // loopback link shows it; where only `default` says so, the first address is refused (see `explain`).
        (None, Some(false)) if attachment.needs_ipv6() => {
            container.read_sysctl("ipv6/conf/default/disable_ipv6").is_ok_and(|value| value == "0")
        }
        // Where nobody needs it, a link with IPv6 turned off takes the same settings.
        (_, loopback) => loopback.is_some(),
    }
}

/// The MTU of the link that a host's default route uses.
pub(super) fn uplink_of(host: &Endpoint) -> Result<Option<u32>, KernelError> {
    let (_, answers) = host.look_up(&[], &NOWHERE)?;
    let uplink = answers.iter().flatten().find(|answer| answer.dst.prefix_len() == 0).and_then(|answer| answer.link);
    let links = host.look_up_indices(&uplink.into_iter().collect::<Vec<_>>())?;
    Ok(links.first().map(|view| view.link.mtu))
}

fn is_single(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// The link besides the pair that the attachment needs on the host.
fn shared_link(attachment: &Attachment) -> Option<IfName> {
    match &attachment.network.mode {
        Mode::Bridged(bridge) => Some(bridge.name.clone()),
        Mode::Routed(Gateway::Shared(_)) => plan::holder_name().ok(),
        Mode::Routed(_) => None,
    }
}

/// The host's own link in the VLAN that the attachment is in.
fn vlan_link(attachment: &Attachment) -> Option<IfName> {
    match &attachment.network.mode {
        Mode::Bridged(bridge) => bridge.vlan_link(),
        Mode::Routed(_) => None,
    }
}

/// The bridge or port whose VLANs the step is about.
fn link_of_vlan(step: &Step) -> Option<&IfName> {
    match step {
        Step::Add(Object::Vlan(vlan)) | Step::Del(Object::Vlan(vlan)) => Some(&vlan.link),
        _ => None,
    }
}

/// The link on which the host answers for an address.
fn link_of_proxy(step: &Step) -> Option<&IfName> {
    match step {
        Step::Add(Object::Proxy(link, _)) => Some(link),
        _ => None,
    }
}

/// The link that a shared object is about.
fn link_of(shared: &Shared) -> Option<IfName> {
    match shared {
        Shared::Bridge(link)
        | Shared::Vlan(link, _)
        | Shared::VlanLink(link)
        | Shared::Holder(link)
        | Shared::Address(link, _) => Some(link.clone()),
        Shared::Loopback(_) | Shared::Isolated(_) | Shared::Chain(_) | Shared::Pool(_) => None,
    }
}

fn vlan_of(shared: &Shared) -> Option<(IfName, u16)> {
    match shared {
        Shared::Vlan(bridge, id) => Some((bridge.clone(), *id)),
        _ => None,
    }
}

fn pool_of(shared: &Shared) -> Option<Pool> {
    match shared {
        Shared::Pool(pool) => Some(pool.clone()),
        _ => None,
    }
}

/// What the attachment may have to share with others.
fn shared_objects(attachment: &Attachment) -> Vec<Shared> {
    let pools = Pool::of(attachment).map(Shared::Pool);
    let mut objects = match &attachment.network.mode {
        Mode::Bridged(bridge) => {
            let addresses = attachment.addresses.iter().filter_map(|address| {
                let net = IpNet::new(address.gateway?, address.net.prefix_len()).ok()?;
                Some(Shared::Address(bridge.ip_link(), net))
            });
            let vlan = bridge.vlan.map(|id| Shared::Vlan(bridge.name.clone(), id));
            let vlan_link = bridge.vlan_link().map(Shared::VlanLink);
            addresses.chain([Shared::Bridge(bridge.name.clone())]).chain(vlan).chain(vlan_link).collect()
        }
        Mode::Routed(Gateway::Shared(address)) => {
            let link = shared_link(attachment).into_iter();
            link.flat_map(|link| {
                [Shared::Address(link.clone(), IpNet::from(IpAddr::V4(*address))), Shared::Holder(link)]
            })
            .collect()
        }
        Mode::Routed(_) => Vec::new(),
    };
    objects.extend(pools);
    objects
}

fn fib_match(asked: IpNet, answer: &FibAnswer, link: Option<&LinkView>) -> FibMatch {
    FibMatch {
        asked,
        dst: answer.dst,
        kind: answer.kind,
        link: link.map(|view| view.name.clone()),
        alias: link.and_then(|view| view.link.alias.clone()),
        table: answer.table,
        metric: answer.metric,
        protocol: answer.protocol,
    }
}
