//! The bytes of one record: a header of 56 bytes, the payload, and zeros up to a multiple of eight.

use crate::round::Op;
use model::GroupId;

/// The length of a record's header.
///
/// ```text
///  0 mark u64         the segment's random mark: what a tenant sends can't pose as a record
///  8 header crc u32   crc32c of bytes 12..56, seeded with the segment's number
/// 12 length u32       of the payload
/// 16 payload crc u32  crc32c, seeded with the segment's number
/// 20 round u32        where the record's round begins; all before it was synced when this was written
/// 24 attempt u32      tells the round from an earlier one that failed at the same place
/// 28 tag u8, kind u8, last u8 (of its round), 0 u8
/// 32 group u64, 40 index u64, 48 term u64
/// ```
pub(crate) const HEADER: usize = 56;

pub(crate) fn padded(len: u64) -> u64 {
    len.next_multiple_of(8)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// The state of all groups, first in every segment.
    Head = 1,
    Entry = 2,
    HardState = 3,
    Truncate = 4,
    Compact = 5,
    Reset = 6,
    Remove = 7,
}

impl Tag {
    fn from_code(code: u8) -> Option<Tag> {
        let all = [Tag::Head, Tag::Entry, Tag::HardState, Tag::Truncate, Tag::Compact, Tag::Reset, Tag::Remove];
        all.into_iter().find(|tag| *tag as u8 == code)
    }
}

/// What makes a segment's records valid in it and nowhere else: crc32c with another seed never gives the same sum,
/// so records that a recycled file still holds can't pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt {
    pub number: u32,
    pub mark: u64,
}

impl Salt {
    pub(crate) fn sum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.number, bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub len: u32,
    pub payload_sum: u32,
    pub round: u32,
    pub attempt: u32,
    pub tag: Tag,
    pub kind: u8,
    pub last: bool,
    pub group: GroupId,
    pub index: u64,
    pub term: u64,
}

impl Header {
    /// Of an operation in a round; its payload is at most a segment.
    pub(crate) fn of(op: &Op, salt: Salt, round: u32, attempt: u32, last: bool) -> Header {
        Header {
            len: op.payload.len() as u32,
            payload_sum: salt.sum(&op.payload),
            round,
            attempt,
            tag: op.tag,
            kind: op.kind,
            last,
            group: op.group,
            index: op.index,
            term: op.term,
        }
    }

    pub(crate) fn encode(&self, salt: Salt) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..8].copy_from_slice(&salt.mark.to_le_bytes());
        out[12..16].copy_from_slice(&self.len.to_le_bytes());
        out[16..20].copy_from_slice(&self.payload_sum.to_le_bytes());
        out[20..24].copy_from_slice(&self.round.to_le_bytes());
        out[24..28].copy_from_slice(&self.attempt.to_le_bytes());
        out[28..32].copy_from_slice(&[self.tag as u8, self.kind, u8::from(self.last), 0]);
        out[32..40].copy_from_slice(&self.group.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.index.to_le_bytes());
        out[48..56].copy_from_slice(&self.term.to_le_bytes());
        let sum = salt.sum(&out[12..]);
        out[8..12].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// None if these bytes do not begin with a header of this segment.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> Option<Header> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        if u64_at(bytes, 0) != salt.mark || u32_at(bytes, 8) != salt.sum(&bytes[12..]) {
            return None;
        }
        Some(Header {
            len: u32_at(bytes, 12),
            payload_sum: u32_at(bytes, 16),
            round: u32_at(bytes, 20),
            attempt: u32_at(bytes, 24),
            tag: Tag::from_code(bytes[28])?,
            kind: bytes[29],
            last: bytes[30] != 0,
            group: GroupId(u64_at(bytes, 32)),
            index: u64_at(bytes, 40),
            term: u64_at(bytes, 48),
        })
    }

    /// What the record takes on disk.
    pub(crate) fn size(&self) -> u64 {
        HEADER as u64 + padded(u64::from(self.len))
    }
}

/// `at + 4` lies inside; callers hold arrays of a fixed length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// `at + 8` lies inside; callers hold arrays of a fixed length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_survive_and_any_flip_is_seen(
            group: u64, index: u64, term: u64, kind: u8, round: u32, attempt: u32, last: bool, number: u32, mark: u64,
            payload in prop::collection::vec(any::<u8>(), 0..40), bit in 0usize..HEADER * 8, other: u32,
        ) {
            let op = Op { tag: Tag::Entry, kind, group: GroupId(group), index, term, payload: Bytes::from(payload) };
            let salt = Salt { number, mark };
            let header = Header::of(&op, salt, round, attempt, last);
            let mut bytes = header.encode(salt);
            prop_assert_eq!(Header::decode(&bytes, salt), Some(header));
            prop_assert_eq!(Header::decode(&bytes[..HEADER - 1], salt), None);
            if other != number {
                prop_assert_eq!(Header::decode(&bytes, Salt { number: other, mark }), None);
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes, salt), None);
        }

        #[test]
        fn foreign_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Header::decode(&bytes, Salt { number: 1, mark: 7 }), None);
        }
    }
}
