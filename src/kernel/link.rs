//! Messages about links.

use std::os::fd::AsRawFd;

use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, BridgePortState, BridgeStpState, In6AddrGenMode, InetDevConf, InfoBridge,
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVeth, LinkAttribute, LinkFlags, LinkHeader, LinkInfo,
    LinkMessage, State,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkDummy, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::endpoint::Endpoint;
use super::netns::Netns;
use super::socket::{Answer, KernelError, Request};
use crate::model::{self as plan_model, IfName, LINK_GROUP, Mac};
use crate::plan::{BridgeLink, Holder, Ifb, Link, LinkKind, Port, Veth};

/// Creates a veth pair: the host side here, the peer inside `netns` under its final name. The peer cannot
/// be born up (ENOTCONN: `veth_open()` finds no partner yet), and the host side shall not be before its
/// sysctls are set.
pub(crate) fn create_veth(veth: &Veth, master: Option<u32>, netns: &Netns) -> Request {
    let peer = LinkUnspec::new_with_name(veth.peer.as_str())
        .address(veth.mac.octets().to_vec())
        .mtu(veth.mtu)
        .setns_by_fd(netns.file().as_raw_fd());
    let peer = match veth.txqueuelen {
        Some(length) => peer.append_extra_attribute(LinkAttribute::TxQueueLen(length)),
        None => peer,
    };
    let peer = peer.build();
    let mut host = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(veth.host.as_str())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .address(veth.host_mac.octets().to_vec())
        .mtu(veth.host_mtu)
        .link_group(LINK_GROUP);
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
pub(crate) async fn create_holder(endpoint: &Endpoint, holder: &Holder) -> Answer {
    let name = holder.name.as_str();
    // The builders' own idea is to create these links up: too early for `addrgenmode none`.
    let dummy = LinkDummy::new(name).link_group(LINK_GROUP).set_header(LinkHeader::default()).build();
    match endpoint.socket.request(Request::create(Message::NewLink(dummy))).await {
        Err(error) if error.is_unsupported() => {
            let bridge = LinkBridge::new(name).link_group(LINK_GROUP).set_header(LinkHeader::default());
            endpoint.socket.request(Request::create(Message::NewLink(bridge.build()))).await
        }
        answer => answer,
    }
}

/// Marks a link as ours. By its index: had somebody else just taken the name, this would mark theirs.
pub(crate) fn set_alias(index: u32, alias: &str) -> Request {
    Request::plain(Message::SetLink(LinkUnspec::new_with_index(index).alias(alias).build()))
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
pub(crate) fn set_flags(index: u32, flags: plan_model::LinkFlags) -> Request {
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
    Request::plain(Message::GetLink(LinkUnspec::new_with_name(name.as_str()).build()))
}

/// Asks for one link by index.
pub(crate) fn get_index(index: u32) -> Request {
    Request::plain(Message::GetLink(LinkUnspec::new_with_index(index).build()))
}

/// A link as the kernel shows it.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub index: u32,
    /// The index of its peer (veth) or lower link.
    pub peer: Option<u32>,
    /// The index of the bridge of which it is a port.
    pub master: Option<u32>,
    /// Whether it is operational (`IFF_LOWER_UP`, `IF_OPER_UP`), its transmit queue active, and if it is a
    /// port, the port enabled.
    pub carrier: bool,
    /// What a plan needs to know; the master is left open.
    pub link: Link,
}

impl LinkView {
    /// What an answer to [`get`] says; an error if it holds no link.
    pub(crate) fn from_answer(answer: Answer) -> Result<Self, KernelError> {
        let found = answer?.iter().find_map(Self::from_message);
        found.ok_or_else(|| KernelError::of(nix::errno::Errno::EPROTO, "the answer holds no link that can be read"))
    }

    /// What a message says; `None` for anything but a named link.
    pub(crate) fn from_message(message: &Message) -> Option<Self> {
        let Message::NewLink(message) = message else { return None };
        let name = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => IfName::parse(name).ok(),
            _ => None,
        })?;
        let mut view = Self {
            name,
            index: message.header.index,
            peer: None,
            master: None,
            carrier: message.header.flags.contains(LinkFlags::LowerUp),
            link: Link::new(LinkKind::Other(String::new()), 0),
        };
        view.link.up = message.header.flags.contains(LinkFlags::Up);
        view.link.flags = plan_model::LinkFlags {
            promisc: message.header.flags.contains(LinkFlags::Promisc),
            allmulti: message.header.flags.contains(LinkFlags::Allmulti),
        };
        view.read_attributes(message);
        Some(view)
    }

    fn read_attributes(&mut self, message: &LinkMessage) {
        let link = &mut self.link;
        let mut spans_tree = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => link.mac = Mac::from_kernel(bytes),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::Link(index) => self.peer = Some(*index),
                LinkAttribute::Controller(index) => self.master = Some(*index),
                // A link that was up from the start never leaves "unknown" (RFC 2863, operstates.rst).
                LinkAttribute::OperState(state) => self.carrier &= matches!(state, State::Up | State::Unknown),
                // Before dev_activate(), packets are given to a queue that drops them.
                LinkAttribute::Qdisc(name) => self.carrier &= name != "noop",
                LinkAttribute::LinkInfo(infos) => {
                    read_infos(link, infos);
                    self.carrier &= !is_disabled_port(infos);
                    spans_tree |= has_stp(infos);
                }
                LinkAttribute::AfSpecUnspec(specs) => read_specs(link, specs),
                _ => {}
            }
        }
        // Its carrier is that of ports which forward, and with the protocol on that takes half a minute.
        self.carrier |= spans_tree;
    }
}

/// Whether it is a bridge with the spanning tree protocol on.
fn has_stp(infos: &[LinkInfo]) -> bool {
    let is_on = |info: &InfoBridge| matches!(info, InfoBridge::StpState(state) if *state != BridgeStpState::Disabled);
    infos.iter().any(|info| matches!(info, LinkInfo::Data(InfoData::Bridge(settings)) if settings.iter().any(is_on)))
}

/// Whether it is a bridge port that takes no packets. With STP, a port that listens or learns is on its way;
/// that takes half a minute and is not waited for.
fn is_disabled_port(infos: &[LinkInfo]) -> bool {
    infos.iter().any(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(flags)) => {
            flags.iter().any(|flag| matches!(flag, InfoBridgePort::State(BridgePortState::Disabled)))
        }
        _ => false,
    })
}

fn read_infos(link: &mut Link, infos: &[LinkInfo]) {
    for info in infos {
        match info {
            LinkInfo::Kind(InfoKind::Veth) => link.kind = LinkKind::Veth,
            LinkInfo::Kind(InfoKind::Bridge) => link.kind = LinkKind::Bridge,
            LinkInfo::Kind(InfoKind::Dummy) => link.kind = LinkKind::Dummy,
            LinkInfo::Kind(kind) => link.kind = LinkKind::Other(kind.to_string()),
            LinkInfo::PortData(InfoPortData::BridgePort(flags)) => {
                for flag in flags {
                    match flag {
                        InfoBridgePort::Isolated(on) => link.port.0 = *on,
                        InfoBridgePort::HairpinMode(on) => link.port.1 = *on,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn read_specs(link: &mut Link, specs: &[AfSpecUnspec]) {
    let ipv6 = specs.iter().filter_map(|spec| match spec {
        AfSpecUnspec::Inet6(values) => Some(values),
        _ => None,
    });
    for value in ipv6.flatten() {
        if let AfSpecInet6::AddrGenMode(mode) = value {
            link.address_generation = *mode != In6AddrGenMode::None;
        }
    }
}
