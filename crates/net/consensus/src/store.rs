//! A replica's log as Raft sees it: the journal, with the newest entries in memory.

use crate::mark::{changes_members, cut, kind};
use crate::state::{Base, State};
use crate::{fetch, snapshot};
use journal::Reader;
use model::GroupId;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Committed entries that are handed over at once. They carry no data, so this bounds little structs.
const HANDED_OVER: u64 = 4096;
/// Followers that may wait for the same entries to be read.
const SHARED_FETCH: usize = 8;

/// The entries of a log that the host itself must know of, by index.
#[derive(Default)]
pub(crate) struct Noted {
    /// Those that change members.
    pub changes: BTreeMap<u64, Entry>,
    /// Those that carry a cut, and what it stands for.
    pub cuts: BTreeMap<u64, u64>,
}

impl Noted {
    /// Whether the entry is one of them, and has to be named in the replica's state.
    pub(crate) fn note(&mut self, entry: &Entry) -> bool {
        if changes_members(kind(entry)) {
            self.changes.insert(entry.index, entry.clone());
        } else if let Some(cut) = cut(entry) {
            self.cuts.insert(entry.index, cut.through);
        } else {
            return false;
        }
        true
    }

    fn truncate(&mut self, from: u64) {
        self.changes.split_off(&from);
        self.cuts.split_off(&from);
    }

    fn cut(&mut self, through: u64) {
        self.changes = self.changes.split_off(&(through + 1));
        self.cuts = self.cuts.split_off(&(through + 1));
    }
}

pub(crate) struct Store {
    pub group: GroupId,
    pub reader: Reader,
    files: Arc<snapshot::Directory>,
    /// What the journal has of the replica, but for the commit index.
    pub state: State,
    last: u64,
    /// The newest entries, with their data, up to `last`.
    cache: VecDeque<Entry>,
    pub cached_bytes: u64,
    noted: Noted,
    /// Entries that were read for a follower that is behind; there while Raft asks for them again.
    pub fetched: Vec<Entry>,
    /// By the first index that is wanted.
    waiting: RefCell<BTreeMap<u64, Vec<GetEntriesContext>>>,
    /// Reads to be started.
    wanted: RefCell<Vec<fetch::Wanted>>,
}

