//! `springline graph`: the host as a picture, of what the kernel shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;

use super::list::{self, Entry, Look};
use super::{check, say};
use crate::error::{Code, Coded, Error, Result};
use crate::exec::{Container, Engine};
use crate::graph::{
    self, Bridge, Carrier, Charset, HostEnd, HostLink, Interface, Network, Presence, Scene, natural_order,
};
use crate::kernel::{FibAnswer, LinkView};
use crate::model::{self, Addressing, AttachmentKey, Family, Gateway, IfName, LINK_GROUP, Mode, single};
use crate::plan::{LinkKind, Record, Route, RouteKind};
use crate::store::Store;

/// `RTPROT_KERNEL`: routes that follow from addresses.
const BY_THE_KERNEL: u8 = 2;

/// What to draw, and how.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which attachments: NETWORK, NETWORK/ID or NETWORK/ID/IFNAME, or a container's ID; all of them if none is named
    attachments: Vec<String>,
    /// How to draw: `text` (a tree), `svg` (a picture for any browser), `dot` (for graphviz), or `json` for programs
    #[arg(short, long, default_value = "text", value_parser = ["text", "svg", "dot", "json"])]
    output: String,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let scene = gather(&arguments.attachments)?;
    if scene.networks.is_empty() && !arguments.attachments.is_empty() {
        let names = arguments.attachments.join(", ");
        return Err(Error::new(Code::UnknownContainer, names).context("no such attachment"));
    }
    let text = match arguments.output.as_str() {
        "svg" => graph::svg(&scene),
        "dot" => graph::dot(&scene),
        "json" => serde_json::to_string_pretty(&scene).coded(Code::Internal, || "write JSON")?,
        _ => graph::tree(&scene, charset()),
    };
    say(out, text.trim_end())
}

/// What the locale's characters are, as `setlocale()` would find out.
fn charset() -> Charset {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Charset::Unicode } else { Charset::Ascii }
}

fn gather(names: &[String]) -> Result<Scene> {
    let engine = Engine::open(Store::open()?)?;
    let mut looks = Vec::new();
    let nothing = BTreeMap::new();
    for key in engine.store.attachments()?.into_iter().filter(|key| check::is_named(key, names)) {
        looks.push(list::entry(&engine, key, &nothing));
    }
    looks.sort_by(|a, b| by_name(&a.key, &b.key));
    let host = Host::look(&engine, &looks)?;
    let mut networks: Vec<Network> = Vec::new();
    for entry in &looks {
        let interface = interface(&host, entry);
        let (name, carrier) = (entry.key.network.to_string(), host.carrier(entry));
        match networks.iter_mut().find(|there| there.name == name && there.carrier == carrier) {
            Some(network) => network.interfaces.push(interface),
            None => networks.push(Network { name, carrier, notes: notes(entry), interfaces: vec![interface] }),
        }
    }
    let bridges = networks.iter().filter_map(|network| match &network.carrier {
        Carrier::Bridged(bridge) => Some(bridge.name.clone()),
        Carrier::Routed | Carrier::Unknown => None,
    });
    let links = host.own_links(&bridges.collect());
    Ok(Scene { host: name_of_the_host(), links, networks })
}

fn by_name(a: &AttachmentKey, b: &AttachmentKey) -> std::cmp::Ordering {
    natural_order(a.network.as_str(), b.network.as_str())
        .then_with(|| natural_order(a.container.as_str(), b.container.as_str()))
        .then_with(|| natural_order(a.ifname.as_str(), b.ifname.as_str()))
}

fn name_of_the_host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// What the host's namespace shows.
struct Host {
    links: Vec<LinkView>,
    addresses: BTreeMap<u32, Vec<String>>,
    routes: Vec<FibAnswer>,
}

impl Host {
    /// Each table once, however many links there are: a router's tables are long.
    fn look(engine: &Engine, entries: &[Entry]) -> Result<Self> {
        let doing = || "look at the host's links";
        let links = engine.host.links(None).coded(Code::Kernel, doing)?;
        let mut addresses = BTreeMap::new();
        for link in &links {
            let found = engine.host.addresses(&link.name, link.index).coded(Code::Kernel, doing)?;
            let found = found.iter().map(|address| address.net).filter(|net| is_of_interest(*net));
            addresses.insert(link.index, found.map(|net| net.to_string()).collect());
        }
        let wanted = entries.iter().filter_map(|entry| entry.record.as_ref()?.wanted.as_ref());
        let tables = wanted.map(|wanted| wanted.network.host_routes.table).chain([Route::MAIN]);
        let mut routes = Vec::new();
        for table in tables.collect::<BTreeSet<u32>>() {
            for family in Family::BOTH {
                routes.extend(engine.host.fib(family, table, None).coded(Code::Kernel, doing)?);
            }
        }
        Ok(Self { links, addresses, routes })
    }

