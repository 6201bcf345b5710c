//! A subnet of podman's as a range of ours.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::Subnet;
use crate::error::{Code, Coded, Result};
use crate::model::{parse_address, parse_network};

impl Subnet {
    /// The subnet itself.
    pub(super) fn net(&self) -> Result<IpNet> {
        parse_network(&self.subnet).coded(Code::InvalidConfig, || "subnet")
    }

    /// Its gateway, if it has one.
    pub(super) fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref().filter(|gateway| !gateway.is_empty())
    }

    /// The gateway, or the address that podman will make it.
    pub(super) fn gateway_or_first(&self) -> Result<Option<IpAddr>> {
        match self.gateway() {
            Some(gateway) => Ok(gateway.parse().ok()),
            None => Ok(first_host(self.net()?)),
        }
    }

    /// The range that stands for the subnet. If the addresses are given it is the whole subnet, for they need not be of
    /// the part of it from which addresses are given out.
    pub(super) fn range(&self, net: IpNet, is_given: bool, by_podman: bool, is_bridged: bool) -> Value {
        let mut range = json!({ "subnet": self.subnet });
        match self.gateway() {
            Some(gateway) => range["gateway"] = gateway.into(),
            // Routed, no address of the subnet is a gateway: podman may give out the first one, too.
            None if by_podman && !is_bridged => range["gateway"] = net.network().to_string().into(),
            None => {}
        }
        if is_given {
            if !is_bridged {
                range["rangeStart"] = net.network().to_string().into();
                range["rangeEnd"] = net.broadcast().to_string().into();
            }
            return range;
        }
        let lease = self.lease_range.clone().unwrap_or_default();
        let bound = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (start, end) = (bound(lease.start_ip), bound(lease.end_ip));
        // podman counts a subnet's own and its broadcast address to an --ip-range that ends there.
        let is_no_host = |text: &String| {
            let address = parse_address(text).map(|net| net.addr()).ok();
            let tiny = net.max_prefix_len() - net.prefix_len() < 2;
            !tiny && (address == Some(net.network()) || (net.addr().is_ipv4() && address == Some(net.broadcast())))
        };
        if let Some(start) = start.filter(|start| !is_no_host(start)) {
            range["rangeStart"] = start.into();
        }
        if let Some(end) = end.filter(|end| !is_no_host(end)) {
            range["rangeEnd"] = end.into();
        }
        range
    }
}

/// The first address of a network that a host can have, if it is wide enough to have one to spare.
pub(super) fn first_host(net: IpNet) -> Option<IpAddr> {
    if net.max_prefix_len() - net.prefix_len() < 2 {
        return None;
    }
    match net.network() {
        IpAddr::V4(network) => Some(IpAddr::V4((u32::from(network) + 1).into())),
        IpAddr::V6(network) => Some(IpAddr::V6((u128::from(network) + 1).into())),
    }
}
