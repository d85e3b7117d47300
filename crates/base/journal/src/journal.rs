//! The journal itself: appends rounds, and lets go of what no group needs.

mod append;
mod roll;

use crate::disk::Disk;
use crate::error::Error;
use crate::index::Index;
use crate::log::Place;
use crate::pool::Pool;
use crate::reader::{Reader, Record};
use crate::record::{HEADER, Tag};
use crate::round::{Op, Round};
use crate::scan::End;
use crate::seal::{self, ENTRY_COST, GROUP_COST, TRAILER};
use crate::segment::{START, Segment};
use crate::settings::Settings;
use crate::sweep::Sweeper;
use model::{ByteSize, GroupId};
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock, RwLockWriteGuard};

/// The end of a segment is kept for urgent rounds, at most this much and at most a part of it.
const SLACK: u64 = 64 << 10;
const SLACK_PART: u64 = 16;
/// A segment's header and the header of its head, rounded up.
const START_COST: u64 = START as u64 + HEADER as u64 + 8;

/// Numbers of a journal; counters are since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segments in use, and their bytes on disk.
    pub segments: u64,
    pub bytes: u64,
    /// Segments that wait to be used again, and their bytes on disk.
    pub spares: u64,
    pub spare_bytes: u64,
    /// Syncs of files: one a round, two more for each new segment.
    pub syncs: u64,
    pub rounds: u64,
    pub records: u64,
    /// Bytes of records appended.
    pub written: u64,
    /// Segments begun.
    pub rolls: u64,
    pub groups: u64,
    /// Entries that the logs hold.
    pub entries: u64,
    /// Whether the disk reserve is there.
    pub reserve: bool,
}

/// Has one owner; a `Reader` reads beside it.
pub struct Journal {
    settings: Settings,
    disk: Arc<Disk>,
    pool: Arc<Pool>,
    sweeper: Sweeper,
    index: Arc<RwLock<Index>>,
    reader: Reader,
    /// None before the first round, and if the last segment was sealed when the journal was opened.
    active: Option<Active>,
    newest: u32,
    /// Took effect in memory, and goes to disk with the next round at the latest.
    pending: Vec<Op>,
    /// Why no more rounds are taken.
    poison: Option<String>,
    scratch: Vec<u8>,
    counters: Stats,
    /// Held for the journal's life.
    _lock: File,
}

/// The segment that rounds go to.
pub(crate) struct Active {
    segment: Arc<Segment>,
    end: u32,
    attempt: u32,
    entries: u64,
}

impl Active {
    pub(crate) fn resume(segment: Arc<Segment>, end: End) -> Active {
        Active { segment, end: end.offset, attempt: end.attempt, entries: end.entries }
    }

    /// Bytes left for records and what they add to the index; `head` is what the index takes without entries.
    fn room(&self, head: u64, urgent: bool) -> u64 {
        let used = u64::from(self.end) + head + self.entries * ENTRY_COST;
        room(self.segment.capacity, used, urgent)
    }
}

fn room(capacity: u64, used: u64, urgent: bool) -> u64 {
    let slack = if urgent { 0 } else { SLACK.min(capacity / SLACK_PART) };
    capacity.saturating_sub(TRAILER as u64 + slack + used)
}

impl Journal {
    pub(crate) fn new(
        settings: Settings,
        disk: Arc<Disk>,
        pool: Arc<Pool>,
        sweeper: Sweeper,
        index: Index,
        active: Option<Active>,
        lock: File,
    ) -> Journal {
        let newest = index.segments.keys().next_back().copied().unwrap_or(0);
        let index = Arc::new(RwLock::new(index));
        let journal = Journal {
            settings,
            disk,
            pool,
            sweeper,
            reader: Reader::new(Arc::clone(&index)),
            index,
            active,
            newest,
            pending: Vec::new(),
            poison: None,
            scratch: Vec::new(),
            counters: Stats::default(),
            _lock: lock,
        };
        journal.note_idle();
        journal.release();
        journal
    }

    /// Writes all records of a round, and returns when they are durable: one sync. An empty round does nothing.
    ///
    /// `Full` and `Index` and `TooLarge` leave the journal as it was: none of the round counts, and later rounds may
    /// go through. After any other error the journal takes no more rounds, and whether this one counts is known when
    /// the journal is opened again. A crash leaves the round in full or not at all, unless it is larger than a
    /// segment: then a part of it, in its order, may be left.
    pub fn append(&mut self, round: Round) -> Result<(), Error> {
        self.check_poison()?;
        if round.is_empty() {
            return Ok(());
        }
        self.reader.index().check(&round.ops)?;
        if self.reader.index().has_idle(Some(self.newest)) {
            // An earlier attempt found no room.
            self.flush_pending();
        }
        if !round.urgent && self.pool.live.load(Relaxed) > self.settings.max_size.0 {
            return Err(self.full(false));
        }
        self.commit(round.ops, round.urgent)
    }

    /// Whether a round with this many records and bytes of payload would be taken now, and makes its space ready:
    /// if Ok, the next round of at most that size does not fail with `Full` on a file system that preallocates.
    pub fn room(&mut self, records: usize, bytes: u64) -> Result<(), Error> {
        self.prepare_room(records, bytes, false)
    }

    /// `room` for a round that is urgent. May begin a small segment now.
    pub fn room_urgent(&mut self, records: usize, bytes: u64) -> Result<(), Error> {
        self.prepare_room(records, bytes, true)
    }

    pub fn term(&self, group: GroupId, index: u64) -> Option<u64> {
        self.reader.term(group, index)
    }

    /// 1 for an unknown group.
    pub fn first_index(&self, group: GroupId) -> u64 {
        self.reader.bounds(group).0
    }

