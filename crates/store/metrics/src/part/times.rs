//! Time vectors: the times of a series' samples. Series of one scrape share theirs, so each distinct one is kept once.

use super::frame::{self, Frames};
use super::numbers::{self, Numbers};
use super::values::cost;
use crate::bytes_io::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{Error, corrupt};
use hashbrown::HashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// About how many times share a page.
const PAGE: usize = 8192;
/// No page holds more times than this; a series in one part has no more samples.
pub const MAX_TIMES: usize = 4 << 20;

/// Residuals are differences to the vector's first step.
const STEPS: u8 = 0;
/// Residuals are differences from step to step.
const CHANGES: u8 = 1;

/// Numbers distinct vectors from 0 and writes them in pages.
#[derive(Default)]
pub struct TimesWriter {
    known: HashMap<u128, u32>,
    count: u32,
    last: Vec<i64>,
    last_number: u32,
    /// Of the page that is open.
    pending: Vec<i64>,
    lens: Vec<usize>,
    scratch: Vec<u8>,
    pub bytes: Vec<u8>,
    pub pages: Vec<TimesPage>,
}

/// Where a page of vectors is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimesPage {
    pub vectors: u32,
    pub len: u64,
    pub crc: u32,
}

impl TimesWriter {
    /// The number of a vector, which is not empty and ascends.
    pub fn number(&mut self, times: &[i64], frames: &mut Frames, numbers: &mut Numbers) -> Result<u32, Error> {
        if self.count > 0 && self.last == times {
            return Ok(self.last_number);
        }
        if times.len() > MAX_TIMES {
            return Err(Error::Compress {
                why: format!("a series has {} samples, a part takes {MAX_TIMES}", times.len()),
            });
        }
        self.scratch.clear();
        times.iter().for_each(|time| self.scratch.extend_from_slice(&time.to_le_bytes()));
        let hash = xxh3_128(&self.scratch);
        let number = match self.known.get(&hash) {
            Some(&number) => number,
            None => {
                if !self.lens.is_empty() && self.pending.len() + times.len() > PAGE {
                    self.flush(frames, numbers)?;
                }
                let number = self.count;
                self.count += 1;
                self.known.insert(hash, number);
                self.pending.extend_from_slice(times);
                self.lens.push(times.len());
                number
            }
        };
        self.last.clear();
        self.last.extend_from_slice(times);
        self.last_number = number;
        Ok(number)
    }

    pub fn flush(&mut self, frames: &mut Frames, numbers: &mut Numbers) -> Result<(), Error> {
        if self.lens.is_empty() {
            return Ok(());
        }
        let mut meta = Vec::new();
        let (mut steps, mut changes, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rest, mut before) = (&self.pending[..], 0i64);
        for &len in &self.lens {
            let (own, more) = rest.split_at(len);
            rest = more;
            put_varint(&mut meta, len as u64);
            put_signed(&mut meta, own[0].wrapping_sub(before));
            before = own[0];
            let step = own.get(1).map_or(0, |second| second.wrapping_sub(own[0]));
            put_signed(&mut meta, step);
            groups.push(len.saturating_sub(2));
            let mut last = step;
            for pair in own.windows(2).skip(1) {
                let this = pair[1].wrapping_sub(pair[0]);
                steps.push(this.wrapping_sub(step));
                changes.push(this.wrapping_sub(last));
                last = this;
            }
        }
        let mut page = vec![if cost(&changes) < cost(&steps) { CHANGES } else { STEPS }];
        let mut packed = Vec::new();
        frames.put(&meta, &mut packed)?;
        put_bytes(&mut page, &packed);
        numbers.put(if page[0] == CHANGES { &changes } else { &steps }, &groups, &mut page)?;
        self.pages.push(TimesPage {
            vectors: self.lens.len() as u32,
            len: page.len() as u64,
            crc: crc32c::crc32c(&page),
        });
        self.bytes.extend_from_slice(&page);
        self.pending.clear();
        self.lens.clear();
        Ok(())
    }
}

/// The vectors of a page, of which `vectors` are announced.
pub fn decode(page: &[u8], vectors: u32) -> Result<Vec<Arc<[i64]>>, Error> {
    let mut cursor = Cursor::new(page);
    let mode = cursor.u8()?;
    let meta = frame::open(cursor.bytes()?)?;
    let mut meta = Cursor::new(&meta);
    let mut heads = Vec::new();
    let mut total = 0usize;
    for _ in 0..vectors {
        let len = meta.varint()? as usize;
        heads.push((len, meta.signed()?, meta.signed()?));
        total = total.saturating_add(len);
        if len == 0 || total > MAX_TIMES + PAGE {
            return corrupt("a page of times has vectors of impossible length");
        }
    }
    let groups: Vec<usize> = heads.iter().map(|(len, ..)| len.saturating_sub(2)).collect();
    let run = numbers::skim(&mut cursor, groups.iter().sum())?;
    let mut residuals = Vec::new();
    numbers::decode(run, &groups, &mut residuals)?;
    let mut rest = residuals.iter();
    let mut before = 0i64;
    let mut all = Vec::with_capacity(heads.len());
    for (len, first, first_step) in heads {
        before = before.wrapping_add(first);
        let (mut time, mut step) = (before, first_step);
        let mut times = Vec::with_capacity(len);
        times.push(time);
        if len > 1 {
            time = time.wrapping_add(step);
            times.push(time);
        }
        for residual in rest.by_ref().take(len.saturating_sub(2)) {
            step = if mode == CHANGES { step } else { first_step }.wrapping_add(*residual);
            time = time.wrapping_add(step);
            times.push(time);
        }
        if times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return corrupt("times do not ascend");
        }
        all.push(times.into());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vectors_come_back(all in prop::collection::vec(prop::collection::btree_set(any::<i64>(), 1..30), 1..20)) {
            let (mut frames, mut numbers) = (Frames::new(1).expect("zstd"), Numbers::new(4));
            let mut writer = TimesWriter::default();
            let all: Vec<Vec<i64>> = all.into_iter().map(|set| set.into_iter().collect()).collect();
            let ids: Vec<u32> = all.iter().map(|t| writer.number(t, &mut frames, &mut numbers).expect("numbers")).collect();
            for (times, id) in all.iter().zip(&ids) {
                prop_assert_eq!(writer.number(times, &mut frames, &mut numbers).expect("numbers"), *id);
            }
            writer.flush(&mut frames, &mut numbers).expect("flushes");
            let vectors = decode(&writer.bytes, writer.pages[0].vectors).expect("decodes");
            for (times, id) in all.iter().zip(ids) {
                prop_assert_eq!(&*vectors[id as usize], &times[..]);
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), vectors in 0u32..9) {
            let _ = decode(&bytes, vectors);
        }
    }
}
