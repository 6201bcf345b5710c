//! Attachments and facts to plan for, by the thousand.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use springline::model::{
    Address, Attachment, AttachmentKey, Bridge, ContainerId, ContainerRoute, DefaultRoute, Dns, Forwarding, Gateway,
    HostLinkTemplate, HostRoutes, IfName, Interconnect, Ipam, Isolation, LINK_GROUP, Lease, LinkFlags, Masquerade,
    Mode, Mtu, Network, NetworkName, PortMap, Protocol, Rate, Rates, RoutedNetwork,
};
use springline::plan::{
    self, BridgeLink, FORWARDING, Facts, Holder, Link, LinkAddress, LinkKind, Namespace, Object, Route, Shared, Step,
    Users, VlanLink,
};

/// What a test starts from. The attachment is one that is not refused.
#[derive(Clone)]
pub(crate) struct Given {
    /// What is wanted.
    pub(crate) attachment: Attachment,
    /// How things are.
    pub(crate) before: Facts,
    /// What an attachment's executor runs: the plan, and what a delegated IPAM plugin adds to it.
    pub(crate) steps: Vec<Step>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = &self.attachment.network;
        writeln!(f, "{:?}, forwarding {:?}, routes {:?}", network.mode, network.forwarding, network.routes)?;
        writeln!(f, "addresses {:?}, routes {:?}", self.attachment.addresses, self.attachment.container_routes)?;
        writeln!(f, "before: {:?}", self.before)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Given {
    /// The attachment's name.
    pub(crate) fn key(&self) -> &AttachmentKey {
        &self.attachment.key
    }

    /// The plan as it is run and recorded.
    pub(crate) fn plan(&self) -> plan::Plan {
        plan::Plan { key: self.key().clone(), steps: self.steps.clone() }
    }
}

/// A thousand cases each. Seeds of failures are not kept: a failure worth keeping becomes a test with a name.
pub(crate) fn thousand() -> ProptestConfig {
    ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Attachments of both modes over hosts and containers in many states.
pub(crate) fn given() -> impl Strategy<Value = Given> {
    (attachments(), facts()).prop_filter_map("what is refused has no plan", |(attachment, around)| {
        let before = around.facts(&attachment);
        let plan = plan::attach(&attachment, &before).ok()?;
        let delegation = match &attachment.network.ipam {
            Some(Ipam::Delegated { plugin }) => Some(Step::Add(Object::Delegation(plugin.clone()))),
            _ => None,
        };
        let steps = plan.steps.into_iter().chain(delegation).collect();
        Some(Given { attachment, before, steps })
    })
}

pub(crate) fn key(container: &str) -> AttachmentKey {
    AttachmentKey {
        network: NetworkName::parse("public").unwrap(),
        container: ContainerId::parse(container).unwrap(),
        ifname: name("eth0"),
    }
}

pub(crate) fn name(text: &str) -> IfName {
    IfName::parse(text).unwrap()
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A network without settings.
pub(crate) fn network(mode: Mode) -> Network {
    Network {
        name: NetworkName::parse("public").unwrap(),
        mode,
        mtu: Mtu::Auto,
        host_link: HostLinkTemplate::default(),
        routes: Vec::new(),
        proxy: None,
        host_routes: HostRoutes::default(),
        ipam: Some(Ipam::BuiltIn { ranges: Vec::new(), addresses: Vec::new(), routes: None, data_dir: None }),
        forwarding: Forwarding::Enable,
        dns: Dns::default(),
        masquerade: None,
        anti_spoof: false,
        isolation: Isolation::default(),
        rates: Rates::default(),
        sysctls: Vec::new(),
        flags: LinkFlags::default(),
        txqueuelen: None,
        default_route: DefaultRoute::Auto,
        metric: None,
    }
}

/// A container's attachment, with the addresses and a lease for each.
pub(crate) fn attachment(container: &str, network: Network, addresses: &[Address]) -> Attachment {
    let key = key(container);
    let netns = format!("/run/netns/{container}");
    let lease = |address: &Address| Lease {
        network: key.network.clone(),
        address: address.net.addr(),
        data_dir: None,
        slot: None,
    };
    let leases = addresses.iter().map(lease).collect();
    let addresses = addresses.to_vec();
    Attachment { addresses, leases, ..Attachment::new(key, netns, network, None, "").unwrap() }
}

pub(crate) fn bridge(name: &str) -> Bridge {
    let name = self::name(name);
    Bridge { mac: Bridge::stable_mac("", &name), name, gateway: None, isolated: false, hairpin: false, vlan: None }
}

/// A link of springline's own, up.
pub(crate) fn shared_link(kind: LinkKind, alias: &str) -> Link {
    let mac = (kind == LinkKind::Bridge).then(|| bridge("spring0").mac);
    Link { up: true, mac, alias: Some(alias.to_owned()), group: LINK_GROUP, ..Link::new(kind, 1500) }
}

/// An attachment of the same network, for another container.
pub(crate) fn neighbour(of: &Attachment, container: &str) -> Attachment {
    let moved = |address: &Address| {
        let shifted = match address.net.addr() {
            IpAddr::V4(v4) => IpAddr::from((u32::from(v4) + 64).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) + 64).to_be_bytes()),
        };
        Address { net: IpNet::new(shifted, address.net.prefix_len()).unwrap(), ..address.clone() }
    };
    let addresses: Vec<Address> = of.addresses.iter().map(moved).collect();
    let other = attachment(container, of.network.clone(), &addresses);
    Attachment { container_routes: of.container_routes.clone(), ..other }
}

fn pools() -> impl Strategy<Value = Vec<IpNet>> {
    let both = vec![net("10.30.0.0/16"), net("2001:db8:30::/48")];
    prop_oneof![2 => Just(Vec::new()), 1 => subsequence(both, 1..=2)]
}

fn attachments() -> impl Strategy<Value = Attachment> {
    let networks = (
        modes(),
        select(vec![Mtu::Auto, Mtu::Fixed(1280), Mtu::Fixed(1500)]),
        option::weighted(0.9, prop_oneof![4 => Just(None), 1 => Just(Some("dhcp".to_owned()))]),
        select(vec![Forwarding::Enable, Forwarding::Enable, Forwarding::Require, Forwarding::Leave]),
        (select(vec![Route::MAIN, 100]), select(vec![0u32, 50]), select(vec![171u8, 4]), pools()),
        routed_networks(),
        filters(),
        tunings(),
    );
    let networks = networks.prop_map(|(mode, mtu, ipam, forwarding, marks, routes, filters, tunings)| {
        let (table, metric, protocol, pools) = marks;
        let plain = network(mode);
        Network {
            mtu,
            forwarding,
            ipam: ipam.and_then(|plugin| match plugin {
                Some(plugin) => Some(Ipam::Delegated { plugin }),
                None => plain.ipam.clone(),
            }),
            host_routes: HostRoutes {
                table,
                metric,
                protocol,
                pools: if matches!(plain.mode, Mode::Routed(_)) { pools } else { Vec::new() },
                take_over: false,
                vrf: None,
            },
            routes: if matches!(plain.mode, Mode::Routed(_)) { routes } else { Vec::new() },
            anti_spoof: filters.0,
            masquerade: filters.1,
            isolation: filters.2,
            rates: tunings.0,
            flags: tunings.1,
            default_route: tunings.2,
            sysctls: vec![
                ("core/somaxconn".into(), "777".into()),
                ("ipv4/conf/IFNAME/log_martians".into(), "1".into()),
            ],
            ..plain
        }
    });
    // Which addresses are its own, only the plugin knows.
    let networks = networks.prop_map(|mut network| {
        let is_delegated = matches!(network.ipam, Some(Ipam::Delegated { .. }));
        network.isolation.network &= !(is_delegated && matches!(network.mode, Mode::Routed(_)));
        network
    });
    let hosts = vec((any::<bool>(), 1..60u8, any::<bool>()), 0..=3);
    (networks, hosts, option::of(container_routes()), port_maps()).prop_map(|(network, hosts, routes, ports)| {
        let mut addresses: Vec<Address> =
            hosts.into_iter().map(|(v6, host, gateway)| address(v6, host, gateway)).collect();
        addresses.sort_by_key(|address| address.net);
        addresses.dedup_by_key(|address| address.net);
        let mut attachment = attachment("c1", network, &addresses);
        if matches!(attachment.network.ipam, Some(Ipam::Delegated { .. })) {
            attachment.leases.clear(); // the plugin keeps its own
        }
        Attachment { container_routes: routes, ports, ..attachment }
    })
}

/// Anti-spoofing, masquerade, isolation.
fn filters() -> impl Strategy<Value = (bool, Option<Masquerade>, Isolation)> {
    let except = subsequence(vec![net("10.0.0.0/8"), net("198.51.100.0/25"), net("fd00::/8")], 0..=3);
    let masquerade = option::of(except.prop_map(|except| Masquerade { except }));
    let isolation = any::<(bool, bool)>().prop_map(|(ports, network)| Isolation { ports, network });
    (any::<bool>(), masquerade, isolation)
}

/// Rates, flags, default routes.
fn tunings() -> impl Strategy<Value = (Rates, LinkFlags, DefaultRoute)> {
    let rate = || option::of(select(vec![1_000_000u64, 20_000_000]).prop_map(|bits| Rate { bits, burst_bits: None }));
    let rates = (rate(), rate()).prop_map(|(received, sent)| Rates { received, sent });
    let flags = any::<(bool, bool)>().prop_map(|(promisc, allmulti)| LinkFlags { promisc, allmulti });
    // To lead is to move what others have put there: see undo.rs.
    (rates, flags, select(vec![DefaultRoute::Auto, DefaultRoute::Never]))
}

fn port_maps() -> impl Strategy<Value = Vec<PortMap>> {
    let hosts = select(vec![None, Some(ip("192.0.2.10")), Some(ip("127.0.0.1")), Some(ip("::1")), Some(ip("::"))]);
    let protocols = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let one = (hosts, protocols, 8080..8084u16);
    let one = one.prop_map(|(host, protocol, host_port)| PortMap { host, protocol, host_port, container_port: 80 });
    vec(one, 0..=3).prop_map(|mut maps| {
        maps.sort();
        maps.dedup_by(|one, other| one.overlaps(other));
        maps
    })
}

fn address(v6: bool, host: u8, gateway: bool) -> Address {
    let (net, gw) = if v6 {
        (format!("2001:db8::{host:x}/64"), ip("2001:db8::ff"))
    } else {
        (format!("198.51.100.{host}/24"), ip("198.51.100.254"))
    };
    Address { net: net.parse().unwrap(), gateway: gateway.then_some(gw) }
}

fn modes() -> impl Strategy<Value = Mode> {
    let vlan = select(vec![None, None, Some(1), Some(7)]);
    let flags = (option::of(any::<bool>()), any::<bool>(), any::<bool>(), vlan);
    let bridged = flags.prop_map(|(gateway, isolated, hairpin, vlan)| {
        Mode::Bridged(Bridge { gateway, isolated, hairpin, vlan, ..bridge("spring0") })
    });
    prop_oneof![gateways().prop_map(Mode::Routed), bridged]
}

fn gateways() -> impl Strategy<Value = Gateway> {
    let interconnect = |net: &str, host: &str, container: &str| Interconnect {
        net: net.parse().unwrap(),
        host: ip(host),
        container: ip(container),
    };
    let v4 = [
        interconnect("10.100.10.100/30", "10.100.10.101", "10.100.10.102"),
        interconnect("10.100.20.0/31", "10.100.20.0", "10.100.20.1"),
        interconnect("10.100.30.8/29", "10.100.30.14", "10.100.30.9"),
    ];
    let v6 = [
        interconnect("2001:db8:9::/126", "2001:db8:9::1", "2001:db8:9::2"),
        interconnect("2001:db8:a::/127", "2001:db8:a::", "2001:db8:a::1"),
    ];
    let one_of = |nets: &[Interconnect]| subsequence(nets.to_vec(), 0..=1);
    let interconnects = (one_of(&v4), one_of(&v6)).prop_filter_map("an interconnect has a network", |(v4, v6)| {
        let nets = [v4, v6].concat();
        (!nets.is_empty()).then_some(Gateway::Interconnect(nets))
    });
    prop_oneof![
        Just(Gateway::LinkLocal),
        Just(Gateway::Inet6),
        Just(Gateway::Shared([255, 255, 255, 254].into())),
        interconnects,
        Just(Gateway::None),
    ]
}

fn routed_networks() -> impl Strategy<Value = Vec<RoutedNetwork>> {
    const KNOWN: [&str; 6] =
        ["10.5.5.0/24", "10.6.0.0/16", "203.0.113.7/32", "198.51.100.0/24", "2001:db8:5::/56", "2001:db8:6::1/128"];
    let via = |dst: IpNet| {
        let v4 = if dst.addr().is_ipv4() { vec![ip("198.51.100.7")] } else { Vec::new() };
        option::of(select([v4, vec![ip("2001:db8::7"), ip("fe80::77")]].concat()))
    };
    let one = select(&KNOWN).prop_map(net);
    let one = one.prop_flat_map(move |dst| via(dst).prop_map(move |via| RoutedNetwork { dst, via }));
    vec(one, 0..=3).prop_map(|mut networks| {
        networks.sort_by_key(|network| network.dst);
        networks.dedup_by_key(|network| network.dst);
        networks
    })
}

fn container_routes() -> impl Strategy<Value = Vec<ContainerRoute>> {
    const KNOWN: [&str; 4] = ["0.0.0.0/0", "192.0.2.0/24", "::/0", "2001:db8:7::/48"];
    let attributes = (
        option::of(Just(1400u32)),
        option::of(Just(1360u32)),
        option::of(select(vec![0u32, 7, 300])),
        option::of(select(vec![0u32, 254, 100])),
    );
    let one = (select(&KNOWN), 0..4u8, attributes).prop_map(|(dst, next_hop, (mtu, advmss, priority, table))| {
        let plain = ContainerRoute::plain(net(dst));
        let v4 = plain.dst.addr().is_ipv4();
        let (gw, scope) = match next_hop {
            0 => (None, None),
            1 => (None, Some(253)),
            2 if v4 => (Some(ip("198.51.100.1")), None),
            _ => (Some(ip("fe80::9")), None),
        };
        ContainerRoute { gw, scope, mtu, advmss, priority, table, ..plain }
    });
    vec(one, 0..=3).prop_map(|mut routes| {
        routes.sort_by_key(|route| route.dst);
        routes.dedup_by_key(|route| route.dst);
        routes
    })
}

/// How host and container are when the attachment comes.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // each is a coin of its own
struct Around {
    forwarding: (bool, bool),
    uplinks: Vec<IfName>,
    uplink_mtu: Option<u32>,
    ipv6: (bool, bool),
    bridge: TheBridge,
    bridge_up: bool,
    /// Whether the bridge keeps its VLANs apart, and the host is in all that anybody asks for.
    vlans: (bool, bool),
    gateway_held: bool,
    has_holder: bool,
    lo_up: bool,
    /// Metrics of the default routes that another interface of the container has.
    defaults: Option<(u32, u32)>,
}

/// What there is under the bridge's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TheBridge {
    Absent,
    Ours,
    Strangers,
}

