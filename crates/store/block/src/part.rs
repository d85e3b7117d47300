//! One tenant's share of a segment, as it is written and as it is read.

use crate::error::Error;
use bytes::Bytes;
use model::{TenantId, TimeRange};
use std::ops::Range;

/// What an encoder gives for one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub tenant: TenantId,
    pub rows: u64,
    /// What the rows took before encoding: bytes of lines and metadata, or 16 bytes a sample.
    pub raw_bytes: u64,
    /// In the signal's unit.
    pub times: TimeRange,
    /// Kind (the signal's own number) and bytes; each kind at most once.
    pub sections: Vec<(u8, Bytes)>,
}

/// An object that is read in ranges. Reads may block.
pub trait Source: Send + Sync {
    fn name(&self) -> &str;

    /// In bytes.
    fn size(&self) -> Result<u64, objects::Error>;

    fn read(&self, range: Range<u64>) -> Result<Bytes, objects::Error>;

    /// How much of what is side by side is worth one read, in bytes: where a read is cheap, less is held at a time.
    fn stride(&self) -> u64;
}

/// The stride in a file of this machine, and in a bucket.
const STRIDES: (u64, u64) = (64 << 10, 512 << 10);

/// The stride of an object.
pub fn stride(is_local: bool) -> u64 {
    if is_local { STRIDES.0 } else { STRIDES.1 }
}

impl Source for objects::Object {
    fn name(&self) -> &str {
        objects::Object::name(self)
    }

    fn size(&self) -> Result<u64, objects::Error> {
        objects::Object::size(self)
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, objects::Error> {
        objects::Object::read(self, range)
    }

    fn stride(&self) -> u64 {
        stride(self.is_local())
    }
}

/// The sections of one part, to be read in ranges. Reads may block.
pub trait Sections: Send + Sync {
    /// Bytes of the section of this kind. A range that it does not have is an error.
    fn read(&self, kind: u8, range: Range<u64>) -> Result<Bytes, Error>;

    /// The length of a section, if the part has it.
    fn len(&self, kind: u8) -> Option<u64>;

    /// As [`Source::stride`].
    fn stride(&self) -> u64;
}

/// Sections that are in memory: a part that was just encoded.
pub struct MemorySections(pub Vec<(u8, Bytes)>);

impl Sections for MemorySections {
    fn read(&self, kind: u8, range: Range<u64>) -> Result<Bytes, Error> {
        let len = self.len(kind).unwrap_or(0);
        let error = Error::Range { kind, start: range.start, end: range.end, len };
        if range.start > range.end || range.end > len {
            return Err(error);
        }
        let found = self.0.iter().find(|(k, _)| *k == kind);
        found.map(|(_, data)| data.slice(range.start as usize..range.end as usize)).ok_or(error)
    }

    fn len(&self, kind: u8) -> Option<u64> {
        self.0.iter().find(|(k, _)| *k == kind).map(|(_, data)| data.len() as u64)
    }

    fn stride(&self) -> u64 {
        stride(true)
    }
}
