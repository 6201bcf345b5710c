//! A network: the validated form of the configuration that every front shares.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Addressing, Family, HostLinkTemplate, HostRoutes, IfName, Mac, NetworkName, RangeSet, Rates, is_default};

/// A named configuration to which containers are attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name; state is kept per network.
    pub name: NetworkName,
    /// Routed or bridged.
    pub mode: Mode,
    /// The MTU of the container's interface.
    pub mtu: Mtu,
    /// How host-side links are named.
    pub host_link: HostLinkTemplate,
    /// Further networks that are routed to the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RoutedNetwork>,
    /// How the host's routes toward containers are marked.
    pub host_routes: HostRoutes,
    /// Whether the host answers for the addresses on a network that it is connected to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Where addresses come from; `None`: the interface gets none from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// What to do about IP forwarding on the host.
    pub forwarding: Forwarding,
    /// Name servers to report.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// Whether containers are hidden behind the host's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masquerade: Option<Masquerade>,
    /// Whether containers may send from their own addresses only.
    pub anti_spoof: bool,
    /// Which other containers they reach.
    #[serde(default, skip_serializing_if = "is_default")]
    pub isolation: Isolation,
    /// To which rates each of them is limited.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
    /// sysctls inside the container: paths below `/proc/sys/net`, in which [`Network::IFNAME`] stands for its
    /// interface, and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<(String, String)>,
    /// Flags of the container's interface.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flags: LinkFlags,
    /// The length of its queue, in packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
    /// Whether its default routes go before those of other interfaces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub default_route: DefaultRoute,
    /// The metric of its default routes, where none is given for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

impl Network {
    /// What stands for the interface's name in the path of a sysctl, as with the reference plugin `tuning`.
    pub const IFNAME: &'static str = "IFNAME";
}

/// The host answers for addresses of containers (proxy ARP and neighbour discovery).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// On which link; `None`: on that whose network an address is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<IfName>,
    /// Whether somebody who has the address already is looked for first.
    pub probe: bool,
}

/// Flags of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFlags {
    /// It takes every frame that comes by.
    pub promisc: bool,
    /// It takes every multicast.
    pub allmulti: bool,
}

/// What to do about default routes in a container that has some already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultRoute {
    /// Ours go behind.
    #[default]
    Auto,
    /// Ours go before.
    Lead,
    /// There are none of ours.
    Never,
}

/// Traffic that leaves the host gets one of the host's addresses as its source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// Not toward these networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<IpNet>,
}

/// Which other containers the containers of a network may exchange packets with. Ports that are mapped are for
/// everybody all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// With none at all, not even of their own network.
    pub ports: bool,
    /// With those of their own network only.
    pub network: bool,
}

/// How a container is connected to its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The host routes to the container; there is no shared layer 2.
    Routed(Gateway),
    /// The host side is a port of a bridge.
    Bridged(Bridge),
}

/// How a routed container reaches the host: who holds which address to route through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gateway {
    /// `169.254.0.1` and `fe80::1` on every host-side veth. The IPv4 address has scope host, so that the host
    /// never picks it as a source address toward the container.
    LinkLocal,
    /// `fe80::1` only, also as the next hop of IPv4 (RFC 5549; Linux ≥ 5.2). No IPv4 address on the host.
    Inet6,
    /// One address on one link of the host for all containers; IPv6 as in [`Gateway::LinkLocal`].
    Shared(Ipv4Addr),
    /// A small network of its own between host and container, at most one of each family.
    Interconnect(Vec<Interconnect>),
    /// No gateway and no default route.
    None,
}

/// An interconnecting network: `host` on the host side, `container` on the container side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interconnect {
    /// The network.
    pub net: IpNet,
    /// The host's address in it.
    pub host: IpAddr,
    /// The container's address in it.
    pub container: IpAddr,
}

/// The bridge of a bridged network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// The bridge's name.
    pub name: IfName,
    /// Whether the host holds the ranges' gateway addresses on the bridge. Unset: yes on a bridge of our
    /// own, no on somebody else's, where another machine may well be the gateway.
    pub gateway: Option<bool>,
    /// Whether ports may not talk to one another (the kernel's port isolation).
    pub isolated: bool,
    /// Whether a frame may leave through the port it came in by.
    pub hairpin: bool,
    /// The VLAN in which ports are, untagged: 1..=4094. `None`: that in which the bridge puts new ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The MAC that a bridge of our own gets. Without one of its own, a bridge takes the lowest MAC of its
    /// ports and changes it as containers come and go (`br_stp_recalculate_bridge_id()`).
    pub mac: Mac,
}

