//! Datagrams to the kernel and back, for rtnetlink and nfnetlink alike.
//!
//! The kernel works on a datagram while `send` is still under way, and makes each part of a dump as the one before it
//! is read (`netlink_unicast_kernel()`, `netlink_dump()` in `net/netlink/af_netlink.c`). So answers are there when
//! `send` returns: nothing here waits, and nothing needs a runtime.

use std::cell::Cell;
use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable};
use rtnetlink::sys::{Socket, SocketAddr};

use super::KernelError;
use super::attributes::attribute;

/// What one receive takes: the kernel makes its answers no longer than this (`NLMSG_GOODSIZE`, or what the reader offers).
pub(super) const ANSWER: usize = 32768;

/// The kernel's default for what may be under way (`net.core.wmem_default`) is smaller than some transactions.
const LARGE: usize = 128 * 1024;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// `NLMSG_ERROR`, `NLMSG_DONE` (`include/uapi/linux/netlink.h`); below `NLMSG_MIN_TYPE`, all is netlink's own.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const MIN_TYPE: u16 = 0x10;

/// A netlink socket of whatever family. It stays in the namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Socket,
    sequence: Cell<u32>,
}

/// Messages that go as one datagram.
pub(super) struct Datagram<'a> {
    transport: &'a Transport,
    bytes: Vec<u8>,
    /// The sequence number of the first message.
    pub(super) begin: u32,
}

/// One message of the kernel's.
#[derive(Debug)]
pub(super) struct Received<'a> {
    /// The sequence number of the message that it answers.
    pub(super) sequence: u32,
    /// `NLM_F_*`.
    pub(super) flags: u16,
    /// What it says.
    pub(super) content: Content<'a>,
}

/// What a message of the kernel's says.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// The type of a message, and what follows its header.
    Message(u16, &'a [u8]),
    /// Done as asked; the end of a dump, too.
    Done,
    /// Not done.
    Refused(KernelError),
}

impl Transport {
    /// Opens a socket of a netlink family (`NETLINK_*`) in the namespace of the current thread.
    pub(super) fn open(family: isize) -> io::Result<Self> {
        let socket = Socket::new(family)?;
        socket.connect(&SocketAddr::new(0, 0))?; // so that nobody but the kernel is heard
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: Cell::new(1) })
    }

    /// Has rtnetlink refuse what it does not understand of a question, and heed what it asks for.
    pub(super) fn set_strict_checks(&mut self) -> io::Result<()> {
        self.socket.set_netlink_get_strict_chk(true)
    }

    /// The socket, for its options.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn datagram(&self) -> Datagram<'_> {
        Datagram { transport: self, bytes: Vec::new(), begin: self.sequence.get() }
    }

    /// Hands the next answers to `take`, until it returns something.
    pub(super) fn receive<T>(
        &self,
        mut take: impl FnMut(Received<'_>) -> Result<Option<T>, KernelError>,
    ) -> Result<T, KernelError> {
        let mut bytes = Vec::with_capacity(ANSWER);
        loop {
            bytes.clear();
            receive(&self.socket, &mut bytes)?;
            for message in messages(&bytes) {
                if let Some(taken) = take(message?)? {
                    return Ok(taken);
                }
            }
        }
    }
}

