//! Facts as a person writes them: `facts.json` beside a snapshot.
//!
//! Without the file, the host forwards both families and has an uplink with an MTU of 1500; the container has
//! its loopback link, down. What the file says replaces that, or stands beside it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use springline::model::{AttachmentKey, IfName, LINK_GROUP, Mac, PortMap};
use springline::plan::{
    Element, FORWARDING, Facts, FibMatch, Field, Link, LinkAddress, LinkKind, Namespace, PortClaim, PortHolder, Route,
    RouteKind, Set, Shared, Users,
};

/// The whole file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FactsFile {
    /// Whether the host forwards.
    forwarding: Families,
    /// Which kernels have IPv6.
    ipv6: Sides,
    /// The MTU of the link with the default route; `null`: there is none.
    uplink_mtu: Option<u32>,
    /// Links with a default route from router advertisements, with their `accept_ra`.
    advertised: BTreeMap<IfName, String>,
    /// The host's links and routes.
    host: NamespaceFile,
    /// The container's.
    container: NamespaceFile,
    /// Routes of the host that the FIB reports for what is wanted, beside those of `host`.
    fib: Vec<FibFile>,
    /// What other attachments use, too.
    used_by_others: Vec<SharedFile>,
    /// Addresses leased in this network, with their owners.
    leases: BTreeMap<IpAddr, AttachmentKey>,
    /// Ports of the host that somebody has.
    ports: Vec<PortFile>,
}

