//! How entries are marked, in the journal and on their way: what changes members, what may use the reserve, what cuts.

use crate::cut::Cut;
use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType};

/// The record's kind in the journal: Raft's type, whether it may use the reserve, and whether it carries a cut.
const TYPE: u8 = 0x0f;
const CUT: u8 = 0x20;
const URGENT: u8 = 0x40;
/// The same marks on an entry that travels.
const URGENT_CONTEXT: Bytes = Bytes::from_static(b"u");
const CUT_CONTEXT: Bytes = Bytes::from_static(b"c");

/// What the proposer says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    /// May go where others find the journal full.
    Urgent,
    /// Its payload is a [`Cut`], which is urgent too.
    Cut,
}

pub(crate) fn entry(data: Bytes, mark: Mark) -> Entry {
    let context = match mark {
        Mark::Plain => Bytes::new(),
        Mark::Urgent => URGENT_CONTEXT,
        Mark::Cut => CUT_CONTEXT,
    };
    Entry { data, context, ..Entry::default() }
}

fn mark(entry: &Entry) -> Mark {
    match &entry.context {
        context if *context == URGENT_CONTEXT => Mark::Urgent,
        context if *context == CUT_CONTEXT => Mark::Cut,
        _ => Mark::Plain,
    }
}

pub(crate) fn is_urgent(entry: &Entry) -> bool {
    mark(entry) != Mark::Plain
}

pub(crate) fn kind(entry: &Entry) -> u8 {
    let mark = match mark(entry) {
        Mark::Plain => 0,
        Mark::Urgent => URGENT,
        Mark::Cut => URGENT | CUT,
    };
    entry.get_entry_type() as u8 | mark
}

pub(crate) fn changes_members(kind: u8) -> bool {
    kind & TYPE != EntryType::EntryNormal as u8
}

/// The cut that an entry carries.
pub(crate) fn cut(entry: &Entry) -> Option<Cut> {
    let carries = mark(entry) == Mark::Cut && entry.get_entry_type() == EntryType::EntryNormal;
    carries.then(|| Cut::decode(entry.data.clone())).flatten()
}

/// What the state machine is shown of an entry: nothing, if it is one of Raft's own.
pub(crate) fn shown(entry: &Entry) -> Bytes {
    match entry.get_entry_type() {
        EntryType::EntryNormal => cut(entry).map_or_else(|| entry.data.clone(), |cut| cut.data),
        _ => Bytes::new(),
    }
}

/// The entry that a journal record holds.
pub(crate) fn from_record(record: journal::Record) -> Entry {
    let entry_type = match record.kind & TYPE {
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => EntryType::EntryNormal,
    };
    let mark = match (record.kind & CUT, record.kind & URGENT) {
        (0, 0) => Mark::Plain,
        (0, _) => Mark::Urgent,
        _ => Mark::Cut,
    };
    Entry { entry_type, term: record.term, index: record.index, ..entry(record.payload, mark) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_the_journal() {
        let cut = Cut { through: 4, snapshot: Bytes::from_static(b"snap"), data: Bytes::from_static(b"data") };
        for (mark, payload, data, is_cut) in [
            (Mark::Plain, Bytes::from_static(b"data"), "data", false),
            (Mark::Urgent, Bytes::from_static(b"data"), "data", false),
            (Mark::Cut, cut.encode(), "data", true),
            // One that says that it is a cut, and is not, is a plain one to all.
            (Mark::Cut, Bytes::from_static(b"data"), "data", false),
        ] {
            let sent = entry(payload.clone(), mark);
            let record = journal::Record { index: 7, term: 3, kind: kind(&sent), payload };
            let read = from_record(record);
            assert_eq!((kind(&read), is_urgent(&read)), (kind(&sent), mark != Mark::Plain), "{mark:?}");
            assert_eq!((shown(&read), super::cut(&read).is_some()), (Bytes::from(data), is_cut), "{mark:?}");
            assert_eq!((read.index, read.term), (7, 3));
        }
    }

    #[test]
    fn changes_of_members_are_not_shown() {
        let mut change = entry(Bytes::from_static(b"change"), Mark::Plain);
        change.set_entry_type(EntryType::EntryConfChange);
        assert!(changes_members(kind(&change)) && shown(&change).is_empty() && cut(&change).is_none());
    }
}
