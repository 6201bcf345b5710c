//! Changes as messages.

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute,
    SetDescription, SetFlags, SetMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED};

use super::element;
use super::expression::compile;
use super::key::{field_length, key_length};
use crate::kernel::attributes::Attributes;
use crate::plan::{Chain, Element, Kind, Leads, NetworkChain, Part, Set, TABLE, Table, VERSION};

/// One change of a transaction.
#[derive(Debug, Clone)]
pub enum Change {
    /// Have a part of the ruleset be there and whole. What is there already keeps its elements.
    Ensure(Part),
    /// Add a network's own chain.
    AddChain(NetworkChain),
    /// Delete it; refused while elements lead to it.
    DeleteChain(NetworkChain),
    /// Add an element, with its owner as comment.
    AddElement(Element, String),
    /// Delete an element.
    DeleteElement(Element),
    /// Delete a table, of which these parts are there; refused while they have elements.
    Remove(Table, Vec<Part>),
}

/// A message of a transaction.
pub(super) struct Message {
    pub(super) message: NetfilterMessage,
    /// Flags beside `NLM_F_REQUEST`.
    pub(super) flags: u16,
}

const CREATE: u16 = rtnetlink::packet_core::NLM_F_CREATE;
const APPEND: u16 = rtnetlink::packet_core::NLM_F_APPEND;
/// A set with elements is not deleted.
const NOT_IF_USED: u16 = rtnetlink::packet_core::NLM_F_NONREC;

impl Change {
    /// The messages that bring it about. `next_id` numbers new sets within the transaction.
    pub(super) fn messages(&self, next_id: &mut u32) -> Vec<Message> {
        match self {
            Self::Ensure(part) => ensure(*part, next_id),
            Self::AddChain(chain) => {
                let table = Table::Inet;
                [new_chain(table, &chain.chain(), None)].into_iter().chain(refill(table, &chain.chain())).collect()
            }
            Self::DeleteChain(chain) => vec![
                flush(Table::Inet, &chain.name),
                with(Table::Inet, NfTablesMessage::DeleteChain(chain_by_name(&chain.name)), 0),
            ],
            Self::AddElement(element, owner) => {
                vec![with(element.set.part().table(), element::add(element, owner), CREATE)]
            }
            Self::DeleteElement(element) => vec![with(element.set.part().table(), element::delete(element), 0)],
            Self::Remove(table, parts) => remove(*table, parts),
        }
    }
}

pub(super) fn header(table: Table) -> NetfilterHeader {
    let family = match table {
        Table::Inet => NetfilterProtoFamily::Inet,
        Table::Arp => NetfilterProtoFamily::ARP,
        Table::Bridge => NetfilterProtoFamily::Bridge,
    };
    NetfilterHeader::new(family, 0, 0)
}

fn with(table: Table, message: NfTablesMessage, flags: u16) -> Message {
    Message { message: NetfilterMessage::new(header(table), message), flags }
}

/// Table, sets, chains: made if they are not there. Rules: all anew, in the same transaction, so that there is no
/// moment without them, and two programs that do this at once leave one set of them.
fn ensure(part: Part, next_id: &mut u32) -> Vec<Message> {
    let table = part.table();
    let name = TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] };
    let mut messages = vec![with(table, NfTablesMessage::NewTable(name), CREATE)];
    for set in part.sets() {
        *next_id += 1;
        messages.push(new_set(set, *next_id));
    }
    let chains = part.chains();
    // Chains without rules first of all: rules lead to them.
    for (place, chain) in chains.iter().enumerate() {
        messages.push(new_chain(table, chain, (place == 0).then_some(VERSION)));
    }
    messages.extend(chains.iter().flat_map(|chain| refill(table, chain)));
    messages
}

/// The chain's rules instead of those that it has. A chain that has none here is another part's to fill.
fn refill(table: Table, chain: &Chain) -> Vec<Message> {
    if chain.rules.is_empty() {
        return Vec::new();
    }
    let rules = chain.rules.iter().map(|rule| {
        let attributes = vec![
            RuleAttribute::Table(TABLE.to_owned()),
            RuleAttribute::Chain(chain.name.to_string()),
            RuleAttribute::Expressions(compile(table, rule)),
        ];
        with(table, NfTablesMessage::NewRule(RuleMessage { attributes }), CREATE | APPEND)
    });
    [flush(table, &chain.name)].into_iter().chain(rules).collect()
}

fn flush(table: Table, chain: &str) -> Message {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned()), RuleAttribute::Chain(chain.to_owned())];
    with(table, NfTablesMessage::DeleteRule(RuleMessage { attributes }), 0)
}

pub(super) fn chain_by_name(name: &str) -> ChainMessage {
    ChainMessage { attributes: vec![ChainAttribute::Table(TABLE.to_owned()), ChainAttribute::Name(name.to_owned())] }
}

