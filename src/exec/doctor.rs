//! Reads what the doctor judges by: the host's network, our state, other people's configuration. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::status::what_to_allow;
use super::{Engine, refused};
use crate::doctor::{Announcer, Feature, HostFacts, HostFile, Leftover, Moored, Overlap, Served, Uplink, Wall};
use crate::error::Result;
use crate::kernel::nft::Nft;
use crate::kernel::{self, KernelError, LinkView, Picked, RoutingDaemon, named};
use crate::model::{Addressing, Attachment, AttachmentKey, Family, Gateway, Ipam, LINK_GROUP, Mode, Network};
use crate::plan::{self, BRIDGE_NETFILTER, Object, Part, Record, Route, RouteKind, Shared, Side, Step, VERSION};

/// `RTPROT_RA`: learnt from router advertisements.
const ROUTER_ADVERTISEMENT: u8 = 9;

/// Folders with files of services that configure links.
const FOLDERS: [&str; 10] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/etc/NetworkManager",
    "/etc/NetworkManager/conf.d",
    "/run/NetworkManager/conf.d",
    "/usr/lib/NetworkManager/conf.d",
    "/etc/udev/rules.d",
    "/usr/lib/udev/rules.d",
];

/// What is there as long as a service runs.
const SIGNS: [(&str, &str); 2] = [("networkd", "/run/systemd/netif"), ("NetworkManager", "/run/NetworkManager")];

impl Engine {
    /// The facts for [`crate::doctor::judge`]. `networks` are those that are defined; files of other services are
    /// looked for below `root`.
    pub fn examine(&self, networks: Vec<Network>, root: Option<&Path>) -> Result<HostFacts> {
        let mut facts = HostFacts::default();
        let links = self.host.links(None).map_err(|error| refused(&error, "list the links"))?;
        let records = self.living(&mut facts)?;
        let networks = with_recorded(networks, &records);
        self.observe_uplinks(&mut facts).map_err(|error| refused(&error, "read the routes"))?;
        for record in &records {
            let moored = self.moored(record).map_err(|error| refused(&error, "look up addresses"))?;
            facts.moored.extend(moored);
        }
        facts.served = networks.iter().map(|network| served(network, &links, &records)).collect();
        facts.overlaps = Overlap::among(&networks);
        self.observe_sysctls(&mut facts);
        if let Some(Err(error)) = self.nft().ok().map(Nft::barriers) {
            facts.blind.push(("firewall", error.to_string()));
        }
        for network in &networks {
            facts.walls.extend(self.wall(network));
        }
        self.observe_state(&mut facts, &networks)?;
        self.observe_rulesets(&mut facts);
        // Readable for root only; absent where the legacy iptables was never used.
        let tables = fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
        facts.legacy_tables = tables.lines().map(str::to_owned).collect();
        match kernel::probe() {
            Ok(features) => {
                let features = features.into_iter();
                facts.features = features.map(|(name, missing)| Feature { name, missing }).collect();
            }
            Err(error) => facts.blind.push(("kernel", error.to_string())),
        }
        observe_files(&mut facts, root);
        observe_announcers(&mut facts, &records);
        Ok(facts)
    }

