//! Routes, as steps and facts have them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::IfName;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub dst: IpNet,
    /// The next hop; of IPv6 also for an IPv4 destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The link.
    pub link: IfName,
    /// The next hop is on the link even if no connected route says so.
    #[serde(default)]
    pub onlink: bool,
    /// The preferred source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Routing table number.
    pub table: u32,
    /// Metric; 0 leaves it to the kernel.
    #[serde(default)]
    pub metric: u32,
    /// `rtm_protocol`.
    pub protocol: u8,
    /// `rtm_scope`, if it is not to follow from the next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
    /// MTU along the path, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Advertised maximum segment size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
}

impl Route {
    /// The `main` table (`RT_TABLE_MAIN`).
    pub const MAIN: u32 = 254;
    /// `RTPROT_STATIC`: what an administrator's own routes have; used inside the container.
    pub const STATIC: u8 = 4;

    /// A route to `dst` on `link` in the main table.
    #[must_use]
    pub fn on(link: &IfName, dst: IpNet) -> Self {
        Self {
            dst,
            via: None,
            link: link.clone(),
            onlink: false,
            src: None,
            table: Self::MAIN,
            metric: 0,
            protocol: Self::STATIC,
            scope: None,
            mtu: None,
            advmss: None,
        }
    }

    /// The metric as the kernel will report it (`IP6_RT_PRIO_USER` is 1024).
    #[must_use]
    pub fn effective_metric(&self) -> u32 {
        if self.metric == 0 && matches!(self.dst, IpNet::V6(_)) { 1024 } else { self.metric }
    }

    /// Whether the two would collide in the kernel: same table, destination and metric.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        self.table == other.table && self.dst == other.dst && self.effective_metric() == other.effective_metric()
    }

    /// Whether `other` is this route, in another place among those to the same destination.
    #[must_use]
    pub(super) fn is_but_for_its_metric(&self, other: &Self) -> bool {
        self.is(&Self { metric: self.metric, ..other.clone() })
    }

    /// Whether `other`, as the kernel reports it, is this route.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.collides(other) && self.link == other.link && self.via == other.via
    }
}
