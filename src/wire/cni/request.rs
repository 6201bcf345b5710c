//! What a CNI call asks for, gathered from all the places where it may stand; and what it is told.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::config::{Config, DnsKey};
use super::forgiving;
use super::ipam::ContainerRouteKey;
use super::result::{Interface, Ip, ResultDocument};
use super::runtime::RuntimeConfig;
use super::{Args, Version};
use crate::error::{Code, Coded, Error, Result};
use crate::model::{
    Address, Assigned, Attachment, AttachmentKey, ContainerRoute, Family, Ipam, Mac, Mode, Network, Outcome, Wish,
    parse_address,
};

/// `args.cni`.
#[derive(Debug, Default, Deserialize)]
struct CniArgs {
    #[serde(default, deserialize_with = "forgiving::or_default")]
    ips: Vec<String>,
    #[serde(default)]
    mac: Option<String>,
}

/// Gathers what a CNI runtime asks for. `runtimeConfig` goes before `args.cni`, which goes before `CNI_ARGS`
/// (CNI conventions: if `args` gives it, the same key of `CNI_ARGS` is ignored).
pub fn asked(config: &Config, runtime: &RuntimeConfig, cni_args: &str) -> Result<Wish> {
    let object = config.args.as_ref().and_then(|args| args.get("cni")).cloned().unwrap_or(Value::Null);
    let args: CniArgs = serde_json::from_value::<Option<CniArgs>>(object)
        .coded(Code::InvalidConfig, || "invalid configuration: args.cni")?
        .unwrap_or_default();
    let env = Args::parse(cni_args);
    let sources = [("runtimeConfig.ips", &runtime.ips), ("args.cni.ips", &args.ips), ("CNI_ARGS: IP", &env.ips)];
    let ips = match sources.into_iter().find(|(_, ips)| !ips.is_empty()) {
        Some((place, ips)) => {
            let parse = |text: &String| parse_address(text).coded(Code::InvalidConfig, || place);
            ips.iter().map(parse).collect::<Result<Vec<_>>>()?
        }
        None => Vec::new(),
    };
    let sources = [("runtimeConfig.mac", &runtime.mac), ("args.cni.mac", &args.mac), ("CNI_ARGS: MAC", &env.mac)];
    let given = sources.into_iter().find_map(|(place, mac)| Some((place, mac.as_ref().filter(|mac| !mac.is_empty())?)));
    let mac = given.map(|(place, mac)| Mac::parse(mac).coded(Code::InvalidConfig, || place)).transpose()?;
    Ok(Wish { ips, mac, routes: Vec::new(), ports: runtime.ports()? })
}

/// The attachment that is wanted, its addresses still open. A network without `ipam` gives no address by itself, but
/// takes one that is asked for by name.
pub fn attachment(
    key: AttachmentKey,
    netns: &str,
    mut network: Network,
    wish: &Wish,
    seed: &str,
) -> Result<Attachment> {
    if network.ipam.is_none() && !wish.ips.is_empty() {
        network.ipam = Some(Ipam::BuiltIn { ranges: Vec::new(), addresses: Vec::new(), routes: None, data_dir: None });
    }
    if matches!(network.mode, Mode::Bridged(_)) && !wish.routes.is_empty() {
        let why = format!("network {} is bridged: the host routes nothing to a container of it", network.name);
        return Err(Error::new(Code::InvalidConfig, why).context("a routed network is asked for"));
    }
    network.routes.extend(&wish.routes);
    let attachment = Attachment::new(key, netns.to_owned(), network, wish.mac, seed);
    let attachment = attachment.coded(Code::InvalidConfig, || "hostInterface")?;
    Ok(Attachment { ports: wish.ports.clone(), ..attachment })
}