    /// The records of attachments that are alive; what is to be said of others goes to the leftovers.
    fn living(&self, facts: &mut HostFacts) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for key in self.store.attachments()? {
            match self.store.record(&key) {
                Ok(Some(record)) if self.is_alive(&record) => records.push(record),
                Ok(Some(_)) => facts.leftovers.push(Leftover::Orphan(key.to_string())),
                Ok(None) => {} // gone just now
                Err(error) => {
                    facts.leftovers.push(Leftover::Unreadable(key.to_string(), format!("{:#}", error.source)));
                }
            }
        }
        Ok(records)
    }

    fn observe_uplinks(&self, facts: &mut HostFacts) -> Result<(), KernelError> {
        let mut uplinks = BTreeSet::new();
        for family in Family::BOTH {
            for route in self.host.fib(family, Route::MAIN, None)? {
                if route.dst.prefix_len() != 0 || route.kind != RouteKind::Unicast {
                    continue;
                }
                let Some(link) = route.link.and_then(|index| self.host.name(index)) else { continue };
                let is_learnt = route.protocol == ROUTER_ADVERTISEMENT;
                uplinks.insert(Uplink { link: link.to_string(), family, is_learnt });
            }
        }
        facts.uplinks = uplinks.into_iter().collect();
        Ok(())
    }

    fn moored(&self, record: &Record) -> Result<Option<Moored>, KernelError> {
        let Some(wanted) = &record.wanted else { return Ok(None) };
        let (link, gateway) = match &wanted.network.mode {
            Mode::Routed(gateway) => (&wanted.host_link, Some(gateway.clone())),
            Mode::Bridged(bridge) => (&bridge.ip_link(), None),
        };
        let families = families(wanted, record);
        let addresses: BTreeSet<IpAddr> =
            record.addresses().into_iter().filter(|address| families.contains(&address.family())).collect();
        let v4: Vec<IpAddr> = addresses.iter().copied().filter(IpAddr::is_ipv4).collect();
        let (_, answers) = self.host.look_up(&[], &v4)?;
        let index = self.host.index(link);
        let leads = |answer: &Option<kernel::FibAnswer>| answer.as_ref().is_some_and(|answer| answer.link == index);
        let astray = v4.iter().zip(&answers).find(|(_, answer)| index.is_some() && !leads(answer));
        let has_v6 = families.contains(&Family::V6);
        let by_v6_alone = matches!(gateway, Some(Gateway::Inet6));
        Ok(Some(Moored {
            name: record.key.to_string(),
            link: link.to_string(),
            needs_ipv6: if gateway.is_some() { wanted.needs_ipv6() } else { has_v6 },
            anti_spoof: wanted.network.anti_spoof,
            astray: astray.map(|(address, _)| address.to_string()),
            // Each address, and the link-local one that IPv6 has besides.
            neighbours: [
                if by_v6_alone { 0 } else { v4.len() },
                addresses.len() - v4.len() + usize::from(has_v6 || by_v6_alone),
            ],
            families,
            gateway,
        }))
    }

    fn observe_sysctls(&self, facts: &mut HostFacts) {
        let links = facts.moored.iter().map(|moored| &moored.link);
        let links = links.chain(facts.uplinks.iter().map(|uplink| &uplink.link)).cloned();
        let links: BTreeSet<String> = links.chain(["all".to_owned(), "default".to_owned()]).collect();
        let mut keys: Vec<String> = vec!["ipv4/ip_forward".into()];
        keys.extend(BRIDGE_NETFILTER.map(str::to_owned));
        keys.extend(["ipv4", "ipv6"].map(|family| format!("{family}/neigh/default/gc_thresh3")));
        for link in links {
            keys.extend(["forwarding", "rp_filter", "arp_ignore"].map(|key| format!("ipv4/conf/{link}/{key}")));
            keys.extend(
                ["forwarding", "force_forwarding", "accept_ra", "disable_ipv6"]
                    .map(|key| format!("ipv6/conf/{link}/{key}")),
            );
        }
        let read = |key: String| Some((self.sysctls.read(&key).ok()?, key));
        facts.sysctls = keys.into_iter().filter_map(read).map(|(value, key)| (key, value)).collect();
        if !facts.sysctls.contains_key("ipv4/neigh/default/gc_thresh3") {
            let why = "the tables' limits are the machine's, and shown in its first network namespace only";
            facts.blind.push(("neighbours", why.to_owned()));
        }
        facts.has_ipv6 = Some(facts.sysctls.contains_key("ipv6/conf/all/forwarding"));
    }

    fn wall(&self, network: &Network) -> Option<Wall> {
        let barrier = self.barrier_to(network)?;
        let nets = network.ipam.as_ref().map(Ipam::networks).unwrap_or_default();
        let (allow, remark) = what_to_allow(&barrier, &nets);
        let place = format!("chain {} of table {} {}", barrier.chain, barrier.family, barrier.table);
        let how = if barrier.by_policy { "by its policy" } else { "by its last rule" };
        Some(Wall { network: network.name.to_string(), place, how, allow, remark: remark.to_owned() })
    }

    /// Leases and stakes whose owners have no record.
    fn observe_state(&self, facts: &mut HostFacts, networks: &[Network]) -> Result<()> {
        if !self.store.root().exists() {
            return Ok(()); // to look is not to make it
        }
        // Whoever is at work reserves first and writes the record, or the other way round: not half of it is seen.
        let _lock = self.store.lock()?;
        let data_dirs = networks.iter().filter_map(|network| match &network.ipam {
            Some(Ipam::BuiltIn { data_dir: Some(dir), .. }) => Some((network.name.clone(), Some(dir.as_path()))),
            _ => None,
        });
        let own = self.store.leased_networks()?.into_iter().map(|network| (network, None));
        let is_lost = |owner: &AttachmentKey| matches!(self.store.record(owner), Ok(None));
        for (network, data_dir) in own.chain(data_dirs) {
            for (path, owner) in self.store.lease_files_of(&network, data_dir)? {
                if is_lost(&owner) {
                    facts.leftovers.push(Leftover::Lease(path.display().to_string(), owner.to_string()));
                }
            }
        }
        for (path, owner) in self.store.stakes()? {
            if is_lost(&owner) {
                facts.leftovers.push(Leftover::Stake(path.display().to_string(), owner.to_string()));
            }
        }
        Ok(())
    }

    /// Parts of our ruleset that are there and say that another version has made them.
    fn observe_rulesets(&self, facts: &mut HostFacts) {
        let names = Part::ALL.map(|part| (part.table(), part.first_chain().0));
        let Some(Ok((views, _))) = self.nft().ok().map(|nft| nft.look_up(&names, &[])) else { return };
        let mut others = BTreeMap::new();
        for (part, view) in Part::ALL.into_iter().zip(views) {
            let comment = view.and_then(|view| view.comment).filter(|comment| comment != VERSION);
            others.extend(comment.map(|comment| (format!("{} {}", family_of(part.table()), plan::TABLE), comment)));
        }
        facts.leftovers.extend(others.into_iter().map(|(table, version)| Leftover::Ruleset(table, version)));
    }
}

