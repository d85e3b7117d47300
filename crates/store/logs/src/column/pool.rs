//! The 128-bit ids of a row group, each kept once, in the order in which they came.

use crate::error::Error;
use bytes::Bytes;

#[derive(Default)]
pub struct Pool {
    ids: Vec<u128>,
    /// Place + 1 of the id at this slot, under some of the id's bits; 0 when free. A power of two long, at most half
    /// full.
    table: Vec<u64>,
}

impl Pool {
    pub fn clear(&mut self) {
        self.ids.clear();
        self.table.iter_mut().for_each(|slot| *slot = 0);
    }

    pub fn ids(&self) -> &[u128] {
        &self.ids
    }

    pub fn get(&self, place: i64) -> Option<u128> {
        self.ids.get(usize::try_from(place).ok()?).copied()
    }

    /// Touches the slots of ids that are about to be looked up: the loads do not wait for each other.
    pub fn expect<'a>(&self, ids: impl Iterator<Item = &'a u128>) {
        let mask = self.table.len().wrapping_sub(1);
        std::hint::black_box(ids.fold(0, |all, id| all ^ self.table.get(spread(*id) & mask).copied().unwrap_or(0)));
    }

    /// The place of an id, which is added when it is new.
    #[inline]
    pub fn place(&mut self, id: u128) -> u32 {
        if self.table.len() < self.ids.len() * 2 + 16 {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut at = spread(id) & mask;
        let tag = tag(id);
        loop {
            match self.table[at] {
                0 => break,
                slot if slot & TAG == tag && self.ids[slot as u32 as usize - 1] == id => return slot as u32 - 1,
                _ => at = (at + 1) & mask,
            }
        }
        let place = self.ids.len() as u32;
        self.ids.push(id);
        self.table[at] = tag | u64::from(place + 1);
        place
    }

    fn grow(&mut self) {
        let len = (self.table.len() * 2).max(256);
        self.table.clear();
        self.table.resize(len, 0);
        for (place, id) in self.ids.iter().enumerate() {
            let mut at = spread(*id) & (len - 1);
            while self.table[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.table[at] = tag(*id) | (place as u64 + 1);
        }
    }

    /// How many bytes `pack` writes.
    pub fn packed_len(&self) -> usize {
        let count = self.ids.len();
        let random = self.ids.iter().all(|id| *id & FIXED_MASK == FIXED);
        1 + if random { count * 15 + count.div_ceil(4) } else { count * 16 }
    }

    /// Four ids take 61 bytes when all are random (version 4, variant 1), whose six fixed bits are left out.
    pub fn pack(&self, out: &mut Vec<u8>) {
        if self.ids.iter().all(|id| *id & FIXED_MASK == FIXED) {
            out.push(RANDOM);
            for four in self.ids.chunks(4) {
                let mut rest = 0u64;
                for (at, id) in four.iter().enumerate() {
                    let bits = squeeze(*id);
                    out.extend_from_slice(&bits.to_le_bytes()[..15]);
                    rest |= ((bits >> 120) as u64) << (2 * at);
                }
                out.push(rest as u8);
            }
        } else {
            out.push(PLAIN);
            for id in &self.ids {
                out.extend_from_slice(&id.to_le_bytes());
            }
        }
    }
}

const TAG: u64 = !0xffff_ffff;

fn tag(id: u128) -> u64 {
    (id >> 32) as u64 & TAG
}

fn spread(id: u128) -> usize {
    // Most ids are random; a multiplication spreads those that count up.
    ((id as u64 ^ (id >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

const PLAIN: u8 = 0;
const RANDOM: u8 = 1;
const FIXED_MASK: u128 = 0xf << 76 | 0x3 << 62;
const FIXED: u128 = 0x4 << 76 | 0x2 << 62;

/// The 122 random bits.
fn squeeze(id: u128) -> u128 {
    let low = id & ((1 << 62) - 1);
    let middle = id >> 64 & ((1 << 12) - 1);
    let high = id >> 80;
    low | middle << 62 | high << 74
}

fn expand(bits: u128) -> u128 {
    let low = bits & ((1 << 62) - 1);
    let middle = bits >> 62 & ((1 << 12) - 1);
    let high = bits >> 74 & ((1 << 48) - 1);
    low | middle << 64 | high << 80 | FIXED
}

/// The pool of a group that is read. Ids are unpacked one by one.
#[derive(Clone, Default)]
pub struct PackedPool {
    data: Bytes,
    random: bool,
    count: usize,
}

impl PackedPool {
    pub fn new(mut data: Bytes, count: usize) -> Result<PackedPool, Error> {
        let kind = data.first().copied();
        let want = match kind {
            Some(PLAIN) => count.checked_mul(16),
            Some(RANDOM) => count.checked_mul(15).and_then(|n| n.checked_add(count.div_ceil(4))),
            _ => return Err(Error::corrupt("the pool of ids is written in an unknown way")),
        };
        let data = data.split_off(1);
        if want != Some(data.len()) {
            return Err(Error::corrupt("the pool of ids has a wrong length"));
        }
        Ok(PackedPool { data, random: kind == Some(RANDOM), count })
    }

    #[inline]
    pub fn get(&self, place: i64) -> Option<u128> {
        let place = usize::try_from(place).ok().filter(|place| *place < self.count)?;
        if !self.random {
            return Some(u128::from_le_bytes(*self.data.get(place * 16..)?.first_chunk()?));
        }
        let start = place / 4 * 61;
        let four = self.data.get(start..self.data.len().min(start + 61))?;
        let mut bytes = [0u8; 16];
        bytes[..15].copy_from_slice(four.get(place % 4 * 15..)?.get(..15)?);
        bytes[15] = four.last()? >> (2 * (place % 4)) & 3;
        Some(expand(u128::from_le_bytes(bytes)))
    }

    /// The place of an id.
    pub fn find(&self, id: u128) -> Option<i64> {
        if !self.random {
            let want = id.to_le_bytes();
            return self.data.as_chunks::<16>().0.iter().position(|bytes| *bytes == want).map(|at| at as i64);
        }
        if id & FIXED_MASK != FIXED {
            return None;
        }
        let want = squeeze(id).to_le_bytes();
        let head = u64::from_le_bytes(*want.first_chunk()?);
        for (group, four) in self.data.chunks(61).enumerate() {
            for (at, bytes) in four.chunks_exact(15).take(4).enumerate() {
                if bytes.first_chunk().map(|b| u64::from_le_bytes(*b)) == Some(head) {
                    let place = (group * 4 + at) as i64;
                    if self.get(place) == Some(id) {
                        return Some(place);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[u128]) {
        let mut pool = Pool::default();
        let places: Vec<u32> = ids.iter().map(|id| pool.place(*id)).collect();
        let mut out = Vec::new();
        pool.pack(&mut out);
        let packed = PackedPool::new(out.clone().into(), pool.ids().len()).expect("opens");
        for (id, place) in ids.iter().zip(places) {
            assert_eq!(packed.get(place.into()), Some(*id));
            assert_eq!(packed.find(*id), Some(place.into()));
        }
        assert_eq!(packed.get(-1), None);
        assert_eq!(packed.get(pool.ids().len() as i64), None);
        assert_eq!(packed.find(0x1234), None);
        assert!(PackedPool::new(out.into(), pool.ids().len() + 1).is_err());
    }

    #[test]
    fn ids_come_back() {
        let random = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) & !FIXED_MASK | FIXED;
        for count in [1, 2, 3, 4, 5, 999] {
            check(&(0..count).map(random).collect::<Vec<_>>());
            check(&(1..=count).map(|n| n * 3 + (1 << 90)).collect::<Vec<_>>());
        }
        check(&[random(1), random(2), random(1), 7]);
        check(&[!FIXED_MASK | FIXED]);
    }
}
