//! From the configuration's spelling to the model's types.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde_json::Value;

use super::config::{BridgeKey, Config, DnsKey, ForwardingKey, ModeKey, MtuKey, OneOrMore};
use super::filter::{IsolationKey, MasqueradeKey};
use super::gateway::{GatewayObject, SchemeKey};
use super::ipam::{IpamKey, invalid};
use super::routes::{PoolKey, ProxyKey, RoutedNetworkKey};
use super::runtime::RuntimeConfig;
use super::unknown;
use crate::error::{Code, Error, Result};
use crate::model::{
    Addressing, Bridge, Dns, Forwarding, Gateway, HostLinkTemplate, HostRoutes, IfName, Interconnect, Ipam, LinkFlags,
    Masquerade, Mode, Mtu, Network, NetworkName, Proxy, Rates, RoutedNetwork, parse_network,
};

impl Config {
    /// The network that this configuration describes. `seed` is the host's identity (`/etc/machine-id`).
    pub fn to_network(&self, name: &NetworkName, runtime: &RuntimeConfig, seed: &str) -> Result<Network> {
        let mode = self.mode(seed)?;
        let host_link = match &self.host_interface {
            Some(template) => HostLinkTemplate::parse(template).map_err(|why| invalid("hostInterface", why))?,
            None => HostLinkTemplate::default(),
        };
        let ipam = self.ipam_model(&mode, runtime)?;
        let network = Network {
            name: name.clone(),
            mtu: match self.mtu {
                MtuKey::Auto => Mtu::Auto,
                MtuKey::Fixed(mtu) => Mtu::Fixed(mtu),
            },
            host_link,
            routes: self.routes.iter().map(RoutedNetworkKey::to_model).collect::<Result<_>>()?,
            host_routes: self.host_routes_model(&mode, ipam.as_ref())?,
            proxy: self.proxy_model(&mode)?,
            ipam,
            forwarding: match self.forwarding {
                ForwardingKey::Enable => Forwarding::Enable,
                ForwardingKey::Require => Forwarding::Require,
                ForwardingKey::Leave => Forwarding::Leave,
            },
            dns: self.dns_model(runtime),
            masquerade: self.masquerade_model()?,
            anti_spoof: self.anti_spoof.unwrap_or(true),
            isolation: self.isolation.as_ref().map(IsolationKey::to_model).unwrap_or_default(),
            rates: self.rates_model(runtime)?,
            sysctls: super::link::sysctls(&self.sysctl)?,
            flags: LinkFlags { promisc: self.promisc, allmulti: self.allmulti },
            txqueuelen: self.txqueuelen.map(|length| narrow("txqueuelen", length)).transpose()?,
            default_route: self.default_route.map(|key| key.0).unwrap_or_default(),
            metric: self.metric.map(|metric| narrow("metric", metric)).transpose()?,
            mode,
        };
        refuse_blind_in_vrf(&network)?;
        Ok(network)
    }

    /// The configuration's rates; what the runtime fills in replaces them.
    fn rates_model(&self, runtime: &RuntimeConfig) -> Result<Rates> {
        match (&runtime.bandwidth, &self.bandwidth) {
            (Some(asked), _) if asked.asks() => asked.to_model("runtimeConfig.bandwidth"),
            (_, Some(key)) => key.to_model("bandwidth"),
            _ => Ok(Rates::default()),
        }
    }

    /// `ipMasq` is another name for `masquerade`; a configuration that has both must mean the same by them.
    fn masquerade_model(&self) -> Result<Option<Masquerade>> {
        let [own, other] = [&self.masquerade, &self.ip_masq].map(|key| key.as_ref().map(MasqueradeKey::to_model));
        match (own.transpose()?, other.transpose()?) {
            (Some(own), Some(other)) if own != other => {
                Err(invalid("ipMasq", "says otherwise than masquerade").hint("leave one of the two out"))
            }
            (own, other) => Ok(own.or(other).flatten()),
        }
    }

    fn mode(&self, seed: &str) -> Result<Mode> {
        match (self.mode, &self.gateway, &self.bridge) {
            (ModeKey::Routed, _, Some(_)) => {
                Err(invalid("bridge", "belongs to mode \"bridged\", this network is routed"))
            }
            (ModeKey::Bridged, Some(_), _) => {
                Err(invalid("gateway", "belongs to mode \"routed\", this network is bridged")
                    .hint("a bridged network's gateway is that of its ranges: ipam.ranges[][].gateway"))
            }
            (ModeKey::Bridged, None, _) if !self.routes.is_empty() => {
                Err(invalid("routes", "belongs to mode \"routed\", this network is bridged"))
            }
            (ModeKey::Routed, gateway, None) => {
                gateway.as_ref().map_or(Ok(Gateway::LinkLocal), |key| key.0.to_model()).map(Mode::Routed)
            }
            (ModeKey::Bridged, None, bridge) => bridge.clone().unwrap_or_default().to_model(seed).map(Mode::Bridged),
        }
    }

