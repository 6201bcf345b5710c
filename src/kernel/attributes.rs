//! Netlink attributes as bytes, there and back (`struct nlattr`, `include/uapi/linux/netlink.h`).
//!
//! The libraries' types are for what is sent or asked now and then. Of what every ADD sends and asks, most would be spent on
//! them: each nest asks all that is in it for its length, and does so anew at each level; and to read one of sixty
//! attributes of a link, they make a value of each.

/// What is before a value: its length with this, and its type. Behind it are zeros up to a multiple of four.
const HEADER: usize = 4;

/// In the type of a nest (`NLA_F_NESTED`), and all that a type may be marked with (`NLA_TYPE_MASK` is the rest).
const NESTED: u16 = 1 << 15;
const FLAGS: u16 = 3 << 14;

/// Attributes to send.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    /// Adds one. Of these, none is ever as long as an attribute can be (64 KiB).
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        let begin = self.begin(kind);
        self.bytes.extend_from_slice(value);
        self.end(begin);
    }

    /// Adds a string.
    pub(super) fn put_text(&mut self, kind: u16, text: &str) {
        let begin = self.begin(kind);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.end(begin);
    }

    /// Adds one that holds what `fill` adds.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let begin = self.begin(kind | NESTED);
        fill(self);
        self.end(begin);
    }

    /// All of them.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn begin(&mut self, kind: u16) -> usize {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        begin
    }

    fn end(&mut self, begin: usize) {
        let length = u16::try_from(self.bytes.len() - begin).unwrap_or(u16::MAX);
        self.bytes[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The attributes of a message, or of a nest: the type of each, without flags, and its value. What cannot be read ends them.
pub(super) fn each(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (half(rest)?, half(rest.get(2..)?)?);
        let value = rest.get(HEADER..length.into())?;
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !FLAGS, value))
    })
}

/// The value of the first attribute of a type.
pub(super) fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    each(attributes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A string as the kernel writes it, with a zero at its end.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

/// A number of four bytes, in the order of the host.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// A number of two bytes, in the order of the host.
pub(super) fn half(value: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(value.get(..2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_know_their_lengths_and_damage_ends_the_reading() {
        let mut attributes = Attributes::default();
        attributes.put(1, &[7]);
        attributes.nest(2, |inside| {
            inside.put_text(3, "eth");
            inside.nest(4, |_| ());
        });
        let bytes = attributes.into_bytes();
        assert_eq!(bytes[..8], [[5, 0, 1, 0], [7, 0, 0, 0]].concat());
        assert_eq!(bytes[8..12], [16u16.to_ne_bytes(), 0x8002u16.to_ne_bytes()].concat());
        let nest = attribute(&bytes, 2).unwrap();
        assert_eq!((nest.len(), attribute(nest, 3).and_then(text)), (12, Some("eth")));
        assert_eq!((attribute(nest, 4), attribute(nest, 5)), (Some(&[][..]), None));
        for end in 0..bytes.len() {
            assert!(each(&bytes[..end]).count() < 2);
        }
        for length in [0, 3, u16::MAX] {
            assert_eq!(each(&[length.to_ne_bytes(), [1, 0], [0, 0]].concat()).count(), 0);
        }
    }
}
