//! Messages about addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use rtnetlink::{AddressMessageBuilder, packet_route::AddressFamily};

use super::socket::Request;
use crate::model::{Addressing, Family, IfName};
use crate::plan::LinkAddress;

/// Adds an address. IPv6 without duplicate address detection: nobody else is on a veth, and on a bridge the
/// lease is the proof; with it, the address would be unusable for one to two seconds.
pub(crate) fn add(index: u32, address: &LinkAddress) -> Request {
    let mut message = build(index, address.net);
    if address.host_scope {
        message.header.scope = AddressScope::Host;
    }
    if address.net.family() == Family::V6 {
        message.header.flags |= AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    Request::create(Message::NewAddress(message))
}

/// Deletes an address.
pub(crate) fn delete(index: u32, address: &LinkAddress) -> Request {
    Request::plain(Message::DelAddress(build(index, address.net)))
}

/// No broadcast address on a /31 or /32: one that is computed would make the adjacent address unreachable.
fn build(index: u32, net: IpNet) -> AddressMessage {
    match net {
        IpNet::V4(net) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
    }
}

/// Asks for all addresses of a link.
pub(crate) fn dump_of(index: u32, family: Family) -> Message {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    Message::GetAddress(message)
}

/// Whether an address is there until somebody takes it away (`IFA_F_PERMANENT`).
pub(crate) fn is_permanent(message: &Message) -> bool {
    let Message::NewAddress(message) = message else { return false };
    message.header.flags.contains(AddressHeaderFlags::Permanent)
}

/// The address in a message, on the link called `link`.
pub(crate) fn read(message: &Message, link: &IfName) -> Option<LinkAddress> {
    let Message::NewAddress(message) = message else { return None };
    // IFA_LOCAL is the interface's own address; IFA_ADDRESS may be the other end's.
    let pick = |want_local: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if want_local => Some(*address),
            AddressAttribute::Address(address) if !want_local => Some(*address),
            _ => None,
        })
    };
    let address: IpAddr = pick(true).or_else(|| pick(false))?;
    let net = IpNet::new(address, message.header.prefix_len).ok()?;
    Some(LinkAddress { link: link.clone(), net, host_scope: message.header.scope == AddressScope::Host })
}
