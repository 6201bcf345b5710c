//! A socket to nfnetlink, the family of nf_tables and connection tracking.
//!
//! The kernel works on a datagram while `send` is still under way, so the answers are there when it returns: these
//! sockets need no runtime.

use std::cell::Cell;
use std::io;

use netlink_packet_netfilter::NetfilterMessage;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};

use super::KernelError;
use super::socket::refusal;

/// What one receive takes: the kernel makes its answers no longer than this (`NLMSG_GOODSIZE`, or what the reader offers).
const ANSWER: usize = 32768;

/// The kernel's default for what may be under way (`net.core.wmem_default`) is smaller than some transactions.
const LARGE: usize = 128 * 1024;

/// An answer of the kernel.
pub(super) type Answer = NetlinkMessage<NetfilterMessage>;

/// A socket in one network namespace.
#[derive(Debug)]
pub(super) struct NetfilterSocket {
    socket: Socket,
    sequence: Cell<u32>,
}

/// Messages that go as one datagram.
pub(super) struct Datagram<'a> {
    socket: &'a NetfilterSocket,
    bytes: Vec<u8>,
    /// The sequence number of the first message.
    pub(super) begin: u32,
}

impl NetfilterSocket {
    /// Opens a socket in the namespace of the current thread.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_NETFILTER)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: Cell::new(1) })
    }

    pub(super) fn datagram(&self) -> Datagram<'_> {
        Datagram { socket: self, bytes: Vec::new(), begin: self.sequence.get() }
    }

    /// The next answers.
    pub(super) fn receive(&self) -> Result<Vec<Answer>, KernelError> {
        let mut bytes = Vec::with_capacity(ANSWER);
        match self.socket.recv(&mut bytes, libc::MSG_DONTWAIT) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(KernelError::of(Errno::EPROTO, "the kernel did not answer"));
            }
            Err(error) => return Err(error.into()),
        }
        let mut messages = Vec::new();
        let mut rest = bytes.as_slice();
        while rest.len() >= 16 {
            let undecodable = |error| KernelError::of(Errno::EPROTO, format!("undecodable answer: {error}"));
            let message = Answer::deserialize(rest).map_err(undecodable)?;
            let length = (message.header.length as usize).next_multiple_of(4).clamp(16, rest.len());
            messages.push(message);
            rest = &rest[length..];
        }
        Ok(messages)
    }

    /// Everything that matches a question; nothing if what is asked about is not there.
    pub(super) fn dump(&self, question: NetfilterMessage) -> Result<Vec<NetfilterMessage>, KernelError> {
        let mut datagram = self.datagram();
        datagram.push(question, NLM_F_DUMP);
        datagram.send()?;
        let mut found = Vec::new();
        loop {
            for answer in self.receive()? {
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => {
                        return refusal(&error).filter(|error| !error.is_absent()).map_or(Ok(found), Err);
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Datagram<'_> {
    /// Adds a message; its sequence number.
    pub(super) fn push(&mut self, message: NetfilterMessage, flags: u16) -> u32 {
        let sequence = &self.socket.sequence;
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = sequence.replace(sequence.get().wrapping_add(1));
        message.finalize();
        let at = self.bytes.len();
        self.bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut self.bytes[at..]);
        message.header.sequence_number
    }

    pub(super) fn send(self) -> Result<(), KernelError> {
        let socket = &self.socket.socket;
        if self.bytes.len() > LARGE {
            // Twice, for the kernel's own bookkeeping; more than wmem_max needs CAP_NET_ADMIN, which we have.
            let room = self.bytes.len() * 2;
            setsockopt(socket, sockopt::SndBufForce, &room)
                .map_err(|errno| KernelError::of(errno, "SO_SNDBUFFORCE"))?;
        }
        socket.send(&self.bytes, 0)?;
        Ok(())
    }
}
