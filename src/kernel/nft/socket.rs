//! A socket to nf_tables: transactions and questions.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_netfilter::nftables::{NfTablesMessage, RuleAttribute};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use rtnetlink::packet_core::NLM_F_ACK;

use super::element::{self, ElementView};
use super::message::{self, Change, chain_by_name, comment, header};
use crate::kernel::KernelError;
use crate::kernel::attributes::each;
use crate::kernel::netfilter::{self, NetfilterSocket};
use crate::kernel::transport::Content;
use crate::plan::{Element, Set, Table};

/// The subsystem, by which a transaction says whose it is (`NFNL_SUBSYS_NFTABLES`).
const SUBSYSTEM: u16 = 10;

/// `struct nfgenmsg`: family, version, subsystem (`include/uapi/linux/netfilter/nfnetlink.h`).
const HEADER: usize = 4;

/// `NFTA_CHAIN_USE`, `NFTA_CHAIN_USERDATA` (`include/uapi/linux/netfilter/nf_tables.h`).
const CHAIN_USE: u16 = 6;
const CHAIN_USER_DATA: u16 = 12;

/// A socket to nf_tables in one network namespace.
#[derive(Debug)]
pub struct Nft {
    pub(super) socket: NetfilterSocket,
}

/// A chain as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainView {
    /// Rules in it, and references to it.
    pub uses: u32,
    /// Its comment.
    pub comment: Option<String>,
}

/// Why a transaction failed.
#[derive(Debug)]
pub struct Failure {
    /// The place of the change that was refused.
    pub change: usize,
    /// Why.
    pub error: KernelError,
    /// The kernel has said so, and has changed nothing. Otherwise its answer was lost, and nobody knows.
    pub is_refusal: bool,
}

/// What was found of chains and elements that were asked for, in their order.
pub type Found = (Vec<Option<ChainView>>, Vec<Option<ElementView>>);

impl AsFd for Nft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Nft {
    /// Opens a socket in the namespace of the current thread.
    pub fn open() -> io::Result<Self> {
        NetfilterSocket::open().map(|socket| Self { socket })
    }

    /// Makes the changes, all of them or none.
    pub fn transact(&self, changes: &[Change]) -> Result<(), Failure> {
        let mut datagram = self.socket.datagram();
        let begin = datagram.push(control(ControlMessage::BatchBegin), 0);
        let mut owners = Vec::new(); // of each message behind the first: its change
        let mut next_id = 0;
        let mut last = begin;
        for (place, change) in changes.iter().enumerate() {
            let mut messages = change.messages(&mut next_id).into_iter().peekable();
            while let Some(message) = messages.next() {
                // Refusals are told anyway; that all went well, once.
                let is_last = place + 1 == changes.len() && messages.peek().is_none();
                owners.push(place);
                last = datagram.push(message.message, message.flags | if is_last { NLM_F_ACK } else { 0 });
            }
        }
        datagram.push(control(ControlMessage::BatchEnd), 0);
        let without_answer = |error| Failure { change: 0, error, is_refusal: false };
        datagram.send().map_err(without_answer)?;
        let mut first_error: Option<Failure> = None;
        let done = self.socket.receive(|received| {
            let place = received.sequence.checked_sub(begin + 1).and_then(|at| owners.get(at as usize).copied());
            if let Content::Refused(error) = received.content {
                first_error.get_or_insert(Failure { change: place.unwrap_or(0), error, is_refusal: true });
            }
            // What concerns the transaction as a whole is told of its beginning.
            Ok((received.sequence == last || received.sequence == begin).then_some(()))
        });
        match (first_error, done) {
            (Some(error), _) => Err(error),
            (None, done) => done.map_err(without_answer),
        }
    }