impl Bridge {
    /// The link of the host by which it is in the network's VLAN: `BRIDGE.VLAN`, as `vconfig` and systemd-networkd name
    /// them. `None`: there is no VLAN, or the name would be too long.
    #[must_use]
    pub fn vlan_link(&self) -> Option<IfName> {
        IfName::parse(&format!("{}.{}", self.name, self.vlan?)).ok()
    }

    /// The link by which the host's IP hears what is behind the bridge: the bridge itself, or the host's own in the VLAN.
    #[must_use]
    pub fn ip_link(&self) -> IfName {
        self.vlan_link().unwrap_or_else(|| self.name.clone())
    }

    /// The stable MAC for a bridge of ours called `name` on the host identified by `seed`.
    #[must_use]
    pub fn stable_mac(seed: &str, name: &IfName) -> Mac {
        #[allow(clippy::cast_possible_truncation)] // any 64 of the 128 bits do
        Mac::from_hash(super::attachment::stable_hash(&[seed, "bridge", name.as_str()]) as u64)
    }
}

/// The MTU of the container's interface, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mtu {
    /// The uplink's (routed) or the bridge's (bridged).
    Auto,
    /// As configured.
    Fixed(u32),
}

/// A network that the host routes to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedNetwork {
    /// The network.
    pub dst: IpNet,
    /// The next hop inside the container; `None`: chosen by the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}

/// A route inside the container, with the attributes of a CNI 1.1 result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRoute {
    /// The destination.
    pub dst: IpNet,
    /// The next hop; `None`: the gateway of the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// MTU along the path, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Advertised maximum segment size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Routing table number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// `rtm_scope`: 0 universe, 253 link, 254 host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl ContainerRoute {
    /// The number of its table; `main` unless one is named.
    #[must_use]
    pub fn table_number(&self) -> u32 {
        self.table.filter(|table| *table != 0).unwrap_or(254)
    }

    /// A route to `dst` through the family's gateway, without further attributes.
    #[must_use]
    pub fn plain(dst: IpNet) -> Self {
        Self { dst, gw: None, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// Where a network's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ipam {
    /// Our own lease store.
    BuiltIn {
        /// One address is taken from each set.
        ranges: Vec<RangeSet>,
        /// Fixed addresses of every attachment of this network (so usually of its only one).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<FixedAddress>,
        /// Routes inside the container; `None`: a default route for each family in use.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        routes: Option<Vec<ContainerRoute>>,
        /// Where leases are kept if not below the state directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_dir: Option<PathBuf>,
    },
    /// Another CNI IPAM plugin, found on `CNI_PATH`.
    Delegated {
        /// Its file name.
        plugin: String,
    },
}

/// A fixed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedAddress {
    /// The address with its prefix length.
    pub net: IpNet,
    /// The gateway to use with it on a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

impl Ipam {
    /// The networks that its addresses are from.
    #[must_use]
    pub fn networks(&self) -> Vec<IpNet> {
        let Self::BuiltIn { ranges, addresses, .. } = self else { return Vec::new() };
        let ranges = ranges.iter().flat_map(|set| &set.0).map(|range| range.subnet);
        ranges.chain(addresses.iter().map(|address| super::single(address.net.addr()))).collect()
    }

    /// The subnets of its ranges.
    #[must_use]
    pub fn subnets(&self) -> Vec<IpNet> {
        let Self::BuiltIn { ranges, .. } = self else { return Vec::new() };
        ranges.iter().flat_map(|set| &set.0).map(|range| range.subnet.trunc()).collect()
    }

    /// The family of each address that an attachment gets, as far as the configuration says.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let Self::BuiltIn { ranges, addresses, .. } = self else { return Vec::new() };
        let ranges = ranges.iter().filter_map(|set| set.0.first()).map(|range| range.subnet.family());
        ranges.chain(addresses.iter().map(|address| address.net.family())).collect()
    }
}

/// What to do about IP forwarding on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forwarding {
    /// Turn on what is needed, without losing a default route learnt from router advertisements.
    Enable,
    /// Refuse if it is off.
    Require,
    /// Do nothing.
    Leave,
}

/// Name servers and search domains, passed on to the runtime, which writes the container's resolv.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Addresses of name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}
