//! Allocation rings: the next free address of a range set without reading the lease directory.
//!
//! A ring numbers the addresses of a range set from 0 on. Its file holds a cursor and one bit for each
//! address; allocation goes on from the cursor, so an address that was given back is used again as late as
//! possible, and finding a free one costs the same with ten leases or ten thousand.
//!
//! The bits are hints. The lease files are the truth: a bit that is clear although there is a lease is found
//! out by the exclusive creation of the file, and a bit that is set although there is none (a crash between
//! the two writes, a lease made through another configuration) is found out when the ring seems full and is
//! rebuilt. All access is under the store's lock.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use ipnet::IpNet;

use super::leases::{Picked, RangeFull};
use crate::model::{Range, RangeSet, RingSlot};

/// No ring is longer: a /64 is used from its start, a million leases are more than any host has.
const MAX_SIZE: u32 = 1 << 20;
/// Magic and cursor.
const HEADER: u64 = 32;
const MAGIC: &[u8; 16] = b"springline ring1";
/// So much of a ring is looked at at once: mostly, the next address is free.
const PIECE: usize = 512;

/// It is written in place: not in somebody else's, by way of a link.
const NO_LINK: i32 = nix::libc::O_NOFOLLOW;

/// How the addresses of a range set are numbered.
#[derive(Debug, Clone)]
pub(super) struct Numbering<'a> {
    set: &'a RangeSet,
    pub(super) size: u32,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(set: &'a RangeSet) -> Self {
        let size = set.0.iter().map(length).fold(0u128, u128::saturating_add);
        Self { set, size: u32::try_from(size).unwrap_or(MAX_SIZE).min(MAX_SIZE) }
    }

    /// The ring's name: the same for the same ranges, wherever they are configured.
    pub(super) fn name(&self) -> String {
        let ranges = self.set.0.iter().map(ToString::to_string);
        let text = ranges.collect::<Vec<_>>().join(",");
        let hash = siphasher::sip::SipHasher24::new().hash(text.as_bytes());
        format!("{hash:016x}")
    }

    pub(super) fn address(&self, index: u32) -> Option<IpAddr> {
        let mut rest = u128::from(index);
        for range in &self.set.0 {
            let length = length(range);
            if rest < length {
                return Some(plus(range.start, rest));
            }
            rest -= length;
        }
        None
    }

    pub(super) fn index(&self, address: IpAddr) -> Option<u32> {
        let mut base = 0u128;
        for range in &self.set.0 {
            if range.contains(address) {
                let index = base + (number(address) - number(range.start));
                return u32::try_from(index).ok().filter(|index| *index < self.size);
            }
            base += length(range);
        }
        None
    }

    /// The first address of a ring in which nothing is taken yet.
    pub(super) fn first(&self) -> Result<Picked, RangeFull> {
        let reserved = self.reserved();
        let mut index = 0;
        while let Some(range) = reserved.iter().find(|range| range.contains(&index)) {
            index = range.end() + 1;
        }
        let address = self.address(index).filter(|_| index < self.size);
        let slot = |index| RingSlot { ring: self.name(), index };
        address.map(|address| Picked { address, slot: slot(index) }).ok_or(RangeFull { used: 0, total: 0 })
    }

    /// The indices that are never given out: gateways and excluded networks.
    fn reserved(&self) -> Vec<std::ops::RangeInclusive<u32>> {
        let mut reserved = Vec::new();
        for range in &self.set.0 {
            let gateway = range.gateway.map(IpNet::from);
            for net in range.exclude.iter().copied().chain(gateway) {
                let first = net.network().max(range.start);
                let last = net.broadcast().min(range.end);
                if first <= last
                    && let Some(first) = self.index(first)
                {
                    reserved.push(first..=self.index(last).unwrap_or(self.size - 1));
                }
            }
        }
        reserved
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn plus(address: IpAddr, offset: u128) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4).wrapping_add(u32::try_from(offset).unwrap_or(0))).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6).wrapping_add(offset)).into()),
    }
}

fn length(range: &Range) -> u128 {
    (number(range.end) - number(range.start)).saturating_add(1)
}

