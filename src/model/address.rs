//! Addresses, prefixes and how routes toward a container are marked.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::IfName;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The prefix of everything: `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub fn default_route(self) -> IpNet {
        match self {
            Self::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Self::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
        }
    }
}

/// What has an address family.
pub trait Addressing {
    /// The address family.
    fn family(&self) -> Family;
}

impl Addressing for IpAddr {
    fn family(&self) -> Family {
        if self.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl Addressing for IpNet {
    fn family(&self) -> Family {
        self.addr().family()
    }
}

/// The prefix that holds just `address`: /32 or /128.
#[must_use]
pub fn single(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// A text that is no address or network, or one that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPrefix {
    value: String,
    why: &'static str,
}

impl fmt::Display for InvalidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.value, self.why)
    }
}

impl std::error::Error for InvalidPrefix {}

/// Parses an address with or without prefix length (`10.0.0.5`, `10.0.0.5/24`); without one it is a
/// single address. IPv4-mapped IPv6 addresses become IPv4, so that one address has one spelling.
pub fn parse_address(text: &str) -> Result<IpNet, InvalidPrefix> {
    let invalid = |why| InvalidPrefix { value: text.to_owned(), why };
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => text.parse::<IpAddr>().map(single).map_err(|_| invalid("is not an IP address"))?,
    };
    let net = match net {
        IpNet::V6(v6) => match v6.addr().to_ipv4_mapped() {
            Some(v4) if v6.prefix_len() >= 96 => {
                IpNet::new(v4.into(), v6.prefix_len() - 96).map_err(|_| invalid("is not an IP address"))?
            }
            _ => net,
        },
        IpNet::V4(_) => net,
    };
    let address = net.addr();
    if address.is_unspecified() || address.is_multicast() {
        return Err(invalid("is not the address of one interface (unspecified or multicast)"));
    }
    Ok(net)
}

/// Parses a network (`10.0.0.0/24`); a bare address is a network of one. Host bits are refused: they are
/// nearly always a slip of the pen, and the kernel refuses such a route with a bare EINVAL.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidPrefix> {
    let invalid = |why| InvalidPrefix { value: text.to_owned(), why };
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => text.parse::<IpAddr>().map(single).map_err(|_| invalid("is not a network in CIDR notation"))?,
    };
    if net != net.trunc() {
        return Err(invalid("has bits set beyond its prefix length"));
    }
    Ok(net)
}

/// How the host's routes toward a container are marked, for routing daemons to pick up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoutes {
    /// Routing table number; 254 is `main`.
    pub table: u32,
    /// Metric; 0 leaves it to the kernel (0 for IPv4, 1024 for IPv6).
    pub metric: u32,
    /// `rtm_protocol`. 171 is free in `include/uapi/linux/rtnetlink.h`, and neither FRR nor BIRD takes it
    /// for its own (186 would be BGP, and FRR sweeps those).
    pub protocol: u8,
    /// Networks to which the host answers "unreachable" wherever no container has the address: else a packet for one
    /// that has gone would follow the default route, back to the router that sent it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<IpNet>,
    /// Whether an address that a routing daemon has learnt to be on another host may be given out here, too: so it moves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take_over: bool,
    /// The VRF in which the host's side is: its table is the one above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<IfName>,
}

impl Default for HostRoutes {
    fn default() -> Self {
        Self { table: 254, metric: 0, protocol: 171, pools: Vec::new(), take_over: false, vrf: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        assert_eq!(parse_address("10.0.0.5").unwrap().to_string(), "10.0.0.5/32");
        assert_eq!(parse_address("10.0.0.5/24").unwrap().to_string(), "10.0.0.5/24");
        assert_eq!(parse_address("::ffff:10.0.0.5").unwrap().to_string(), "10.0.0.5/32");
        assert_eq!(parse_address("2001:DB8:0::5").unwrap().to_string(), "2001:db8::5/128");
        for bad in ["", "10.0.0", "10.0.0.5/33", "224.0.0.1", "ff02::1", "0.0.0.0", "::"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert_eq!(parse_network("10.5.5.0/24").unwrap().to_string(), "10.5.5.0/24");
        assert_eq!(parse_network("10.5.5.1").unwrap().to_string(), "10.5.5.1/32");
        assert!(parse_network("10.5.5.1/24").is_err());
    }
}
