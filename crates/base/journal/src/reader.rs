//! Reads entries while the journal goes on, from any thread.

use crate::error::Error;
use crate::index::Index;
use crate::record::Tag;
use crate::segment::Slice;
use bytes::Bytes;
use model::GroupId;
use std::sync::{Arc, RwLock, RwLockReadGuard};

/// An entry as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub payload: Bytes,
}

/// A cheap handle on a journal's index and files. It sees what `append` has acknowledged, and outlives the journal.
#[derive(Clone)]
pub struct Reader {
    index: Arc<RwLock<Index>>,
}

impl Reader {
    pub(crate) fn new(index: Arc<RwLock<Index>>) -> Reader {
        Reader { index }
    }

    /// Reads an entry from its file and verifies it. `NotFound` if the log does not hold it, `Corrupt` if its bytes
    /// are not what was written.
    pub fn read(&self, group: GroupId, index: u64) -> Result<Record, Error> {
        let slice = self.locate(group, index).ok_or_else(|| {
            let (first, last) = self.index().bounds(group);
            Error::NotFound { group, index, first, last }
        })?;
        let (header, payload) = slice.record()?;
        if (header.tag, header.group, header.index) != (Tag::Entry, group, index) {
            let what = format!("{slice:?} is another record than entry {index} of group {}", group.0);
            return Err(Error::corrupt(slice.segment(), slice.offset(), what));
        }
        Ok(Record { index, term: header.term, kind: header.kind, payload })
    }

    /// Where an entry rests; None if the log does not hold it.
    pub fn locate(&self, group: GroupId, index: u64) -> Option<Slice> {
        self.index().slice(group, index)
    }

    pub fn term(&self, group: GroupId, index: u64) -> Option<u64> {
        self.index().term(group, index)
    }

    /// First and last index that the group's log holds; last < first when it is empty, (1, 0) when it is unknown.
    pub fn bounds(&self, group: GroupId) -> (u64, u64) {
        self.index().bounds(group)
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("nothing panics while it holds the index")
    }
}
