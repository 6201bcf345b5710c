//! A socket to nf_tables: transactions and questions.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_netfilter::nftables::{
    ChainAttribute, DataAttribute, ListAttribute, NfTablesMessage, RuleAttribute, SetElementAttribute, SetElementList,
    SetElementMessage, VerdictAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use rtnetlink::packet_core::{NLM_F_ACK, Nla};

use super::element::{read_key, read_target};
use super::message::{self, Change, chain_by_name, comment, get_element, header};
use crate::kernel::KernelError;
use crate::kernel::netfilter::{NetfilterSocket, read};
use crate::kernel::transport::Content;
use crate::plan::{Element, Set, Table, Value};

/// The subsystem, by which a transaction says whose it is (`NFNL_SUBSYS_NFTABLES`).
const SUBSYSTEM: u16 = 10;

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

/// An element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementView {
    /// What it leads to.
    pub value: Option<Value>,
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
        let questions = chains.iter().map(get_chain).chain(elements.iter().map(|element| get_element(element)));
        let answers = self.ask(questions.collect())?;
        let (of_chains, of_elements) = answers.split_at(chains.len());
        let chains = of_chains.iter().map(|answer| answer.as_ref().and_then(ChainView::read)).collect();
        let elements = of_elements.iter().map(|answer| answer.as_ref().and_then(ElementView::read)).collect();
        Ok((chains, elements))
    }

    /// How many rules each chain of one of our tables has.
    pub fn rules_of(&self, table: Table) -> Result<BTreeMap<String, usize>, KernelError> {
        let mut counts = BTreeMap::new();
        for message in self.socket.dump(message::get_rules(table))? {
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
        let messages = self.socket.dump(message::get_elements(set))?;
        let mut found = Vec::new();
        for message in messages {
            let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(message)) = message.inner else {
                continue;
            };
            for attributes in lists(&message) {
                let view = ElementView::of(attributes);
                let (first, last) = bounds_of(attributes);
                let key = first.and_then(|first| read_key(set, &first, last.as_ref().unwrap_or(&first)));
                found.extend(key.map(|key| (Element { set, key, value: view.value }, view.comment)));
            }
        }
        Ok(found)
    }

    /// Asks; one answer each, `None` for what is not there.
    fn ask(&self, questions: Vec<NetfilterMessage>) -> Result<Vec<Option<NfTablesMessage>>, KernelError> {
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
                Content::Message(kind, payload) => {
                    if let NetfilterMessageInner::NfTables(message) = read(kind, payload)?.inner {
                        *place = Some(message);
                    }
                }
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
pub(in crate::kernel) fn read_in_all_ways(message: &NfTablesMessage) {
    let _ = (ChainView::read(message), ElementView::read(message));
    let NfTablesMessage::NewSetElement(elements) = message else { return };
    for attributes in lists(elements) {
        let (first, last) = bounds_of(attributes);
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        for set in Set::ALL {
            let _ = (read_key(set, &first, &first), read_key(set, &first, &last));
        }
    }
}

impl ChainView {
    fn read(message: &NfTablesMessage) -> Option<Self> {
        let NfTablesMessage::NewChain(message) = message else { return None };
        let mut view = Self { uses: 0, comment: None };
        for attribute in &message.attributes {
            match attribute {
                ChainAttribute::Use(uses) => view.uses = *uses,
                ChainAttribute::UserData(data) => view.comment = comment(data),
                _ => {}
            }
        }
        Some(view)
    }
}

/// The bytes of an element's first key, and of its last if that is another.
fn bounds_of(attributes: &[SetElementAttribute]) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let mut bounds = (None, None);
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => bounds.0 = Some(bytes.clone()),
            SetElementAttribute::KeyEnd(values) => {
                bounds.1 = values.first().map(|value| {
                    let mut bytes = vec![0; value.value_len()];
                    value.emit_value(&mut bytes);
                    bytes
                });
            }
            _ => {}
        }
    }
    bounds
}

/// The attributes of each element of an answer.
fn lists(message: &SetElementMessage) -> impl Iterator<Item = &[SetElementAttribute]> {
    let lists = message.attributes.iter().filter_map(|attribute| match attribute {
        SetElementList::Elements(list) => Some(list),
        _ => None,
    });
    lists.flatten().filter_map(|element| match element {
        ListAttribute::Element(attributes) => Some(attributes.as_slice()),
        _ => None,
    })
}

impl ElementView {
    fn read(message: &NfTablesMessage) -> Option<Self> {
        let NfTablesMessage::NewSetElement(message) = message else { return None };
        lists(message).next().map(Self::of)
    }

    fn of(attributes: &[SetElementAttribute]) -> Self {
        let mut view = Self { value: None, comment: None };
        for attribute in attributes {
            match attribute {
                SetElementAttribute::Data(DataAttribute::Value(bytes)) => view.value = read_target(bytes),
                SetElementAttribute::Data(DataAttribute::Verdict(verdict)) => {
                    view.value = verdict.iter().find_map(|attribute| match attribute {
                        VerdictAttribute::Chain(chain) => Some(Value::Goto(chain.clone())),
                        _ => None,
                    });
                }
                SetElementAttribute::UserData(data) => view.comment = comment(data),
                _ => {}
            }
        }
        view
    }
}