    /// Less than the first index when the log is empty; 0 for an unknown group.
    pub fn last_index(&self, group: GroupId) -> u64 {
        self.reader.bounds(group).1
    }

    /// See [`Reader::read`].
    pub fn read(&self, group: GroupId, index: u64) -> Result<Record, Error> {
        self.reader.read(group, index)
    }

    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Entries up to `through` are no longer needed. When that leaves segments that no group needs, this is made
    /// durable at once (one sync) and a thread recycles them; else it goes with the next round.
    pub fn compact(&mut self, group: GroupId, through: u64) {
        let (first, last) = self.reader.bounds(group);
        let through = through.min(last);
        if through < first {
            return;
        }
        self.pending.retain(|op| op.group != group || op.tag != Tag::Compact);
        self.defer(Op::mark(Tag::Compact, group, through));
    }

    /// Forgets a group: its log and its hard state.
    pub fn remove_group(&mut self, group: GroupId) {
        if self.reader.index().logs.contains_key(&group) {
            self.pending.retain(|op| op.group != group);
            self.defer(Op::mark(Tag::Remove, group, 0));
            self.flush_pending();
        }
    }

    /// The group that holds the oldest segment, and what all segments take on disk. None if no log holds an entry.
    pub fn oldest(&self) -> Option<(GroupId, ByteSize)> {
        let group = self.reader.index().oldest()?;
        Some((group, ByteSize(self.pool.live.load(Relaxed))))
    }

    /// Gives spare segments back to the disk: for times in which the log is idle. The next segments are allocated anew.
    pub fn release_spares(&self) {
        self.pool.release_spares();
    }

    pub fn stats(&self) -> Stats {
        let index = self.reader.index();
        let (spares, spare_bytes, reserve) = self.pool.held();
        Stats {
            segments: index.segments.len() as u64,
            bytes: self.pool.live.load(Relaxed),
            spares,
            spare_bytes,
            syncs: self.disk.syncs(),
            groups: index.logs.len() as u64,
            entries: index.holds.total(),
            reserve,
            ..self.counters
        }
    }

    /// Waits until the segments that were freed are recycled or removed.
    #[doc(hidden)]
    pub fn settle(&self) {
        self.sweeper.settle();
    }

    fn prepare_room(&mut self, records: usize, bytes: u64, urgent: bool) -> Result<(), Error> {
        self.check_poison()?;
        if self.reader.index().has_idle(Some(self.newest)) {
            self.flush_pending();
        }
        if !urgent && self.pool.live.load(Relaxed) > self.settings.max_size.0 {
            return Err(self.full(false));
        }
        let head = seal::head_size(&self.reader.index());
        let records = (records + self.pending.len()) as u64;
        let needed = bytes + records * (HEADER as u64 + 8 + ENTRY_COST + GROUP_COST);
        let fits = |active: &Active| (urgent || !active.segment.small) && active.room(head, urgent) >= needed;
        if self.active.as_ref().is_some_and(fits) {
            return Ok(());
        }
        match needed <= self.fresh_room(head, urgent) {
            true if urgent => self.roll(needed + START_COST + 2 * head, true),
            true => self.prepare(needed, head),
            false => self.prepare(needed, head + records * GROUP_COST),
        }
    }

    fn check_poison(&self) -> Result<(), Error> {
        match &self.poison {
            Some(text) => Err(Error::Poisoned { text: text.clone() }),
            None => Ok(()),
        }
    }

    fn poison(&mut self, action: &str, error: &io::Error) -> Error {
        let text = format!("cannot {action} in {}: {error}", self.disk.dir.display());
        tracing::error!("the journal takes no more rounds: {text}");
        self.poison = Some(text.clone());
        Error::Poisoned { text }
    }

    fn full(&self, disk: bool) -> Error {
        Error::Full { used: ByteSize(self.pool.live.load(Relaxed)), limit: self.settings.max_size, disk }
    }

    fn index(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect("nothing panics while it holds the index")
    }

    /// Takes effect in memory now, on disk later.
    fn defer(&mut self, op: Op) {
        self.index().apply(&op, Place { segment: 0, offset: 0, len: 0 });
        self.pending.push(op);
        if self.reader.index().has_idle(Some(self.newest)) {
            self.flush_pending();
        }
    }

    /// Makes the compactions durable that free segments. Failing that, the next round tries again.
    fn flush_pending(&mut self) {
        if self.poison.is_none()
            && let Err(error) = self.commit(Vec::new(), true)
        {
            tracing::warn!(%error, "cannot free journal segments now");
        }
    }

    /// What is pending goes first.
    fn commit(&mut self, ops: Vec<Op>, urgent: bool) -> Result<(), Error> {
        let kept = self.pending.clone();
        let mut all = std::mem::take(&mut self.pending);
        all.extend(ops);
        let done = self.write(&all, urgent);
        match done {
            Ok(()) => self.release(),
            Err(_) => self.pending = kept,
        }
        done
    }

    /// Looks at every segment: some became idle without an entry going.
    fn note_idle(&self) {
        let mut index = self.index();
        let Index { holds, segments, .. } = &mut *index;
        holds.idle.extend(segments.keys().filter(|segment| holds.count(**segment) == 0).copied().collect::<Vec<_>>());
    }

    /// Hands segments that nothing needs to the sweeper; what says so is durable.
    fn release(&self) {
        let idle = self.index().take_idle(Some(self.newest));
        for segment in idle {
            self.pool.live.fetch_sub(segment.capacity, Relaxed);
            self.sweeper.free(segment);
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.disk.dir).field("stats", &self.stats()).finish()
    }
}