fn facts() -> impl Strategy<Value = Around> {
    let host = (
        any::<(bool, bool)>(),
        subsequence(vec![name("up0"), name("up1")], 0..=2),
        select(vec![None, Some(1500), Some(9000)]),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.8),
    );
    let links = (
        select(vec![TheBridge::Absent, TheBridge::Ours, TheBridge::Strangers]),
        any::<bool>(),
        any::<(bool, bool)>(),
        any::<bool>(),
        any::<bool>(),
    );
    let container = (any::<bool>(), option::of((select(vec![0u32, 100]), select(vec![100u32, 1024]))));
    (host, links, container).prop_map(|(host, links, (lo_up, defaults))| {
        let (forwarding, uplinks, uplink_mtu, host_ipv6, container_ipv6) = host;
        let (bridge, bridge_up, vlans, gateway_held, has_holder) = links;
        let ipv6 = (host_ipv6, container_ipv6);
        Around {
            forwarding,
            uplinks,
            uplink_mtu,
            ipv6,
            bridge,
            bridge_up,
            vlans,
            gateway_held,
            has_holder,
            lo_up,
            defaults,
        }
    })
}

impl Around {
    /// The facts that the engine would gather for the attachment.
    fn facts(&self, attachment: &Attachment) -> Facts {
        let needs_ipv6 = attachment.needs_ipv6();
        let mut facts = Facts {
            host_ipv6: self.ipv6.0 || needs_ipv6,
            container_ipv6: self.ipv6.1 || needs_ipv6,
            uplink_mtu: self.uplink_mtu,
            advertised_uplinks: self.uplinks.clone(),
            // Made once, and never taken away with an attachment.
            parts: plan::Part::ALL.into(),
            container: self.container(),
            ..Facts::default()
        };
        self.host(&mut facts.host, attachment.network.forwarding == Forwarding::Require);
        others(&mut facts);
        match &attachment.network.mode {
            Mode::Bridged(bridge) => self.bridge(&mut facts, attachment, bridge),
            Mode::Routed(Gateway::Shared(address)) if self.has_holder => {
                let name = plan::holder_name().unwrap();
                facts.host.links.insert(name.clone(), shared_link(LinkKind::Dummy, Holder::ALIAS));
                let net = IpNet::from(IpAddr::from(*address));
                facts.host.addresses.insert(LinkAddress { link: name.clone(), net, host_scope: true });
                facts.users.insert(Shared::Holder(name), Users { mine: false, others: true });
            }
            Mode::Routed(_) => {}
        }
        facts
    }

