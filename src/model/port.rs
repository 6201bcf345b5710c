//! Port maps: a port of the host that leads to a port of the container.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{Addressing, Family};
use crate::error::{Code, Error, Result};

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
    /// The port maps that `text` stands for: `[ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]`, as with `podman -p`:
    /// `8080:80`, `127.0.0.1:8053-8055:53-55/udp`, `[2001:db8::1]:443:443/tcp`. A single port is both the host's and
    /// the container's.
    pub fn parse_several(text: &str) -> Result<Vec<Self>> {
        let wrong = |why: &str| {
            Error::new(Code::InvalidConfig, why.to_owned())
                .context(format!("port map {text:?}"))
                .hint("it looks like 8080:80, 127.0.0.1:8053-8055:53-55/udp or [2001:db8::1]:443:443")
        };
        let (rest, protocol) = text.split_once('/').unwrap_or((text, ""));
        let protocol = Protocol::parse(protocol).ok_or_else(|| wrong("its protocol is none of tcp, udp, sctp"))?;
        let (host, ports) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").map(|(host, ports)| (Some(host), ports)),
            None if rest.matches(':').count() == 2 => rest.split_once(':').map(|(host, ports)| (Some(host), ports)),
            None => Some((None, rest)),
        }
        .ok_or_else(|| wrong("the end of its address, \"]:\", is missing"))?;
        let host = host.filter(|host| !host.is_empty()).map(str::parse).transpose();
        let host: Option<IpAddr> = host.map_err(|_| wrong("what stands before the ports is not an IP address"))?;
        let (host_ports, ports) = ports.split_once(':').unwrap_or((ports, ports));
        let range =
            |text| port_range(text).ok_or_else(|| wrong("a port is a number from 1 to 65535, a range 8000-8010"));
        let (host_ports, ports) = (range(host_ports)?, range(ports)?);
        if host_ports.len() != ports.len() {
            return Err(wrong("its two ranges are not of the same length"));
        }
        let pairs = host_ports.zip(ports);
        Ok(pairs.map(|(host_port, container_port)| Self { host, protocol, host_port, container_port }).collect())
    }

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

/// `80` or `8000-8010`.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_maps_as_people_write_them() {
        let shown = |text: &str| {
            let maps = PortMap::parse_several(text).unwrap_or_default();
            maps.iter().map(|map| format!("{map}>{}", map.container_port)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("8080:80"), "8080/tcp>80");
        assert_eq!(shown("53/udp"), "53/udp>53");
        assert_eq!(shown("127.0.0.1:8053-8054:53-54/udp"), "127.0.0.1:8053/udp>53 127.0.0.1:8054/udp>54");
        assert_eq!(shown("[2001:db8::1]:443:8443"), "[2001:db8::1]:443/tcp>8443");
        for bad in ["", "0:80", "80:80/icmp", "1-2:80", "[::1:80:80", "a:80:80", "65536:1", "9-8:9-8", "::1:80:80"] {
            assert_eq!(shown(bad), "", "{bad}");
        }
    }
}
