//! How a head keeps samples: byte-aligned records in chains of small blocks.
//!
//! A record is a control byte and what it calls for. `0..=63`: as many more samples, and one, with the last value and
//! the last distance in time. `64..=109` and `112..=157`: one sample; the second range has a varint before the value,
//! by how much the distance in time changed (the first sample: its time). The value, by the code's place in its range:
//! 0 the last value again; 1..=8 a whole number, as that many bytes of zigzag difference to the last; 9..=44 the XOR
//! with the last value's bits without its zero bytes at both ends; 45 a histogram, a varint length and its bytes.
//! 255: the start timestamp of all samples from here on, as a signed varint difference.

use crate::bytes_io::{Cursor, as_int, put_signed, put_varint, unzigzag, zigzag};

const BLOCK: usize = 64;
const PAYLOAD: usize = BLOCK - 4;
/// Blocks are allocated so many at once.
const SLAB: usize = 256;
const NO_BLOCK: u32 = u32::MAX;

const MAX_RUN: u8 = 63;
const REGULAR: u8 = 64;
const IRREGULAR: u8 = 112;
const XOR: u8 = 9;
const HISTOGRAM: u8 = 45;
const START: u8 = 255;

/// Blocks for many chains. All are freed together.
#[derive(Default)]
pub struct Arena {
    slabs: Vec<Vec<[u8; BLOCK]>>,
}

impl Arena {
    fn allocate(&mut self) -> u32 {
        if self.slabs.last().is_none_or(|slab| slab.len() == SLAB) {
            self.slabs.push(Vec::with_capacity(SLAB));
        }
        let count = self.slabs.len();
        if let Some(slab) = self.slabs.last_mut() {
            slab.push([0; BLOCK]);
            return ((count - 1) * SLAB + slab.len() - 1) as u32;
        }
        NO_BLOCK
    }

    fn block(&self, at: u32) -> &[u8; BLOCK] {
        &self.slabs[at as usize / SLAB][at as usize % SLAB]
    }

    fn block_mut(&mut self, at: u32) -> &mut [u8; BLOCK] {
        &mut self.slabs[at as usize / SLAB][at as usize % SLAB]
    }

    pub fn memory_bytes(&self) -> usize {
        self.slabs.len() * (SLAB * BLOCK + size_of::<Vec<[u8; BLOCK]>>())
    }
}

/// A value as it comes in and goes out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// The bits of a float.
    Float(u64),
    /// What `histogram::encode` wrote.
    Histogram(&'a [u8]),
}

/// Samples in ascending order of time, and what is needed to append one.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Of the last sample.
    time: i64,
    delta: i64,
    bits: u64,
    start: i64,
    first: u32,
    tail: u32,
    /// Bytes taken in the tail block.
    used: u8,
    /// Whether the last byte is a run that may grow.
    run: bool,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { time: i64::MIN, delta: 0, bits: 0, start: 0, first: NO_BLOCK, tail: NO_BLOCK, used: 0, run: false }
    }
}

impl Chain {
    pub fn is_empty(&self) -> bool {
        self.first == NO_BLOCK
    }

    /// The time of the last sample; before all times when there is none.
    pub fn last_time(&self) -> i64 {
        self.time
    }

    /// Adds a sample, which must be later than the last.
    pub fn push(&mut self, arena: &mut Arena, time: i64, start: i64, value: Value<'_>) {
        let first = self.is_empty();
        if first {
            self.first = arena.allocate();
            self.tail = self.first;
            self.time = 0;
        }
        if start != self.start {
            let mut record = vec![START];
            put_signed(&mut record, start.wrapping_sub(self.start));
            self.write(arena, &record);
            self.start = start;
            self.run = false;
        }
        let delta = time.wrapping_sub(self.time);
        let change = delta.wrapping_sub(self.delta);
        self.time = time;
        self.delta = if first { 0 } else { delta };
        match value {
            Value::Float(bits) if bits == self.bits && change == 0 => self.repeat(arena),
            Value::Float(bits) => {
                self.write_float(arena, change, bits);
                self.bits = bits;
                self.run = false;
            }
            Value::Histogram(bytes) => {
                let mut record = Vec::with_capacity(bytes.len() + 24);
                record.push(if change == 0 { REGULAR } else { IRREGULAR } + HISTOGRAM);
                if change != 0 {
                    put_signed(&mut record, change);
                }
                put_varint(&mut record, bytes.len() as u64);
                record.extend_from_slice(bytes);
                self.write(arena, &record);
                self.run = false;
            }
        }
    }

