//! Terms of rules as expressions of nf_tables' virtual machine.
//!
//! Each is what `nft --debug=netlink` shows for the same term, in the same order, so that `nft list ruleset` can
//! turn it back into text. Registers of 4 bytes are numbered from `NFT_REG32_00`, which is the first quarter of
//! `NFT_REG_1`; those of 16 bytes from there (`enum nft_registers` in `include/uapi/linux/netfilter/nf_tables.h`).

use ipnet::IpNet;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};
use rtnetlink::packet_core::DefaultNla;

use super::key::{field_length, octets, padded_name};
use crate::plan::{Constant, Leads, Rule, Selector, Set, Table, Term};

type Expression = ListAttribute<ExpressionAttribute>;

/// `NFT_PAYLOAD_LL_HEADER`, `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// The expressions of one rule.
pub(super) fn compile(table: Table, rule: &Rule) -> Vec<Expression> {
    let mut compiler = Compiler { table, network: None, transport: None, expressions: Vec::new() };
    for term in rule {
        compiler.term(term);
    }
    compiler.expressions
}

/// Which protocols the terms so far have made sure of: a header can only be read when it is there.
struct Compiler {
    table: Table,
    network: Option<u16>,
    transport: Option<u8>,
    expressions: Vec<Expression>,
}

/// Where a selector's value is found.
enum Source {
    Meta(MetaKey),
    /// Header, offset and length in bytes.
    Payload(u32, u32, u32),
    /// `fib daddr type`.
    DestinationType,
    /// `ct status`.
    Status,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const UDP: u8 = 17;

impl Compiler {
    fn term(&mut self, term: &Term) {
        match term {
            Term::In(selectors, set) => self.lookup(selectors, *set, None, false),
            Term::NotIn(selectors, set) => self.lookup(selectors, *set, None, true),
            Term::Map(selectors, set) => self.lookup(selectors, *set, Some(Register::Verdict), false),
            Term::Is(selector, constant) => self.compare(*selector, constant),
            Term::Dnat(selectors, set) => self.dnat(selectors, *set),
            Term::Masquerade => self.other("masq", Vec::new()),
            Term::Jump(chain) => self.verdict(Verdict::Jump, Some(chain)),
            Term::Goto(chain) => self.verdict(Verdict::Goto, Some(chain)),
            Term::Return => self.verdict(Verdict::Return, None),
            Term::Accept => self.verdict(Verdict::Other(1), None), // NF_ACCEPT
            Term::Drop => self.verdict(Verdict::Other(0), None),   // NF_DROP
        }
    }

    fn push(&mut self, expression: Expressions) {
        self.expressions.push(expression.into());
    }

    fn other(&mut self, name: &str, attributes: Vec<DefaultNla>) {
        self.push(Expressions::Other { expression_type: name.to_owned(), attributes });
    }

    fn verdict(&mut self, verdict: Verdict, chain: Option<&str>) {
        let chain = chain.map(|chain| VerdictAttribute::Chain(chain.to_owned()));
        let verdict = [VerdictAttribute::Code(verdict)].into_iter().chain(chain).collect();
        let data = Immediate::Data(DataAttribute::Verdict(verdict));
        self.push(Expressions::Immediate(vec![Immediate::DestinationRegister(Register::Verdict), data]));
    }

    fn lookup(&mut self, selectors: &[Selector], set: Set, to: Option<Register>, not: bool) {
        for selector in selectors {
            self.depend(*selector);
        }
        let mut words = 0;
        for selector in selectors {
            self.load(*selector, register(words));
            words += field_length(selector.kind()).div_ceil(4);
        }
        let mut lookup = vec![Lookup::Set(set.name().to_owned()), Lookup::SourceRegister(register(0))];
        lookup.extend(to.map(Lookup::DestinationRegister));
        lookup.extend(not.then_some(Lookup::Flags(1))); // NFT_LOOKUP_F_INV
        self.push(Expressions::Lookup(lookup));
    }

    fn dnat(&mut self, selectors: &[Selector], set: Set) {
        self.lookup(selectors, set, Some(register(0)), false);
        let (family, port) = match set.leads() {
            Leads::ToIpv6 => (10u32, register(4)), // NFPROTO_IPV6
            _ => (2, register(1)),                 // NFPROTO_IPV4
        };
        // enum nft_nat_attributes: type (NFT_NAT_DNAT), family, first address, first port.
        let numbers = [(1, 1), (2, family), (3, register(0).into()), (5, port.into())];
        self.other("nat", numbers.map(|(kind, number)| big_endian(kind, number)).into());
    }

    fn compare(&mut self, selector: Selector, constant: &Constant) {
        self.depend(selector);
        match constant {
            Constant::Net(net) => self.compare_prefix(selector, *net),
            Constant::Link(link) => {
                self.load(selector, register(0));
                self.cmp(Operator::Equal, padded_name(link));
            }
            Constant::Number(number, _) if selector == Selector::Status => {
                self.load(selector, register(0));
                self.mask(&number.to_ne_bytes());
                self.cmp(Operator::NotEqual, vec![0; 4]);
            }
            Constant::Number(number, _) => {
                self.load(selector, register(0));
                self.cmp(Operator::Equal, selector.encode(*number));
            }
        }
        match (selector, constant) {
            (Selector::EtherType, Constant::Number(number, _)) => self.network = u16::try_from(*number).ok(),
            (Selector::Protocol, Constant::Number(number, _)) => self.transport = u8::try_from(*number).ok(),
            _ => {}
        }
    }

