//! The state of all groups as bytes: at the head of a segment, and with its entries' places in the index that seals it.

use crate::error::Error;
use crate::index::Index;
use crate::log::Place;
use crate::record::{Salt, u32_at, u64_at};
use crate::segment::Segment;
use bytes::{BufMut, Bytes};
use model::GroupId;

/// The last bytes of a sealed segment's file.
///
/// ```text
///  0 magic [8], 8 mark u64, 16 index offset u32, 20 index length u32, 24 index crc u32, 28 crc of 0..28 u32
/// ```
/// Sums are crc32c seeded with the segment's number.
pub(crate) const TRAILER: usize = 32;
const MAGIC: &[u8; 8] = b"OUROSEAL";

/// An upper bound of what a group adds to an index, its hard state apart.
pub(crate) const GROUP_COST: u64 = 48;
/// An upper bound of what an entry adds to an index: its place, and a term of its own.
pub(crate) const ENTRY_COST: u64 = 20;

const NO_STATE: u32 = u32::MAX;

/// A group as a segment recorded it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupState {
    pub group: GroupId,
    pub first: u64,
    pub last: u64,
    pub hard_state: Option<Bytes>,
    /// (index, term, offset, length) of its entries in this segment; none in a head.
    pub entries: Vec<(u64, u64, u32, u32)>,
}

/// Each group: id, first and last u64, length of the hard state u32 (or `NO_STATE`), hard state; then the entries:
/// index of the first u64, their number u32, the number of runs of terms u32, runs (number u32, term u64), places
/// (offset u32, length u32).
pub(crate) fn encode(index: &Index, segment: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    for (group, log) in &index.logs {
        out.put_u64_le(group.0);
        out.put_u64_le(log.first);
        out.put_u64_le(log.last);
        out.put_u32_le(log.hard_state.as_ref().map_or(NO_STATE, |state| state.len() as u32));
        out.put_slice(log.hard_state.as_deref().unwrap_or_default());
        let tail = segment.map_or(0..0, |segment| log.tail(segment));
        let mut runs: Vec<(u32, u64)> = Vec::new();
        for term in tail.clone().filter_map(|at| log.term(at)) {
            match runs.last_mut() {
                Some((count, last)) if *last == term => *count += 1,
                _ => runs.push((1, term)),
            }
        }
        out.put_u64_le(tail.start);
        out.put_u32_le((tail.end - tail.start) as u32);
        out.put_u32_le(runs.len() as u32);
        for (count, term) in runs {
            out.put_u32_le(count);
            out.put_u64_le(term);
        }
        for place in tail.filter_map(|at| log.place(at)) {
            out.put_u32_le(place.offset);
            out.put_u32_le(place.len);
        }
    }
    out
}

/// What a head of `encode` takes, without making it.
pub(crate) fn head_size(index: &Index) -> u64 {
    let state = |log: &crate::log::Log| log.hard_state.as_ref().map_or(0, |state| state.len() as u64);
    index.logs.values().map(|log| GROUP_COST + state(log)).sum()
}

/// None if these are not the bytes of a state.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Vec<GroupState>> {
    let mut groups = Vec::new();
    while !bytes.is_empty() {
        groups.push(decode_group(&mut bytes)?);
    }
    Some(groups)
}

fn decode_group(bytes: &mut Bytes) -> Option<GroupState> {
    let group = GroupId(bytes.try_get_u64_le_opt()?);
    let first = bytes.try_get_u64_le_opt()?;
    let last = bytes.try_get_u64_le_opt()?;
    let hard_state = match bytes.try_get_u32_le_opt()? {
        NO_STATE => None,
        len => Some(bytes.take_slice(len as usize)?),
    };
    let start = bytes.try_get_u64_le_opt()?;
    let count = bytes.try_get_u32_le_opt()? as usize;
    let runs = bytes.try_get_u32_le_opt()? as usize;
    let runs = bytes.take_slice(runs.checked_mul(12)?)?;
    let places = bytes.take_slice(count.checked_mul(8)?)?;
    start.checked_add(count as u64)?;
    if first == 0 || last == u64::MAX || last.checked_add(1)? < first {
        return None;
    }
    let mut terms = runs.chunks_exact(12).map(|run| (u32_at(run, 0), u64_at(run, 4)));
    let (mut left, mut term) = (0, 0);
    let mut entries = Vec::with_capacity(count);
    for (at, place) in places.chunks_exact(8).enumerate() {
        if left == 0 {
            (left, term) = terms.next().filter(|(count, _)| *count > 0)?;
        }
        left -= 1;
        entries.push((start + at as u64, term, u32_at(place, 0), u32_at(place, 4)));
    }
    Some(GroupState { group, first, last, hard_state, entries })
}

/// Reads that end in None instead of a panic.
trait Take {
    fn take_slice(&mut self, len: usize) -> Option<Bytes>;
    fn try_get_u32_le_opt(&mut self) -> Option<u32>;
    fn try_get_u64_le_opt(&mut self) -> Option<u64>;
}

impl Take for Bytes {
    fn take_slice(&mut self, len: usize) -> Option<Bytes> {
        (len <= self.len()).then(|| self.split_to(len))
    }
    fn try_get_u32_le_opt(&mut self) -> Option<u32> {
        self.take_slice(4).map(|bytes| u32_at(&bytes, 0))
    }
    fn try_get_u64_le_opt(&mut self) -> Option<u64> {
        self.take_slice(8).map(|bytes| u64_at(&bytes, 0))
    }
}

