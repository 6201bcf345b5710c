//! Results in the shape of every version of the specification.
//!
//! [`ResultDocument`] is the 1.1.0 shape, which holds everything; older shapes are made from it and read
//! into it. Texts stay texts: what an earlier plugin of a chain wrote is handed on as it is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::DnsKey;
use super::forgiving;
use super::ipam::ContainerRouteKey;
use super::version::Version;
use crate::error::{Code, Coded, Error, Result};

/// A result of ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultDocument {
    /// Links, on the host and in the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "forgiving::or_default")]
    pub interfaces: Vec<Interface>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "forgiving::or_default")]
    pub ips: Vec<Ip>,
    /// Routes inside the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "forgiving::or_default")]
    pub routes: Vec<ContainerRouteKey>,
    /// Name servers.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub dns: DnsKey,
}

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its MTU in bytes (since 1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    pub mtu: Option<u64>,
    /// The container's namespace, as the runtime gave it; none for a link of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// A socket file (since 1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_path: Option<String>,
    /// A PCI address (since 1.1.0).
    #[serde(default, rename = "pciID", skip_serializing_if = "Option::is_none")]
    pub pci_id: Option<String>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// Index into the interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "forgiving::optional_number")]
    pub interface: Option<u64>,
    /// The address in CIDR notation, with host bits.
    pub address: String,
    /// The gateway, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

impl Ip {
    fn is_v6(&self) -> bool {
        self.address.contains(':')
    }
}

impl ResultDocument {
    /// The document in the shape of `version`.
    pub fn to_json(&self, version: Version) -> Result<Value> {
        match version {
            Version::V010 | Version::V020 => self.to_v020(version),
            Version::V030 | Version::V031 | Version::V040 => Ok(self.to_v040(version)),
            Version::V100 | Version::V110 => Ok(self.to_v110(version)),
        }
    }

    fn to_v110(&self, version: Version) -> Value {
        let mut document = self.clone();
        if version < Version::V110 {
            for interface in &mut document.interfaces {
                (interface.mtu, interface.socket_path, interface.pci_id) = (None, None, None);
            }
        }
        let mut value = json!(document);
        if document.dns == DnsKey::default() {
            value.as_object_mut().and_then(|object| object.remove("dns"));
        }
        value["cniVersion"] = version.as_str().into();
        value
    }

    /// 0.3.x and 0.4.0: addresses carry their family, `dns` is always there.
    fn to_v040(&self, version: Version) -> Value {
        let mut value = self.to_v110(Version::V100);
        if let Some(ips) = value.get_mut("ips").and_then(Value::as_array_mut) {
            for (ip, own) in ips.iter_mut().zip(&self.ips) {
                ip["version"] = if own.is_v6() { "6" } else { "4" }.into();
            }
        }
        value["dns"] = json!(self.dns);
        value["cniVersion"] = version.as_str().into();
        value
    }

    /// 0.1.0 and 0.2.0: one address of each family, with the routes of that family.
    fn to_v020(&self, version: Version) -> Result<Value> {
        let mut value = Map::new();
        value.insert("cniVersion".into(), version.as_str().into());
        for (key, v6) in [("ip4", false), ("ip6", true)] {
            let Some(ip) = self.ips.iter().find(|ip| ip.is_v6() == v6) else { continue };
            let mut family = json!({ "ip": ip.address });
            if let Some(gateway) = &ip.gateway {
                family["gateway"] = gateway.as_str().into();
            }
            let routes = self.routes.iter().filter(|route| route.dst.contains(':') == v6);
            let routes = routes.map(|route| match &route.gw {
                Some(gw) => json!({ "dst": route.dst, "gw": gw }),
                None => json!({ "dst": route.dst }),
            });
            let routes: Vec<Value> = routes.collect();
            if !routes.is_empty() {
                family["routes"] = routes.into();
            }
            value.insert(key.into(), family);
        }
        if value.len() == 1 {
            let why = format!("a result of version {version} needs an address, and this interface has none");
            return Err(Error::new(Code::InvalidConfig, why).context("cannot convert: no valid IP addresses"));
        }
        value.insert("dns".into(), json!(self.dns));
        Ok(Value::Object(value))
    }

    /// Reads a result of `version`: a `prevResult`, or what a delegated plugin printed. A document without
    /// `cniVersion` is taken for one of `version`; one of another version is refused.
    pub fn parse(value: &Value, version: Version) -> Result<Self> {
        let what = || "result of another plugin";
        let object = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(object) => object,
            other => return Err(Error::new(Code::Decode, format!("{other} is not an object")).context(what())),
        };
        let stated = object.get("cniVersion").and_then(Value::as_str).filter(|stated| !stated.is_empty());
        if let Some(stated) = stated.filter(|stated| *stated != version.as_str()) {
            let why = format!("it has cniVersion {stated:?}, the configuration {version}");
            return Err(Error::new(Code::IncompatibleVersion, why).context(what()));
        }
        if version <= Version::V020 {
            return Self::from_v020(object);
        }
        serde_json::from_value(value.clone()).coded(Code::Decode, what)
    }

    fn from_v020(object: &Map<String, Value>) -> Result<Self> {
        #[derive(Deserialize)]
        struct OneFamily {
            ip: String,
            gateway: Option<String>,
            #[serde(default, deserialize_with = "forgiving::or_default")]
            routes: Vec<ContainerRouteKey>,
        }
        let what = || "result of another plugin";
        let mut document = Self::default();
        for key in ["ip4", "ip6"] {
            let Some(value) = object.get(key).filter(|value| !value.is_null()) else { continue };
            let family: OneFamily = serde_json::from_value(value.clone()).coded(Code::Decode, what)?;
            document.ips.push(Ip { interface: None, address: family.ip, gateway: family.gateway });
            document.routes.extend(family.routes);
        }
        if let Some(dns) = object.get("dns").filter(|value| !value.is_null()) {
            document.dns = serde_json::from_value(dns.clone()).coded(Code::Decode, what)?;
        }
        Ok(document)
    }

    /// This result behind `earlier` in a chain: interfaces appended, indices shifted, name servers kept
    /// unless we have some.
    #[must_use]
    pub fn after(self, mut earlier: Self) -> Self {
        let shift = earlier.interfaces.len() as u64;
        earlier.interfaces.extend(self.interfaces);
        earlier.ips.extend(self.ips.into_iter().map(|ip| Ip { interface: ip.interface.map(|at| at + shift), ..ip }));
        earlier.routes.extend(self.routes);
        if self.dns != DnsKey::default() {
            earlier.dns = self.dns;
        }
        earlier
    }
}