    fn host_routes_model(&self, mode: &Mode, ipam: Option<&Ipam>) -> Result<HostRoutes> {
        let key = &self.host_routes;
        let protocol = u8::try_from(key.protocol);
        let table = narrow("hostRoutes.table", key.table)?;
        if table == 0 || table == 255 {
            return Err(invalid("hostRoutes.table", format!("{table} is not a table for routes (255 is `local`)")));
        }
        Ok(HostRoutes {
            table,
            metric: narrow("hostRoutes.metric", key.metric)?,
            protocol: protocol
                .map_err(|_| invalid("hostRoutes.protocol", format!("{} is not in 0..255", key.protocol)))?,
            pools: key.pool.to_model(mode, ipam)?,
            take_over: key.take_over,
            vrf: self.vrf_model(mode, table)?,
        })
    }

    fn vrf_model(&self, mode: &Mode, table: u32) -> Result<Option<IfName>> {
        let Some(name) = &self.host_routes.vrf else { return Ok(None) };
        if matches!(mode, Mode::Bridged(_)) {
            return Err(invalid(
                "hostRoutes.vrf",
                "belongs to mode \"routed\": it is the bridge that is in a VRF, or not",
            ));
        }
        if table == HostRoutes::default().table {
            return Err(invalid("hostRoutes.table", format!("is missing: that of VRF {name}"))
                .hint(format!("ip -d link show {name} tells its table")));
        }
        IfName::parse(name).map(Some).map_err(|why| invalid("hostRoutes.vrf", why))
    }

    fn proxy_model(&self, mode: &Mode) -> Result<Option<Proxy>> {
        let Some(ProxyKey(key)) = &self.proxy else { return Ok(None) };
        if matches!(mode, Mode::Bridged(_)) {
            return Err(invalid("proxy", "belongs to mode \"routed\": on a bridge, containers answer for themselves"));
        }
        let parse = || IfName::parse(&key.link).map_err(|why| invalid("proxy", why));
        let link = if key.link == "auto" { None } else { Some(parse()?) };
        Ok(Some(Proxy { link, probe: key.probe }))
    }

    fn ipam_model(&self, mode: &Mode, runtime: &RuntimeConfig) -> Result<Option<Ipam>> {
        let object = match &self.ipam {
            None | Some(Value::Null) => return without_ipam(mode, runtime),
            Some(Value::Object(object)) => object,
            Some(other) => return Err(invalid("ipam", format!("{other} is not an object"))),
        };
        match object.get("type") {
            Some(Value::String(plugin)) if plugin == "springline" => {
                let ipam: IpamKey = crate::wire::read(object).map_err(|error| {
                    let at = format!("ipam.{}", error.path());
                    invalid(&at, error.into_inner())
                })?;
                unknown::refuse_ipam(&ipam)?;
                unknown::refuse_runtime_ranges(&runtime.ip_ranges)?;
                ipam.to_model(mode, &runtime.ip_ranges).map(Some)
            }
            Some(Value::String(plugin)) if plugin.is_empty() => without_ipam(mode, runtime),
            Some(Value::String(plugin)) if plugin.contains('/') => {
                Err(invalid("ipam.type", format!("{plugin:?} is a path, not the name of a plugin on CNI_PATH")))
            }
            Some(Value::String(plugin)) => Ok(Some(Ipam::Delegated { plugin: plugin.clone() })),
            None if object.is_empty() => without_ipam(mode, runtime),
            None => Err(invalid("ipam.type", "is missing").hint("\"type\": \"springline\" is the built-in allocator")),
            Some(other) => Err(invalid("ipam.type", format!("{other} is not a text"))),
        }
    }

    /// The configuration's name servers; what the runtime fills in replaces them.
    fn dns_model(&self, runtime: &RuntimeConfig) -> Dns {
        match &runtime.dns {
            Some(dns) if !(dns.servers.is_empty() && dns.searches.is_empty() && dns.options.is_empty()) => Dns {
                nameservers: dns.servers.clone(),
                domain: None,
                search: dns.searches.clone(),
                options: dns.options.clone(),
            },
            _ => self.dns.to_model(),
        }
    }
}

fn narrow(name: &str, value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| invalid(name, format!("{value} is too large")))
}

/// No `ipam`: the interface gets no address from us, unless the runtime asks for one by name.
fn without_ipam(mode: &Mode, runtime: &RuntimeConfig) -> Result<Option<Ipam>> {
    if runtime.ip_ranges.is_empty() {
        return Ok(None);
    }
    unknown::refuse_runtime_ranges(&runtime.ip_ranges)?;
    IpamKey::default().to_model(mode, &runtime.ip_ranges).map(Some)
}