impl Store {
    pub(crate) fn new(
        group: GroupId,
        reader: Reader,
        files: Arc<snapshot::Directory>,
        state: State,
        last: u64,
        noted: Noted,
    ) -> Store {
        Store {
            group,
            reader,
            files,
            state,
            last,
            cache: VecDeque::new(),
            cached_bytes: 0,
            noted,
            fetched: Vec::new(),
            waiting: RefCell::default(),
            wanted: RefCell::default(),
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.state.base.index + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Takes over entries that are in the journal now.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(from) = entries.first().map(|entry| entry.index) else { return };
        while self.cache.back().is_some_and(|entry| entry.index >= from) {
            self.pop_back();
        }
        if self.cache.back().is_some_and(|entry| entry.index + 1 != from) {
            self.clear_cache();
        }
        self.noted.truncate(from);
        self.last = from + entries.len() as u64 - 1;
        for entry in entries {
            self.noted.note(&entry);
            self.cached_bytes += entry.data.len() as u64;
            self.cache.push_back(entry);
        }
    }

    /// After a snapshot was installed: the log is empty and begins behind it.
    pub(crate) fn reset(&mut self, base: Base) {
        self.clear_cache();
        self.noted = Noted::default();
        self.last = base.index;
        self.cut(base);
    }

    /// The log begins at `base`, of which there is a snapshot file.
    pub(crate) fn cut(&mut self, base: Base) {
        self.noted.cut(base.index);
        self.state.noted = self.state.noted.split_off(&(base.index + 1));
        self.release(base.index);
        self.state.base = base;
        self.state.in_file = true;
    }

    /// What the cut that an entry carries stands for.
    pub(crate) fn cut_at(&self, index: u64) -> Option<u64> {
        self.noted.cuts.get(&index).copied()
    }

    /// Follows the log from `from` on for as long as it holds entries that a snapshot of `from` need not say more of:
    /// those without data, and cuts that stand for no more than `cut`. Answers with the last of them, at most `end`.
    pub(crate) fn without_data(&self, from: u64, cut: Option<u64>, end: u64) -> u64 {
        let is_said = |index: &u64| match self.cut_at(*index) {
            Some(through) => cut.is_some_and(|cut| through <= cut),
            None => {
                let empty = || self.reader.locate(self.group, *index).is_some_and(|slice| slice.is_empty());
                self.noted.changes.contains_key(index) || empty()
            }
        };
        let end = end.min(from.saturating_add(HANDED_OVER));
        (from + 1..=end).take_while(is_said).last().unwrap_or(from)
    }

    /// Whether an entry after `from` and up to `to` changes members.
    pub(crate) fn changes_between(&self, from: u64, to: u64) -> bool {
        from < to && self.noted.changes.range(from + 1..=to).next().is_some()
    }

    /// An entry that is in memory.
    pub(crate) fn cached(&self, index: u64) -> Option<&Entry> {
        let front = self.cache.front()?.index;
        self.cache.get(usize::try_from(index.checked_sub(front)?).ok()?)
    }

    /// Nobody here needs the entries up to `through` in memory.
    pub(crate) fn release(&mut self, through: u64) {
        while self.cache.front().is_some_and(|entry| entry.index <= through) {
            self.pop_front();
        }
        if self.cache.is_empty() && self.cache.capacity() > 1024 {
            self.cache = VecDeque::new();
        }
    }

    /// Lets go of about half of what is in memory.
    pub(crate) fn shrink_cache(&mut self) {
        let target = self.cached_bytes / 2;
        while self.cached_bytes > target && !self.cache.is_empty() {
            self.pop_front();
        }
    }

    fn clear_cache(&mut self) {
        self.cache.clear();
        self.cached_bytes = 0;
    }

    fn pop_front(&mut self) {
        let gone = self.cache.pop_front();
        self.cached_bytes -= gone.map_or(0, |entry| entry.data.len() as u64);
    }

    fn pop_back(&mut self) {
        let gone = self.cache.pop_back();
        self.cached_bytes -= gone.map_or(0, |entry| entry.data.len() as u64);
    }

    /// Reads to be started for followers that are behind.
    pub(crate) fn take_wanted(&mut self) -> Vec<fetch::Wanted> {
        std::mem::take(self.wanted.get_mut())
    }

    pub(crate) fn has_wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    /// Who waits for the entries from `low` on.
    pub(crate) fn take_waiting(&mut self, low: u64) -> Vec<GetEntriesContext> {
        self.waiting.get_mut().remove(&low).unwrap_or_default()
    }

    /// Entries for a follower: from memory, or from the journal once they were read from it.
    fn entries_to_send(&self, low: u64, high: u64, max: u64, context: GetEntriesContext) -> Result<Vec<Entry>> {
        if self.cached(low).is_some() {
            return Ok(limited((low..high).map_while(|index| self.cached(index)), max));
        }
        let fetched = self.fetched.iter().skip_while(|entry| entry.index != low).take_while(|entry| entry.index < high);
        let fetched = limited(fetched, max);
        if !fetched.is_empty() {
            return Ok(fetched);
        }
        let mut waiting = self.waiting.borrow_mut();
        let contexts = waiting.entry(low).or_default();
        if contexts.is_empty() {
            self.wanted.borrow_mut().push(fetch::Wanted { group: self.group, low, high });
        }
        if contexts.len() < SHARED_FETCH {
            contexts.push(context);
        }
        Err(Error::Store(StorageError::LogTemporarilyUnavailable))
    }

    /// Entries that Raft counts or looks through for changes of members: the others come without their data. All of
    /// them if there is a change, for Raft must not overlook it.
    fn entries_to_see(&self, low: u64, high: u64) -> Result<Vec<Entry>> {
        let plain = self.noted.changes.range(low..high).next().is_none();
        let high = if plain { high.min(low + HANDED_OVER) } else { high };
        (low..high)
            .map(|index| match self.noted.changes.get(&index) {
                Some(change) => Ok(change.clone()),
                None => Ok(Entry { index, term: self.term(index)?, ..Entry::default() }),
            })
            .collect()
    }
}

/// The first ones that are not larger than `max` together, and at least one.
fn limited<'a>(entries: impl Iterator<Item = &'a Entry>, max: u64) -> Vec<Entry> {
    let mut size = 0;
    let fits = |entry: &&Entry| {
        let first = size == 0;
        size += entry.data.len() as u64 + 32;
        first || size <= max
    };
    entries.take_while(fits).cloned().collect()
}

impl Storage for Store {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(self.state.hard.clone(), self.state.base.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let high = high.min(self.last + 1);
        match context.can_async() {
            true => self.entries_to_send(low, high, max_size.into().unwrap_or(u64::MAX), context),
            false => self.entries_to_see(low, high),
        }
    }

    fn term(&self, index: u64) -> Result<u64> {
        let base = &self.state.base;
        if index == base.index {
            return Ok(base.term);
        }
        if index < base.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if index > self.last {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let cached = self.cached(index).map(|entry| entry.term);
        cached.or_else(|| self.reader.term(self.group, index)).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let later = Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        let base = &self.state.base;
        if base.index == 0 || base.index < request_index {
            return Err(later);
        }
        let mut snapshot = Snapshot::default();
        if self.state.in_file {
            // Small, and seldom wanted.
            match self.files.read(self.group, base.index) {
                Ok(file) => snapshot.data = file.data,
                Err(error) => {
                    tracing::error!(group = self.group.0, %error, "a snapshot cannot be sent");
                    return Err(later);
                }
            }
        }
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (base.index, base.term);
        meta.set_conf_state(with_member(&base.members, to));
        Ok(snapshot)
    }
}

/// Who came later than the snapshot takes it for a mistake if it is not in it. As a learner it has no part in any
/// decision, and the entry that makes it one changes nothing then.
fn with_member(members: &ConfState, node: u64) -> ConfState {
    let mut members = members.clone();
    let known = [&members.voters, &members.voters_outgoing, &members.learners, &members.learners_next];
    if !known.iter().any(|list| list.contains(&node)) {
        members.learners.push(node);
    }
    members
}

/// A replica's hard state says no more than that its commit index moved: that need not be durable.
pub(crate) fn only_commit_moved(old: &HardState, new: &HardState) -> bool {
    (old.term, old.vote) == (new.term, new.vote)
}