fn family_of(table: plan::Table) -> &'static str {
    match table {
        plan::Table::Inet => "inet",
        plan::Table::Arp => "arp",
        plan::Table::Bridge => "bridge",
    }
}

/// The networks that are defined, and those of which there are attachments only.
fn with_recorded(mut networks: Vec<Network>, records: &[Record]) -> Vec<Network> {
    for network in records.iter().filter_map(|record| Some(&record.wanted.as_ref()?.network)) {
        if !networks.iter().any(|there| there.name == network.name) {
            networks.push(network.clone());
        }
    }
    networks
}

/// The families that the host routes for an attachment.
fn families(wanted: &Attachment, record: &Record) -> Vec<Family> {
    let is_gateway = |family: Family| {
        record.steps.iter().any(|step| match step {
            Step::Add(Object::Use(Shared::Address(_, net))) => net.family() == family,
            _ => false,
        })
    };
    let has = |family: Family| record.addresses().iter().any(|address| address.family() == family);
    let routes = |family: &Family| match &wanted.network.mode {
        Mode::Routed(_) => wanted.uses(*family) || has(*family),
        Mode::Bridged(_) => is_gateway(*family),
    };
    Family::BOTH.into_iter().filter(routes).collect()
}

fn served(network: &Network, links: &[LinkView], records: &[Record]) -> Served {
    let own =
        records.iter().filter_map(|record| record.wanted.as_ref()).filter(|wanted| wanted.network.name == network.name);
    let mut names: Vec<String> = own.map(|wanted| wanted.host_link.to_string()).collect();
    let hash = plan_hash(network);
    names.extend(network.host_link.render(hash, "container", "eth0").ok().map(|link| link.to_string()));
    let mut families: Vec<Family> = network.ipam.as_ref().map(Ipam::families).unwrap_or_default();
    let is_bridged = match &network.mode {
        Mode::Routed(_) => false,
        Mode::Bridged(bridge) => {
            let there = links.iter().find(|view| view.name == bridge.name);
            let is_ours = there.is_none_or(|view| view.link.group == LINK_GROUP);
            names.extend(is_ours.then(|| bridge.name.to_string()));
            names.extend(bridge.vlan_link().filter(|_| bridge.gateway.unwrap_or(is_ours)).map(|link| link.to_string()));
            if !bridge.gateway.unwrap_or(is_ours) {
                families.clear();
            }
            true
        }
    };
    Served {
        name: network.name.to_string(),
        families,
        forwarding: network.forwarding,
        is_bridged,
        has_vlan: matches!(&network.mode, Mode::Bridged(bridge) if bridge.vlan.is_some()),
        links: names,
        limits: [network.rates.received.is_some(), network.rates.sent.is_some()],
    }
}

/// The hash of a container that there may be.
fn plan_hash(network: &Network) -> u128 {
    AttachmentKey::parse(&format!("{}/container/eth0", network.name)).map_or(0, |key| key.hash(""))
}

/// Asks routing daemons for one route of each family. Containers that are hidden behind the host's addresses need nobody to
/// know theirs.
fn observe_announcers(facts: &mut HostFacts, records: &[Record]) {
    let is_open = |record: &&Record| record.wanted.as_ref().is_some_and(|wanted| wanted.network.masquerade.is_none());
    let steps = || records.iter().filter(is_open).flat_map(|record| &record.steps);
    let routes = Family::BOTH.map(|family| {
        steps().find_map(|step| match step {
            Step::Add(Object::Route(Side::Host, route)) if route.dst.family() == family => Some(route.dst),
            _ => None,
        })
    });
    for daemon in RoutingDaemon::all(&facts.root) {
        for route in routes.iter().flatten() {
            match daemon.picked(*route) {
                Ok(picked) => facts.announcers.push(Announcer {
                    name: daemon.name,
                    route: route.to_string(),
                    knows: picked != Picked::Unknown,
                    announces: picked == Picked::Announced,
                }),
                Err(error) => facts.blind.push(("routing", format!("{}: {error}", daemon.place.display()))),
            }
        }
    }
}

fn observe_files(facts: &mut HostFacts, root: Option<&Path>) {
    facts.root = root.map(|root| root.to_string_lossy().trim_end_matches('/').to_owned()).unwrap_or_default();
    let place = |path: &str| format!("{}{path}", facts.root);
    for folder in FOLDERS {
        for entry in fs::read_dir(place(folder)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            // What is masked is a link to /dev/null: it is there, and empty. Devices and pipes are not waited for.
            let path = entry.path();
            let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
            let is_masked = fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null"));
            if is_file || is_masked {
                let text = if is_file { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
                facts.files.push(HostFile { path: format!("{folder}/{name}"), text });
            }
        }
    }
    facts.running =
        SIGNS.into_iter().filter(|(_, sign)| Path::new(&place(sign)).exists()).map(|(name, _)| name).collect();
    let folder = place("/run/netns");
    let junk = named::junk(Path::new(&folder));
    facts.leftovers.extend(junk.into_iter().map(|name| Leftover::Name(format!("{folder}/{name}"))));
}
