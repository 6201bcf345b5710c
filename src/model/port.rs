//! Port maps: a port of the host that leads to a port of the container.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Addressing, Family};

/// A transport protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol called `text`, in any case: podman writes `tcp`, Kubernetes `TCP`. Nothing is TCP.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "" | "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// The protocol with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.number() == number)
    }

    /// Its number in the IP header (IANA protocol numbers).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One port of the host that leads to one of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMap {
    /// The host's address; `None`: any of its own. `0.0.0.0` and `::` are any of their family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
}

impl PortMap {
    /// Whether it leads to an address of `family`.
    #[must_use]
    pub fn is_of(&self, family: Family) -> bool {
        self.host.is_none_or(|host| host.family() == family)
    }

    /// Whether it is for every address that the host has, of whichever family it is for.
    #[must_use]
    pub fn is_on_all_addresses(&self) -> bool {
        self.host.is_none_or(|host| host.is_unspecified())
    }

    /// Whether the two claim a port together: same protocol and port, on an address that both have.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = Family::BOTH.into_iter().any(|family| self.is_of(family) && other.is_of(family));
        let on_all = self.is_on_all_addresses() || other.is_on_all_addresses();
        (self.protocol, self.host_port) == (other.protocol, other.host_port)
            && meet
            && (on_all || self.host == other.host)
    }
}

impl fmt::Display for PortMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            Some(host) => write!(f, "{host}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.host_port, self.protocol)
    }
}