    fn link(&self, name: &str) -> Option<&LinkView> {
        self.links.iter().find(|link| link.name.as_str() == name)
    }

    fn addresses_of(&self, link: &LinkView) -> Vec<String> {
        self.addresses.get(&link.index).cloned().unwrap_or_default()
    }

    /// The routes by a link that somebody wanted.
    fn routes_by(&self, link: &LinkView) -> impl Iterator<Item = &FibAnswer> {
        self.routes.iter().filter(|route| route.link == Some(link.index) && route.kind == RouteKind::Unicast)
    }

    fn carrier(&self, entry: &Entry) -> Carrier {
        match entry.record.as_ref().and_then(|record| record.wanted.as_ref()).map(|wanted| &wanted.network.mode) {
            None => Carrier::Unknown,
            Some(Mode::Routed(_)) => Carrier::Routed,
            Some(Mode::Bridged(bridge)) => Carrier::Bridged(self.bridge(&bridge.name, &bridge.ip_link())),
        }
    }

    /// With the addresses of the link by which the host is in the containers' VLAN.
    fn bridge(&self, name: &IfName, ip_link: &IfName) -> Bridge {
        let link = self.link(name.as_str());
        let ports =
            self.links.iter().filter(|port| port.master.is_some() && port.master == link.map(|link| link.index));
        let others = ports.filter(|port| !is_ours(port)).map(|port| port.name.to_string());
        Bridge {
            name: name.to_string(),
            presence: presence(link),
            addresses: self.link(ip_link.as_str()).map(|link| self.addresses_of(link)).unwrap_or_default(),
            other_ports: others.collect(),
        }
    }

    /// Links that hold an address or lead anywhere, without the ends of containers' pairs and the bridges that are
    /// drawn with their networks; those first by which most goes.
    fn own_links(&self, bridges: &BTreeSet<String>) -> Vec<HostLink> {
        let own = self.links.iter().filter(|link| !is_ours(link) && !bridges.contains(link.name.as_str()));
        let described = own.map(|link| HostLink {
            name: link.name.to_string(),
            kind: link.link.kind.to_string(),
            up: link.link.up,
            addresses: self.addresses_of(link),
            routes: self.routes_by(link).filter(|route| route.dst.prefix_len() == 0).map(shown).collect(),
        });
        let mut links: Vec<HostLink> =
            described.filter(|link| !link.addresses.is_empty() || !link.routes.is_empty()).collect();
        links.sort_by(|a, b| {
            a.routes.is_empty().cmp(&b.routes.is_empty()).then_with(|| natural_order(&a.name, &b.name))
        });
        links
    }

    fn end(&self, name: &str, carrier: &Carrier) -> HostEnd {
        let link = self.link(name);
        let bridge = match carrier {
            Carrier::Bridged(bridge) => self.link(&bridge.name),
            Carrier::Routed | Carrier::Unknown => None,
        };
        let is_bridged = matches!(carrier, Carrier::Bridged(_));
        let is_port = link.is_some_and(|link| link.master.is_some() && link.master == bridge.map(|link| link.index));
        let routes = link.into_iter().flat_map(|link| self.routes_by(link));
        HostEnd {
            name: name.to_owned(),
            presence: presence(link),
            unplugged: is_bridged && !is_port,
            addresses: link.map(|link| self.addresses_of(link)).unwrap_or_default(),
            routes: routes.filter(|route| route.protocol != BY_THE_KERNEL).map(shown).collect(),
        }
    }
}

/// Whether it is a container's: the host's end of a pair, or by which it is limited. The holder of a shared gateway is not.
fn is_ours(link: &LinkView) -> bool {
    link.link.group == LINK_GROUP && !matches!(link.link.kind, LinkKind::Dummy | LinkKind::Bridge)
}

fn presence(link: Option<&LinkView>) -> Presence {
    match link {
        None => Presence::Missing,
        Some(link) if !link.link.up => Presence::Down,
        Some(_) => Presence::Up,
    }
}

/// What every link has by itself is left out: link-local addresses that are made from a MAC, and the loopback link's.
fn is_of_interest(net: IpNet) -> bool {
    let address = net.addr();
    let made_from_a_mac = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local() && v6.segments()[4] != 0);
    !made_from_a_mac && !address.is_loopback()
}

/// `default via 192.0.2.1`, `10.0.0.2/32`.
fn shown(route: &FibAnswer) -> String {
    let dst = if route.dst.prefix_len() == 0 { "default".to_owned() } else { route.dst.to_string() };
    let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
    let table = if route.table == Route::MAIN { String::new() } else { format!(" table {}", route.table) };
    format!("{dst}{via}{table}")
}

