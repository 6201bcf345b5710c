//! What reads the kernel's answers, fed with bytes that no kernel sends: here by proptest, in `fuzz/` by libFuzzer. The
//! kernel is trusted; but names, comments and rules in its answers are other people's, and kernels of the future have
//! more to say than today's.
//!
//! Not part of the program: for tests and fuzzing only.

use std::panic::{AssertUnwindSafe, catch_unwind};

use netlink_packet_netfilter::NetfilterMessageInner;
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;

use super::conntrack::Connection;
use super::socket::Reply;
use super::transport::{Content, messages};
use super::{FibAnswer, LinkView, address, counter, netconf, netfilter, nft, shape};
use crate::model::IfName;

/// Reads a datagram of rtnetlink in all the ways in which answers are read.
pub fn rtnetlink(bytes: &[u8]) {
    for received in messages(bytes).flatten() {
        if let Content::Message(kind, payload) = received.content {
            read(&Reply::new(kind, payload));
        }
    }
}

fn read(reply: &Reply) {
    let _ = LinkView::read(reply);
    let _ = (netconf::left_by(reply, 1), netconf::forwards(Some(Ok(vec![reply.clone()]))));
    let Some(message) = reply.message() else { return };
    if let Ok(link) = IfName::parse("eth0") {
        let _ = address::read(&message, &link);
        let _ = FibAnswer::read(reply).map(|answer| answer.to_route(&link));
    }
    match &message {
        Message::NewLink(link) => drop(counter::of_link(link)),
        Message::NewQueueDiscipline(discipline) => {
            let _ = shape::read_rate(discipline);
        }
        _ => {}
    }
}

/// Reads a datagram of nfnetlink in all the ways in which answers are read.
pub fn nfnetlink(bytes: &[u8]) {
    for received in messages(bytes).flatten() {
        let Content::Message(kind, payload) = received.content else { continue };
        nft::read_in_all_ways(payload);
        // netlink-packet-core 0.9 panics at an attribute inside of which another one ends early (`NlaBuffer::kind()`):
        // that is as if it could not be read.
        let Ok(Ok(message)) = catch_unwind(AssertUnwindSafe(|| netfilter::read(kind, payload))) else { continue };
        match message.inner {
            NetfilterMessageInner::NfTables(message) => nft::read_foreign_in_all_ways(&message),
            NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) => {
                let _ = Connection::read(attributes).map(|connection| connection.is_to(53));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Types of answers: `RTM_NEWLINK`, `RTM_NEWADDR`, `RTM_NEWROUTE`, `RTM_NEWNEIGH`, `RTM_NEWRULE`, `RTM_NEWQDISC`,
    /// `RTM_NEWTFILTER`, `RTM_NEWNETCONF`, `RTM_DELNETCONF`; and `NLMSG_ERROR`, `NLMSG_DONE`.
    const OF_ROUTE: [u16; 11] = [16, 20, 24, 28, 32, 36, 44, 80, 81, 2, 3];
    /// Those of nf_tables (subsystem 10): tables, chains, rules, sets, elements; of connection tracking (1); errors.
    const OF_NETFILTER: [u16; 8] = [0x0a00, 0x0a03, 0x0a06, 0x0a09, 0x0a0c, 0x0100, 2, 3];

    /// Attributes in attributes, with lengths that are mostly right.
    fn attributes(depth: u32) -> BoxedStrategy<Vec<u8>> {
        let plain = prop_oneof![
            vec(any::<u8>(), 0..24),
            select(&["eth0", "veth", "tbf", "cake", "bridge", "match", "meta", "cmp", "lookup", "immediate"][..])
                .prop_map(|text| [text.as_bytes(), &[0]].concat()),
        ];
        let payload = if depth == 0 { plain.boxed() } else { prop_oneof![plain, attributes(depth - 1)].boxed() };
        let one = (0u16..64, any::<bool>(), payload, prop_oneof![9 => Just(0i32), 1 => -9i32..9]);
        let one = one.prop_map(|(kind, nested, payload, slip)| {
            let length = i32::try_from(payload.len() + 4).unwrap_or(4) + slip;
            let length = u16::try_from(length.max(0)).unwrap_or(0);
            let kind = kind | if nested { 0x8000 } else { 0 };
            let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &payload].concat();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        });
        vec(one, 0..6).prop_map(|all| all.concat()).boxed()
    }

    /// A message of one of the types, with a header of its family that may have any content.
    fn message(types: &'static [u16]) -> impl Strategy<Value = Vec<u8>> {
        let header = prop_oneof![Just(4usize), Just(8), Just(12), Just(16), Just(20)];
        let slip = prop_oneof![9 => Just(0i32), 1 => -40i32..40];
        (select(types), header, vec(any::<u8>(), 20), attributes(3), slip).prop_map(
            |(kind, header, family, attributes, slip)| {
                let body = [&family[..header], &attributes].concat();
                let length = i32::try_from(body.len() + 16).unwrap_or(16) + slip;
                let length = u32::try_from(length.max(0)).unwrap_or(0);
                let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &body].concat();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_answer_of_rtnetlink_is_a_panic(messages in vec(message(&OF_ROUTE), 0..3)) {
            rtnetlink(&messages.concat());
        }

        #[test]
        fn no_answer_of_nfnetlink_is_a_panic(messages in vec(message(&OF_NETFILTER), 0..3)) {
            nfnetlink(&messages.concat());
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in vec(any::<u8>(), 0..200)) {
            rtnetlink(&bytes);
            nfnetlink(&bytes);
        }
    }
}