/// A port that somebody has: another attachment, or a process.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortFile {
    map: PortMap,
    attachment: Option<String>,
    process: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Families {
    ipv4: bool,
    ipv6: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sides {
    host: bool,
    container: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NamespaceFile {
    links: BTreeMap<IfName, LinkFile>,
    routes: Vec<RouteFile>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LinkFile {
    kind: String,
    up: bool,
    mtu: u32,
    mac: Option<Mac>,
    /// `"springline:…"` is one of ours.
    alias: Option<String>,
    master: Option<IfName>,
    addresses: Vec<IpNet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteFile {
    dst: IpNet,
    link: IfName,
    via: Option<IpAddr>,
    #[serde(default)]
    metric: u32,
    #[serde(default = "main_table")]
    table: u32,
    #[serde(default = "springline")]
    protocol: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FibFile {
    asked: IpNet,
    dst: IpNet,
    kind: String,
    link: Option<IfName>,
    alias: Option<String>,
    #[serde(default = "main_table")]
    table: u32,
    #[serde(default)]
    metric: u32,
    protocol: u8,
}

/// One of the three.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedFile {
    bridge: Option<IfName>,
    holder: Option<IfName>,
    address: Option<(IfName, IpNet)>,
}

impl Default for FactsFile {
    fn default() -> Self {
        Self {
            forwarding: Families { ipv4: true, ipv6: true },
            ipv6: Sides { host: true, container: true },
            uplink_mtu: Some(1500),
            advertised: BTreeMap::new(),
            host: NamespaceFile::default(),
            container: NamespaceFile::default(),
            fib: Vec::new(),
            used_by_others: Vec::new(),
            leases: BTreeMap::new(),
            ports: Vec::new(),
        }
    }
}

impl Default for LinkFile {
    fn default() -> Self {
        let kind = "veth".to_owned();
        Self { kind, up: true, mtu: 1500, mac: None, alias: None, master: None, addresses: Vec::new() }
    }
}

fn main_table() -> u32 {
    Route::MAIN
}

fn springline() -> u8 {
    171
}

impl FactsFile {
    /// The facts, as the engine would gather them for an attachment called `key`.
    pub(crate) fn to_facts(&self, key: &AttachmentKey) -> Facts {
        let mut facts = Facts {
            host: self.host.to_namespace(),
            container: self.container.to_namespace(),
            uplink_mtu: self.uplink_mtu,
            advertised_uplinks: self.advertised.keys().cloned().collect(),
            host_ipv6: self.ipv6.host,
            container_ipv6: self.ipv6.container,
            fib: self.fib.iter().map(FibFile::to_match).collect(),
            ..Facts::default()
        };
        let sysctls = &mut facts.host.sysctls;
        for ((_, path), on) in FORWARDING.into_iter().zip([self.forwarding.ipv4, self.forwarding.ipv6]) {
            sysctls.insert(path.to_owned(), if on { "1" } else { "0" }.to_owned());
        }
        let advertised = self.advertised.iter();
        sysctls.extend(advertised.map(|(link, value)| (format!("ipv6/conf/{link}/accept_ra"), value.clone())));
        let loopback = Link::new(LinkKind::Other("loopback".into()), 65536);
        facts.container.links.entry(IfName::loopback()).or_insert(loopback);
        let shared = self.used_by_others.iter().map(SharedFile::to_shared);
        facts.users = shared.map(|shared| (shared, Users { mine: false, others: true })).collect();
        let leases = self.leases.iter();
        facts.leases = leases.map(|(address, owner)| ((key.network.clone(), *address), owner.clone())).collect();
        facts.port_claims = self.ports.iter().map(PortFile::to_claim).collect();
        facts
    }
}

impl PortFile {
    fn to_claim(&self) -> PortClaim {
        let key = [Field::Protocol(self.map.protocol), Field::Port(self.map.host_port)];
        let holder = match &self.process {
            Some(process) => PortHolder::Process(process.clone()),
            None => PortHolder::Element(Element::of(Set::Ports4, key), self.attachment.clone()),
        };
        PortClaim { map: self.map, holder }
    }
}

impl NamespaceFile {
    fn to_namespace(&self) -> Namespace {
        let addresses = self.links.iter().flat_map(|(name, link)| {
            link.addresses.iter().map(|net| LinkAddress { link: name.clone(), net: *net, host_scope: false })
        });
        Namespace {
            links: self.links.iter().map(|(name, link)| (name.clone(), link.to_link())).collect(),
            addresses: addresses.collect(),
            routes: self.routes.iter().map(RouteFile::to_route).collect(),
            sysctls: BTreeMap::new(),
        }
    }
}

impl LinkFile {
    fn to_link(&self) -> Link {
        let kind = match self.kind.as_str() {
            "veth" => LinkKind::Veth,
            "bridge" => LinkKind::Bridge,
            "dummy" => LinkKind::Dummy,
            other => LinkKind::Other(other.to_owned()),
        };
        let ours = self.alias.as_deref().is_some_and(|alias| alias.starts_with("springline:"));
        Link {
            up: self.up,
            mac: self.mac,
            alias: self.alias.clone(),
            group: if ours { LINK_GROUP } else { 0 },
            master: self.master.clone(),
            ..Link::new(kind, self.mtu)
        }
    }
}

impl RouteFile {
    fn to_route(&self) -> Route {
        let (via, table, metric, protocol) = (self.via, self.table, self.metric, self.protocol);
        Route { via, table, metric, protocol, ..Route::on(&self.link, self.dst) }
    }
}

impl FibFile {
    fn to_match(&self) -> FibMatch {
        FibMatch {
            asked: self.asked,
            dst: self.dst,
            kind: match self.kind.as_str() {
                "unicast" => RouteKind::Unicast,
                "local" => RouteKind::Local,
                "reject" => RouteKind::Reject,
                other => panic!("{other:?} is none of unicast, local and reject"),
            },
            link: self.link.clone(),
            alias: self.alias.clone(),
            table: self.table,
            metric: self.metric,
            protocol: self.protocol,
        }
    }
}

impl SharedFile {
    fn to_shared(&self) -> Shared {
        match (&self.bridge, &self.holder, &self.address) {
            (Some(bridge), None, None) => Shared::Bridge(bridge.clone()),
            (None, Some(holder), None) => Shared::Holder(holder.clone()),
            (None, None, Some((link, net))) => Shared::Address(link.clone(), *net),
            _ => panic!("one of bridge, holder and address"),
        }
    }
}
