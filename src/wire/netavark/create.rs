//! `create`: the network as podman will keep it, with what its user has left open filled in.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Map, Value, json};

use super::Network;
use super::network::Chooser;
use super::subnet::first_host;
use crate::error::{Code, Coded, Error, Result};
use crate::model::{Addressing, Family, stable_hash};

/// From where a network gets an IPv4 subnet if its user names none: the upper half of 10.0.0.0/8, of which podman
/// itself uses only the lower (10.88.0.0/16, 10.89.0.0/16 and on).
const POOL: &str = "10.128.0.0/9";
/// How many /24 there are in it.
const SUBNETS: u32 = 1 << 15;

/// A network that is complete.
#[derive(Debug, Clone)]
pub struct Completed {
    /// What podman is answered: its own document, with what we have filled in.
    pub document: Map<String, Value>,
    /// The same, read.
    pub network: Network,
    /// Its bridge.
    pub bridge: Option<String>,
}

/// Completes the network that podman wants to create. `taken` is what the host has addresses in or routes to.
pub fn complete(mut document: Map<String, Value>, taken: &[IpNet]) -> Result<Completed> {
    let network = read(&document)?;
    let doing = format!("network {}", network.name);
    let bridge = fill_in(&network, &mut document, taken).map_err(|error| error.context(doing))?;
    let network = read(&document)?;
    Ok(Completed { document, network, bridge })
}

fn read(document: &Map<String, Value>) -> Result<Network> {
    serde_path_to_error::deserialize(Value::Object(document.clone())).map_err(|error| {
        let at = error.path().to_string();
        Error::new(Code::Decode, format!("{at}: {}", error.into_inner())).context("not a network of podman's")
    })
}

fn fill_in(network: &Network, document: &mut Map<String, Value>, taken: &[IpNet]) -> Result<Option<String>> {
    let options = network.options()?;
    let chooser = network.chooser(&options)?;
    match (options.ipam.as_deref(), chooser) {
        (Some(_), Chooser::Own) => drop(document.insert("ipam_options".to_owned(), json!({"driver": "springline"}))),
        (Some(_), Chooser::Nobody) => drop(document.insert("ipam_options".to_owned(), json!({"driver": "none"}))),
        _ => {}
    }
    if chooser != Chooser::Nobody {
        let subnets = subnets(network, document.get("subnets"), taken)?;
        let has_ipv6 = subnets.iter().any(|subnet| subnet["subnet"].as_str().is_some_and(|net| net.contains(':')));
        if has_ipv6 {
            document.insert("ipv6_enabled".to_owned(), true.into());
        }
        document.insert("subnets".to_owned(), subnets.into());
    }
    let bridge = network.bridge_name(&options)?;
    if let Some(name) = &bridge {
        document.insert("network_interface".to_owned(), name.as_str().into());
    }
    Ok(bridge)
}

/// The network's subnets: those that are given, and those that are missing.
fn subnets(network: &Network, given: Option<&Value>, taken: &[IpNet]) -> Result<Vec<Value>> {
    let mut subnets = given.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut taken = taken.to_vec();
    for subnet in network.subnets() {
        taken.push(subnet.net()?);
    }
    let has = |family: Family| taken[taken.len() - network.subnets().len()..].iter().any(|net| net.family() == family);
    let wants_ipv6 = network.ipv6_enabled.unwrap_or_default() && !has(Family::V6);
    let identity = network.id.as_deref().filter(|id| !id.is_empty()).unwrap_or(&network.name);
    if subnets.is_empty() {
        subnets.push(json!({ "subnet": free_ipv4(identity, &taken)?.to_string() }));
    }
    if wants_ipv6 {
        subnets.push(json!({ "subnet": free_ipv6(identity, &taken)?.to_string() }));
    }
    if network.is_internal() {
        // For an internal network podman fills in no gateway, and would give its address to the first container.
        for subnet in &mut subnets {
            let net: Option<IpNet> = subnet["subnet"].as_str().and_then(|text| text.parse().ok());
            if let (Some(gateway), None) = (net.and_then(first_host), subnet["gateway"].as_str()) {
                subnet["gateway"] = gateway.to_string().into();
            }
        }
    }
    Ok(subnets)
}

fn overlaps(net: IpNet, taken: &[IpNet]) -> bool {
    taken.iter().any(|other| net.contains(other) || other.contains(&net))
}

