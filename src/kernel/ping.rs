//! One ICMP echo, so that a demonstration needs no `ping`.

use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, recv, sendto, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Echo request and reply: ICMP types 8 and 0 (RFC 792), `ICMPv6` types 128 and 129 (RFC 4443).
const TYPES: [(u8, u8); 2] = [(8, 0), (128, 129)];

/// Sends one echo request from the current thread's namespace and waits at most `patience` for its answer.
/// `link` is the index of the link to use for a link-local destination. Returns the time it took.
pub fn ping(to: IpAddr, link: u32, patience: Duration) -> io::Result<Duration> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let timeout = TimeVal::microseconds(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
    setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)?;
    let identifier = std::process::id().to_be_bytes();
    let (request, _) = TYPES[usize::from(to.is_ipv6())];
    let mut packet = [request, 0, 0, 0, identifier[2], identifier[3], 0, 1, b's', b'p', b'r', b'i'];
    if to.is_ipv4() {
        let sum = checksum(&packet); // of ICMPv6, the kernel makes it: it covers addresses that we do not know
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    let begin = Instant::now();
    match to {
        IpAddr::V4(to) => {
            sendto(socket.as_raw_fd(), &packet, &SockaddrIn::from(SocketAddrV4::new(to, 0)), MsgFlags::empty())?;
        }
        IpAddr::V6(to) => {
            let address = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, link));
            sendto(socket.as_raw_fd(), &packet, &address, MsgFlags::empty())?;
        }
    }
    await_reply(&socket, to, &packet[4..], begin, patience)
}

fn await_reply(
    socket: &OwnedFd,
    to: IpAddr,
    echoed: &[u8],
    begin: Instant,
    patience: Duration,
) -> io::Result<Duration> {
    let (_, reply) = TYPES[usize::from(to.is_ipv6())];
    let mut buffer = [0u8; 1500];
    while begin.elapsed() < patience {
        let count = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        // An IPv4 raw socket gets the IP header too; its length is in the low nibble, in words.
        let header = if to.is_ipv4() { usize::from(buffer[0] & 0xf) * 4 } else { 0 };
        let message = buffer.get(header..count).unwrap_or_default();
        if message.first() == Some(&reply) && message.get(4..4 + echoed.len()) == Some(echoed) {
            return Ok(begin.elapsed());
        }
    }
    Err(io::Error::from(io::ErrorKind::TimedOut))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        let mut packet = [8, 0, 0, 0, 0x12, 0x34, 0, 1, 1, 2, 3];
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&packet), 0);
    }
}
