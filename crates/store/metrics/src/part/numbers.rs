//! Runs of whole numbers: pco where the run is long, bit packing per group where it is smaller.

use crate::bytes_io::{Cursor, put_signed, put_varint};
use crate::error::{Error, corrupt};
use pco::ChunkConfig;

const PCO: u8 = 0;
const PACKED: u8 = 1;

/// Compresses numbers with buffers that are used again.
pub struct Numbers {
    config: ChunkConfig,
    packed: Vec<u8>,
}

impl Numbers {
    pub fn new(level: usize) -> Numbers {
        let config = ChunkConfig::default()
            .with_compression_level(level.min(12))
            .with_mode_spec(pco::ModeSpec::Classic)
            .with_delta_spec(pco::DeltaSpec::NoOp);
        Numbers { config, packed: Vec::new() }
    }

    /// Appends `numbers`, which are groups of these lengths, each alike within. Neither the count nor the groups are
    /// written.
    pub fn put(&mut self, numbers: &[i64], groups: &[usize], out: &mut Vec<u8>) -> Result<(), Error> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.packed.clear();
        pack_groups(numbers, groups, &mut self.packed);
        // Pco's own header outweighs a short run.
        if self.packed.len() > 64 {
            let better = pco::standalone::simple_compress(numbers, &self.config)
                .map_err(|e| Error::Compress { why: e.to_string() })?;
            if better.len() < self.packed.len() {
                out.push(PCO);
                put_varint(out, better.len() as u64);
                out.extend_from_slice(&better);
                return Ok(());
            }
        }
        out.push(PACKED);
        put_varint(out, self.packed.len() as u64);
        out.extend_from_slice(&self.packed);
        Ok(())
    }
}

/// Finds the end of a run without decoding it.
pub fn skim<'a>(cursor: &mut Cursor<'a>, n: usize) -> Result<(u8, &'a [u8]), Error> {
    if n == 0 {
        return Ok((PACKED, &[]));
    }
    Ok((cursor.u8()?, cursor.bytes()?))
}

/// Decodes a run that `skim` found. `out` has its numbers then, and nothing of what was there before.
pub fn decode((method, data): (u8, &[u8]), groups: &[usize], out: &mut Vec<i64>) -> Result<(), Error> {
    let n = groups.iter().sum();
    match method {
        _ if n == 0 => out.clear(),
        PCO => {
            // All of it is overwritten: only what is added is filled for nothing.
            out.resize(n, 0i64);
            match pco::standalone::simple_decompress_into(data, out) {
                Ok(progress) if progress.n_processed == n => {}
                _ => return corrupt("a run of numbers does not decompress"),
            }
        }
        PACKED => {
            out.clear();
            out.reserve_exact(n);
            let mut cursor = Cursor::new(data);
            groups.iter().try_for_each(|&group| unpack(&mut cursor, group, out))?;
        }
        _ => return corrupt("a run of numbers has an unknown method"),
    }
    Ok(())
}

/// Each group: its least number, the bits of the others above it, and these, lowest bit first.
fn pack_groups(mut numbers: &[i64], groups: &[usize], out: &mut Vec<u8>) {
    for &group in groups {
        let (own, rest) = numbers.split_at(group.min(numbers.len()));
        numbers = rest;
        let (Some(&min), Some(&max)) = (own.iter().min(), own.iter().max()) else { continue };
        let width = 64 - (max.wrapping_sub(min) as u64).leading_zeros();
        put_signed(out, min);
        out.push(width as u8);
        let (mut word, mut filled) = (0u128, 0);
        for &number in own {
            word |= u128::from(number.wrapping_sub(min) as u64) << filled;
            filled += width;
            while filled >= 32 {
                out.extend_from_slice(&(word as u32).to_le_bytes());
                word >>= 32;
                filled -= 32;
            }
        }
        let left = filled.div_ceil(8) as usize;
        out.extend_from_slice(&word.to_le_bytes()[..left]);
    }
}

fn unpack(cursor: &mut Cursor<'_>, n: usize, out: &mut Vec<i64>) -> Result<(), Error> {
    if n == 0 {
        return Ok(());
    }
    let min = cursor.signed()?;
    let width = u32::from(cursor.u8()?);
    if width > 64 {
        return corrupt("a group of numbers is too wide");
    }
    if width == 0 {
        out.extend(std::iter::repeat_n(min, n));
        return Ok(());
    }
    let bytes = n.checked_mul(width as usize).map(|bits| bits.div_ceil(8));
    let data = cursor.take(bytes.unwrap_or(usize::MAX))?;
    let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    let (mut word, mut filled, mut at) = (0u128, 0, 0);
    for _ in 0..n {
        while filled < width {
            let next = match data.get(at..at + 8) {
                Some(eight) => (8, u64::from_le_bytes(eight.try_into().unwrap_or_default())),
                None => (1, u64::from(data.get(at).copied().unwrap_or(0))),
            };
            word |= u128::from(next.1) << filled;
            filled += 8 * next.0;
            at += next.0 as usize;
        }
        out.push(min.wrapping_add((word as u64 & mask) as i64));
        word >>= width;
        filled -= width;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(numbers: &[i64], groups: &[usize]) {
        let mut out = Vec::new();
        Numbers::new(6).put(numbers, groups, &mut out).expect("compresses");
        let mut cursor = Cursor::new(&out);
        let run = skim(&mut cursor, numbers.len()).expect("reads");
        for before in [0, numbers.len() / 2, numbers.len() + 3] {
            let mut out = vec![77; before];
            decode(run, groups, &mut out).expect("decodes");
            assert_eq!(out, numbers);
        }
        assert!(cursor.is_empty());
        for len in 0..out.len() {
            if let Ok(run) = skim(&mut Cursor::new(&out[..len]), numbers.len()) {
                let _ = decode(run, groups, &mut Vec::new());
            }
        }
    }

    #[test]
    fn extremes_come_back() {
        check(&[], &[]);
        check(&[i64::MIN, i64::MAX, 0, -1], &[4]);
        check(&[5; 1000], &[1000]);
        check(&[1, 2, 3, 1 << 40], &[3, 1]);
        check(&(0..5000).map(|n| n * n % 977).collect::<Vec<_>>(), &[2000, 3000]);
    }

    proptest! {
        #[test]
        fn runs_come_back(groups in prop::collection::vec(prop::collection::vec(any::<i64>().prop_map(|n| n >> 40), 0..50), 0..20)) {
            let lens: Vec<usize> = groups.iter().map(Vec::len).collect();
            check(&groups.concat(), &lens);
        }

        #[test]
        fn foreign_bytes_never_panic(method in 0u8..3, bytes in prop::collection::vec(any::<u8>(), 0..100), n in 0usize..300) {
            let _ = decode((method, &bytes), &[n], &mut Vec::new());
        }
    }
}