/// One attachment: what is in its namespace if that is still there, and what was reported of it if not.
fn interface(host: &Host, entry: &Entry) -> Interface {
    let missing = match &entry.state {
        Look::Ok | Look::Orphaned => Vec::new(),
        Look::Drifted(steps) => steps.iter().map(ToString::to_string).collect(),
        Look::Unknown(why) => vec![why.clone()],
    };
    let mut drawn = Interface {
        container: entry.key.container.to_string(),
        name: entry.ifname().to_string(),
        host: host.end(&entry.host(), &host.carrier(entry)),
        ports: entry.ports(),
        limits: entry.limits(),
        state: entry.state.state(),
        missing,
        maker: entry.maker().to_owned(),
        ..Interface::default()
    };
    let Some(record) = &entry.record else { return drawn };
    let alive = matches!(entry.state, Look::Ok | Look::Drifted(_));
    if !alive || look_inside(record, &mut drawn).is_none() {
        let outcome = record.outcome.as_ref();
        let addresses = outcome.into_iter().flat_map(|outcome| &outcome.addresses);
        drawn.addresses = addresses.clone().map(|address| address.net.to_string()).collect();
        drawn.gateways = addresses.filter_map(|address| Some(address.gateway?.to_string())).collect();
    }
    drawn
}

/// What the container's namespace shows; `None` if it cannot be entered, or has become another.
fn look_inside(record: &Record, drawn: &mut Interface) -> Option<()> {
    let endpoint = Container::open(&record.netns.path, true).ok()?.endpoint;
    if endpoint.socket.cookie() != record.netns.cookie {
        return None;
    }
    let name = record.ifname();
    let (links, _) = endpoint.look_up(std::slice::from_ref(name), &[]).ok()?;
    let Some(link) = links.into_iter().flatten().next() else { return Some(()) }; // that it is gone is known by now
    let addresses = endpoint.addresses(name, link.index).ok()?;
    // Link-local addresses of its own only serve to talk to the gateway.
    let of_interest = |net: &IpNet| !matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
    let addresses = addresses.iter().map(|address| address.net).filter(of_interest);
    drawn.addresses = addresses.map(|net| net.to_string()).collect();
    for family in Family::BOTH {
        // Table 0 is all of them.
        let routes = endpoint.fib(family, 0, Some(link.index)).ok()?;
        let of_interest = |route: &&FibAnswer| {
            let is_multicast = route.dst.addr().is_multicast();
            route.kind == RouteKind::Unicast && route.protocol != BY_THE_KERNEL && !is_multicast
        };
        let routes: Vec<&FibAnswer> = routes.iter().filter(of_interest).collect();
        let defaults = routes.iter().filter(|route| route.dst.prefix_len() == 0);
        let gateways: Vec<IpAddr> = defaults.filter_map(|route| route.via).collect();
        // The way to a gateway is not worth a line.
        let is_plain = |route: &&&FibAnswer| {
            let is_gateways = route.via.is_none() && gateways.iter().any(|gateway| route.dst == single(*gateway));
            let is_default = route.dst.prefix_len() == 0 && route.via.is_some() && route.table == Route::MAIN;
            !is_gateways && !is_default
        };
        drawn.routes.extend(routes.iter().filter(is_plain).map(|route| shown(route)));
        let of_v4_by_v6 = |gateway: &IpAddr| {
            if gateway.family() == family { gateway.to_string() } else { format!("{gateway} (of IPv4)") }
        };
        drawn.gateways.extend(gateways.iter().map(of_v4_by_v6));
    }
    Some(())
}

/// What is worth knowing of a network, by what was wanted of it.
fn notes(entry: &Entry) -> Vec<String> {
    let Some(wanted) = entry.record.as_ref().and_then(|record| record.wanted.as_ref()) else { return Vec::new() };
    let model::Network { mode, ipam, masquerade, isolation, anti_spoof, .. } = &wanted.network;
    let subnets = ipam.iter().flat_map(model::Ipam::networks).filter(|net| net.prefix_len() != net.max_prefix_len());
    let mut notes: Vec<String> = subnets.map(|net| net.to_string()).collect();
    let gateway = match mode {
        Mode::Routed(Gateway::LinkLocal) => Some("link-local gateway"),
        Mode::Routed(Gateway::Inet6) => Some("IPv6 gateway"),
        Mode::Routed(Gateway::Shared(_)) => Some("shared gateway"),
        Mode::Routed(Gateway::Interconnect(_)) => Some("interconnecting networks"),
        Mode::Routed(Gateway::None) => Some("no gateway"),
        Mode::Bridged(_) => None,
    };
    notes.extend(match mode {
        Mode::Bridged(bridge) => bridge.vlan.map(|id| format!("VLAN {id}")),
        Mode::Routed(_) => None,
    });
    let traits = [
        (masquerade.is_some(), "masqueraded"),
        (isolation.ports, "isolated from each other"),
        (isolation.network, "isolated from other networks"),
        (*anti_spoof, "anti-spoofing"),
    ];
    notes.extend(
        gateway.into_iter().chain(traits.iter().filter(|(is, _)| *is).map(|(_, word)| *word)).map(str::to_owned),
    );
    notes
}
