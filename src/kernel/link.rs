//! Messages about links.

use std::os::fd::AsRawFd;

use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkHeader,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkDummy, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::endpoint::Endpoint;
use super::netns::Netns;
use super::socket::{Answer, Request};
use crate::model::{self, IfName, LINK_GROUP, Mac};
use crate::plan::{BridgeLink, Holder, Ifb, Port, Veth};

/// A veth works with one queue each way whatever it has (`veth_init_queues()` in `drivers/net/veth.c`, Linux ≥ 5.14), but has
/// as many as the machine may have processors unless it is told otherwise: in `/sys/class/net/LINK/queues` they come and
/// go, between which the kernel waits for all processors (`netif_set_real_num_tx_queues()`), and what they take of memory
/// stays. With two processors, 3 % of an ADD.
const ONE_QUEUE: [LinkAttribute; 2] = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];

/// Creates a veth pair: the host side here, the peer inside `netns` under its final name. The peer cannot
/// be born up (ENOTCONN: `veth_open()` finds no partner yet), and the host side shall not be before its
/// sysctls are set.
pub(crate) fn create_veth(veth: &Veth, master: Option<u32>, netns: &Netns) -> Request {
    let mut peer = LinkUnspec::new_with_name(veth.peer.as_str())
        .address(veth.mac.octets().to_vec())
        .mtu(veth.mtu)
        .setns_by_fd(netns.file().as_raw_fd());
    if let Some(length) = veth.txqueuelen {
        peer = peer.append_extra_attribute(LinkAttribute::TxQueueLen(length));
    }
    let peer = ONE_QUEUE.into_iter().fold(peer, LinkMessageBuilder::append_extra_attribute).build();
    let mut host = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(veth.host.as_str())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .address(veth.host_mac.octets().to_vec())
        .mtu(veth.host_mtu)
        .link_group(LINK_GROUP);
    host = ONE_QUEUE.into_iter().fold(host, LinkMessageBuilder::append_extra_attribute);
    if let Some(master) = master {
        host = host.controller(master);
    }
    Request::create(Message::NewLink(host.build()))
}

/// Creates a bridge, down.
pub(crate) fn create_bridge(bridge: &BridgeLink) -> Request {
    let message = LinkBridge::new(bridge.name.as_str())
        .address(bridge.mac.octets().to_vec())
        .mtu(bridge.mtu)
        .link_group(LINK_GROUP)
        .set_header(LinkHeader::default())
        .build();
    Request::create(Message::NewLink(message))
}

/// Creates an `ifb` link, down.
pub(crate) fn create_ifb(ifb: &Ifb) -> Request {
    let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Ifb).name(ifb.name.as_str());
    Request::create(Message::NewLink(link.link_group(LINK_GROUP).build()))
}

/// Creates the link that holds a shared gateway address: a dummy link, or where the kernel has none a
/// bridge without ports, which answers for its addresses just as well.
pub(crate) fn create_holder(endpoint: &Endpoint, holder: &Holder) -> Answer {
    let name = holder.name.as_str();
    // The builders' own idea is to create these links up: too early for `addrgenmode none`.
    let dummy = LinkDummy::new(name).link_group(LINK_GROUP).set_header(LinkHeader::default()).build();
    match endpoint.socket.request(Request::create(Message::NewLink(dummy))) {
        Err(error) if error.is_unsupported() => {
            let bridge = LinkBridge::new(name).link_group(LINK_GROUP).set_header(LinkHeader::default());
            endpoint.socket.request(Request::create(Message::NewLink(bridge.build())))
        }
        answer => answer,
    }
}

/// Marks a link as ours. By its index: had somebody else just taken the name, this would mark theirs.
pub(crate) fn set_alias(index: u32, alias: &str) -> Request {
    Request::plain(Message::SetLink(LinkUnspec::new_with_index(index).alias(alias).build()))
}

/// Has `request` do what `other` does, too, if both set something of the same link, and it is nothing that the kernel would
/// do sooner in one message than in two: `do_setlink()` gives the alias first, and what belongs to IP last. Each message
/// costs a walk along all IPv6 routes of the namespace while the link is not ready: `netdev_state_change()` ends in
/// `rt6_sync_down_dev()`.
pub(crate) fn join(request: &mut Request, other: &Request) -> bool {
    let (Message::SetLink(message), Message::SetLink(other)) = (&mut request.message, &other.message) else {
        return false;
    };
    let settles_ip = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::AfSpecUnspec(_));
    let may_be_first =
        |attribute: &LinkAttribute| settles_ip(attribute) || matches!(attribute, LinkAttribute::IfAlias(_));
    if message.header != other.header || !message.attributes.iter().all(may_be_first) {
        return false;
    }
    let [LinkAttribute::AfSpecUnspec(more)] = other.attributes.as_slice() else { return false };
    match message.attributes.iter_mut().find(|attribute| settles_ip(attribute)) {
        Some(LinkAttribute::AfSpecUnspec(families)) => families.extend(more.iter().cloned()),
        _ => message.attributes.extend(other.attributes.iter().cloned()),
    }
    true
}