    /// The chains of these names, and the elements of these keys, in one datagram. What is not there is `None`.
    pub fn look_up(&self, chains: &[(Table, &str)], elements: &[&Element]) -> Result<Found, KernelError> {
        let get_chain = |(table, name): &(Table, &str)| {
            NetfilterMessage::new(header(*table), NfTablesMessage::GetChain(chain_by_name(name)))
        };
        let questions = chains.iter().map(get_chain).chain(elements.iter().map(|element| element::get(element)));
        let answers = self.ask(questions.collect())?;
        let (of_chains, of_elements) = answers.split_at(chains.len());
        let chains = of_chains.iter().map(|answer| answer.as_deref().map(ChainView::read)).collect();
        let elements = of_elements.iter().map(|answer| answer.as_deref().and_then(ElementView::read)).collect();
        Ok((chains, elements))
    }

    /// How many rules each chain of one of our tables has.
    pub fn rules_of(&self, table: Table) -> Result<BTreeMap<String, usize>, KernelError> {
        let mut counts = BTreeMap::new();
        for message in self.socket.dump(message::get_rules(table), netfilter::read)? {
            let NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)) = message.inner else { continue };
            let chain = rule.attributes.into_iter().find_map(|attribute| match attribute {
                RuleAttribute::Chain(chain) => Some(chain),
                _ => None,
            });
            *counts.entry(chain.unwrap_or_default()).or_default() += 1;
        }
        Ok(counts)
    }

    /// All elements of a set, with what they lead to and their comments. For the few sets that are small, or for when
    /// something is wrong: the time that it takes grows with the set.
    pub fn elements_of(&self, set: Set) -> Result<Vec<(Element, Option<String>)>, KernelError> {
        let answers = self.socket.dump(element::get_all(set), |_, answer| Ok(answer.to_vec()))?;
        let answers = answers.iter().filter_map(|answer| answer.get(HEADER..));
        let found = answers.flat_map(element::listed).filter_map(|element| {
            let ElementView { value, comment } = ElementView::of(element);
            Some((Element { set, key: element::key(set, element)?, value }, comment))
        });
        Ok(found.collect())
    }

    /// Asks; one answer each, its attributes, and `None` for what is not there.
    fn ask(&self, questions: Vec<NetfilterMessage>) -> Result<Vec<Option<Vec<u8>>>, KernelError> {
        let mut datagram = self.socket.datagram();
        let (begin, count) = (datagram.begin, questions.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        for question in questions {
            datagram.push(question, 0);
        }
        datagram.send()?;
        let mut answers = vec![None; count];
        let mut missing = count;
        self.socket.receive(|received| {
            let place = received.sequence.checked_sub(begin).and_then(|at| answers.get_mut(at as usize));
            let Some(place) = place else { return Ok(None) };
            missing -= 1;
            match received.content {
                Content::Message(_, answer) => *place = answer.get(HEADER..).map(<[u8]>::to_vec),
                Content::Refused(error) if !error.is_absent() => return Err(error),
                _ => {}
            }
            Ok((missing == 0).then_some(()))
        })?;
        Ok(answers)
    }
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM), message)
}

/// Reads an answer in all the ways in which answers are read.
#[cfg(any(test, fuzzing))]
pub(in crate::kernel) fn read_in_all_ways(answer: &[u8]) {
    let attributes = answer.get(HEADER..).unwrap_or_default();
    let _ = (ChainView::read(attributes), ElementView::read(attributes));
    for listed in element::listed(attributes) {
        let _ = (ElementView::of(listed), Set::ALL.map(|set| element::key(set, listed)));
    }
}

impl ChainView {
    fn read(attributes: &[u8]) -> Self {
        let mut view = Self { uses: 0, comment: None };
        for (kind, value) in each(attributes) {
            match (kind, value) {
                (CHAIN_USE, [a, b, c, d]) => view.uses = u32::from_be_bytes([*a, *b, *c, *d]),
                (CHAIN_USER_DATA, data) => view.comment = comment(data),
                _ => {}
            }
        }
        view
    }
}