/// Puts what a segment recorded into the index. Groups that it does not name are gone.
pub(crate) fn load(index: &mut Index, segment: u32, groups: Vec<GroupState>) {
    let known: std::collections::BTreeSet<GroupId> = groups.iter().map(|state| state.group).collect();
    let Index { logs, holds, .. } = index;
    logs.retain(|group, log| {
        if !known.contains(group) {
            log.reset(1, holds);
        }
        known.contains(group)
    });
    for state in groups {
        let log = logs.entry(state.group).or_default();
        log.bound(state.first, state.last, holds);
        for (index, term, offset, len) in state.entries {
            log.push(index, Place { segment, offset, len }, term, holds);
        }
        log.bound(state.first, state.last, holds);
        log.hard_state = state.hard_state;
    }
}

/// The trailer that goes to the end of the file, after the index was put at `offset`.
pub(crate) fn trailer(index: &[u8], offset: u32, salt: Salt) -> [u8; TRAILER] {
    let mut out = [0; TRAILER];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&salt.mark.to_le_bytes());
    out[16..20].copy_from_slice(&offset.to_le_bytes());
    out[20..24].copy_from_slice(&(index.len() as u32).to_le_bytes());
    out[24..28].copy_from_slice(&salt.sum(index).to_le_bytes());
    let sum = salt.sum(&out[..28]);
    out[28..32].copy_from_slice(&sum.to_le_bytes());
    out
}

/// The index of a sealed segment. None if there is no valid trailer, or the index does not match it.
pub(crate) fn read(segment: &Segment) -> Result<Option<Vec<GroupState>>, Error> {
    let salt = segment.salt;
    let end = segment.capacity.saturating_sub(TRAILER as u64);
    let trailer = segment.read(end, TRAILER)?;
    let valid = trailer.len() == TRAILER
        && trailer[..8] == *MAGIC
        && u64_at(&trailer, 8) == salt.mark
        && u32_at(&trailer, 28) == salt.sum(&trailer[..28]);
    if !valid {
        return Ok(None);
    }
    let (offset, len) = (u64::from(u32_at(&trailer, 16)), u64::from(u32_at(&trailer, 20)));
    if offset + len > end {
        return Ok(None);
    }
    let index = segment.read(offset, len as usize)?;
    match salt.sum(&index) == u32_at(&trailer, 24) {
        true => Ok(decode(Bytes::from(index))),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Tag;
    use crate::round::Op;
    use proptest::prelude::*;

    const SEGMENT: u32 = 3;

    /// Id, first index, the entries' terms, hard state.
    type Group = (u64, u64, Vec<u64>, Option<Vec<u8>>);

    fn index(groups: &[Group]) -> Index {
        let mut index = Index::default();
        for (group, start, terms, state) in groups {
            let group = GroupId(*group);
            index.apply(&Op::mark(Tag::Reset, group, *start), Place { segment: 0, offset: 0, len: 0 });
            for (at, term) in terms.iter().enumerate() {
                let op = Op { term: *term, ..Op::mark(Tag::Entry, group, start + at as u64) };
                // The first ones are in an older segment.
                let segment = if at < 2 { SEGMENT - 1 } else { SEGMENT };
                index.apply(&op, Place { segment, offset: at as u32 * 8, len: at as u32 });
            }
            if let Some(state) = state {
                let op = Op { payload: Bytes::from(state.clone()), ..Op::mark(Tag::HardState, group, 0) };
                index.apply(&op, Place { segment: 0, offset: 0, len: 0 });
            }
        }
        index
    }

    proptest! {
        #[test]
        fn states_survive_and_cost_no_more_than_is_set_aside(
            groups in prop::collection::vec(
                (0u64..9, 1u64..u64::MAX / 2, prop::collection::vec(0u64..4, 0..20), any::<Option<Vec<u8>>>()), 0..6),
            cut: prop::sample::Index,
        ) {
            let index = index(&groups);
            let bytes = Bytes::from(encode(&index, Some(SEGMENT)));
            prop_assert!(bytes.len() as u64 <= head_size(&index) + index.holds.total() * ENTRY_COST);
            prop_assert!(encode(&index, None).len() as u64 <= head_size(&index));
            let decoded = decode(bytes.clone()).unwrap();
            prop_assert_eq!(decoded.len(), index.logs.len());
            for state in &decoded {
                let log = &index.logs[&state.group];
                prop_assert_eq!((state.first, state.last, &state.hard_state), (log.first, log.last, &log.hard_state));
                let expected: Vec<_> = (log.first..=log.last)
                    .filter_map(|at| Some((at, log.term(at)?, log.place(at)?)))
                    .filter(|(_, _, place)| place.segment == SEGMENT)
                    .map(|(at, term, place)| (at, term, place.offset, place.len))
                    .collect();
                prop_assert_eq!(&state.entries, &expected);
            }
            // A cut never panics, and never invents a group.
            let cut = cut.index(bytes.len() + 1);
            if let Some(some) = decode(bytes.slice(..cut)) {
                prop_assert!(some.len() <= decoded.len());
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode(Bytes::from(bytes));
        }
    }
}
