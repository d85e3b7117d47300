//! Reads the last segment record by record, finds its end, and tells a torn end from corruption.

use crate::error::Error;
use crate::index::Index;
use crate::log::Place;
use crate::record::{HEADER, Header, Tag, u64_at};
use crate::round::Op;
use crate::seal::{self, TRAILER};
use crate::segment::{START, Segment};
use bytes::Bytes;
use std::ops::Range;

const WINDOW: usize = 1 << 20;

/// Where the next round goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub offset: u32,
    /// Not used in this segment so far.
    pub attempt: u32,
    pub entries: u64,
    /// Bytes of a round that was never acknowledged, cut off.
    pub torn: u64,
}

/// Applies the segment's rounds to the index.
///
/// Rounds count in full or not at all. A round that does not verify is the torn end if nothing behind it proves that
/// a later round was written: such a round's records say that everything before *its* start was synced, and then the
/// bad bytes are corruption. What an earlier failed or torn round left behind never says so: it starts no later than
/// the end that it failed to move.
pub(crate) fn replay(segment: &Segment, index: &mut Index) -> Result<End, Error> {
    let mut window = Window { segment, written: segment.written(), start: 0, bytes: Vec::new() };
    let mut end = End { offset: START, attempt: 0, entries: 0, torn: 0 };
    let bad = loop {
        match round(&mut window, end.offset)? {
            Err(bad) => break bad,
            Ok(round) => {
                end.attempt = end.attempt.max(round.attempt.wrapping_add(1));
                end.offset = round.end;
                for (op, place) in round.ops {
                    end.entries += u64::from(op.tag == Tag::Entry);
                    match op.tag {
                        Tag::Head => load_head(segment, index, op, place)?,
                        _ => index.apply(&op, place),
                    }
                }
            }
        }
    };
    if end.offset == START {
        return Err(Error::corrupt(segment.number(), bad, "its head is not valid"));
    }
    let tail = search(&mut window, end.offset)?;
    if let Some(proof) = tail.proof {
        let what = format!("a record is not valid, but the one at byte {proof} was written after it was synced");
        return Err(Error::corrupt(segment.number(), bad, what));
    }
    end.attempt = end.attempt.max(tail.attempt);
    end.torn = tail.end.saturating_sub(u64::from(end.offset));
    Ok(end)
}

fn load_head(segment: &Segment, index: &mut Index, op: Op, place: Place) -> Result<(), Error> {
    let corrupt = || Error::corrupt(segment.number(), u64::from(place.offset), "its head does not decode");
    seal::load(index, segment.number(), seal::decode(op.payload).ok_or_else(corrupt)?);
    Ok(())
}

struct Parsed {
    ops: Vec<(Op, Place)>,
    end: u32,
    attempt: u32,
}

/// The round that starts at an offset, or where its first bad record is.
fn round(window: &mut Window<'_>, start: u32) -> Result<Result<Parsed, u64>, Error> {
    let salt = window.segment.salt;
    let limit = window.segment.capacity.saturating_sub(TRAILER as u64);
    let mut parsed = Parsed { ops: Vec::new(), end: start, attempt: 0 };
    loop {
        let at = u64::from(parsed.end);
        let Some(header) = Header::decode(window.get(at, HEADER)?, salt) else { return Ok(Err(at)) };
        if parsed.ops.is_empty() {
            parsed.attempt = header.attempt;
        }
        if header.round != start || header.attempt != parsed.attempt || at + header.size() > limit {
            return Ok(Err(at));
        }
        let payload = window.get(at + HEADER as u64, header.len as usize)?;
        if payload.len() != header.len as usize || salt.sum(payload) != header.payload_sum {
            return Ok(Err(at));
        }
        let payload = match header.tag {
            Tag::Entry => Bytes::new(),
            _ => Bytes::copy_from_slice(payload),
        };
        let Header { tag, kind, group, index, term, .. } = header;
        let place = Place { segment: salt.number, offset: parsed.end, len: header.len };
        parsed.ops.push((Op { tag, kind, group, index, term, payload }, place));
        parsed.end = (at + header.size()) as u32;
        if header.last {
            return Ok(Ok(parsed));
        }
    }
}

struct Tail {
    /// A record whose round began after the end.
    proof: Option<u64>,
    /// Greater than any that a record behind the end has.
    attempt: u32,
    /// Where the last thing that was written behind the end stops, as far as one can tell.
    end: u64,
}

/// Looks for headers of this segment anywhere behind its end.
fn search(window: &mut Window<'_>, end: u32) -> Result<Tail, Error> {
    let (salt, capacity) = (window.segment.salt, window.segment.capacity);
    // A file that was cut ends where its last bytes are.
    let held = window.segment.len()?;
    let mut tail = Tail { proof: None, attempt: 0, end: if held < capacity { held } else { 0 } };
    let mut at = u64::from(end);
    loop {
        at = window.written_from(at);
        let len = window.part(at);
        let bytes = window.get(at, len)?;
        if bytes.len() < HEADER {
            return Ok(tail);
        }
        let starts = (0..=bytes.len() - HEADER).step_by(8);
        let mut next = bytes.len();
        for start in starts {
            next = start + 8;
            if u64_at(bytes, start) != salt.mark {
                continue;
            }
            let Some(header) = Header::decode(&bytes[start..], salt) else { continue };
            let place = at + start as u64;
            tail.attempt = tail.attempt.max(header.attempt.wrapping_add(1));
            tail.end = tail.end.max(place + header.size());
            if header.round > end {
                tail.proof = tail.proof.or(Some(place));
            }
        }
        at += next as u64;
    }
}

/// A piece of the file in memory.
struct Window<'a> {
    segment: &'a Segment,
    written: Vec<Range<u64>>,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The next multiple of eight at or after `offset` that was ever written; the capacity if there is none.
    fn written_from(&self, offset: u64) -> u64 {
        let part = self.written.iter().find(|part| part.end > offset);
        part.map_or(self.segment.capacity, |part| part.start.max(offset).next_multiple_of(8))
    }

    /// How much to read at once from an offset: up to a window, and little more than was written.
    fn part(&self, offset: u64) -> usize {
        let part = self.written.iter().find(|part| part.contains(&offset));
        let left = part.map_or(0, |part| part.end - offset);
        left.clamp(HEADER as u64, WINDOW as u64) as usize
    }

    /// Bytes of the file; fewer only at its end.
    fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], Error> {
        let held = self.start..self.start + self.bytes.len() as u64;
        if !held.contains(&offset) || offset + len as u64 > held.end {
            let left = self.segment.capacity.saturating_sub(offset);
            let wanted = (len.max(self.part(offset)) as u64).min(left) as usize;
            self.bytes = self.segment.read(offset, wanted)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        let to = from.saturating_add(len).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }
}