    fn repeat(&mut self, arena: &mut Arena) {
        if self.run {
            let last = &mut arena.block_mut(self.tail)[self.used as usize - 1];
            if *last < MAX_RUN {
                *last += 1;
                return;
            }
        }
        self.write(arena, &[0]);
        self.run = true;
    }

    fn write_float(&mut self, arena: &mut Arena, change: i64, bits: u64) {
        let mut record = [0u8; 24];
        let mut len = 1;
        record[0] = REGULAR;
        if change != 0 {
            record[0] = IRREGULAR;
            let mut n = zigzag(change);
            while n >= 0x80 {
                record[len] = n as u8 | 0x80;
                n >>= 7;
                len += 1;
            }
            record[len] = n as u8;
            len += 1;
        }
        if bits != self.bits {
            let xor = bits ^ self.bits;
            let low = xor.trailing_zeros() / 8;
            let mut bytes = 8 - xor.leading_zeros() / 8 - low;
            let mut code = XOR + xor_code(bytes as u8, low as u8);
            let mut payload = xor >> (8 * low);
            if let (Some(last), Some(whole)) = (as_int(self.bits), as_int(bits)) {
                let difference = zigzag(whole - last);
                let needed = 8 - difference.leading_zeros() / 8;
                if needed <= bytes {
                    (bytes, payload, code) = (needed, difference, needed as u8);
                }
            }
            record[0] += code;
            record[len..len + 8].copy_from_slice(&payload.to_le_bytes());
            len += bytes as usize;
        }
        self.write(arena, &record[..len]);
    }

    fn write(&mut self, arena: &mut Arena, mut bytes: &[u8]) {
        loop {
            let used = self.used as usize;
            let fits = bytes.len().min(PAYLOAD - used);
            arena.block_mut(self.tail)[used..used + fits].copy_from_slice(&bytes[..fits]);
            self.used += fits as u8;
            bytes = &bytes[fits..];
            if bytes.is_empty() {
                return;
            }
            let next = arena.allocate();
            arena.block_mut(self.tail)[PAYLOAD..].copy_from_slice(&next.to_le_bytes());
            (self.tail, self.used) = (next, 0);
        }
    }

    /// Gathers the chain's bytes in one buffer.
    pub fn collect(&self, arena: &Arena, out: &mut Vec<u8>) {
        out.clear();
        let mut at = self.first;
        while at != NO_BLOCK {
            let block = arena.block(at);
            if at == self.tail {
                out.extend_from_slice(&block[..self.used as usize]);
                return;
            }
            out.extend_from_slice(&block[..PAYLOAD]);
            at = u32::from_le_bytes([block[PAYLOAD], block[PAYLOAD + 1], block[PAYLOAD + 2], block[PAYLOAD + 3]]);
        }
    }

    /// The time of the first sample, if there is one.
    pub fn first_time(&self, arena: &Arena) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        let mut found = None;
        let block = arena.block(self.first);
        let len = if self.first == self.tail { self.used as usize } else { PAYLOAD };
        let mut cursor = Cursor::new(&block[..len]);
        // A start and a first time are at most 22 bytes, so both are within the first block.
        let _ = read_first(&mut cursor).map(|time| found = Some(time));
        found
    }
}

fn read_first(cursor: &mut Cursor<'_>) -> Result<i64, crate::Error> {
    let mut control = cursor.u8()?;
    if control == START {
        cursor.signed()?;
        control = cursor.u8()?;
    }
    if control >= IRREGULAR { cursor.signed() } else { Ok(0) }
}

/// The place of (bytes, zero bytes below) among all pairs with at least one byte and at most eight in sum.
fn xor_code(bytes: u8, low: u8) -> u8 {
    // 8 pairs have one byte, 7 two, …
    (bytes - 1) * 9 - (bytes - 1) * bytes / 2 + low
}

const XOR_CODES: [(u8, u8); 36] = {
    let mut codes = [(0, 0); 36];
    let (mut at, mut bytes) = (0, 1);
    while bytes <= 8 {
        let mut low = 0;
        while low + bytes <= 8 {
            codes[at] = (bytes, low);
            at += 1;
            low += 1;
        }
        bytes += 1;
    }
    codes
};