    fn host(&self, host: &mut Namespace, forwards: bool) {
        let is = |on: bool| if on || forwards { "1" } else { "0" }.to_owned();
        let values = [self.forwarding.0, self.forwarding.1].map(is);
        host.sysctls.extend(FORWARDING.iter().map(|(_, key)| (*key).to_owned()).zip(values));
        for uplink in &self.uplinks {
            host.links.insert(uplink.clone(), Link { up: true, ..Link::new(LinkKind::Other("bond".into()), 1500) });
            host.sysctls.insert(format!("ipv6/conf/{uplink}/accept_ra"), "1".into());
        }
    }

    fn bridge(&self, facts: &mut Facts, attachment: &Attachment, bridge: &Bridge) {
        let name = &bridge.name;
        let alias = match self.bridge {
            TheBridge::Absent => return,
            TheBridge::Ours => Some(BridgeLink::ALIAS.to_owned()),
            TheBridge::Strangers => None,
        };
        let ours = self.bridge == TheBridge::Ours;
        let link = shared_link(LinkKind::Bridge, BridgeLink::ALIAS);
        let group = if ours { LINK_GROUP } else { 0 };
        let vlans = (self.vlans.0, BridgeLink::DEFAULT_VLAN);
        facts.host.links.insert(name.clone(), Link { alias, group, up: self.bridge_up, vlans, ..link });
        facts.vlans.insert((name.clone(), BridgeLink::DEFAULT_VLAN), true);
        if let (Some(id @ 2..), Some(link), (true, true)) = (bridge.vlan, bridge.vlan_link(), self.vlans) {
            self.enter(facts, name, id, &link);
        }
        let port = Link { master: Some(name.clone()), up: true, ..Link::new(LinkKind::Veth, 1500) };
        facts.host.links.insert(self::name("port0"), port);
        let elsewhere = LinkAddress { link: name.clone(), net: net("172.16.0.1/16"), host_scope: false };
        facts.host.addresses.insert(elsewhere);
        if ours {
            facts.users.insert(Shared::Bridge(name.clone()), Users { mine: false, others: true });
        }
        for address in attachment.addresses.iter().filter(|_| self.gateway_held) {
            let Some(gateway) = address.gateway else { continue };
            let held = IpNet::new(gateway, address.net.prefix_len()).unwrap();
            let link = if facts.host.links.contains_key(&bridge.ip_link()) { bridge.ip_link() } else { name.clone() };
            facts.host.addresses.insert(LinkAddress { link: link.clone(), net: held, host_scope: false });
            if ours {
                facts.users.insert(Shared::Address(link, held), Users { mine: false, others: true });
            }
        }
    }

