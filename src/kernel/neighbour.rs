//! Neighbours on a network that the host is connected to: answering for others, asking who is there, spreading the word.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily as Family_, LinkAddr, SockFlag, SockType, SockaddrLike, bind, socket};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage as Message};

use super::endpoint::Endpoint;
use super::socket::{KernelError, Reply, Request};
use crate::model::{Family, IfName, Mac};

/// How often it is asked who has an address (`PROBE_NUM` of RFC 5227): the kernel itself would ask again after a second
/// only, and one question or its answer may get lost.
const QUESTIONS: usize = 3;

/// How long whoever has an address may take to say so: on a LAN it takes less than a quarter of it.
const PATIENCE: Duration = Duration::from_millis(35);
const LOOK_AGAIN: Duration = Duration::from_millis(4);

fn message(index: u32, address: IpAddr, flags: NeighbourFlags) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    let (family, destination) = match address {
        IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
    };
    (message.header.family, message.header.ifindex, message.header.flags) = (family, index, flags);
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}

/// Has the kernel answer for an address on a link (`ip neigh add proxy`). That it does already is no error.
pub(crate) fn add_proxy(index: u32, address: IpAddr) -> Request {
    Request::create(Message::NewNeighbour(message(index, address, NeighbourFlags::Proxy)))
}

/// The same, not any more.
pub(crate) fn delete_proxy(index: u32, address: IpAddr) -> Request {
    Request::plain(Message::DelNeighbour(message(index, address, NeighbourFlags::Proxy)))
}