/// Calls `each` with time, start timestamp and value of every sample of a chain's collected bytes.
pub fn walk<'a>(data: &'a [u8], mut each: impl FnMut(i64, i64, Value<'a>)) {
    // The bytes are our own: they are always whole, and an end in their middle can only be a defect.
    let _ = try_walk(data, &mut each);
}

fn try_walk<'a>(data: &'a [u8], each: &mut impl FnMut(i64, i64, Value<'a>)) -> Result<(), crate::Error> {
    let mut cursor = Cursor::new(data);
    let (mut time, mut delta, mut bits, mut start, mut first) = (0i64, 0i64, 0u64, 0i64, true);
    while !cursor.is_empty() {
        let control = cursor.u8()?;
        if control == START {
            start = start.wrapping_add(cursor.signed()?);
            continue;
        }
        if control <= MAX_RUN {
            for _ in 0..=control {
                time = time.wrapping_add(delta);
                each(time, start, Value::Float(bits));
            }
            first = false;
            continue;
        }
        let mut code = control - REGULAR;
        if control >= IRREGULAR {
            delta = delta.wrapping_add(cursor.signed()?);
            code = control - IRREGULAR;
        }
        time = time.wrapping_add(delta);
        if first {
            (first, delta) = (false, 0);
        }
        match code {
            0 => {}
            1..XOR => {
                let difference = unzigzag(little(cursor.take(usize::from(code))?));
                let whole = as_int(bits).unwrap_or(0).wrapping_add(difference);
                bits = (whole as f64).to_bits();
            }
            XOR..HISTOGRAM => {
                let (bytes, low) = XOR_CODES[usize::from(code - XOR)];
                bits ^= little(cursor.take(usize::from(bytes))?) << (8 * low);
            }
            _ => {
                each(time, start, Value::Histogram(cursor.bytes()?));
                continue;
            }
        }
        each(time, start, Value::Float(bits));
    }
    Ok(())
}

fn little(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Any {
        Float(u64),
        Histogram(Vec<u8>),
    }

    fn any_value() -> impl Strategy<Value = Any> {
        prop_oneof![
            4 => (0u32..3).prop_map(|n| Any::Float(f64::from(n).to_bits())),
            4 => any::<i64>().prop_map(|n| Any::Float(((n >> 12) as f64).to_bits())),
            2 => any::<u64>().prop_map(Any::Float),
            1 => Just(Any::Float(model::rows::STALE_NAN_BITS)),
            1 => Just(Any::Float((-0.0f64).to_bits())),
            1 => prop::collection::vec(any::<u8>(), 0..150).prop_map(Any::Histogram),
        ]
    }

    proptest! {
        #[test]
        fn samples_come_back(
            origin in any::<i64>(),
            rows in prop::collection::vec((prop_oneof![4 => Just(15_000u64), 1 => 1u64..1 << 60], 0i64..3, any_value()), 1..300),
        ) {
            let mut arena = Arena::default();
            let mut chains = [Chain::default(), Chain::default()];
            let mut want = Vec::new();
            let mut time = origin;
            for (step, start, value) in &rows {
                let Some(next) = time.checked_add_unsigned(*step) else { break };
                time = next;
                let value = match value { Any::Float(bits) => Value::Float(*bits), Any::Histogram(bytes) => Value::Histogram(bytes) };
                want.push((time, *start, value));
                for chain in &mut chains {
                    chain.push(&mut arena, time, *start, value);
                }
            }
            for chain in &chains {
                let mut bytes = Vec::new();
                chain.collect(&arena, &mut bytes);
                let mut got = Vec::new();
                walk(&bytes, |time, start, value| got.push((time, start, value)));
                prop_assert_eq!(&got, &want);
                prop_assert_eq!(chain.first_time(&arena), want.first().map(|first| first.0));
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            walk(&bytes, |_, _, _| {});
        }
    }

    #[test]
    fn a_constant_takes_a_block_for_a_thousand_samples() {
        let mut arena = Arena::default();
        let mut chain = Chain::default();
        (0..1000).for_each(|at| chain.push(&mut arena, at * 15_000, 0, Value::Float(7f64.to_bits())));
        let mut bytes = Vec::new();
        chain.collect(&arena, &mut bytes);
        assert!(bytes.len() < PAYLOAD, "{}", bytes.len());
    }
}
