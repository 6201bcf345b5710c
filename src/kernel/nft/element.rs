//! Elements of sets as attributes, there and back. Each ADD asks for some and adds some, see [`Attributes`].

use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_netfilter::nftables::{NfTablesMessage, SetElementList, SetElementMessage};
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED};

use super::key::{first, last, read_key, read_target, target};
use super::message::{comment, header, text, user_data};
use crate::kernel::attributes::{self, Attributes, attribute, each};
use crate::plan::{Element, Key, Set, TABLE, Value};

/// `NFTA_SET_ELEM_LIST_ELEMENTS`, `NFTA_LIST_ELEM` (`include/uapi/linux/netfilter/nf_tables.h`).
const ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;

/// `NFTA_SET_ELEM_*` (ibid.).
const KEY: u16 = 1;
const DATA: u16 = 2;
const USER_DATA: u16 = 6;
const KEY_END: u16 = 10;

/// `NFTA_DATA_*` and `NFTA_VERDICT_*` (ibid.).
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// `NFT_GOTO` (ibid.).
const GOTO: i32 = -4;

/// An element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementView {
    /// What it leads to.
    pub value: Option<Value>,
    /// Its comment.
    pub comment: Option<String>,
}

/// Adds an element, with its owner as comment.
pub(super) fn add(element: &Element, owner: &str) -> NfTablesMessage {
    NfTablesMessage::NewSetElement(message(element, |attributes| {
        match &element.value {
            Some(Value::Goto(chain)) => attributes.nest(DATA, |data| {
                data.nest(DATA_VERDICT, |verdict| {
                    verdict.put(VERDICT_CODE, &GOTO.to_be_bytes());
                    verdict.put_text(VERDICT_CHAIN, chain);
                });
            }),
            Some(Value::To(address, port)) => {
                attributes.nest(DATA, |data| data.put(DATA_VALUE, &target(*address, *port)));
            }
            None => {}
        }
        attributes.put(USER_DATA, &user_data(&[(0, text(owner))]));
    }))
}

/// Deletes an element.
pub(super) fn delete(element: &Element) -> NfTablesMessage {
    NfTablesMessage::DeleteSetElement(message(element, |_| ()))
}

/// The question for one element.
pub(super) fn get(element: &Element) -> NetfilterMessage {
    let message = NfTablesMessage::GetSetElement(message(element, |_| ()));
    NetfilterMessage::new(header(element.set.part().table()), message)
}

/// The question for all elements of a set.
pub(super) fn get_all(set: Set) -> NetfilterMessage {
    let message = NfTablesMessage::GetSetElement(SetElementMessage { attributes: place(set) });
    NetfilterMessage::new(header(set.part().table()), message)
}

fn place(set: Set) -> Vec<SetElementList> {
    vec![SetElementList::Table(TABLE.to_owned()), SetElementList::Set(set.name().to_owned())]
}

/// An element by the first key that it stands for, and where keys may be networks, the last; and what else there is of it.
fn message(element: &Element, fill: impl FnOnce(&mut Attributes)) -> SetElementMessage {
    let mut list = Attributes::default();
    list.nest(LIST_ELEMENT, |attributes| {
        attributes.nest(KEY, |key| key.put(DATA_VALUE, &first(&element.key)));
        if element.set.has_networks() {
            attributes.nest(KEY_END, |key| key.put(DATA_VALUE, &last(&element.key)));
        }
        fill(attributes);
    });
    let mut attributes = place(element.set);
    attributes.push(SetElementList::Other(DefaultNla::new(ELEMENTS | NLA_F_NESTED, list.into_bytes())));
    SetElementMessage { attributes }
}

/// The elements that an answer lists, each by its attributes.
pub(super) fn listed(answer: &[u8]) -> impl Iterator<Item = &[u8]> {
    let list = each(attribute(answer, ELEMENTS).unwrap_or_default());
    list.filter_map(|(kind, element)| (kind == LIST_ELEMENT).then_some(element))
}

/// The key of an element of a set; `None` for one that we cannot have made.
pub(super) fn key(set: Set, element: &[u8]) -> Option<Key> {
    let bound = |kind| attribute(attribute(element, kind)?, DATA_VALUE);
    let begin = bound(KEY)?;
    read_key(set, begin, bound(KEY_END).unwrap_or(begin))
}

impl ElementView {
    /// The first that an answer lists.
    pub(super) fn read(answer: &[u8]) -> Option<Self> {
        listed(answer).next().map(Self::of)
    }

    /// An element by its attributes.
    pub(super) fn of(element: &[u8]) -> Self {
        let data = attribute(element, DATA).unwrap_or_default();
        let verdict = attribute(data, DATA_VERDICT).and_then(|verdict| attribute(verdict, VERDICT_CHAIN));
        let goto = verdict.and_then(attributes::text).map(|chain| Value::Goto(chain.to_owned()));
        let value = goto.or_else(|| read_target(attribute(data, DATA_VALUE)?));
        Self { value, comment: attribute(element, USER_DATA).and_then(comment) }
    }
}
