//! The routes that make a network unreachable where no container has the address.
//!
//! Without one, a packet to a container that has gone follows the host's default route back to the router that sent it,
//! and the two play ping-pong until its hop limit is used up. Several attachments share such a route: it is made with the
//! first and goes with the last.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::step::{Object, Shared, Step};
use crate::model::Attachment;

/// A route of type `unreachable`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// The network.
    pub dst: IpNet,
    /// Routing table number.
    pub table: u32,
    /// `rtm_protocol`. The kernel deletes by it, too (`fib_table_delete()`, `ip6_route_del()`): a route of somebody
    /// else's to the same network is not hit.
    pub protocol: u8,
}

impl Pool {
    /// The metric: behind any other route to the same network. The kernel's own reject routes of IPv6 have it; and FRR,
    /// which takes the highest byte of a kernel route's metric for its distance, takes one of 255 for no route, so that
    /// nobody announces the whole network because of it.
    pub const METRIC: u32 = u32::MAX;

    /// Those of an attachment.
    pub fn of(attachment: &Attachment) -> impl Iterator<Item = Self> + '_ {
        let marks = &attachment.network.host_routes;
        marks.pools.iter().map(|dst| Self { dst: *dst, table: marks.table, protocol: marks.protocol })
    }
}

/// In the record of each attachment, so that CHECK of any of them finds it missing.
pub(super) fn plan(builder: &mut Builder<'_>, attachment: &Attachment) {
    for pool in Pool::of(attachment) {
        builder.claim(Shared::Pool(pool));
    }
    for pool in Pool::of(attachment) {
        builder.push_unless_recorded(Step::Add(Object::Pool(pool)));
    }
}