    /// Of a prefix of whole bytes only those are read; any other is masked.
    fn compare_prefix(&mut self, selector: Selector, net: IpNet) {
        let Source::Payload(header, offset, length) = selector.source() else { return };
        let bytes = octets(net.addr());
        let bits = usize::from(net.prefix_len());
        if bits > 0 && bits.is_multiple_of(8) {
            let count = bits / 8;
            self.payload(header, offset, u32::try_from(count).unwrap_or(length), register(0));
            self.cmp(Operator::Equal, bytes[..count].to_vec());
            return;
        }
        self.payload(header, offset, length, register(0));
        let mask = octets(net.netmask());
        self.mask(&mask);
        self.cmp(Operator::Equal, bytes);
    }

    fn mask(&mut self, mask: &[u8]) {
        self.push(Expressions::Bitwise(vec![
            Bitwise::SourceRegister(register(0)),
            Bitwise::DestinationRegister(register(0)),
            Bitwise::Op(0), // NFT_BITWISE_BOOL
            Bitwise::Length(u32::try_from(mask.len()).unwrap_or(0)),
            Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
            Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
        ]));
    }

    fn cmp(&mut self, operator: Operator, value: Vec<u8>) {
        let data = Cmp::Data(DataAttribute::Value(value));
        self.push(Expressions::Cmp(vec![Cmp::SourceRegister(register(0)), Cmp::Op(operator), data]));
    }

    fn meta(&mut self, key: MetaKey, to: Register) {
        self.push(Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(to)]));
    }

    fn payload(&mut self, header: u32, offset: u32, length: u32, to: Register) {
        let place = [Payload::Base(header), Payload::Offset(offset), Payload::Len(length)];
        self.push(Expressions::Payload([Payload::DestinationRegister(to)].into_iter().chain(place).collect()));
    }

    fn load(&mut self, selector: Selector, to: Register) {
        match selector.source() {
            Source::Meta(key) => self.meta(key, to),
            Source::Payload(header, offset, length) => self.payload(header, offset, length, to),
            // enum nft_fib_attributes: NFT_FIB_RESULT_ADDRTYPE of NFTA_FIB_F_DADDR.
            Source::DestinationType => {
                self.other("fib", vec![big_endian(3, 2), big_endian(2, 3), big_endian(1, to.into())]);
            }
            // enum nft_ct_attributes: NFT_CT_STATUS.
            Source::Status => self.other("ct", vec![big_endian(2, 2), big_endian(1, to.into())]),
        }
    }

    /// Makes sure of the protocols whose headers the selector reads.
    fn depend(&mut self, selector: Selector) {
        let (network, by_ether_type) = match selector {
            Selector::Source4 | Selector::Destination4 => (ETHERTYPE_IPV4, false),
            Selector::Source6 | Selector::Destination6 => (ETHERTYPE_IPV6, false),
            Selector::Icmp6Type => (ETHERTYPE_IPV6, true),
            Selector::ArpSender | Selector::ArpTarget | Selector::ArpSenderMac => (ETHERTYPE_ARP, true),
            Selector::UdpDestinationPort => return self.depend_on_transport(UDP),
            _ => return,
        };
        if self.network.is_none() && self.table != Table::Arp {
            self.network = Some(network);
            match self.table {
                Table::Bridge if by_ether_type => self.payload(LINK_HEADER, 12, 2, register(0)),
                Table::Bridge => self.meta(MetaKey::EtherTypeProtocol, register(0)),
                Table::Inet | Table::Arp => self.meta(MetaKey::Nfproto, register(0)),
            }
            self.cmp(
                Operator::Equal,
                match self.table {
                    Table::Bridge => network.to_be_bytes().to_vec(),
                    Table::Inet | Table::Arp => vec![if network == ETHERTYPE_IPV6 { 10 } else { 2 }],
                },
            );
        }
        if selector == Selector::Icmp6Type {
            self.depend_on_transport(ICMPV6);
        }
    }

    fn depend_on_transport(&mut self, protocol: u8) {
        if self.transport.replace(protocol).is_none() {
            self.meta(MetaKey::L4Proto, register(0));
            self.cmp(Operator::Equal, vec![protocol]);
        }
    }
}

