//! VLANs of bridges: messages, and which ones there are.
//!
//! Membership is read with `RTM_GETVLAN` (Linux 5.6), which tells of one port, or of the bridge itself; the older way,
//! a dump of all links with `RTEXT_FILTER_BRVLAN`, tells of every port that the host has.

use rtnetlink::packet_core::NetlinkSerializable;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::link::{BridgeVlanInfoFlags, InfoKind, LinkHeader};
use rtnetlink::{LinkBridge, LinkBridgeVlan, LinkMessageBuilder, LinkVlan};

use super::attributes::{attribute, each, half};
use super::endpoint::Endpoint;
use super::socket::{KernelError, Reply, Request};
use crate::model::LINK_GROUP;
use crate::plan::{BridgeVlan, VlanLink};

/// `RTM_NEWVLAN`, `RTM_GETVLAN` (`include/uapi/linux/rtnetlink.h`).
const NEW_VLAN: u16 = 112;
const GET_VLAN: u16 = 114;

/// `AF_BRIDGE`.
const AF_BRIDGE: u8 = 7;

/// `struct br_vlan_msg`: family, three reserved bytes, index (`include/uapi/linux/if_bridge.h`).
const HEADER: usize = 8;

/// `BRIDGE_VLANDB_*` (ibid.).
const ENTRY: u16 = 1;
const ENTRY_INFO: u16 = 1;
const ENTRY_RANGE: u16 = 2;

/// `BRIDGE_VLAN_INFO_PVID`, `BRIDGE_VLAN_INFO_UNTAGGED` (ibid.).
const UNTAGGED_BOTH_WAYS: u16 = 1 << 1 | 1 << 2;

/// Puts a port into a VLAN, untagged, or the bridge itself, tagged.
pub(crate) fn add(index: u32, vlan: &BridgeVlan) -> Request {
    let flags = BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged;
    let flags = if vlan.is_bridge { BridgeVlanInfoFlags::empty() } else { flags };
    Request::plain(Message::SetLink(membership(index, vlan, flags).build()))
}

/// Takes it out.
pub(crate) fn delete(index: u32, vlan: &BridgeVlan) -> Request {
    Request::plain(Message::DelLink(membership(index, vlan, BridgeVlanInfoFlags::empty()).build()))
}

fn membership(index: u32, vlan: &BridgeVlan, flags: BridgeVlanInfoFlags) -> LinkMessageBuilder<LinkBridgeVlan> {
    let message = LinkBridgeVlan::new(index).vlan(vlan.id, flags);
    if vlan.is_bridge { message.bridge_self() } else { message }
}

/// Creates the host's own link in a VLAN of a bridge, down. It takes the bridge's MAC and MTU.
pub(crate) fn create_link(bridge: u32, link: &VlanLink) -> Request {
    let message = LinkVlan::new(link.name.as_str(), bridge, link.id).link_group(LINK_GROUP);
    Request::create(Message::NewLink(message.set_header(LinkHeader::default()).build()))
}

/// Whether a bridge keeps its VLANs apart. `RTM_NEWLINK`, for `RTM_SETLINK` does not look at what a kind of link has for
/// itself (`rtnl_setlink()` in `net/core/rtnetlink.c`).
pub(crate) fn set_filtering(bridge: u32, on: bool) -> Request {
    let message = LinkMessageBuilder::<LinkBridge>::new_with_info_kind(InfoKind::Bridge).index(bridge);
    Request::plain(Message::NewLink(message.vlan_filtering(on).build()))
}

/// The question for the VLANs of one link.
#[derive(Clone)]
struct GetVlans {
    index: u32,
}

impl NetlinkSerializable for GetVlans {
    fn message_type(&self) -> u16 {
        GET_VLAN
    }

    fn buffer_len(&self) -> usize {
        HEADER
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.fill(0);
        buffer[0] = AF_BRIDGE;
        buffer[4..HEADER].copy_from_slice(&self.index.to_ne_bytes());
    }
}

impl Endpoint {
    /// The VLANs of a bridge's port, or of the bridge itself, each with whether it is without a tag there (PVID,
    /// untagged). None of a link that is neither, and where bridges know no VLANs.
    pub fn vlans(&self, index: u32) -> Result<Vec<(u16, bool)>, KernelError> {
        match self.socket.dump(&GetVlans { index }) {
            Ok(replies) => Ok(replies.iter().flat_map(read).collect()),
            // EINVAL: neither a bridge nor a port (`br_vlan_dump_dev()` in `net/bridge/br_vlan.c`).
            Err(error) if error.is_unsupported() || error.is_absent() || error.is_invalid() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The VLANs that a message tells of: single ones, and ranges of those that are alike.
fn read(reply: &Reply) -> Vec<(u16, bool)> {
    let attributes = reply.payload.get(HEADER..).filter(|_| reply.kind == NEW_VLAN).unwrap_or_default();
    let entries = each(attributes).filter(|(kind, _)| *kind == ENTRY);
    let vlans = entries.filter_map(|(_, entry)| {
        let info = attribute(entry, ENTRY_INFO)?;
        let (flags, first) = (half(info)?, half(info.get(2..)?)?);
        let last = attribute(entry, ENTRY_RANGE).and_then(half).unwrap_or(first);
        Some((first..=last).map(move |id| (id, flags & UNTAGGED_BOTH_WAYS == UNTAGGED_BOTH_WAYS)))
    });
    vlans.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attributes;
    use super::*;

    #[test]
    fn ranges_are_taken_apart_and_damage_ends_it() {
        let info = |flags: u16, id: u16| [flags.to_ne_bytes(), id.to_ne_bytes()].concat();
        let mut attributes = Attributes::default();
        attributes.nest(ENTRY, |entry| entry.put(ENTRY_INFO, &info(6, 7)));
        attributes.nest(ENTRY, |entry| {
            entry.put(ENTRY_INFO, &info(4, 10));
            entry.put(ENTRY_RANGE, &12u16.to_ne_bytes());
        });
        let payload = [vec![0; HEADER], attributes.into_bytes()].concat();
        let found = [(7, true), (10, false), (11, false), (12, false)];
        assert_eq!(read(&Reply::new(NEW_VLAN, &payload)), found);
        assert_eq!(read(&Reply::new(GET_VLAN, &payload)), []);
        for end in 0..payload.len() {
            assert!(read(&Reply::new(NEW_VLAN, &payload[..end])).len() < found.len() + 1);
        }
    }
}