/// A /24 of the pool, by the network's id, so that it does not depend on what was there before.
fn free_ipv4(identity: &str, taken: &[IpNet]) -> Result<IpNet> {
    let pool: Ipv4Net = POOL.parse().coded(Code::Internal, || POOL)?;
    #[allow(clippy::cast_possible_truncation)] // any bits of the hash do
    let first = stable_hash(&["subnet", identity]) as u32 % SUBNETS;
    for at in 0..SUBNETS {
        let address = u32::from(pool.network()) + (((first + at) % SUBNETS) << 8);
        let net = Ipv4Net::new(address.into(), 24).coded(Code::Internal, || POOL)?.into();
        if !overlaps(net, taken) {
            return Ok(net);
        }
    }
    Err(no_room("IPv4", &format!("all of {POOL}")))
}

/// A /64 of a unique local prefix (RFC 4193, section 3.2.2), by the network's id.
fn free_ipv6(identity: &str, taken: &[IpNet]) -> Result<IpNet> {
    for attempt in 0..100 {
        let hash = stable_hash(&["subnet", identity, "v6", &attempt.to_string()]) >> 72; // 56 bits are left
        let address = (0xfd << 120) | (hash << 64);
        let net = Ipv6Net::new(Ipv6Addr::from(address), 64).coded(Code::Internal, || "fd00::/8")?.into();
        if !overlaps(net, taken) {
            return Ok(net);
        }
    }
    Err(no_room("IPv6", "fd00::/8"))
}

fn no_room(family: &str, pool: &str) -> Error {
    Error::new(Code::InvalidConfig, format!("the host has routes to {pool}"))
        .context(format!("no free {family} subnet can be chosen"))
        .hint("name one with --subnet")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(more: &Value, taken: &[&str]) -> Result<Completed> {
        let mut document = json!({"name": "n0", "id": "5e", "driver": "springline", "created": "0001-01-01T00:00:00Z",
            "ipv6_enabled": false, "internal": false, "dns_enabled": true});
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        let taken: Vec<IpNet> = taken.iter().map(|text| text.parse().unwrap()).collect();
        complete(document.as_object().unwrap().clone(), &taken)
    }

    fn subnets(more: &Value, taken: &[&str]) -> Vec<String> {
        let document = completed(more, taken).unwrap().document;
        let subnets = document["subnets"].as_array().cloned().unwrap_or_default();
        subnets.iter().map(|subnet| subnet["subnet"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_barest_network_gets_a_free_subnet() {
        let first = subnets(&json!({}), &[]);
        let pool: IpNet = POOL.parse().unwrap();
        assert!(first.len() == 1 && pool.contains(&first[0].parse::<IpNet>().unwrap()), "{first:?}");
        assert_eq!(subnets(&json!({}), &[]), first);
        assert_ne!(subnets(&json!({"id": "5f"}), &[]), first);
        assert_ne!(subnets(&json!({}), &[&first[0]]), first);
        let full = completed(&json!({}), &["10.0.0.0/8"]).unwrap_err().to_string();
        assert!(full.contains("network n0: no free IPv4 subnet") && full.contains("--subnet"), "{full}");
    }

    #[test]
    fn ipv6_is_a_unique_local_prefix() {
        let both = subnets(&json!({"ipv6_enabled": true}), &[]);
        assert!(both.len() == 2 && both[1].starts_with("fd") && both[1].ends_with("::/64"), "{both:?}");
        let given = json!({"ipv6_enabled": true, "subnets": [{"subnet": "fd77::/64"}]});
        assert_eq!(subnets(&given, &[]), ["fd77::/64"]);
        let mixed = subnets(&json!({"ipv6_enabled": true, "subnets": [{"subnet": "10.7.0.0/24"}]}), &[]);
        assert!(mixed[0] == "10.7.0.0/24" && mixed.len() == 2, "{mixed:?}");
    }

    #[test]
    fn what_podman_wrote_is_kept() {
        let more = json!({"options": {"mode": "bridged"}, "labels": {"a": "b"}, "unheard_of": [1]});
        let document = completed(&more, &[]).unwrap().document;
        assert_eq!((&document["labels"], &document["unheard_of"]), (&json!({"a": "b"}), &json!([1])));
        assert_eq!((&document["network_interface"], &document["driver"]), (&json!("sl-n0"), &json!("springline")));
        assert_eq!(document.get("ipam_options"), None);
    }

    #[test]
    fn who_chooses_addresses_is_told_to_podman() {
        let own = completed(&json!({"options": {"ipam": "springline"}}), &[]).unwrap().document;
        assert_eq!(own["ipam_options"], json!({"driver": "springline"}));
        let none = completed(&json!({"ipam_options": {"driver": "none"}}), &[]).unwrap().document;
        assert_eq!(none.get("subnets"), None);
        let internal = completed(&json!({"internal": true, "subnets": [{"subnet": "10.7.0.0/24"}]}), &[]).unwrap();
        assert_eq!(internal.document["subnets"][0]["gateway"], "10.7.0.1");
    }
}
