//! The `ipam` object of our own allocator; any other `ipam.type` is a foreign plugin's business.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::Unknown;
use super::forgiving;
use crate::error::{Code, Error, Result};
use crate::model::{
    Addressing, ContainerRoute, FixedAddress, Ipam, Mode, Range, RangeSet, parse_address, parse_network,
};

/// `ipam`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpamKey {
    /// `springline`: built in. Any other name is a CNI IPAM plugin on `CNI_PATH`, whose keys are its own.
    #[serde(default, rename = "type")]
    pub plugin: String,
    /// One address is taken from each outer entry; the ranges inside an entry are alternatives.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub ranges: Vec<Vec<RangeKey>>,
    /// Fixed addresses, beside or instead of ranges.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub addresses: Vec<AddressKey>,
    /// Routes inside the container; absent: a default route for each family in use.
    pub routes: Option<Vec<ContainerRouteKey>>,
    /// Keep leases here, with fsync, instead of below the state directory.
    pub data_dir: Option<String>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A range; the keys mean what they mean to `host-local`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct RangeKey {
    /// The subnet.
    pub subnet: String,
    /// First address to give out; the first of the subnet unless given.
    #[serde(default, rename = "rangeStart", alias = "rangestart", skip_serializing_if = "Option::is_none")]
    pub range_start: Option<String>,
    /// Last address to give out; the last of the subnet unless given.
    #[serde(default, rename = "rangeEnd", alias = "rangeend", skip_serializing_if = "Option::is_none")]
    pub range_end: Option<String>,
    /// The gateway, never given out; the first address of the subnet unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Networks of which nothing is given out, unless it is asked for by name.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub exclude: Vec<String>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A fixed address: a text, or an object with the gateway to use on a bridge.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected an address, or an object with address and gateway")]
pub enum AddressKey {
    /// The address.
    Plain(String),
    /// The address and its gateway.
    WithGateway {
        /// The address with its prefix length.
        address: String,
        /// The gateway.
        gateway: Option<String>,
        /// Whatever else was given.
        #[serde(flatten)]
        #[schemars(skip)]
        unknown: Unknown,
    },
}

/// A route inside the container, as in a CNI 1.1 result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerRouteKey {
    /// The destination.
    pub dst: String,
    /// The next hop; absent: the family's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<String>,
    /// MTU along the path, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u32>")]
    pub mtu: Option<u64>,
    /// Advertised maximum segment size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u32>")]
    pub advmss: Option<u64>,
    /// Metric.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u32>")]
    pub priority: Option<u64>,
    /// Routing table number.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u32>")]
    pub table: Option<u64>,
    /// Scope: 0 universe, 253 link, 254 host.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    #[schemars(with = "Option<u8>")]
    pub scope: Option<u64>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

impl IpamKey {
    /// Checks the ranges, addresses and routes against each other.
    pub fn to_model(&self, mode: &Mode, extra: &[Vec<RangeKey>]) -> Result<Ipam> {
        let sets = extra.iter().chain(&self.ranges);
        let ranges = sets.map(|set| range_set(set, mode)).collect::<Result<Vec<_>>>()?;
        refuse_overlaps(&ranges)?;
        // Each verb may be called in another directory, and would look for leases there.
        if let Some(relative) = self.data_dir.as_ref().filter(|dir| !dir.is_empty() && !Path::new(dir).is_absolute()) {
            return Err(invalid("ipam.dataDir", format!("{relative:?} is not absolute: it has to begin with a slash")));
        }
        let addresses = self.addresses.iter().map(AddressKey::to_model).collect::<Result<_>>()?;
        let routes = self.routes.as_ref().map(|routes| routes.iter().map(ContainerRouteKey::to_model).collect());
        Ok(Ipam::BuiltIn {
            ranges,
            addresses,
            routes: routes.transpose()?,
            data_dir: self.data_dir.as_ref().map(Into::into),
        })
    }
}

fn range_set(set: &[RangeKey], mode: &Mode) -> Result<RangeSet> {
    let ranges = set.iter().map(|range| range.to_model(mode)).collect::<Result<Vec<_>>>()?;
    let [first, rest @ ..] = ranges.as_slice() else {
        return Err(invalid("ipam.ranges", "has an empty entry: each needs at least one range"));
    };
    if rest.iter().any(|range| range.subnet.family() != first.subnet.family()) {
        return Err(invalid("ipam.ranges", "mixes IPv4 and IPv6 in one entry: give each family an entry of its own"));
    }
    Ok(RangeSet(ranges))
}

fn refuse_overlaps(sets: &[RangeSet]) -> Result<()> {
    let all: Vec<&Range> = sets.iter().flat_map(|set| &set.0).collect();
    for (at, one) in all.iter().enumerate() {
        if let Some(other) = all[at + 1..].iter().find(|other| one.start <= other.end && other.start <= one.end) {
            let why = format!("{}-{} and {}-{} overlap", one.start, one.end, other.start, other.end);
            return Err(invalid("ipam.ranges", why));
        }
    }
    Ok(())
}

impl RangeKey {
    fn to_model(&self, mode: &Mode) -> Result<Range> {
        let subnet = parse_network(&self.subnet).map_err(|why| invalid("ipam.ranges.subnet", why))?;
        let inside = |key: &str, text: &Option<String>| -> Result<Option<IpAddr>> {
            let Some(text) = text else { return Ok(None) };
            let address = parse_ip(key, text)?;
            if subnet.contains(&address) {
                Ok(Some(address))
            } else {
                Err(invalid(key, format!("{address} is not in {subnet}")))
            }
        };
        let first = usable(subnet);
        // Up to two addresses (/31, /32) there is none to spare for a gateway or a network address.
        let tiny = subnet.max_prefix_len() - subnet.prefix_len() < 2;
        let start = inside("ipam.ranges.rangeStart", &self.range_start)?.unwrap_or(first.0);
        let end = inside("ipam.ranges.rangeEnd", &self.range_end)?.unwrap_or(first.1);
        if start > end {
            return Err(invalid("ipam.ranges", format!("rangeStart {start} is after rangeEnd {end}")));
        }
        let bridged = matches!(mode, Mode::Bridged(_));
        if bridged && !tiny && (start < first.0 || end > first.1) {
            let why = format!("{start}-{end} includes the network's own or broadcast address, which no host can have");
            return Err(invalid("ipam.ranges", why));
        }
        let gateway = match &self.gateway {
            Some(text) => {
                let gateway = parse_ip("ipam.ranges.gateway", text)?;
                if gateway.family() != subnet.family() {
                    return Err(invalid("ipam.ranges.gateway", format!("{gateway} is not of the family of {subnet}")));
                }
                Some(gateway)
            }
            None if tiny => None,
            None => Some(first.0),
        };
        let exclude =
            self.exclude.iter().map(|text| parse_network(text).map_err(|why| invalid("ipam.ranges.exclude", why)));
        Ok(Range { subnet, start, end, gateway, exclude: exclude.collect::<Result<_>>()? })
    }
}

/// The first and last address of a subnet that a host can have, as `host-local` counts them: without the
/// network's own, and for IPv4 without the broadcast address.
fn usable(subnet: IpNet) -> (IpAddr, IpAddr) {
    match subnet {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            let (first, last) = (u32::from(net.network()) + 1, u32::from(net.broadcast()) - 1);
            (IpAddr::V4(first.into()), IpAddr::V4(last.into()))
        }
        IpNet::V6(net) if net.prefix_len() < 127 => {
            (IpAddr::V6((u128::from(net.network()) + 1).into()), IpAddr::V6(net.broadcast()))
        }
        _ => (subnet.network(), subnet.broadcast()),
    }
}

