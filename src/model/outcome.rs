//! What an attachment has come to, and what another IPAM plugin gave for it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Address, Addressing, ContainerRoute, Dns, Family, Mac};

/// The result of an attachment, in no front's spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The links: a bridge if there is one, the host side, and last the container's.
    pub links: Vec<OutcomeLink>,
    /// The container's addresses.
    pub addresses: Vec<OutcomeAddress>,
    /// The container's routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<ContainerRoute>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
}

/// A link of the attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeLink {
    /// Its name.
    pub name: String,
    /// Its MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The container's namespace; `None` for a link of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
}

/// An address of the container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeAddress {
    /// The address with its prefix length.
    pub net: IpNet,
    /// Its gateway, if it is of the same family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

impl Outcome {
    /// The first address of a family, which is the one that the container is known by.
    #[must_use]
    pub fn address_of(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(|address| address.net.addr()).find(|address| address.family() == family)
    }
}

/// What a delegated IPAM plugin gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes inside the container; `None`: default routes.
    pub routes: Option<Vec<ContainerRoute>>,
    /// Name servers.
    pub dns: Dns,
}