/// Appends what one receive gives, at most as much as there is room for.
fn receive(socket: &Socket, bytes: &mut Vec<u8>) -> Result<(), KernelError> {
    match socket.recv(bytes, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
        Ok(length) if length > bytes.len() => Err(KernelError::of(Errno::EMSGSIZE, "an answer is too long")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(KernelError::of(Errno::EPROTO, "the kernel did not answer"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The messages of a datagram.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = Result<Received<'_>, KernelError>> {
    std::iter::from_fn(move || {
        let short = || Some(Err(KernelError::of(Errno::EPROTO, "an answer ends before its end")));
        let word = |at: usize| Some(u32::from_ne_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let half = |at: usize| Some(u16::from_ne_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        if rest.is_empty() {
            return None;
        }
        let (Some(length), Some(kind), Some(flags), Some(sequence)) = (word(0), half(4), half(6), word(8)) else {
            rest = &[];
            return short();
        };
        let Some(payload) = rest.get(HEADER..length as usize) else {
            rest = &[];
            return short();
        };
        rest = rest.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
        let content = match kind {
            ERROR => refusal(payload, HEADER).map_or(Content::Done, Content::Refused),
            DONE => refusal(payload, 0).map_or(Content::Done, Content::Refused),
            0..MIN_TYPE => Content::Done,
            kind => Content::Message(kind, payload),
        };
        Some(Ok(Received { sequence, flags, content }))
    })
}

impl Datagram<'_> {
    /// Adds a message; its sequence number.
    pub(super) fn push<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> u32 {
        let sequence = &self.transport.sequence;
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = sequence.replace(sequence.get().wrapping_add(1));
        message.finalize();
        let at = self.bytes.len();
        self.bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut self.bytes[at..]);
        message.header.sequence_number
    }

    /// Sends it all.
    pub(super) fn send(self) -> Result<(), KernelError> {
        let socket = &self.transport.socket;
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

/// The error in an `NLMSG_ERROR` or `NLMSG_DONE`, if it is one. The kernel's own words are attributes, behind the echo
/// of the refused message's header in the former, which `NETLINK_CAP_ACK` keeps the message itself away from
/// (`netlink_ack()`, `netlink_dump_done()` in `net/netlink/af_netlink.c`).
fn refusal(payload: &[u8], echo: usize) -> Option<KernelError> {
    let (code, rest) = payload.split_first_chunk::<4>()?;
    let errno = i32::from_ne_bytes(*code).checked_neg().filter(|errno| *errno > 0)?;
    Some(KernelError { errno, message: rest.get(echo..).and_then(extended_ack) })
}

/// The text of an extended ack.
fn extended_ack(attributes: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let text = attribute(attributes, NLMSGERR_ATTR_MSG)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + payload.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn the_kernels_words_are_found_behind_the_echoed_header() {
        let mut payload = (-2i32).to_ne_bytes().to_vec();
        payload.extend([0; HEADER]);
        payload.extend(8u16.to_ne_bytes().into_iter().chain(2u16.to_ne_bytes()).chain([0, 0, 0, 0]));
        payload.extend(9u16.to_ne_bytes().into_iter().chain(1u16.to_ne_bytes()).chain(*b"nope\0"));
        let words = |payload: &[u8]| refusal(payload, HEADER).unwrap().message;
        assert_eq!(words(&payload).as_deref(), Some("nope"));
        assert_eq!(words(&payload[..24]), None);
        assert_eq!(words(&payload[..4]), None);
        assert_eq!(refusal(&payload[..3], HEADER), None);
        assert_eq!(refusal(&[0; 36], HEADER), None);
    }

    #[test]
    fn messages_are_told_apart_and_damaged_ones_end_it() {
        let mut bytes = message(0x10, &[1, 2, 3, 4]);
        bytes.extend(message(ERROR, &(-17i32).to_ne_bytes()));
        bytes.extend(message(ERROR, &[0; 4]));
        bytes.extend(message(DONE, &[0; 4]));
        let read: Vec<_> =
            messages(&bytes).map(|message| message.map(|message| format!("{:?}", message.content))).collect();
        let read: Vec<String> = read.into_iter().map(|content| content.unwrap()).collect();
        assert_eq!(read[0], "Message(16, [1, 2, 3, 4])");
        assert!(read[1].contains("errno: 17"), "{read:?}");
        assert_eq!(read[2..], ["Done", "Done"]);
        for end in 1..bytes.len() {
            // Whatever is cut off: no panic, no endless loop, and at most one error.
            assert!(messages(&bytes[..end]).filter(Result::is_err).count() <= 1);
        }
        for length in [0u32, 3, 15, 0xffff_ffff] {
            let mut bytes = message(0x10, &[0; 4]);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(messages(&bytes).all(|message| message.is_err()));
        }
    }
}
