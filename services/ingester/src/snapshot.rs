//! The small snapshot of a shard: what was flushed, and which batches were applied lately.
//!
//! Version byte 1, `u64 flushed`, `u64 version`, then for each batch `u64 index`, `u128 id`, oldest first.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::BatchId;
use std::collections::{HashSet, VecDeque};

/// How many batches back a repeated one is known. Counted, not timed, so that every replica forgets the same.
const WINDOW: usize = 8192;

/// Up to where a shard's log is in segments, and the catalog's version that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flushed {
    pub through: u64,
    pub version: u64,
}

/// The ids of the last batches.
#[derive(Debug, Default)]
pub struct Recent {
    order: VecDeque<(u64, BatchId)>,
    known: HashSet<BatchId>,
}

impl Recent {
    /// Remembers a batch; says whether it is new.
    pub fn add(&mut self, index: u64, id: BatchId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back((index, id));
        if self.order.len() > WINDOW
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// The snapshot at log index `through`: batches after it will be replayed, so they are not in it.
pub fn encode(flushed: Flushed, recent: &Recent, through: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(17 + 24 * recent.order.len());
    out.put_u8(1);
    out.put_u64_le(flushed.through);
    out.put_u64_le(flushed.version);
    for (index, id) in recent.order.iter().filter(|(index, _)| *index <= through) {
        out.put_u64_le(*index);
        out.put_u128_le(id.0);
    }
    out.freeze()
}

/// Reads a snapshot; `None` when the bytes are not one.
pub fn decode(mut data: Bytes) -> Option<(Flushed, Recent)> {
    if data.is_empty() {
        return Some(Default::default()); // the one that a shard begins with
    }
    if data.len() < 17 || data.get_u8() != 1 {
        return None;
    }
    let flushed = Flushed { through: data.get_u64_le(), version: data.get_u64_le() };
    let mut recent = Recent::default();
    while data.len() >= 24 {
        let index = data.get_u64_le();
        recent.add(index, BatchId(data.get_u128_le()));
    }
    data.is_empty().then_some((flushed, recent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_batches_are_known_for_a_while() {
        let mut recent = Recent::default();
        assert!(recent.add(1, BatchId(1)));
        assert!(!recent.add(2, BatchId(1)));
        for n in 2..2 + WINDOW as u128 {
            assert!(recent.add(n as u64, BatchId(n)));
        }
        assert!(recent.add(9_999, BatchId(1)), "forgotten after {WINDOW} others");
    }

    #[test]
    fn a_snapshot_has_the_batches_before_it() {
        let mut recent = Recent::default();
        for n in 1..=5 {
            assert!(recent.add(n, BatchId(n.into())));
        }
        let flushed = Flushed { through: 3, version: 8 };
        let data = encode(flushed, &recent, 3);
        let (back, mut recent) = decode(data.clone()).expect("reads");
        assert_eq!(back, flushed);
        assert!(!recent.add(9, BatchId(3)) && recent.add(9, BatchId(4)));
        for len in 1..data.len() {
            assert!(decode(data.slice(..len)).is_none() || (len - 17) % 24 == 0, "cut at {len}");
        }
    }
}
