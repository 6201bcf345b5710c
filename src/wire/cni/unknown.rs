//! Unknown keys are refused, each with the nearest known one.
//!
//! The reference plugins take any key silently, so a `gatway` or an `isGateWay` is found out in production.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::config::{BridgeKey, Config, DnsKey};
use super::filter::{MasqueradeKey, MasqueradeObject};
use super::gateway::GatewayObject;
use super::ipam::{AddressKey, ContainerRouteKey, IpamKey, RangeKey};
use super::link::BandwidthKey;
use super::routes::{HostRoutesKey, ProxyObject, RoutedNetworkKey};
use crate::error::{Code, Error, Result};

/// Refuses the first key of `config` that we do not know.
pub(super) fn refuse(config: &Config) -> Result<()> {
    // "cni.dev/…" is reserved for what runtimes add (CNI 1.1, section 1).
    let own = config.unknown.iter().filter(|(key, _)| !key.starts_with("cni.dev/"));
    refuse_in::<Config>("", own)?;
    refuse_in::<HostRoutesKey>("hostRoutes.", &config.host_routes.unknown)?;
    refuse_in::<DnsKey>("dns.", &config.dns.unknown)?;
    if let Some(gateway) = &config.gateway {
        refuse_in::<GatewayObject>("gateway.", &gateway.0.unknown)?;
    }
    if let Some(proxy) = &config.proxy {
        refuse_in::<ProxyObject>("proxy.", &proxy.0.unknown)?;
    }
    for (place, key) in [("masquerade.", &config.masquerade), ("ipMasq.", &config.ip_masq)] {
        if let Some(MasqueradeKey::Except(object)) = key {
            refuse_in::<MasqueradeObject>(place, &object.unknown)?;
        }
    }
    if let Some(bandwidth) = &config.bandwidth {
        refuse_in::<BandwidthKey>("bandwidth.", &bandwidth.unknown)?;
    }
    if let Some(bridge) = &config.bridge {
        refuse_in::<BridgeKey>("bridge.", &bridge.unknown)?;
    }
    config.routes.iter().try_for_each(|route| match route {
        RoutedNetworkKey::Network(_) => Ok(()),
        RoutedNetworkKey::Via { unknown, .. } => refuse_known("routes.", unknown, &["dst", "via"]),
    })
}

/// The same for the `ipam` object of our own allocator.
pub(super) fn refuse_ipam(ipam: &IpamKey) -> Result<()> {
    refuse_in::<IpamKey>("ipam.", &ipam.unknown)?;
    refuse_ranges(&ipam.ranges)?;
    for address in &ipam.addresses {
        if let AddressKey::WithGateway { unknown, .. } = address {
            refuse_known("ipam.addresses.", unknown, &["address", "gateway"])?;
        }
    }
    let routes = ipam.routes.iter().flatten();
    routes.into_iter().try_for_each(|route| refuse_in::<ContainerRouteKey>("ipam.routes.", &route.unknown))
}

fn refuse_ranges(ranges: &[Vec<RangeKey>]) -> Result<()> {
    ranges.iter().flatten().try_for_each(|range| refuse_in::<RangeKey>("ipam.ranges.", &range.unknown))
}

fn refuse_in<'a, T: JsonSchema>(place: &str, keys: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Result<()> {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        return Ok(()); // the usual case does not pay for the schema
    }
    let schema = T::json_schema(&mut SchemaGenerator::default());
    let known: Vec<&str> = match schema.get("properties") {
        Some(Value::Object(properties)) => properties.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    refuse_known(place, keys, &known)
}

fn refuse_known<'a>(
    place: &str,
    keys: impl IntoIterator<Item = (&'a String, &'a Value)>,
    known: &[&str],
) -> Result<()> {
    let Some((key, value)) = keys.into_iter().next() else { return Ok(()) };
    let error = Error::new(Code::UnsupportedField, format!("unknown key {place}{key} with value {value}"))
        .context(format!("unsupported field {place}{key} in network configuration"));
    Err(match nearest(key, known) {
        Some(known) => error.hint(format!("did you mean {place}{known}?")),
        None => error.hint(format!("known keys are: {}", known.join(", "))),
    })
}

/// The known key that was most likely meant: one that begins alike, or differs in a third of the letters at
/// most (`gw` is not a misspelt `dst`).
pub(crate) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let key = key.to_lowercase();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let shortened = key.len() >= 3 && (known.starts_with(&key) || key.starts_with(&known));
        if shortened { 1 } else { strsim::damerau_levenshtein(&key, &known) }
    };
    let near = |(far, known): &(usize, &str)| *far <= (known.len().max(key.len()) / 3).clamp(1, 3);
    known.iter().copied().map(|known| (distance(known), known)).min().filter(near).map(|(_, known)| known)
}

/// Refuses any unknown key of ranges that came with `runtimeConfig.ipRanges`.
pub(super) fn refuse_runtime_ranges(ranges: &[Vec<RangeKey>]) -> Result<()> {
    refuse_ranges(ranges)
}
