//! Connection tracking: forgetting connections.

use std::io;
use std::net::IpAddr;

use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};
use rtnetlink::packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK};

use super::KernelError;
use super::netfilter::{self, NetfilterSocket};
use super::transport::Content;

/// `CTA_FILTER` (Linux ≥ 5.8) with `CTA_FILTER_ORIG_FLAGS`: which fields of the tuple must agree.
const FILTER: u16 = 25;
/// `CTA_TUPLE_ORIG`, `IPCTNL_MSG_CT_GET`.
const ORIGINAL: u16 = 1;
const GET: u8 = 1;
const FILTER_ORIGINAL: u16 = 1;
/// `CTA_FILTER_F_CTA_PROTO_NUM` and `CTA_FILTER_F_CTA_PROTO_DST_PORT`.
const PROTOCOL_AND_PORT: u32 = 1 << 3 | 1 << 5;

/// A UDP connection that the kernel remembers.
#[derive(Debug, Clone)]
pub struct Connection {
    /// From which address the first packet came.
    pub from: IpAddr,
    /// To which address of the host it went.
    pub to: IpAddr,
    /// From which address the answers come.
    pub answered_by: IpAddr,
    original: Vec<Tuple>,
}

/// Connection tracking in one network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: NetfilterSocket,
}

impl Conntrack {
    /// Opens a socket in the namespace of the current thread.
    pub fn open() -> io::Result<Self> {
        NetfilterSocket::open().map(|socket| Self { socket })
    }

    /// UDP connections from or to any of these addresses. The kernel tells of all there are.
    pub fn udp_of(&self, addresses: &[IpAddr], ipv6: bool) -> Result<Vec<Connection>, KernelError> {
        let connections = self.connections(message(ipv6, ConntrackMessage::Get(Vec::new())))?;
        let is_of = |one: &Connection| [one.from, one.to, one.answered_by].iter().any(|end| addresses.contains(end));
        Ok(connections
            .into_iter()
            .filter(|one| is_of(one) && one.protocol().contains(&&ProtoTuple::Protocol(Protocol::Udp)))
            .collect())
    }

    fn connections(&self, question: NetfilterMessage) -> Result<Vec<Connection>, KernelError> {
        let answers = self.socket.dump(question, netfilter::read)?;
        let connections = answers.into_iter().filter_map(|answer| match answer.inner {
            NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) => Connection::read(attributes),
            _ => None,
        });
        Ok(connections.collect())
    }

    /// UDP connections to a port. The kernel looks through all connections, but tells of these only.
    pub fn udp_to(&self, port: u16, ipv6: bool) -> Result<Vec<Connection>, KernelError> {
        let ports = vec![ProtoTuple::Protocol(Protocol::Udp), ProtoTuple::DestinationPort(port)];
        let flags = DefaultNla::new(FILTER_ORIGINAL, PROTOCOL_AND_PORT.to_ne_bytes().to_vec());
        // As plain attributes: the crate's own leave out that the filter is nested, which the kernel insists on.
        let attributes = vec![
            DefaultNla::new(ORIGINAL | NLA_F_NESTED, emitted(&Tuple::Proto(ports))),
            DefaultNla::new(FILTER | NLA_F_NESTED, emitted(&flags)),
        ];
        let question =
            NetfilterMessageInner::Other { subsys: NetfilterSubsystem::Conntrack, message_type: GET, attributes };
        let mut message = message(ipv6, ConntrackMessage::Get(Vec::new()));
        message.inner = question;
        Ok(self.connections(message)?.into_iter().filter(|connection| connection.is_to(port)).collect())
    }

    /// Forgets a connection; one that is gone by itself is no error.
    pub fn forget(&self, connection: &Connection) -> Result<(), KernelError> {
        let attributes = vec![ConntrackAttribute::CtaTupleOrig(connection.original.clone())];
        let mut datagram = self.socket.datagram();
        datagram.push(message(connection.to.is_ipv6(), ConntrackMessage::Delete(attributes)), NLM_F_ACK);
        datagram.send()?;
        self.socket.receive(|received| match received.content {
            Content::Refused(error) if !error.is_absent() => Err(error),
            _ => Ok(Some(())),
        })
    }
}

fn message(ipv6: bool, message: ConntrackMessage) -> NetfilterMessage {
    let family = if ipv6 { NetfilterProtoFamily::IPv6 } else { NetfilterProtoFamily::IPv4 };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

fn emitted(attribute: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

impl Connection {
    pub(super) fn read(attributes: Vec<ConntrackAttribute>) -> Option<Self> {
        let (mut original, mut reply) = (None, None);
        for attribute in attributes {
            match attribute {
                ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(tuple),
                ConntrackAttribute::CtaTupleReply(tuple) => reply = Some(tuple),
                _ => {}
            }
        }
        let (original, reply) = (original?, reply?);
        let address = |tuple: &[Tuple], is_source: bool| {
            let addresses = tuple.iter().filter_map(|part| match part {
                Tuple::Ip(addresses) => Some(addresses),
                _ => None,
            });
            addresses.flatten().find_map(|address| match address {
                IPTuple::SourceAddress(address) if is_source => Some(*address),
                IPTuple::DestinationAddress(address) if !is_source => Some(*address),
                _ => None,
            })
        };
        let from = address(&original, true)?;
        Some(Self { from, to: address(&original, false)?, answered_by: address(&reply, true)?, original })
    }

    /// Whether it is one to the port: not every kernel keeps to the filter.
    pub(super) fn is_to(&self, port: u16) -> bool {
        let ports = self.protocol();
        ports.contains(&&ProtoTuple::Protocol(Protocol::Udp)) && ports.contains(&&ProtoTuple::DestinationPort(port))
    }

    /// Its protocol and ports.
    fn protocol(&self) -> Vec<&ProtoTuple> {
        let ports = self.original.iter().filter_map(|part| match part {
            Tuple::Proto(ports) => Some(ports),
            _ => None,
        });
        ports.flatten().collect()
    }
}