impl DnsKey {
    /// As the model has it.
    #[must_use]
    pub fn to_model(&self) -> Dns {
        Dns {
            nameservers: self.nameservers.clone(),
            domain: self.domain.clone(),
            search: self.search.clone(),
            options: self.options.clone(),
        }
    }
}

impl From<&Dns> for DnsKey {
    fn from(dns: &Dns) -> Self {
        let Dns { nameservers, domain, search, options } = dns.clone();
        Self { nameservers, domain, search, options, unknown: super::config::Unknown::new() }
    }
}

impl PoolKey {
    fn to_model(&self, mode: &Mode, ipam: Option<&Ipam>) -> Result<Vec<IpNet>> {
        let wrong = |why: String| invalid("hostRoutes.pool", why);
        let mut pools = match self {
            Self::Ranges(false) => return Ok(Vec::new()),
            _ if matches!(mode, Mode::Bridged(_)) => {
                return Err(wrong("belongs to mode \"routed\": a bridge has a connected route to its subnet".into()));
            }
            Self::Ranges(true) => ipam.map(Ipam::subnets).unwrap_or_default(),
            Self::Networks(list) => {
                let parse = |text: &String| parse_network(text).map_err(|why| wrong(why.to_string()));
                list.iter().map(parse).collect::<Result<_>>()?
            }
        };
        if pools.is_empty() {
            return Err(wrong("the network has no ranges whose subnets it could mean".into())
                .hint("list the networks: \"pool\": [\"192.0.2.0/24\"]"));
        }
        if let Some(all) = pools.iter().find(|pool| pool.prefix_len() == 0) {
            return Err(wrong(format!("{all} is everything: the host's own default route would be moot")));
        }
        pools.sort();
        pools.dedup();
        Ok(pools)
    }
}

/// What goes by the link that a packet came in by when it leaves again: in a VRF that is the VRF, whoever has sent it
/// (`l3mdev_ip_rcv()` in `include/net/l3mdev.h`). Better refused than without effect.
fn refuse_blind_in_vrf(network: &Network) -> Result<()> {
    if network.host_routes.vrf.is_none() {
        return Ok(());
    }
    let blind = "in a VRF the kernel does not say by which container's link a packet came";
    if network.isolation.ports || network.isolation.network {
        return Err(invalid("isolation", format!("has no effect with hostRoutes.vrf: {blind}"))
            .hint("a VRF for each network keeps networks apart"));
    }
    let is_wide = |route: &RoutedNetwork| route.dst.prefix_len() < route.dst.max_prefix_len();
    match network.routes.iter().find(|route| is_wide(route)) {
        Some(wide) if network.masquerade.is_some() => {
            Err(invalid("masquerade", format!("has no effect on {} with hostRoutes.vrf: {blind}", wide.dst))
                .hint("single addresses in \"routes\" are masqueraded there, as addresses are"))
        }
        _ => Ok(()),
    }
}

impl RoutedNetworkKey {
    fn to_model(&self) -> Result<RoutedNetwork> {
        let (dst, via) = match self {
            Self::Network(dst) => (dst, None),
            Self::Via { dst, via, .. } => (dst, via.as_ref()),
        };
        let dst = parse_network(dst).map_err(|why| invalid("routes", why))?;
        let parse = |via: &String| {
            via.parse::<IpAddr>().map_err(|_| invalid("routes.via", format!("{via:?} is not an IP address")))
        };
        let via = via.map(parse).transpose()?;
        if via.is_some_and(|via| via.is_ipv4() && dst.family() != via.family()) {
            return Err(invalid("routes.via", format!("{dst} cannot have an IPv4 next hop")));
        }
        Ok(RoutedNetwork { dst, via })
    }
}

impl BridgeKey {
    fn to_model(&self, seed: &str) -> Result<Bridge> {
        let name =
            IfName::parse(self.name.as_deref().unwrap_or("spring0")).map_err(|why| invalid("bridge.name", why))?;
        let vlan = match u16::try_from(self.vlan) {
            Ok(0) => None,
            Ok(id @ 1..=4094) => Some(id),
            _ => return Err(invalid("bridge.vlan", format!("{} is outside of 1..4094 (0: none)", self.vlan))),
        };
        let bridge = Bridge {
            mac: Bridge::stable_mac(seed, &name),
            name,
            gateway: self.gateway,
            isolated: self.isolated,
            hairpin: self.hairpin,
            vlan,
        };
        match vlan {
            Some(id) if bridge.gateway != Some(false) && bridge.vlan_link().is_none() => {
                let why = format!("the host's link in VLAN {id}, {}.{id}, would have more than 15 bytes", bridge.name);
                Err(invalid("bridge.name", why)
                    .hint("a shorter name, or \"gateway\": false if the host is to have no address there"))
            }
            _ => Ok(bridge),
        }
    }
}

