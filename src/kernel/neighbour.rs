//! Neighbours on a network that the host is connected to: answering for others, and asking who is there.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage as Message};

use super::endpoint::Endpoint;
use super::frame::solicit;
use super::route::family;
use super::socket::{KernelError, Reply, Request};
use super::wait;
use crate::model::{Family, Mac};

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
        for one in Family::BOTH {
            let mut message = NeighbourMessage::default();
            message.header.flags = NeighbourFlags::Proxy;
            message.header.family = family(one);
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
    /// taken away again. For IPv6 it needs a link-local address for that, and says nothing while the link has none, or one
    /// that is tentative (`ndisc_send_ns()` in net/ipv6/ndisc.c): hence the same question is put as somebody would who is
    /// about to take the address. Whoever is heard of then has it. Entries that somebody has made for good (`nud
    /// permanent`) are an answer, too.
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
                if let IpAddr::V6(v6) = one.1 {
                    // A link on which it cannot be sent is one on which nobody answers.
                    drop(solicit(one.0, v6));
                }
            }
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE && found.iter().any(Option::is_none) {
                wait::sleep(LOOK_AGAIN);
                for (one, there) in wanted.iter().zip(&mut found).filter(|(_, there)| there.is_none()) {
                    *there = look(one).and_then(|there| there.mac);
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
    Some(Neighbour {
        index: message.header.ifindex,
        address,
        mac,
        is_permanent: message.header.state == NeighbourState::Permanent,
    })
}
