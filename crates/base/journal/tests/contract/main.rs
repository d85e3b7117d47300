//! The contract of the journal: what it keeps, through crashes, full disks and bad bytes.

#![allow(clippy::unwrap_used)]

mod crash;
mod keeps;
mod random;
mod space;

use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_journal::{Error, Journal, Opened, Round, Settings};
use std::path::Path;

pub const A: GroupId = GroupId(1);
pub const B: GroupId = GroupId(2);

/// Segments so small that tests fill many.
pub fn small() -> Settings {
    Settings { segment_size: ByteSize(16 << 10), max_size: ByteSize(64 << 20), reserve: ByteSize(0), sync: false }
}

pub fn open(dir: &Path, settings: Settings) -> Journal {
    opened(dir, settings).journal
}

pub fn opened(dir: &Path, settings: Settings) -> Opened {
    Journal::open(dir, settings).unwrap()
}

/// What an entry holds: told from any other by group, index and term.
pub fn payload(group: GroupId, index: u64, term: u64, len: usize) -> Bytes {
    let seed = (group.0 << 40) ^ (term << 20) ^ index;
    let byte = |at: usize| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at as u32 % 64) >> 8) as u8;
    (0..len).map(byte).collect()
}

pub fn round(entries: &[(GroupId, u64, u64, usize)]) -> Round {
    let mut round = Round::new();
    for (group, index, term, len) in entries {
        round.entry(*group, *index, *term, 0, payload(*group, *index, *term, *len));
    }
    round
}

/// Appends entries one a round.
pub fn fill(journal: &mut Journal, group: GroupId, count: u64, len: usize) -> Result<(), Error> {
    for _ in 0..count {
        let last = journal.last_index(group);
        journal.append(round(&[(group, last + 1, 1, len)]))?;
    }
    Ok(())
}
