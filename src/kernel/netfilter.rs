//! A socket to nfnetlink, the family of nf_tables and connection tracking.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_netfilter::NetfilterMessage;
use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_DUMP, NetlinkDeserializable, NetlinkHeader};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;

use super::KernelError;
use super::transport::{Content, Datagram, Received, Transport};

/// A socket in one network namespace.
#[derive(Debug)]
pub(super) struct NetfilterSocket {
    transport: Transport,
}

impl AsFd for NetfilterSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.socket().as_fd()
    }
}

impl NetfilterSocket {
    /// Opens a socket in the namespace of the current thread.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { transport: Transport::open(NETLINK_NETFILTER)? })
    }

    pub(super) fn datagram(&self) -> Datagram<'_> {
        self.transport.datagram()
    }

    /// Hands the next answers to `take`, until it returns something.
    pub(super) fn receive<T>(
        &self,
        take: impl FnMut(Received<'_>) -> Result<Option<T>, KernelError>,
    ) -> Result<T, KernelError> {
        self.transport.receive(take)
    }

    /// Everything that matches a question, as `read` reads it, by its type and what follows its header; nothing if what
    /// is asked about is not there.
    pub(super) fn dump<T>(
        &self,
        question: NetfilterMessage,
        read: impl Fn(u16, &[u8]) -> Result<T, KernelError>,
    ) -> Result<Vec<T>, KernelError> {
        let mut datagram = self.datagram();
        let sequence = datagram.push(question, NLM_F_DUMP);
        datagram.send()?;
        let mut found = Vec::new();
        self.receive(|received| {
            if received.sequence != sequence {
                return Ok(None); // the rest of a dump that was given up
            }
            match received.content {
                Content::Message(kind, payload) => found.push(read(kind, payload)?),
                Content::Done => return Ok(Some(())),
                Content::Refused(error) if error.is_absent() => return Ok(Some(())),
                Content::Refused(error) => return Err(error),
            }
            Ok(None)
        })?;
        Ok(found)
    }
}

/// A message of this type, from what follows its header.
pub(super) fn read(kind: u16, payload: &[u8]) -> Result<NetfilterMessage, KernelError> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    NetfilterMessage::deserialize(&header, payload)
        .map_err(|error| KernelError::of(Errno::EPROTO, format!("undecodable answer: {error}")))
}