impl Endpoint {
    /// For which addresses the kernel answers on which links, by index.
    pub fn proxies(&self) -> Result<Vec<(u32, IpAddr)>, KernelError> {
        let mut found = Vec::new();
        for family in Family::BOTH {
            let mut message = NeighbourMessage::default();
            message.header.flags = NeighbourFlags::Proxy;
            message.header.family = if family == Family::V4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
            match self.socket.dump(&Message::GetNeighbour(message)) {
                Ok(replies) => found.extend(replies.iter().filter_map(read).map(|one| (one.index, one.address))),
                Err(error) if error.is_unsupported() || error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Who answers for these addresses on these links, if anybody does.
    ///
    /// The kernel asks (`NTF_USE`): so the question comes from an address of the host's, and the entries that it leaves are
    /// taken away again. Entries that somebody has made for good (`nud permanent`) are an answer, too.
    pub fn who_answers(&self, wanted: &[(u32, IpAddr)]) -> Result<Vec<Option<Mac>>, KernelError> {
        let look = |one: &(u32, IpAddr)| {
            let answer = self.socket.request(Request::plain(Message::GetNeighbour(plain(*one))));
            answer.ok().and_then(|replies| replies.iter().find_map(read))
        };
        let mut found: Vec<Option<Mac>> =
            wanted.iter().map(|one| look(one).filter(|there| there.is_permanent).and_then(|there| there.mac)).collect();
        for _ in 0..QUESTIONS {
            for one in wanted.iter().zip(&found).filter(|(_, there)| there.is_none()).map(|(one, _)| *one) {
                // What was learnt before is no proof: the kernel would ask anew only after some seconds.
                drop(self.socket.request(Request::plain(Message::DelNeighbour(plain(one)))));
                let ask = message(one.0, one.1, NeighbourFlags::Use);
                self.socket.request(Request::replace(Message::NewNeighbour(ask)))?;
            }
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE && found.iter().any(Option::is_none) {
                std::thread::sleep(LOOK_AGAIN);
                for (one, there) in wanted.iter().zip(&mut found).filter(|(_, there)| there.is_none()) {
                    *there = look(one).filter(|there| there.is_reachable).and_then(|there| there.mac);
                }
            }
        }
        for one in wanted.iter().zip(&found).filter(|(_, there)| there.is_none()).map(|(one, _)| *one) {
            drop(self.socket.request(Request::plain(Message::DelNeighbour(plain(one)))));
        }
        Ok(found)
    }
}

fn plain((index, address): (u32, IpAddr)) -> NeighbourMessage {
    message(index, address, NeighbourFlags::empty())
}

/// A neighbour as the kernel tells of it.
struct Neighbour {
    index: u32,
    address: IpAddr,
    mac: Option<Mac>,
    is_permanent: bool,
    is_reachable: bool,
}

fn read(reply: &Reply) -> Option<Neighbour> {
    let Message::NewNeighbour(message) = reply.message()? else { return None };
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => Mac::from_kernel(bytes),
        _ => None,
    });
    let state = message.header.state;
    Some(Neighbour {
        index: message.header.ifindex,
        address,
        mac,
        is_permanent: state == NeighbourState::Permanent,
        is_reachable: state == NeighbourState::Reachable,
    })
}

/// Tells everybody on a link's network that an address is found at the link's MAC: by a gratuitous ARP request (RFC 5227,
/// section 3), or an unsolicited neighbour advertisement that overrides (RFC 4861, section 7.2.6).
pub fn proclaim(link: &IfName, address: IpAddr) -> io::Result<()> {
    let place = Place::of(link)?;
    let frame = match address {
        IpAddr::V4(v4) => arp(place.mac, v4),
        IpAddr::V6(v6) => advertisement(place.mac, place.v6.unwrap_or(v6), v6),
    };
    // Bound with protocol 0, it hears nothing and sends on that link only (packet(7)).
    let socket = socket(Family_::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &place.link)?;
    nix::unistd::write(&socket, &frame)?;
    Ok(())
}

/// Where a link is found by a packet socket, and what it sends from.
struct Place {
    link: LinkAddr,
    mac: [u8; 6],
    v6: Option<Ipv6Addr>,
}

impl Place {
    fn of(link: &IfName) -> io::Result<Self> {
        let (mut place, mut v6) = (None, None);
        for one in getifaddrs()?.filter(|one| one.interface_name == link.as_str()) {
            let Some(address) = one.address else { continue };
            if let Some(found) = address.as_link_addr() {
                place = found.addr().map(|mac| (*found, mac));
            } else if let Some(found) = address.as_sockaddr_in6().filter(|_| address.family() == Some(Family_::Inet6)) {
                let own = found.ip();
                v6 = v6.or(own.is_unicast_link_local().then_some(own));
            }
        }
        let (link, mac) = place.ok_or_else(|| io::Error::from(Errno::ENODEV))?;
        Ok(Self { link, mac, v6 })
    }
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [to.as_slice(), &from, &kind.to_be_bytes(), payload].concat()
}

/// Who-has, asked and answered at once: sender and target are the same.
fn arp(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let header = [0, 1, 8, 0, 6, 4, 0, 1]; // Ethernet, IPv4, lengths, request
    let payload = [header.as_slice(), &mac, &address.octets(), &[0; 6], &address.octets()].concat();
    ethernet([0xff; 6], mac, 0x0806, &payload)
}

/// To all nodes (`ff02::1`), with the flags router and override.
fn advertisement(mac: [u8; 6], from: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let option = [[2, 1].as_slice(), &mac].concat(); // target link-layer address
    let mut icmp = [[136, 0, 0, 0, 0xa0, 0, 0, 0].as_slice(), &target.octets(), &option].concat();
    let length = u16::try_from(icmp.len()).unwrap_or(32);
    let pseudo =
        [from.octets().as_slice(), &all.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 58], &icmp].concat();
    icmp[2..4].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let header =
        [[0x60, 0, 0, 0].as_slice(), &length.to_be_bytes(), &[58, 255], &from.octets(), &all.octets()].concat();
    ethernet([0x33, 0x33, 0, 0, 0, 1], mac, 0x86dd, &[header, icmp].concat())
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_is_summed_up_right() {
        let frame = advertisement([2, 0, 0, 0, 0, 1], "fe80::1".parse().unwrap(), "2001:db8::7".parse().unwrap());
        assert_eq!(frame.len(), 14 + 40 + 32);
        // With its checksum in place, the sum over pseudo-header and message is that of all ones.
        let (header, icmp) = frame[14..].split_at(40);
        let pseudo = [&header[8..40], &[0, 0, 0, 32], &[0, 0, 0, 58], icmp].concat();
        assert_eq!(checksum(&pseudo), 0);
    }

    #[test]
    fn an_announcement_asks_for_itself() {
        let frame = arp([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(frame.len(), 42);
        assert_eq!((&frame[28..32], &frame[38..42]), ([192, 0, 2, 7].as_slice(), [192, 0, 2, 7].as_slice()));
    }
}