impl GatewayObject {
    fn to_model(&self) -> Result<Gateway> {
        let scheme = match (self.scheme, &self.network) {
            (Some(scheme), _) => scheme,
            (None, Some(_)) => SchemeKey::Interconnect,
            (None, None) => return Err(invalid("gateway", "has neither a scheme nor a network")),
        };
        if scheme != SchemeKey::Interconnect
            && (self.network.is_some() || self.host.is_some() || self.container.is_some())
        {
            return Err(invalid("gateway", "network, host and container belong to scheme \"interconnect\""));
        }
        if scheme != SchemeKey::Shared && self.address.is_some() {
            return Err(invalid("gateway.address", "belongs to scheme \"shared\""));
        }
        Ok(match scheme {
            SchemeKey::LinkLocal => Gateway::LinkLocal,
            SchemeKey::Inet6 => Gateway::Inet6,
            SchemeKey::None => Gateway::None,
            SchemeKey::Shared => Gateway::Shared(match &self.address {
                None => Ipv4Addr::new(255, 255, 255, 254),
                Some(text) => {
                    text.parse().map_err(|_| invalid("gateway.address", format!("{text:?} is not an IPv4 address")))?
                }
            }),
            SchemeKey::Interconnect => Gateway::Interconnect(self.interconnects()?),
        })
    }

    fn interconnects(&self) -> Result<Vec<Interconnect>> {
        let networks = self.network.as_ref().map(OneOrMore::as_slice).unwrap_or_default();
        let chosen = |key: &str, list: &Option<OneOrMore>| -> Result<Vec<IpAddr>> {
            let texts = list.as_ref().map(OneOrMore::as_slice).unwrap_or_default().iter();
            texts.map(|text| text.parse().map_err(|_| invalid(key, format!("{text:?} is not an IP address")))).collect()
        };
        let (hosts, containers) = (chosen("gateway.host", &self.host)?, chosen("gateway.container", &self.container)?);
        if let Some(stray) = hosts
            .iter()
            .chain(&containers)
            .find(|address| !networks.iter().any(|net| parse_network(net).is_ok_and(|net| net.contains(*address))))
        {
            return Err(invalid("gateway", format!("{stray} is in none of the networks [{}]", networks.join(", "))));
        }
        let nets = networks.iter().map(|text| {
            let net = parse_network(text).map_err(|why| invalid("gateway.network", why))?;
            let own = |list: &[IpAddr]| list.iter().copied().find(|address| net.contains(address));
            interconnect(net, own(&hosts), own(&containers))
        });
        let nets = nets.collect::<Result<Vec<_>>>()?;
        match nets.as_slice() {
            [] => Err(invalid("gateway.network", "is missing: scheme \"interconnect\" needs one")),
            [one, two] if one.net.family() != two.net.family() => Ok(nets),
            [_] => Ok(nets),
            _ => Err(invalid("gateway.network", "has more than one network of a family")),
        }
    }
}

/// The first and second usable address of the network, or those that were asked for. In a /31 or /127
/// both addresses are usable (RFC 3021, RFC 6164).
fn interconnect(net: ipnet::IpNet, host: Option<IpAddr>, container: Option<IpAddr>) -> Result<Interconnect> {
    let skip = usize::from(net.max_prefix_len() - net.prefix_len() > 1);
    let mut usable = match net {
        ipnet::IpNet::V4(net) => Box::new(net.hosts().map(IpAddr::V4)) as Box<dyn Iterator<Item = IpAddr>>,
        // ipnet's hosts() counts an IPv6 network's own address, which is the routers' anycast address
        // (RFC 4291, 2.6.1), as a host's.
        ipnet::IpNet::V6(net) => Box::new(net.hosts().skip(skip).map(IpAddr::V6)),
    };
    let mut first_but = |taken: [Option<IpAddr>; 2]| usable.find(|address| !taken.contains(&Some(*address)));
    let host = host.or_else(|| first_but([container, None]));
    let container = container.or_else(|| first_but([host, None]));
    match (host, container) {
        (Some(host), Some(container)) if [host, container].into_iter().any(|address| is_no_host(net, address)) => {
            Err(invalid("gateway", format!("{host} and {container} must be addresses of hosts in {net}")))
        }
        (Some(host), Some(container)) if host != container => Ok(Interconnect { net, host, container }),
        _ => Err(Error::new(Code::InvalidConfig, format!("gateway.network: {net} has no two different addresses"))
            .context("invalid configuration")),
    }
}

/// The network's own and the broadcast address, where IPv4 has them.
fn is_no_host(net: ipnet::IpNet, address: IpAddr) -> bool {
    net.addr().is_ipv4() && net.prefix_len() < 31 && (address == net.network() || address == net.broadcast())
}