impl Selector {
    fn source(self) -> Source {
        match self {
            Self::InLink => Source::Meta(MetaKey::Iifname),
            Self::OutLink => Source::Meta(MetaKey::Oifname),
            Self::InGroup => Source::Meta(MetaKey::Iifgroup),
            Self::OutGroup => Source::Meta(MetaKey::Oifgroup),
            Self::Protocol => Source::Meta(MetaKey::L4Proto),
            Self::EtherSource => Source::Payload(LINK_HEADER, 6, 6),
            Self::EtherType => Source::Payload(LINK_HEADER, 12, 2),
            Self::Source4 => Source::Payload(NETWORK_HEADER, 12, 4),
            Self::Destination4 => Source::Payload(NETWORK_HEADER, 16, 4),
            Self::Source6 => Source::Payload(NETWORK_HEADER, 8, 16),
            Self::Destination6 => Source::Payload(NETWORK_HEADER, 24, 16),
            Self::ArpSenderMac => Source::Payload(NETWORK_HEADER, 8, 6),
            Self::ArpSender => Source::Payload(NETWORK_HEADER, 14, 4),
            Self::ArpTarget => Source::Payload(NETWORK_HEADER, 24, 4),
            Self::Icmp6Type => Source::Payload(TRANSPORT_HEADER, 0, 1),
            Self::NeighbourTarget => Source::Payload(TRANSPORT_HEADER, 8, 16),
            Self::DestinationPort | Self::UdpDestinationPort => Source::Payload(TRANSPORT_HEADER, 2, 2),
            Self::DestinationType => Source::DestinationType,
            Self::Status => Source::Status,
        }
    }

    /// The type of its value in a key.
    fn kind(self) -> crate::plan::Kind {
        use crate::plan::Kind;
        match self {
            Self::InLink | Self::OutLink => Kind::Link,
            Self::EtherSource | Self::ArpSenderMac => Kind::Mac,
            Self::Source6 | Self::Destination6 | Self::NeighbourTarget => Kind::Ipv6,
            Self::Protocol => Kind::Protocol,
            Self::DestinationPort | Self::UdpDestinationPort => Kind::Port,
            _ => Kind::Ipv4,
        }
    }

    /// A number as the register holds it: header fields as on the wire, what the kernel knows in its own order.
    fn encode(self, number: u32) -> Vec<u8> {
        let wire = number.to_be_bytes();
        match self {
            Self::Icmp6Type | Self::Protocol => wire[3..].to_vec(),
            Self::EtherType | Self::DestinationPort | Self::UdpDestinationPort => wire[2..].to_vec(),
            _ => number.to_ne_bytes().to_vec(),
        }
    }
}

/// The register that begins after so many words of 4 bytes: by its 16-byte name where it has one, as `nft` does.
fn register(words: usize) -> Register {
    let words = u32::try_from(words).unwrap_or(0);
    let number = if words.is_multiple_of(4) { 1 + words / 4 } else { 8 + words };
    Register::from(number)
}

fn big_endian(kind: u16, number: u32) -> DefaultNla {
    DefaultNla::new(kind, number.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::Emitable;

    use super::*;
    use crate::plan::Part;

    /// What `nft` 1.0.6 sends for the same terms, seen with strace: an expression of the list of a rule.
    const GOLDEN: [(&str, &str); 5] = [
        (
            "nat4",
            "3000018008000100 6e617400 24000280 0800010000000001 0800020000000002 0800030000000001 0800050000000009",
        ),
        (
            "nat6",
            "3000018008000100 6e617400 24000280 0800010000000001 080002000000000a 0800030000000001 0800050000000002",
        ),
        ("masq", "1400018009000100 6d61737100000000 04000280"),
        ("fib", "2800018008000100 66696200 1c000280 0800030000000002 0800020000000003 0800010000000001"),
        ("ct", "2000018007000100 63740000 14000280 0800020000000002 0800010000000001"),
    ];

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    fn expressions() -> impl Iterator<Item = Expression> {
        let rules = Part::ALL.into_iter().flat_map(|part| {
            part.chains()
                .into_iter()
                .flat_map(move |chain| chain.rules.into_iter().map(move |rule| (part.table(), rule)))
        });
        rules.flat_map(|(table, rule)| compile(table, &rule))
    }

    fn name(expression: &Expression) -> &str {
        let ListAttribute::Element(attributes) = expression else { return "" };
        let name = attributes.iter().find_map(|attribute| match attribute {
            ExpressionAttribute::Name(name) => Some(name.as_str()),
            _ => None,
        });
        name.unwrap_or_default()
    }

    #[test]
    fn our_own_expressions_are_nfts_byte_for_byte() {
        for (what, golden) in GOLDEN {
            let golden = golden.replace(' ', "");
            let kind = what.trim_end_matches(['4', '6']);
            let sent: Vec<String> = expressions()
                .filter(|expression| name(expression) == kind)
                .map(|expression| {
                    let mut bytes = vec![0; expression.buffer_len()];
                    expression.emit(&mut bytes);
                    hex(&bytes)
                })
                .collect();
            // Of `nat` there is a wider key, too, whose port is in another register.
            assert!(sent.contains(&golden), "{what}: {sent:#?}");
            assert!(kind == "nat" || sent.iter().all(|bytes| *bytes == golden), "{what}: {sent:#?}");
        }
    }

    #[test]
    fn registers_are_counted_as_nft_does() {
        let numbers: Vec<u32> = [0, 1, 3, 4, 5, 8].into_iter().map(|words| register(words).into()).collect();
        assert_eq!(numbers, [1, 9, 11, 2, 13, 3]);
    }
}
