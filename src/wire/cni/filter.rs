//! The keys about masquerade, isolation and port maps.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::config::Unknown;
use super::forgiving;
use super::ipam::invalid;
use crate::error::Result;
use crate::model::{Isolation, Masquerade, PortMap, Protocol, parse_network};

/// `masquerade`: whether, or toward which networks not.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "BoolOrExcept")]
pub enum MasqueradeKey {
    /// Toward everything that is not on this host.
    All,
    /// Not at all.
    Off,
    /// Toward everything but some networks.
    Except(MasqueradeObject),
}

/// The schema of [`MasqueradeKey`].
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum BoolOrExcept {
    /// Whether.
    Whether(bool),
    /// With exceptions.
    Except(MasqueradeObject),
}

/// `masquerade` as an object.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasqueradeObject {
    /// Networks toward which the container's own addresses are kept.
    #[serde(default, deserialize_with = "forgiving::or_default")]
    pub except: Vec<String>,
    /// Whatever else was given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

impl TryFrom<Value> for MasqueradeKey {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Null | Value::Bool(false) => Ok(Self::Off),
            Value::Bool(true) => Ok(Self::All),
            Value::Object(_) => serde_json::from_value(value).map(Self::Except).map_err(|error| error.to_string()),
            other => Err(format!("{other} is neither true or false nor an object with \"except\"")),
        }
    }
}

impl MasqueradeKey {
    /// As the model has it.
    pub(super) fn to_model(&self) -> Result<Option<Masquerade>> {
        let except = match self {
            Self::Off => return Ok(None),
            Self::All => &[][..],
            Self::Except(object) => &object.except,
        };
        let parse = |text: &String| parse_network(text).map_err(|why| invalid("masquerade.except", why));
        Ok(Some(Masquerade { except: except.iter().map(parse).collect::<Result<_>>()? }))
    }
}

/// `isolation`: one of the words, or a list of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected \"none\", \"ports\", \"network\", or a list of these")]
pub enum IsolationKey {
    /// One.
    One(IsolationWord),
    /// Several.
    More(Vec<IsolationWord>),
}

/// A kind of isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IsolationWord {
    /// Containers reach each other.
    None,
    /// Containers reach no other container.
    Ports,
    /// Containers reach those of their own network only.
    Network,
}

impl IsolationKey {
    /// As the model has it.
    pub(super) fn to_model(&self) -> Isolation {
        let words = match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::More(words) => words,
        };
        let has = |word| words.contains(&word);
        Isolation { ports: has(IsolationWord::Ports), network: has(IsolationWord::Network) }
    }
}

/// One of `runtimeConfig.portMappings`, its keys in lower case.
#[derive(Debug, Clone, Deserialize)]
pub struct PortMappingKey {
    #[serde(default, rename = "hostport", deserialize_with = "forgiving::number")]
    host_port: u64,
    #[serde(default, rename = "containerport", deserialize_with = "forgiving::number")]
    container_port: u64,
    #[serde(default, deserialize_with = "forgiving::or_default")]
    protocol: String,
    #[serde(default, rename = "hostip", deserialize_with = "forgiving::or_default")]
    host_ip: String,
}

/// The port maps of a call. Those without a host's port say only which ports the container has (Kubernetes), and are
/// passed over.
pub(super) fn port_maps(keys: &[PortMappingKey]) -> Result<Vec<PortMap>> {
    let mut maps: Vec<PortMap> = Vec::new();
    for key in keys.iter().filter(|key| key.host_port != 0) {
        let map = key.to_model()?;
        if maps.contains(&map) {
            continue;
        }
        match maps.iter().find(|there| there.overlaps(&map) && there.container_port != map.container_port) {
            Some(there) => {
                let why = format!(
                    "{map} and {there} are to lead to ports {} and {}",
                    map.container_port, there.container_port
                );
                return Err(invalid("runtimeConfig.portMappings", why));
            }
            None => maps.push(map),
        }
    }
    Ok(maps)
}

impl PortMappingKey {
    fn to_model(&self) -> Result<PortMap> {
        let wrong = |why: String| invalid("runtimeConfig.portMappings", why);
        let port = |name: &str, value: u64| match u16::try_from(value) {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(wrong(format!("{name} {value} is not a port (1 to 65535)"))),
        };
        let protocol = Protocol::parse(&self.protocol)
            .ok_or_else(|| wrong(format!("protocol {:?} is none of tcp, udp, sctp", self.protocol)))?;
        let host = match self.host_ip.as_str() {
            "" => None,
            text => {
                let address: IpAddr =
                    text.parse().map_err(|_| wrong(format!("hostIP {text:?} is not an IP address")))?;
                Some(address)
            }
        };
        Ok(PortMap {
            host,
            protocol,
            host_port: port("hostPort", self.host_port)?,
            container_port: port("containerPort", self.container_port)?,
        })
    }
}