fn new_chain(table: Table, chain: &Chain, comment: Option<&str>) -> Message {
    let mut message = chain_by_name(&chain.name);
    if let Some(hook) = chain.hook {
        let place = vec![Hook::Number(HookNumber::Other(hook.number)), Hook::Priority(hook.priority.cast_unsigned())];
        message.attributes.extend([
            ChainAttribute::Type(hook.kind.to_owned()),
            ChainAttribute::Policy(1), // NF_ACCEPT
            ChainAttribute::Hook(place),
        ]);
    }
    message.attributes.extend(comment.map(|comment| ChainAttribute::UserData(user_data(&[(0, text(comment))]))));
    with(table, NfTablesMessage::NewChain(message), CREATE)
}

fn new_set(set: Set, id: u32) -> Message {
    let key = set.key();
    let is_concatenation = key.len() > 1;
    let mut flags = SetFlags::empty();
    flags.set(SetFlags::Interval, set.has_networks());
    flags.set(SetFlags::Map, set.leads() != Leads::Nowhere);
    flags.set(SetFlags::Concat, is_concatenation && set.has_networks());
    let mut attributes = vec![
        SetAttribute::Table(TABLE.to_owned()),
        SetAttribute::Name(set.name().to_owned()),
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(type_number(key)),
        SetAttribute::KeyLen(length(key_length(key))),
        SetAttribute::Id(id),
    ];
    match set.leads() {
        Leads::Nowhere => {}
        // NFT_DATA_VERDICT
        Leads::ToChain => attributes.extend([SetAttribute::DataType(0xffff_ff00), SetAttribute::DataLen(0)]),
        Leads::ToIpv4 => attributes.extend(data_type(&[Kind::Ipv4, Kind::Port])),
        Leads::ToIpv6 => attributes.extend(data_type(&[Kind::Ipv6, Kind::Port])),
    }
    if is_concatenation && set.has_networks() {
        let fields = key.iter().map(|kind| {
            // NFTA_LIST_ELEM with NFTA_SET_FIELD_LEN
            let mut field = Attributes::default();
            field.put(1, &length(field_length(*kind)).to_be_bytes());
            DefaultNla::new(1 | NLA_F_NESTED, field.into_bytes())
        });
        attributes.push(SetAttribute::Description(vec![SetDescription::Concat(fields.collect())]));
    }
    // What nft needs to print keys: the byte order (NFTNL_UDATA_SET_KEYBYTEORDER), 1 the host's, 2 the wire's.
    let order: u32 = match key {
        [Kind::Link] => 1,
        [_] => 2,
        _ => 0,
    };
    attributes.push(SetAttribute::UserData(user_data(&[(0, order.to_ne_bytes().to_vec())])));
    with(set.part().table(), NfTablesMessage::NewSet(SetMessage { attributes }), CREATE)
}

fn data_type(kinds: &[Kind]) -> [SetAttribute; 2] {
    [SetAttribute::DataType(type_number(kinds)), SetAttribute::DataLen(length(key_length(kinds)))]
}

/// `nft`'s number for the type of a key (`enum datatypes` in its `include/datatype.h`); the kernel only keeps it.
fn type_number(kinds: &[Kind]) -> u32 {
    kinds.iter().fold(0, |number, kind| {
        let kind = match kind {
            Kind::Ipv4 => 7,
            Kind::Ipv6 => 8,
            Kind::Mac => 9,
            Kind::Protocol => 12,
            Kind::Port => 13,
            Kind::Link => 41,
        };
        number << 6 | kind
    })
}

/// The question for all rules of one of our tables.
pub(super) fn get_rules(table: Table) -> NetfilterMessage {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned())];
    NetfilterMessage::new(header(table), NfTablesMessage::GetRule(RuleMessage { attributes }))
}

/// Rules first, so that nothing is bound to anything; then the sets, unless they have elements; then the table.
fn remove(table: Table, parts: &[Part]) -> Vec<Message> {
    let flush = RuleMessage { attributes: vec![RuleAttribute::Table(TABLE.to_owned())] };
    let sets = parts.iter().filter(|part| part.table() == table).flat_map(|part| part.sets());
    let sets = sets.map(|set| {
        let attributes = vec![SetAttribute::Table(TABLE.to_owned()), SetAttribute::Name(set.name().to_owned())];
        with(table, NfTablesMessage::DeleteSet(SetMessage { attributes }), NOT_IF_USED)
    });
    let name = TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] };
    [with(table, NfTablesMessage::DeleteRule(flush), 0)]
        .into_iter()
        .chain(sets)
        .chain([with(table, NfTablesMessage::DeleteTable(name), 0)])
        .collect()
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(0)
}

/// Text as nft keeps it, with the NUL.
pub(super) fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// libnftnl's type, length, value (`struct nftnl_udata`), a byte each for the first two.
pub(super) fn user_data(values: &[(u8, Vec<u8>)]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|(kind, value)| [&[*kind, u8::try_from(value.len()).unwrap_or(0)], value.as_slice()].concat())
        .collect()
}

/// The comment among user data.
pub(super) fn comment(data: &[u8]) -> Option<String> {
    let mut rest = data;
    while let [kind, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
        }
        rest = &tail[usize::from(*length)..];
    }
    None
}