/// An open ring file.
#[derive(Debug)]
pub(super) struct Ring {
    file: File,
    size: u32,
}

impl Ring {
    /// Opens the ring of a range set; a missing or foreign file becomes a new ring with only the reserved
    /// addresses taken.
    pub(super) fn open(path: &Path, numbering: &Numbering<'_>) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(path)?;
        let ring = Self { file, size: numbering.size };
        let mut magic = [0u8; 16];
        let is_ring = ring.file.read_exact_at(&mut magic, 0).is_ok() && magic == *MAGIC;
        if !is_ring || ring.file.metadata()?.len() != ring.file_length() {
            ring.reset(numbering, std::iter::empty(), 0)?;
        }
        Ok(ring)
    }

    fn file_length(&self) -> u64 {
        HEADER + u64::from(self.size.div_ceil(8))
    }

    /// Starts anew: reserved addresses and `taken` ones are taken, all others free.
    pub(super) fn reset(
        &self,
        numbering: &Numbering<'_>,
        taken: impl Iterator<Item = u32>,
        cursor: u32,
    ) -> io::Result<()> {
        let mut bits = vec![0u8; self.size.div_ceil(8) as usize];
        let mut set = |index: u32| bits[(index / 8) as usize] |= 1 << (index % 8);
        numbering.reserved().into_iter().flatten().for_each(&mut set);
        taken.filter(|index| *index < self.size).for_each(&mut set);
        self.file.set_len(0)?;
        self.file.set_len(self.file_length())?;
        self.file.write_all_at(&bits, HEADER)?;
        self.set_cursor(cursor)?;
        self.file.write_all_at(MAGIC, 0) // last: a half-written ring is no ring
    }

    /// Where allocation goes on.
    pub(super) fn cursor(&self) -> io::Result<u32> {
        let mut cursor = [0u8; 4];
        self.file.read_exact_at(&mut cursor, 16)?;
        Ok(u32::from_le_bytes(cursor).min(self.size))
    }

    /// Moves the cursor.
    pub(super) fn set_cursor(&self, cursor: u32) -> io::Result<()> {
        self.file.write_all_at(&cursor.to_le_bytes(), 16)
    }

    /// The first free index at or after `from`, going round once.
    pub(super) fn next_free(&self, from: u32) -> io::Result<Option<u32>> {
        match self.find_free(from, self.size)? {
            Some(index) => Ok(Some(index)),
            None => self.find_free(0, from.min(self.size)),
        }
    }

    fn find_free(&self, from: u32, to: u32) -> io::Result<Option<u32>> {
        let mut piece = [0u8; PIECE];
        let mut at = from / 8;
        while at * 8 < to {
            let count = ((to.div_ceil(8) - at) as usize).min(PIECE);
            self.file.read_exact_at(&mut piece[..count], HEADER + u64::from(at))?;
            for (byte, bits) in (at..).zip(&piece[..count]) {
                let free = (0..8)
                    .map(|bit| byte * 8 + bit)
                    .find(|index| *index >= from && *index < to && bits & (1 << (index % 8)) == 0);
                if *bits != 0xff && free.is_some() {
                    return Ok(free);
                }
            }
            at += u32::try_from(count).unwrap_or(u32::MAX);
        }
        Ok(None)
    }

    /// Marks an index taken or free.
    pub(super) fn mark(&self, index: u32, taken: bool) -> io::Result<()> {
        if index >= self.size {
            return Ok(()); // the ranges have changed since
        }
        let at = HEADER + u64::from(index / 8);
        let mut byte = [0u8];
        self.file.read_exact_at(&mut byte, at)?;
        if taken {
            byte[0] |= 1 << (index % 8);
        } else {
            byte[0] &= !(1 << (index % 8));
        }
        self.file.write_all_at(&byte, at)
    }