impl AddressKey {
    fn to_model(&self) -> Result<FixedAddress> {
        let (address, gateway) = match self {
            Self::Plain(address) => (address, None),
            Self::WithGateway { address, gateway, .. } => (address, gateway.as_ref()),
        };
        let net = parse_address(address).map_err(|why| invalid("ipam.addresses", why))?;
        let gateway = gateway.map(|text| parse_ip("ipam.addresses.gateway", text)).transpose()?;
        Ok(FixedAddress { net, gateway })
    }
}

impl ContainerRouteKey {
    /// Checks destination, next hop and number ranges.
    pub fn to_model(&self) -> Result<ContainerRoute> {
        let dst = parse_network(&self.dst).map_err(|why| invalid("ipam.routes.dst", why))?;
        let gw = self.gw.as_deref().filter(|gw| !gw.is_empty()).map(|gw| parse_ip("ipam.routes.gw", gw)).transpose()?;
        if gw.is_some_and(|gw| gw.family() != dst.family() && gw.is_ipv4()) {
            return Err(invalid(
                "ipam.routes.gw",
                format!("{dst} cannot have the IPv4 next hop {}", self.gw.as_deref().unwrap_or_default()),
            ));
        }
        let number = |key: &str, value: Option<u64>| {
            let narrow = |value| u32::try_from(value).map_err(|_| invalid(key, format!("{value} is too large")));
            value.map(narrow).transpose()
        };
        let scope = self.scope.map(|scope| {
            u8::try_from(scope).map_err(|_| invalid("ipam.routes.scope", format!("{scope} is not in 0..255")))
        });
        Ok(ContainerRoute {
            dst,
            gw,
            mtu: number("ipam.routes.mtu", self.mtu)?,
            advmss: number("ipam.routes.advmss", self.advmss)?,
            priority: number("ipam.routes.priority", self.priority)?,
            table: number("ipam.routes.table", self.table)?,
            scope: scope.transpose()?,
        })
    }
}

impl From<&ContainerRoute> for ContainerRouteKey {
    fn from(route: &ContainerRoute) -> Self {
        Self {
            dst: route.dst.to_string(),
            gw: route.gw.map(|gw| gw.to_string()),
            mtu: route.mtu.map(u64::from),
            advmss: route.advmss.map(u64::from),
            priority: route.priority.map(u64::from),
            table: route.table.map(u64::from),
            scope: route.scope.map(u64::from),
            unknown: Unknown::new(),
        }
    }
}

fn parse_ip(key: &str, text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| invalid(key, format!("{text:?} is not an IP address")))
}

pub(super) fn invalid(key: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidConfig, format!("{key}: {why}")).context("invalid configuration")
}
