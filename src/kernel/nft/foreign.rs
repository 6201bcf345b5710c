//! Other people's firewalls, as far as they decide what is forwarded.

use std::net::IpAddr;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook, HookNumber, Immediate,
    InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, RuleAttribute, RuleMessage, VerdictAttribute,
};
use rtnetlink::packet_core::{DefaultNla, Nla};

use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::Nft;
use super::key::octets;
use crate::kernel::KernelError;
use crate::kernel::netfilter;
use crate::plan::TABLE;

/// A base chain of somebody else's that drops what it does not expressly let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Whether by its policy; otherwise by its last rule.
    pub by_policy: bool,
    /// What the table's accepting rules ask for, as far as it is about links and addresses.
    pub passes: Vec<Pass>,
}

/// Something that an accepting rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// A link's name, or how it begins.
    Link(String),
    /// A link's group.
    Group(u32),
    /// An address, or how it begins.
    Address(Vec<u8>),
    /// Nothing at all: everything passes.
    Anything,
}

/// `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

impl Nft {
    /// The barriers in the way of what is forwarded. It reads all chains, and the rules of tables with such a chain.
    pub fn barriers(&self) -> Result<Vec<Barrier>, KernelError> {
        let mut barriers = Vec::new();
        for (family, name) in [
            (NetfilterProtoFamily::Inet, "inet"),
            (NetfilterProtoFamily::IPv4, "ip"),
            (NetfilterProtoFamily::IPv6, "ip6"),
        ] {
            let question =
                |message: NfTablesMessage| NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
            let chains = self.dump(question(NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() })))?;
            for forwarding in chains.iter().filter_map(Forwarding::read).filter(|chain| chain.table != TABLE) {
                let table = vec![RuleAttribute::Table(forwarding.table.clone())];
                let rules = self.dump(question(NfTablesMessage::GetRule(RuleMessage { attributes: table })))?;
                let rules: Vec<Rule> = rules.iter().filter_map(Rule::read).collect();
                let last = rules.iter().rfind(|rule| rule.chain == forwarding.chain);
                let by_rule = last.is_some_and(|rule| rule.is_plain && rule.drops);
                if !forwarding.drops && !by_rule {
                    continue;
                }
                let passes = rules.into_iter().filter(|rule| rule.accepts).flat_map(|rule| rule.passes).collect();
                let Forwarding { table, chain, drops } = forwarding;
                barriers.push(Barrier { family: name, table, chain, by_policy: drops, passes });
            }
        }
        Ok(barriers)
    }

    fn dump(&self, question: NetfilterMessage) -> Result<Vec<NfTablesMessage>, KernelError> {
        let messages = self.socket.dump(question, netfilter::read)?.into_iter();
        let of_ours = |message: NetfilterMessage| match message.inner {
            NetfilterMessageInner::NfTables(message) => Some(message),
            _ => None,
        };
        Ok(messages.filter_map(of_ours).collect())
    }
}

/// Reads an answer in all the ways in which other people's rules are read.
#[cfg(any(test, fuzzing))]
pub(in crate::kernel) fn read_in_all_ways(message: &NfTablesMessage) {
    let _ = Forwarding::read(message);
    let Some(rule) = Rule::read(message) else { return };
    let barrier =
        Barrier { family: "inet", table: String::new(), chain: rule.chain, by_policy: false, passes: rule.passes };
    let addresses = ["10.22.0.2", "2001:db8::2"].map(|text| text.parse().unwrap_or(IpAddr::from([0; 4])));
    let _ = barrier.lets_pass(171, &["veth1".to_owned()], &addresses);
}

/// A base chain at the hook `forward`.
struct Forwarding {
    table: String,
    chain: String,
    drops: bool,
}

impl Forwarding {
    fn read(message: &NfTablesMessage) -> Option<Self> {
        let NfTablesMessage::NewChain(message) = message else { return None };
        let (mut table, mut chain, mut forwards, mut policy) = (None, None, false, ACCEPT);
        for attribute in &message.attributes {
            match attribute {
                ChainAttribute::Table(name) => table = Some(name.clone()),
                ChainAttribute::Name(name) => chain = Some(name.clone()),
                ChainAttribute::Policy(value) => policy = *value,
                ChainAttribute::Hook(hook) => {
                    let number = HookNumber::Inet(InetHookNumber::Forward);
                    forwards = hook.contains(&Hook::Number(number));
                }
                _ => {}
            }
        }
        forwards.then_some(Self { table: table?, chain: chain?, drops: policy == DROP })
    }
}

/// A rule, as far as it is to be understood.
struct Rule {
    chain: String,
    /// It asks for nothing.
    is_plain: bool,
    drops: bool,
    accepts: bool,
    passes: Vec<Pass>,
}

