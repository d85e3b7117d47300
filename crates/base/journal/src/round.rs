//! A round: the records of any groups that become durable together, by one sync.

use crate::record::{HEADER, Tag, padded};
use bytes::Bytes;
use model::GroupId;

/// Records in the order in which they take effect. Payloads are written from where they are, never copied together.
#[derive(Debug, Clone, Default)]
pub struct Round {
    pub(crate) ops: Vec<Op>,
    pub(crate) urgent: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub tag: Tag,
    pub kind: u8,
    pub group: GroupId,
    pub index: u64,
    pub term: u64,
    pub payload: Bytes,
}

impl Op {
    pub(crate) fn mark(tag: Tag, group: GroupId, index: u64) -> Op {
        Op { tag, kind: 0, group, index, term: 0, payload: Bytes::new() }
    }

    /// What it takes on disk.
    pub(crate) fn size(&self) -> u64 {
        HEADER as u64 + padded(self.payload.len() as u64)
    }
}

impl Round {
    pub fn new() -> Round {
        Round::default()
    }

    /// An entry of a group's log. An index that the log already holds replaces it and all after it (a Raft conflict);
    /// an index past `last + 1` is refused by `append`. The first entry of a new group may have any index from 1.
    pub fn entry(&mut self, group: GroupId, index: u64, term: u64, kind: u8, payload: Bytes) {
        self.ops.push(Op { tag: Tag::Entry, kind, group, index, term, payload });
    }

    /// Takes away the entries from `index` on.
    pub fn truncate_from(&mut self, group: GroupId, index: u64) {
        self.ops.push(Op::mark(Tag::Truncate, group, index));
    }

    /// The group's hard state; the journal keeps the latest.
    pub fn hard_state(&mut self, group: GroupId, state: Bytes) {
        self.ops.push(Op { payload: state, ..Op::mark(Tag::HardState, group, 0) });
    }

    /// After a snapshot was installed: the log is empty and its next entry has the index `next`.
    pub fn reset(&mut self, group: GroupId, next: u64) {
        self.ops.push(Op::mark(Tag::Reset, group, next.max(1)));
    }

    /// Lets the round go past `max_size` and use the disk reserve: for the few small records by which a full node
    /// frees space.
    pub fn urgent(&mut self) {
        self.urgent = true;
    }

    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// What the round takes on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.ops.iter().map(Op::size).sum()
    }
}
