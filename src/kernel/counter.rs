//! Counters of links.

use std::collections::BTreeMap;

use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

use super::endpoint::Endpoint;
use super::socket::{KernelError, Reply};

/// What has passed a link (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Packets that came in.
    pub received_packets: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// Packets that went out.
    pub sent_packets: u64,
}

impl Endpoint {
    /// The counters of all links, by their names.
    pub fn counters(&self) -> Result<BTreeMap<String, Counters>, KernelError> {
        let links = self.socket.dump(&Message::GetLink(LinkMessage::default()))?;
        let read = |reply: &Reply| match reply.message()? {
            Message::NewLink(link) => of_link(&link),
            _ => None,
        };
        Ok(links.iter().filter_map(read).collect())
    }
}

pub(super) fn of_link(link: &LinkMessage) -> Option<(String, Counters)> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    let counters = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(stats) => Some(Counters {
            received_bytes: stats.rx_bytes,
            received_packets: stats.rx_packets,
            sent_bytes: stats.tx_bytes,
            sent_packets: stats.tx_packets,
        }),
        _ => None,
    });
    Some((name, counters.unwrap_or_default()))
}
