//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Addressing, single};

/// Ranges from which one address is taken together, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSet(pub Vec<Range>);

/// A range of addresses of one subnet; the meaning of the keys is host-local's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The subnet, whose prefix length the addresses get on a bridge.
    pub subnet: IpNet,
    /// The first address that may be given out.
    pub start: IpAddr,
    /// The last address that may be given out.
    pub end: IpAddr,
    /// The gateway; never given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Networks of which nothing is given out, unless it is asked for by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<IpNet>,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&ranges.join(", "))
    }
}

impl Range {
    /// Whether `address` lies between start and end, inclusive.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.start <= address && address <= self.end
    }

    /// The first address that this range and another one both give out.
    #[must_use]
    pub fn first_shared(&self, other: &Self) -> Option<IpAddr> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        if self.subnet.family() != other.subnet.family() || start > end {
            return None;
        }
        let kept_back = |address: IpAddr| {
            let gateways = [self.gateway, other.gateway].into_iter().flatten();
            let of_gateway = gateways.filter(|gateway| *gateway == address).map(single).next();
            let nets = self.exclude.iter().chain(&other.exclude);
            of_gateway.or_else(|| nets.copied().find(|net| net.contains(&address)))
        };
        let mut address = start;
        while let Some(net) = kept_back(address) {
            address = next(net.broadcast())?;
        }
        (address <= end).then_some(address)
    }
}

/// The address after this one, if there is one.
fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(subnet: &str, start: &str, end: &str, exclude: &[&str]) -> Range {
        let exclude = exclude.iter().map(|net| net.parse().unwrap()).collect();
        let [start, end] = [start, end].map(|address| address.parse().unwrap());
        Range { subnet: subnet.parse().unwrap(), start, end, gateway: None, exclude }
    }

    #[test]
    fn what_two_ranges_share() {
        let whole = range("10.0.0.0/24", "10.0.0.1", "10.0.0.254", &[]);
        let shared = |other: &Range| {
            let found = whole.first_shared(other).map(|address| address.to_string());
            assert_eq!(other.first_shared(&whole).map(|address| address.to_string()), found, "either way round");
            found.unwrap_or_default()
        };
        assert_eq!(shared(&whole), "10.0.0.1");
        assert_eq!(shared(&range("10.0.0.0/24", "10.0.0.100", "10.0.0.110", &[])), "10.0.0.100");
        assert_eq!(shared(&range("10.0.0.0/16", "10.0.0.1", "10.0.255.254", &["10.0.0.0/25"])), "10.0.0.128");
        assert_eq!(shared(&range("10.0.0.0/24", "10.0.0.1", "10.0.0.254", &["10.0.0.0/25", "10.0.0.128/25"])), "");
        assert_eq!(shared(&range("10.0.1.0/24", "10.0.1.1", "10.0.1.254", &[])), "");
        assert_eq!(shared(&range("2001:db8::/64", "2001:db8::1", "2001:db8::ff", &[])), "");
        let gateway = Range { gateway: Some(whole.start), ..whole.clone() };
        assert_eq!(shared(&gateway), "10.0.0.2", "a gateway is never given out");
        let last = range("255.255.255.0/24", "255.255.255.254", "255.255.255.255", &["255.255.255.254/31"]);
        assert_eq!(last.first_shared(&last), None, "there is none after the last of all");
    }
}
