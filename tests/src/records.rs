//! Walks the records of a journal's segment file from outside, to know where to damage it.
//!
//! Only what the format's own page says is used: a header of 64 bytes, then records, each with a header of 56 bytes that
//! begins with the segment's mark and has the payload's length at byte 12, and whether it ends its round at byte 30;
//! payloads are filled up to a multiple of eight.

use std::path::{Path, PathBuf};

const SEGMENT_HEADER: usize = 64;
const HEADER: usize = 56;

/// A record as it lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub offset: usize,
    /// Of the payload.
    pub len: usize,
    /// Whether it is the last of its round.
    pub last: bool,
}

impl Record {
    /// Where the next one begins.
    pub fn end(&self) -> usize {
        self.offset + HEADER + self.len.next_multiple_of(8)
    }

    /// Where its payload begins.
    pub fn payload(&self) -> usize {
        self.offset + HEADER
    }
}

/// The segments of a journal, oldest first.
pub fn segments(data: &Path) -> Vec<PathBuf> {
    let folder = data.join("raft/journal");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_suffix(".log").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut found: Vec<PathBuf> = paths.filter(is_segment).collect();
    found.sort();
    assert!(!found.is_empty(), "no segments in {}", folder.display());
    found
}

/// The records of a segment, in order.
pub fn records(file: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mark = &file[16..24];
    let mut offset = SEGMENT_HEADER;
    while file.get(offset..offset + 8) == Some(mark) {
        let header = &file[offset..offset + HEADER];
        let len = u32::from_le_bytes(header[12..16].try_into().expect("four bytes")) as usize;
        let record = Record { offset, len, last: header[30] != 0 };
        found.push(record);
        offset = record.end();
    }
    found
}

/// Where the last round begins and ends.
pub fn last_round(records: &[Record]) -> (usize, usize) {
    let end = records.last().expect("records").end();
    let before = records[..records.len() - 1].iter().rposition(|record| record.last);
    let first = before.map_or(&records[0], |at| &records[at + 1]);
    (first.offset, end)
}