impl Rule {
    fn read(message: &NfTablesMessage) -> Option<Self> {
        let NfTablesMessage::NewRule(message) = message else { return None };
        let mut rule = Self { chain: String::new(), is_plain: true, drops: false, accepts: false, passes: Vec::new() };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Chain(name) => rule.chain.clone_from(name),
                RuleAttribute::Expressions(expressions) => rule.read_expressions(expressions),
                _ => {}
            }
        }
        if rule.is_plain && rule.accepts {
            rule.passes.push(Pass::Anything);
        }
        Some(rule)
    }

    fn read_expressions(&mut self, expressions: &[ListAttribute<ExpressionAttribute>]) {
        let mut loaded = Loaded::Other;
        for expression in expressions.iter().filter_map(|expression| match expression {
            ListAttribute::Element(attributes) => attributes.iter().find_map(|attribute| match attribute {
                ExpressionAttribute::Data(data) => Some(data),
                _ => None,
            }),
            _ => None,
        }) {
            match expression {
                Expressions::Immediate(immediate) => match verdict(immediate) {
                    Some(DROP) => self.drops = true,
                    Some(ACCEPT) => self.accepts = true,
                    _ => {}
                },
                Expressions::Meta(meta) => loaded = Loaded::of(meta),
                Expressions::Payload(_) => loaded = Loaded::Address,
                Expressions::Cmp(cmp) => {
                    self.is_plain = false;
                    self.passes.extend(loaded.pass(cmp));
                }
                Expressions::Lookup(_) => self.is_plain = false,
                Expressions::Other { expression_type, attributes } => match expression_type.as_str() {
                    "counter" | "log" => {}
                    "reject" => self.drops = true,
                    "match" => {
                        self.is_plain = false;
                        self.passes.extend(device_groups(attributes));
                    }
                    _ => self.is_plain = false,
                },
                _ => {}
            }
        }
    }
}

/// What iptables' match `devgroup` asks for: `NFTA_MATCH_NAME` and `NFTA_MATCH_INFO`, `struct xt_devgroup_info`.
fn device_groups(attributes: &[DefaultNla]) -> Vec<Pass> {
    let value = |wanted: u16| {
        attributes.iter().find(|nla| nla.kind() == wanted).map(|nla| {
            let mut bytes = vec![0; nla.value_len()];
            nla.emit_value(&mut bytes);
            bytes
        })
    };
    match (value(1), value(3)) {
        (Some(name), Some(info)) if name.starts_with(b"devgroup\0") => {
            let word = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
            [word(4), word(12)].into_iter().flatten().map(Pass::Group).collect()
        }
        _ => Vec::new(),
    }
}

fn verdict(immediate: &[Immediate]) -> Option<u32> {
    let data = immediate.iter().find_map(|part| match part {
        Immediate::Data(DataAttribute::Verdict(verdict)) => Some(verdict),
        _ => None,
    })?;
    data.iter().find_map(|part| match part {
        VerdictAttribute::Code(code) => Some((*code).into()),
        _ => None,
    })
}

/// What the register holds that a comparison is about.
enum Loaded {
    Link,
    Group,
    Address,
    Other,
}

impl Loaded {
    fn of(meta: &[Meta]) -> Self {
        let key = meta.iter().find_map(|part| match part {
            Meta::Key(key) => Some(*key),
            _ => None,
        });
        match key {
            Some(MetaKey::Iifname | MetaKey::Oifname) => Self::Link,
            Some(MetaKey::Iifgroup | MetaKey::Oifgroup) => Self::Group,
            _ => Self::Other,
        }
    }

    fn pass(&self, cmp: &[Cmp]) -> Option<Pass> {
        let value = cmp.iter().find_map(|part| match part {
            Cmp::Data(DataAttribute::Value(value)) => Some(value.clone()),
            _ => None,
        })?;
        match self {
            Self::Link => Some(Pass::Link(String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned())),
            Self::Group => Some(Pass::Group(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))),
            Self::Address => Some(Pass::Address(value)),
            Self::Other => None,
        }
    }
}

impl Barrier {
    /// Whether some rule of it seems to let the containers behind `links` (by their names, or how these begin) with
    /// addresses in these networks pass. In doubt, it does: nobody is to be told of a barrier that is none.
    #[must_use]
    pub fn lets_pass(&self, group: u32, links: &[String], addresses: &[IpAddr]) -> bool {
        let starts =
            |name: &String, other: &String| name.starts_with(other.as_str()) || other.starts_with(name.as_str());
        self.passes.iter().any(|pass| match pass {
            Pass::Anything => true,
            Pass::Group(there) => *there == group,
            Pass::Link(name) => !name.is_empty() && links.iter().any(|link| starts(link, name)),
            Pass::Address(bytes) => {
                let common = |address: &IpAddr| {
                    let own = octets(*address);
                    let own = own.get(..bytes.len()).unwrap_or(&own);
                    // A masked comparison shows the network's own address: its last octets are zero.
                    let known = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                    known > 0 && own.starts_with(&bytes[..known.min(own.len())])
                };
                bytes.len() > 1 && addresses.iter().any(common)
            }
        })
    }
}
