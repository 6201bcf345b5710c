//! Elements: what an attachment adds to a set or map, and takes away again.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Set, TABLE};
use crate::model::{IfName, Mac, Protocol};

/// One field of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// A link's name.
    Link(IfName),
    /// An address.
    Address(IpAddr),
    /// A network; only where [`Set::has_networks`].
    Network(IpNet),
    /// An Ethernet address.
    Mac(Mac),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
}

/// The fields of a key, in the set's order.
pub type Key = Vec<Field>;

/// What an element of a map leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// A chain of the same table.
    Goto(String),
    /// An address and port.
    To(IpAddr, u16),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Element {
    /// The set.
    pub set: Set,
    /// Its key.
    pub key: Key,
    /// What it leads to, in a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

impl Element {
    /// An element of a set.
    #[must_use]
    pub fn of(set: Set, key: impl Into<Key>) -> Self {
        Self { set, key: key.into(), value: None }
    }

    /// An element of a map.
    #[must_use]
    pub fn leading(set: Set, key: impl Into<Key>, value: Value) -> Self {
        Self { set, key: key.into(), value: Some(value) }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(f, "\"{name}\""),
            Self::Address(address) => write!(f, "{address}"),
            Self::Network(net) => write!(f, "{net}"),
            Self::Mac(mac) => write!(f, "{mac}"),
            Self::Protocol(protocol) => write!(f, "{protocol}"),
            Self::Port(port) => write!(f, "{port}"),
        }
    }
}

impl Element {
    /// Table and set.
    pub(super) fn place(&self) -> String {
        format!("{} {TABLE} {}", self.set.part().table(), self.set.name())
    }

    /// Key, what stands behind the key, and if it is asked for, what the element leads to.
    pub(super) fn braced(&self, behind_key: &str, with_value: bool) -> String {
        let key: Vec<String> = self.key.iter().map(ToString::to_string).collect();
        let value = match self.value.as_ref().filter(|_| with_value) {
            None => String::new(),
            Some(Value::Goto(chain)) => format!(" : goto {chain}"),
            Some(Value::To(address, port)) => format!(" : {address} . {port}"),
        };
        format!("{{ {}{behind_key}{value} }}", key.join(" . "))
    }
}

impl fmt::Display for Element {
    /// As `nft` takes it behind `add element` and `delete element`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place(), self.braced("", true))
    }
}