    /// How many of the addresses that can be given out at all are taken, and how many there are.
    pub(super) fn usage(&self, numbering: &Numbering<'_>) -> io::Result<(u32, u32)> {
        let mut bits = vec![0u8; self.size.div_ceil(8) as usize];
        self.file.read_exact_at(&mut bits, HEADER)?;
        let taken: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        let mut reserved: Vec<u32> = numbering.reserved().into_iter().flatten().collect();
        reserved.sort_unstable();
        reserved.dedup();
        let reserved = u32::try_from(reserved.len()).unwrap_or(u32::MAX);
        Ok((taken.saturating_sub(reserved), self.size.saturating_sub(reserved)))
    }

    /// Opens the ring called `name` in `dir` to mark a released address free; `None` if it is gone.
    pub(super) fn reopen(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(NO_LINK).open(path).ok()?;
        let length = file.metadata().ok()?.len().checked_sub(HEADER)?;
        Some(Self { file, size: u32::try_from(length * 8).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(&str, &str, Option<&str>, &[&str])]) -> RangeSet {
        let range = |(start, end, gateway, exclude): &(&str, &str, Option<&str>, &[&str])| Range {
            subnet: format!("{start}/8").parse::<IpNet>().unwrap().trunc(),
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            gateway: gateway.map(|text| text.parse().unwrap()),
            exclude: exclude.iter().map(|text| text.parse().unwrap()).collect(),
        };
        RangeSet(ranges.iter().map(range).collect())
    }

    #[test]
    fn numbering_goes_through_the_ranges_in_order() {
        let set = set(&[("10.0.0.1", "10.0.0.4", None, &[]), ("10.0.1.8", "10.0.1.9", None, &[])]);
        let numbering = Numbering::new(&set);
        assert_eq!(numbering.size, 6);
        for index in 0..6 {
            assert_eq!(numbering.index(numbering.address(index).unwrap()), Some(index));
        }
        assert_eq!(numbering.address(4).unwrap().to_string(), "10.0.1.8");
        assert_eq!(numbering.address(6), None);
        assert_eq!(numbering.index("10.0.0.5".parse().unwrap()), None);
    }

    #[test]
    fn a_ring_goes_round_and_skips_what_is_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let set = set(&[("10.0.0.1", "10.0.0.10", Some("10.0.0.1"), &["10.0.0.4/30"])]);
        let numbering = Numbering::new(&set);
        let ring = Ring::open(&dir.path().join("ring"), &numbering).unwrap();
        let mut given = Vec::new();
        while let Some(index) = ring.next_free(ring.cursor().unwrap()).unwrap() {
            ring.mark(index, true).unwrap();
            ring.set_cursor(index + 1).unwrap();
            given.push(numbering.address(index).unwrap().to_string());
        }
        assert_eq!(given, ["10.0.0.2", "10.0.0.3", "10.0.0.8", "10.0.0.9", "10.0.0.10"]);
        assert_eq!(ring.usage(&numbering).unwrap(), (5, 5));
        ring.mark(1, false).unwrap();
        ring.mark(7, false).unwrap();
        let again = Ring::open(&dir.path().join("ring"), &numbering).unwrap();
        assert_eq!(again.next_free(again.cursor().unwrap()).unwrap(), Some(1));
        assert_eq!(again.next_free(2).unwrap(), Some(7));
    }

    #[test]
    fn a_large_full_ring_is_searched_whole() {
        let dir = tempfile::tempdir().unwrap();
        let set = set(&[("10.0.0.0", "10.255.255.255", None, &[])]);
        let numbering = Numbering::new(&set);
        let ring = Ring::open(&dir.path().join("ring"), &numbering).unwrap();
        ring.reset(&numbering, (0..MAX_SIZE).filter(|index| *index != 77_777), 5).unwrap();
        assert_eq!(ring.next_free(500_000).unwrap(), Some(77_777));
        ring.mark(77_777, true).unwrap();
        assert_eq!(ring.next_free(500_000).unwrap(), None);
    }

    #[test]
    fn a_damaged_ring_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        std::fs::write(&path, b"garbage").unwrap();
        let set = set(&[("10.0.0.1", "10.0.0.3", None, &[])]);
        let ring = Ring::open(&path, &Numbering::new(&set)).unwrap();
        assert_eq!(ring.next_free(0).unwrap(), Some(0));
    }
}