    /// The host is in a VLAN of the bridge already.
    fn enter(&self, facts: &mut Facts, bridge: &IfName, id: u16, link: &IfName) {
        let ours = self.bridge == TheBridge::Ours;
        let there = shared_link(LinkKind::Vlan(id), VlanLink::ALIAS);
        let there = Link { lower: Some(bridge.clone()), up: self.bridge_up, ..there };
        let strangers = Link { alias: None, group: 0, ..there.clone() };
        facts.host.links.insert(link.clone(), if ours { there } else { strangers });
        facts.vlans.insert((bridge.clone(), id), false);
        if ours {
            for shared in [Shared::Vlan(bridge.clone(), id), Shared::VlanLink(link.clone())] {
                facts.users.insert(shared, Users { mine: false, others: true });
            }
        }
    }

    fn container(&self) -> Namespace {
        let mut container = Namespace::default();
        container.sysctls.insert("core/somaxconn".into(), "4096".into());
        container
            .links
            .insert(IfName::loopback(), Link { up: self.lo_up, ..Link::new(LinkKind::Other("lo".into()), 65536) });
        let Some((v4, v6)) = self.defaults else { return container };
        let first = name("net0");
        container.links.insert(first.clone(), Link { up: true, ..Link::new(LinkKind::Veth, 1500) });
        container.addresses.insert(LinkAddress { link: first.clone(), net: net("172.16.3.4/16"), host_scope: false });
        for (dst, via, metric) in [("0.0.0.0/0", "172.16.0.1", v4), ("::/0", "fe80::1", v6)] {
            container.routes.push(Route { via: Some(ip(via)), metric, ..Route::on(&first, net(dst)) });
        }
        container
    }
}

/// What belongs to nobody in particular, and to another container.
fn others(facts: &mut Facts) {
    let other = key("c9");
    let link = name("veth-c9");
    let alias = Some(other.alias());
    facts
        .host
        .links
        .insert(link.clone(), Link { up: true, alias, group: LINK_GROUP, ..Link::new(LinkKind::Veth, 1500) });
    facts.host.routes.push(Route { protocol: 171, ..Route::on(&link, net("203.0.113.99/32")) });
    facts.host.links.insert(name("lan0"), Link { up: true, ..Link::new(LinkKind::Bridge, 1500) });
    facts.leases.insert((other.network.clone(), ip("198.51.100.200")), other.clone());
    facts.records.insert(other);
}
