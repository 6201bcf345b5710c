//! Ethernet addresses.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// A unicast Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// A text that is no usable Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMac(String);

impl fmt::Display for InvalidMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAC address {:?} is not six hex pairs of a unicast address, such as 02:00:5e:10:00:01", self.0)
    }
}

impl std::error::Error for InvalidMac {}

impl Mac {
    /// Parses `02:00:5e:10:00:01`. Multicast and all-zero addresses are refused, as the kernel would
    /// (`is_valid_ether_addr()` in `include/linux/etherdevice.h`).
    pub fn parse(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let mut bytes = [0u8; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        if pairs.next().is_some() || !Self::is_usable(bytes) {
            return Err(invalid());
        }
        Ok(Self(bytes))
    }

    /// A locally administered unicast address made of 46 bits of `hash`.
    #[must_use]
    pub fn from_hash(hash: u64) -> Self {
        let [_, _, mut bytes @ ..] = hash.to_be_bytes();
        bytes[0] = (bytes[0] & 0xfc) | 0x02;
        Self(bytes)
    }

    /// What the kernel reported; `None` if it is no Ethernet address, or all zero, as that of a bridge is
    /// whose last port has left.
    #[must_use]
    pub fn from_kernel(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 6] = bytes.try_into().ok()?;
        Self::is_usable(bytes).then_some(Self(bytes))
    }

    fn is_usable(bytes: [u8; 6]) -> bool {
        bytes[0] & 1 == 0 && bytes != [0; 6]
    }

    /// The six bytes, most significant first.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The link-local IPv6 address that belongs to this MAC (RFC 4291, appendix A: modified EUI-64).
    #[must_use]
    pub fn link_local(self) -> std::net::Ipv6Addr {
        let mut interface = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        interface[8..11].copy_from_slice(&self.0[..3]);
        interface[13..].copy_from_slice(&self.0[3..]);
        interface[8] ^= 2; // the "universal/local" bit is inverted
        interface.into()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: six rounds of format!() would be 4,000 instructions, and an ADD writes a dozen of these.
        let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
        for (at, byte) in self.0.into_iter().enumerate() {
            if at > 0 {
                f.write_char(':')?;
            }
            f.write_char(digit(byte >> 4))?;
            f.write_char(digit(byte))?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;
    fn try_from(text: String) -> Result<Self, InvalidMac> {
        Self::parse(&text)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unicast_addresses_parse() {
        assert_eq!(Mac::parse("C2:11:22:33:44:55").unwrap().to_string(), "c2:11:22:33:44:55");
        for bad in
            ["", "c2:11:22:33:44", "c2:11:22:33:44:55:66", "01:11:22:33:44:55", "00:00:00:00:00:00", "c2:1:2:3:4:5"]
        {
            assert!(Mac::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hashes_give_locally_administered_unicast_addresses() {
        for hash in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
            let first = Mac::from_hash(hash).octets()[0];
            assert_eq!(first & 3, 2, "{first:02x}");
        }
    }

    #[test]
    fn link_local_is_the_modified_eui_64() {
        let mac = Mac::parse("02:00:5e:10:00:01").unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe10:1");
    }
}
