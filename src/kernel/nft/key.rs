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
    let mut bytes = Vec::new();
    append_address(&mut bytes, address);
    bytes
}

/// A link's name with zeros behind it.
pub(super) fn padded_name(name: &IfName) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_name(&mut bytes, name);
    bytes
}

/// The first key that an element stands for: the only one unless the key has a network.
pub(super) fn first(key: &Key) -> Vec<u8> {
    concatenated(key, IpNet::network)
}

/// The last key that an element stands for: with the last address of a network, of IPv6 too, where it is no broadcast
/// address.
pub(super) fn last(key: &Key) -> Vec<u8> {
    concatenated(key, IpNet::broadcast)
}

/// The fields of a key, one behind the other; where there are several, each takes whole registers.
fn concatenated(key: &Key, bound: fn(&IpNet) -> IpAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * NAME_LENGTH);
    for field in key {
        match field {
            Field::Link(name) => append_name(&mut bytes, name),
            Field::Address(address) => append_address(&mut bytes, *address),
            Field::Network(net) => append_address(&mut bytes, bound(net)),
            Field::Mac(mac) => bytes.extend_from_slice(&mac.octets()),
            Field::Protocol(protocol) => bytes.push(protocol.number()),
            Field::Port(port) => bytes.extend_from_slice(&port.to_be_bytes()),
        }
        if key.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

fn append_name(bytes: &mut Vec<u8>, name: &IfName) {
    let end = bytes.len() + NAME_LENGTH;
    bytes.extend_from_slice(name.as_str().as_bytes());
    bytes.resize(end, 0);
}

fn append_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
    }
}

/// The address and port that an element of a map leads to.
pub(super) fn target(address: IpAddr, port: u16) -> Vec<u8> {
    let mut bytes = octets(address);
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes
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
