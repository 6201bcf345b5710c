//! Frames of our own making, for what the kernel does not say by itself on a network that the host is connected to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily as Family, LinkAddr, SockFlag, SockType, SockaddrLike, bind, socket};

use crate::model::IfName;

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// Tells everybody on a link's network that an address is found at the link's MAC: by a gratuitous ARP request (RFC 5227,
/// section 3), or an unsolicited neighbour advertisement that overrides (RFC 4861, section 7.2.6).
pub fn proclaim(link: &IfName, address: IpAddr) -> io::Result<()> {
    let place = Place::of(|found, _| found == link.as_str())?;
    place.send(&match address {
        IpAddr::V4(v4) => arp(place.mac, v4),
        IpAddr::V6(v6) => advertisement(place.mac, place.link_local()?.unwrap_or(v6), v6),
    })
}

/// Asks on a link's network who has an address, as somebody does who is about to take it (RFC 4862, section 5.4.2): the
/// answer goes to all nodes, and so to the kernel's neighbour table.
pub(super) fn solicit(index: u32, address: Ipv6Addr) -> io::Result<()> {
    let place = Place::of(|_, link| usize::try_from(index).is_ok_and(|index| link.ifindex() == index))?;
    place.send(&solicitation(place.mac, address))
}

/// Where a link is found by a packet socket, and what it sends from.
struct Place {
    name: String,
    link: LinkAddr,
    mac: [u8; 6],
}

impl Place {
    /// The first link that is the one wanted, by its name or by what the kernel says of it.
    fn of(is_wanted: impl Fn(&str, &LinkAddr) -> bool) -> io::Result<Self> {
        let found = getifaddrs()?.find_map(|one| {
            let (name, link) = (one.interface_name, *one.address?.as_link_addr()?);
            is_wanted(&name, &link).then_some((name, link))
        });
        let found = found.and_then(|(name, link)| Some(Self { name, link, mac: link.addr()? }));
        found.ok_or_else(|| Errno::ENODEV.into())
    }

    /// The link-local address that the link has, if it has one.
    fn link_local(&self) -> io::Result<Option<Ipv6Addr>> {
        Ok(getifaddrs()?.filter(|one| one.interface_name == self.name).find_map(|one| {
            let address = one.address?;
            let own = address.as_sockaddr_in6().filter(|_| address.family() == Some(Family::Inet6))?.ip();
            own.is_unicast_link_local().then_some(own)
        }))
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        // Bound with protocol 0, it hears nothing and sends on that link only (packet(7)).
        let socket = socket(Family::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &self.link)?;
        nix::unistd::write(&socket, frame)?;
        Ok(())
    }
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [to.as_slice(), &from, &kind.to_be_bytes(), payload].concat()
}

/// Who-has, asked and answered at once: sender and target are the same.
fn arp(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let header = [0, 1, 8, 0, 6, 4, 0, 1]; // Ethernet, IPv4, lengths, request
    let payload = [header.as_slice(), &mac, &address.octets(), &[0; 6], &address.octets()].concat();
    ethernet([0xff; 6], mac, ARP, &payload)
}

/// To all nodes (`ff02::1`), with the flags router and override.
fn advertisement(mac: [u8; 6], from: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let option = [[2, 1].as_slice(), &mac].concat(); // target link-layer address
    discovery(mac, from, all, &[[136, 0, 0, 0, 0xa0, 0, 0, 0].as_slice(), &target.octets(), &option].concat())
}

/// To the nodes that may have the address (its solicited-node address: RFC 4291, section 2.7.1), from nobody.
fn solicitation(mac: [u8; 6], target: Ipv6Addr) -> Vec<u8> {
    let [.., high, low] = target.segments();
    let those = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low);
    discovery(mac, Ipv6Addr::UNSPECIFIED, those, &[[135, 0, 0, 0, 0, 0, 0, 0].as_slice(), &target.octets()].concat())
}

/// A message of neighbour discovery to a group: hop limit 255 says that no router has passed it on (RFC 4861).
fn discovery(mac: [u8; 6], from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let mut icmp = message.to_vec();
    let length = u16::try_from(icmp.len()).unwrap_or(u16::MAX);
    let pseudo =
        [from.octets().as_slice(), &to.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 58], &icmp].concat();
    icmp[2..4].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let header = [[0x60, 0, 0, 0].as_slice(), &length.to_be_bytes(), &[58, 255], &from.octets(), &to.octets()].concat();
    let [.., a, b, c, d] = to.octets();
    ethernet([0x33, 0x33, a, b, c, d], mac, IPV6, &[header, icmp].concat())
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

    /// With its checksum in place, the sum over pseudo-header and message is that of all ones.
    fn assert_summed_up(frame: &[u8], length: usize) {
        assert_eq!(frame.len(), 14 + 40 + length);
        let (header, icmp) = frame[14..].split_at(40);
        let pseudo = [&header[8..40], &[0, 0, 0, u8::try_from(length).unwrap()], &[0, 0, 0, 58], icmp].concat();
        assert_eq!(checksum(&pseudo), 0);
    }

    #[test]
    fn messages_of_neighbour_discovery_are_summed_up_right() {
        let (mac, target) = ([2, 0, 0, 0, 0, 1], "2001:db8::aabb:ccdd".parse().unwrap());
        assert_summed_up(&advertisement(mac, "fe80::1".parse().unwrap(), target), 32);
        let question = solicitation(mac, target);
        assert_summed_up(&question, 24);
        assert_eq!(question[..6], [0x33, 0x33, 0xff, 0xbb, 0xcc, 0xdd]);
        assert_eq!(question[38..54], "ff02::1:ffbb:ccdd".parse::<Ipv6Addr>().unwrap().octets());
    }

    #[test]
    fn an_announcement_asks_for_itself() {
        let frame = arp([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(frame.len(), 42);
        assert_eq!((&frame[28..32], &frame[38..42]), ([192, 0, 2, 7].as_slice(), [192, 0, 2, 7].as_slice()));
    }
}
