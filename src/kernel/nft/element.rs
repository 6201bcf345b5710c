//! Keys and values of elements, as bytes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{IfName, Mac, Protocol};
use crate::plan::{Field, Key, Kind, Set, Value};

/// `IFNAMSIZ`: a name as the kernel compares it.
const NAME_LENGTH: usize = 16;

/// The length of a field in bytes.
pub(super) fn field_length(kind: Kind) -> usize {
    match kind {
        Kind::Link => NAME_LENGTH,
        Kind::Ipv4 => 4,
        Kind::Ipv6 => 16,
        Kind::Mac => 6,
        Kind::Protocol => 1,
        Kind::Port => 2,
    }
}

/// The length of a key in bytes: in a concatenation, each field takes whole registers of 4 bytes.
pub(super) fn key_length(kinds: &[Kind]) -> usize {
    match kinds {
        [one] => field_length(*one),
        several => several.iter().map(|kind| field_length(*kind).next_multiple_of(4)).sum(),
    }
}

/// The bytes of an address.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A link's name with zeros behind it.
pub(super) fn padded_name(name: &IfName) -> Vec<u8> {
    let mut bytes = name.as_str().as_bytes().to_vec();
    bytes.resize(NAME_LENGTH, 0);
    bytes
}

/// The first and the last key that an element stands for: one and the same unless it is a network's.
pub(super) fn bounds(key: &Key) -> (Vec<u8>, Vec<u8>) {
    let bound = |last: bool| {
        let fields = key.iter().map(|field| match field {
            Field::Link(name) => padded_name(name),
            Field::Address(address) => octets(*address),
            Field::Network(net) if last => octets(last_of(*net)),
            Field::Network(net) => octets(net.network()),
            Field::Mac(mac) => mac.octets().to_vec(),
            Field::Protocol(protocol) => vec![protocol.number()],
            Field::Port(port) => port.to_be_bytes().to_vec(),
        });
        concatenate(fields.collect())
    };
    (bound(false), bound(true))
}

/// The last address of a network; of IPv6 too, where it is no broadcast address.
fn last_of(net: IpNet) -> IpAddr {
    net.broadcast()
}

/// What an element of a map leads to, if it is data.
pub(super) fn target(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Goto(_) => None,
        Value::To(address, port) => Some(concatenate(vec![octets(*address), port.to_be_bytes().to_vec()])),
    }
}

/// The address and port that such data stand for.
pub(super) fn read_target(bytes: &[u8]) -> Option<Value> {
    let (address, port) = match bytes {
        [a, b, c, d, port @ ..] if bytes.len() == 8 => (IpAddr::from([*a, *b, *c, *d]), port),
        _ if bytes.len() == 20 => {
            let (address, port) = bytes.split_at(16);
            (IpAddr::from(<[u8; 16]>::try_from(address).ok()?), port)
        }
        _ => return None,
    };
    let [high, low, ..] = port else { return None };
    Some(Value::To(address, u16::from_be_bytes([*high, *low])))
}

/// The fields of a key that came from the kernel, by its first and last bytes; `None` for one that we cannot have made.
pub(super) fn read_key(set: Set, first: &[u8], last: &[u8]) -> Option<Key> {
    let mut at = 0;
    let mut key = Key::new();
    for kind in set.key() {
        let place = at..at + field_length(*kind);
        at = place.end.next_multiple_of(4);
        let (first, last) = (first.get(place.clone())?, last.get(place)?);
        key.push(match (read_field(*kind, first)?, read_field(*kind, last)?) {
            (Field::Address(first), Field::Address(last)) if set.has_networks() => {
                Field::Network(network(first, last)?)
            }
            (field, _) => field,
        });
    }
    Some(key)
}

/// The network from `first` to `last`.
fn network(first: IpAddr, last: IpAddr) -> Option<IpNet> {
    let length = if first.is_ipv4() { 32 } else { 128 };
    let nets = (0..=length).filter_map(|length| IpNet::new(first, length).ok());
    nets.into_iter().find(|net| net.network() == first && net.broadcast() == last)
}

fn read_field(kind: Kind, bytes: &[u8]) -> Option<Field> {
    Some(match kind {
        Kind::Link => {
            let name = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
            Field::Link(IfName::parse(name).ok()?)
        }
        Kind::Ipv4 => Field::Address(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        Kind::Ipv6 => Field::Address(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        Kind::Mac => Field::Mac(Mac::from_kernel(bytes)?),
        Kind::Protocol => Field::Protocol(Protocol::from_number(*bytes.first()?)?),
        Kind::Port => Field::Port(u16::from_be_bytes(<[u8; 2]>::try_from(bytes).ok()?)),
    })
}

fn concatenate(mut fields: Vec<Vec<u8>>) -> Vec<u8> {
    if fields.len() > 1 {
        for field in &mut fields {
            field.resize(field.len().next_multiple_of(4), 0);
        }
    }
    fields.concat()
}