/// Old results have no place for an interface without addresses, or with two of a family: refused before
/// anything is done.
pub fn refuse_what_the_version_cannot_say(
    version: Version,
    network: &Network,
    delegated: bool,
    asked: bool,
) -> Result<()> {
    if version >= Version::V030 || delegated {
        return Ok(());
    }
    let families = network.ipam.as_ref().map(Ipam::families).unwrap_or_default();
    if families.is_empty() && !asked {
        let why = format!("a result of version {version} needs an address, and this network gives none");
        return Err(Error::new(Code::InvalidConfig, why).context("cannot convert: no valid IP addresses"));
    }
    let most = Family::BOTH.into_iter().map(|family| families.iter().filter(|other| **other == family).count()).max();
    if most > Some(1) {
        let what = format!("CNI version {version} does not support more than 1 address per family");
        return Err(Error::new(Code::InvalidConfig, "use cniVersion 0.3.0 or newer").context(what));
    }
    Ok(())
}

/// What a delegated IPAM plugin printed.
pub fn read_delegated(printed: &[u8], version: Version) -> Result<Assigned> {
    let what = || "result of the IPAM plugin";
    let value: Value = match printed.trim_ascii() {
        b"" => Value::Null,
        text => serde_json::from_slice(text).coded(Code::Decode, what)?,
    };
    let document = ResultDocument::parse(&value, version)?;
    let addresses = document.ips.iter().map(|ip| {
        let net: IpNet = parse_address(&ip.address).coded(Code::Decode, what)?;
        let gateway = ip.gateway.as_deref().filter(|text| !text.is_empty());
        let gateway = gateway.map(|text| text.parse::<IpAddr>().coded(Code::Decode, what)).transpose()?;
        Ok(Address { net, gateway })
    });
    let routes = document.routes.iter().map(|route| lenient_route(route).to_model());
    let routes = routes.collect::<Result<Vec<ContainerRoute>>>()?;
    Ok(Assigned {
        addresses: addresses.collect::<Result<_>>()?,
        routes: (!routes.is_empty()).then_some(routes),
        dns: document.dns.to_model(),
    })
}

/// Go takes a destination with host bits for the network that it is in.
fn lenient_route(route: &ContainerRouteKey) -> ContainerRouteKey {
    let dst = route.dst.parse::<IpNet>().map_or_else(|_| route.dst.clone(), |net| net.trunc().to_string());
    ContainerRouteKey { dst, ..route.clone() }
}

/// CHECK: the final result of the chain must name our interface, and its addresses must be on it.
pub fn refuse_missing(previous: &ResultDocument, key: &AttachmentKey, found: &[IpNet]) -> Result<()> {
    let ours = previous.interfaces.iter().position(|interface| {
        interface.name == key.ifname.as_str() && interface.sandbox.as_ref().is_some_and(|sandbox| !sandbox.is_empty())
    });
    let Some(ours) = ours else {
        return Err(Error::new(Code::InvalidConfig, format!("it names no interface {} of a container", key.ifname))
            .context("prevResult is not that of this attachment"));
    };
    let addresses = previous.ips.iter().filter(|ip| ip.interface == Some(ours as u64));
    for ip in addresses {
        let missing = ip.address.parse::<IpNet>().is_ok_and(|net| !found.contains(&net));
        if missing {
            return Err(Error::new(Code::Drift, format!("missing: {} on {}", ip.address, key.ifname))
                .context(format!("attachment {key} has drifted")));
        }
    }
    Ok(())
}

impl From<&Outcome> for ResultDocument {
    fn from(outcome: &Outcome) -> Self {
        let container = outcome.links.len().checked_sub(1).map(|last| last as u64);
        let interfaces = outcome.links.iter().map(|link| Interface {
            name: link.name.clone(),
            mac: link.mac.map(|mac| mac.to_string()),
            mtu: Some(link.mtu.into()),
            sandbox: link.netns.clone(),
            ..Interface::default()
        });
        let ips = outcome.addresses.iter().map(|address| Ip {
            interface: container,
            address: address.net.to_string(),
            gateway: address.gateway.map(|gateway| gateway.to_string()),
        });
        Self {
            interfaces: interfaces.collect(),
            ips: ips.collect(),
            routes: outcome.routes.iter().map(ContainerRouteKey::from).collect(),
            dns: DnsKey::from(&outcome.dns),
        }
    }
}
