//! What a namespace's network devices are set to as a whole, as a message: a walk through `/proc/sys` takes ten times as
//! long, the more so the more namespaces a machine has (see the sysctls).

use rtnetlink::packet_core::NetlinkSerializable;

use super::attributes::{Attributes, attribute};
use super::endpoint::Endpoint;
use super::route::family;
use super::socket::{Answer, KernelError, Reply, Request};
use crate::model::Family;

/// `RTM_DELNETCONF` and `RTM_GETNETCONF` (`include/uapi/linux/rtnetlink.h`).
const DEL: u16 = 81;
const GET: u16 = 82;
/// `struct netconfmsg`: the family, and three bytes that align what follows.
const HEADER: usize = 4;
/// `NETCONFA_IFINDEX`, and its value for `net.ipv4.conf.all` and `net.ipv6.conf.all`: `NETCONFA_IFINDEX_ALL`.
const IFINDEX: u16 = 1;
const ALL: i32 = -1;
/// `NETCONFA_FORWARDING`.
const FORWARDING: u16 = 2;

/// Asks for `all` of a family.
struct Question(u8);

impl NetlinkSerializable for Question {
    fn message_type(&self) -> u16 {
        GET
    }

    fn buffer_len(&self) -> usize {
        HEADER + 8
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let mut attributes = Attributes::default();
        attributes.put(IFINDEX, &ALL.to_ne_bytes());
        buffer.copy_from_slice(&[[self.0, 0, 0, 0].as_slice(), &attributes.into_bytes()].concat());
    }
}

/// The family for which a link has no settings any more, if that is what the event tells: `/proc/sys/net/*/conf/LINK` is
/// gone, and so are its addresses and routes of that family (`inetdev_destroy()` in `net/ipv4/devinet.c`,
/// `addrconf_ifdown()` in `net/ipv6/addrconf.c`).
pub(super) fn left_by(event: &Reply, index: u32) -> Option<Family> {
    let of_link = attribute(event.payload.get(HEADER..)?, IFINDEX)? == index.to_ne_bytes();
    let is_of = |one: &Family| event.payload[0] == u8::from(family(*one));
    Family::BOTH.into_iter().find(is_of).filter(|_| event.kind == DEL && of_link)
}

impl Endpoint {
    /// Whether the namespace forwards IPv4 and IPv6: `net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`. `None` for
    /// a family that the kernel does not have.
    pub fn forwards(&self) -> Result<[Option<bool>; 2], KernelError> {
        let questions = Family::BOTH.map(|one| Request::plain(Question(family(one).into())));
        let mut answers = self.socket.batch(questions.into())?.into_iter();
        let mut next = || forwards(answers.next());
        Ok([next()?, next()?])
    }
}

/// Whether a family forwards, by the answer to its question.
pub(super) fn forwards(answer: Option<Answer>) -> Result<Option<bool>, KernelError> {
    match answer {
        Some(Ok(replies)) => {
            let found = replies.iter().find_map(|reply| attribute(reply.payload.get(HEADER..)?, FORWARDING));
            Ok(found.map(|value| value != [0; 4]))
        }
        Some(Err(error)) if error.is_unsupported() || error.is_absent() => Ok(None),
        Some(Err(error)) => Err(error),
        None => Ok(None),
    }
}