/// Gives a link another name.
pub(crate) fn set_name(index: u32, name: &IfName) -> Request {
    Request::plain(Message::SetLink(LinkUnspec::new_with_index(index).name(name.as_str()).build()))
}

/// Deletes a link.
pub(crate) fn delete(index: u32) -> Message {
    Message::DelLink(LinkUnspec::new_with_index(index).build())
}

/// Sets a link up or down.
pub(crate) fn set_state(index: u32, up: bool) -> Request {
    let link = LinkUnspec::new_with_index(index);
    Request::plain(Message::SetLink(if up { link.up() } else { link.down() }.build()))
}

/// Whether the kernel makes IPv6 link-local addresses for the link.
pub(crate) fn set_address_generation(index: u32, on: bool) -> Request {
    let mode = if on { In6AddrGenMode::Eui64 } else { In6AddrGenMode::None };
    let spec = vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(mode)])];
    let link = LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::AfSpecUnspec(spec));
    Request::plain(Message::SetLink(link.build()))
}

/// ARP for the link's own addresses only, announced when it comes up; see [`crate::plan::Setting::StrictArp`].
pub(crate) fn set_strict_arp(index: u32) -> Request {
    let mut conf = InetDevConf::default();
    (conf.arp_ignore, conf.arp_announce, conf.arp_notify) = (1, 2, 1);
    let spec = vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)])];
    let link = LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::AfSpecUnspec(spec));
    Request::plain(Message::SetLink(link.build()))
}

/// Sets a link's MTU in bytes.
pub(crate) fn set_mtu(index: u32, mtu: u32) -> Request {
    Request::plain(Message::SetLink(LinkUnspec::new_with_index(index).mtu(mtu).build()))
}

/// Sets which frames a link takes beside its own.
pub(crate) fn set_flags(index: u32, flags: model::LinkFlags) -> Request {
    let mut message = LinkUnspec::new_with_index(index).build();
    message.header.change_mask = LinkFlags::Promisc | LinkFlags::Allmulti;
    message.header.flags.set(LinkFlags::Promisc, flags.promisc);
    message.header.flags.set(LinkFlags::Allmulti, flags.allmulti);
    Request::plain(Message::SetLink(message))
}

/// Has the kernel route 127.0.0.0/8 by the link; see [`crate::plan::Object::Loopback`].
pub(crate) fn route_loopback(index: u32) -> Request {
    let mut conf = InetDevConf::default();
    conf.route_localnet = 1;
    let spec = vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)])];
    let link = LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::AfSpecUnspec(spec));
    Request::plain(Message::SetLink(link.build()))
}

/// Sets the MAC; even to what it is, this has the kernel announce the link's addresses.
pub(crate) fn set_mac(index: u32, mac: Mac) -> Request {
    let link = LinkUnspec::new_with_index(index).address(mac.octets().to_vec());
    Request::plain(Message::SetLink(link.build()))
}

/// Sets a port's flags. `RTM_NEWLINK`, for `RTM_SETLINK` does not look at a port's data
/// (`rtnl_setlink()` in `net/core/rtnetlink.c`).
pub(crate) fn set_port(index: u32, port: &Port) -> Request {
    let link = LinkBridgePort::new(index).isolated(port.isolated).hairpin(port.hairpin);
    Request::plain(Message::NewLink(link.build()))
}

/// Asks for one link by name.
pub(crate) fn get(name: &IfName) -> Request {
    get_briefly(LinkUnspec::new_with_name(name.as_str()))
}

/// Asks for one link by index.
pub(crate) fn get_index(index: u32) -> Request {
    get_briefly(LinkUnspec::new_with_index(index))
}

/// Without counters, which are half of what the kernel has to say.
fn get_briefly(link: LinkMessageBuilder<LinkUnspec>) -> Request {
    let brief = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    Request::plain(Message::GetLink(link.append_extra_attribute(brief).build()))
}
