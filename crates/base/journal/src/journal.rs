//! The journal itself: appends rounds, rolls segments, lets go of what no group needs.

use crate::disk::Disk;
use crate::error::{Error, is_full};
use crate::index::Index;
use crate::log::Place;
use crate::pool::{Pool, Spare};
use crate::reader::{Reader, Record};
use crate::record::{HEADER, Header, Salt, Tag, padded};
use crate::round::{Op, Round};
use crate::scan::End;
use crate::seal::{self, ENTRY_COST, GROUP_COST, TRAILER};
use crate::segment::{START, Segment};
use crate::settings::Settings;
use crate::sweep::Sweeper;
use bytes::Bytes;
use model::{ByteSize, GroupId};
use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock, RwLockWriteGuard};

/// Payloads up to this are copied next to their header: cheaper than a slice of their own.
const INLINE: usize = 512;
/// The end of a segment is kept for urgent rounds, at most this much and at most a part of it.
const SLACK: u64 = 64 << 10;
const SLACK_PART: u64 = 16;

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
        self.check_poison()?;
        if self.reader.index().has_idle(Some(self.newest)) {
            self.flush_pending();
        }
        let live = self.pool.live.load(Relaxed);
        if live > self.settings.max_size.0 {
            return Err(self.full(false));
        }
        let head = seal::head_size(&self.reader.index());
        let records = (records + self.pending.len()) as u64;
        let needed = bytes + records * (HEADER as u64 + 8 + ENTRY_COST + GROUP_COST);
        if self.active.as_ref().is_some_and(|active| !active.segment.small && active.room(head, false) >= needed) {
            return Ok(());
        }
        self.prepare(needed, head)
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

    fn write(&mut self, ops: &[Op], urgent: bool) -> Result<(), Error> {
        let head = seal::head_size(&self.reader.index());
        let costs = self.costs(ops);
        let limit = room(self.settings.segment(), START_COST + 2 * head, urgent);
        if let Some(cost) = costs.iter().find(|cost| **cost > limit) {
            return Err(Error::TooLarge { bytes: ByteSize(*cost), limit: ByteSize(limit) });
        }
        let total: u64 = costs.iter().sum();
        if total > limit {
            self.prepare(total, head)?;
        }
        let mut done = 0;
        while done < ops.len() {
            let count = self.part(&costs[done..], limit, urgent);
            let written = count.and_then(|count| self.write_part(&ops[done..done + count], urgent).map(|()| count));
            match written {
                Ok(count) => done += count,
                Err(error) if done == 0 || self.poison.is_some() => return Err(error),
                Err(error) => {
                    let text = format!("a round larger than a segment was written in part: {error}");
                    return Err(self.poison("write", &io::Error::other(text)));
                }
            }
        }
        Ok(())
    }

    /// What each record takes of a segment, its share of the index included.
    fn costs(&self, ops: &[Op]) -> Vec<u64> {
        let index = self.reader.index();
        let of = |op: &Op| {
            let group = if index.logs.contains_key(&op.group) { 0 } else { GROUP_COST };
            op.size()
                + group
                + match op.tag {
                    Tag::Entry => ENTRY_COST,
                    Tag::HardState => op.payload.len() as u64,
                    _ => 0,
                }
        };
        ops.iter().map(of).collect()
    }

    /// Makes the segments ready that a round of `total` bytes may need.
    fn prepare(&mut self, total: u64, head: u64) -> Result<(), Error> {
        let each = room(self.settings.segment(), START_COST + 2 * head, false);
        if each == 0 {
            return Err(Error::TooLarge { bytes: ByteSize(total), limit: ByteSize(0) });
        }
        // Records are not cut, so each segment may stay up to half empty.
        let count = if total <= each { 1 } else { (2 * total).div_ceil(each) + 1 };
        if self.pool.live.load(Relaxed) + count * self.settings.segment() > self.settings.max_size.0 {
            return Err(self.full(false));
        }
        self.pool.prepare(count).map_err(|error| self.no_space(error))
    }

    /// How many of the records go to the active segment now, after a new one was begun if need be.
    fn part(&mut self, costs: &[u64], limit: u64, urgent: bool) -> Result<usize, Error> {
        let total: u64 = costs.iter().sum();
        for rolled in [false, true] {
            let head = seal::head_size(&self.reader.index());
            if let Some(active) = self.active.as_ref().filter(|active| urgent || !active.segment.small) {
                let count = fitting(costs, active.room(head, urgent));
                if count == costs.len() || (count > 0 && total > limit) {
                    return Ok(count);
                }
            }
            if !rolled {
                self.roll(total.min(limit) + START_COST + 2 * head, urgent)?;
            }
        }
        Err(Error::TooLarge { bytes: ByteSize(costs[0]), limit: ByteSize(limit) })
    }

    /// Seals the active segment and begins a new one.
    fn roll(&mut self, needed: u64, urgent: bool) -> Result<(), Error> {
        let spare = self.spare(needed, urgent)?;
        if let Some(active) = self.active.take() {
            if let Err(error) = self.seal(&active) {
                self.pool.put_back(spare);
                self.active = Some(active);
                return Err(error);
            }
        }
        self.begin(spare)
    }

    fn spare(&mut self, needed: u64, urgent: bool) -> Result<Spare, Error> {
        let within = self.pool.live.load(Relaxed) + self.settings.segment() <= self.settings.max_size.0;
        // A small segment should take a few more such rounds.
        let needed = needed + TRAILER as u64 + needed / 8 + 1024;
        let spare = match (within, urgent) {
            (false, false) => return Err(self.full(false)),
            (false, true) => self.pool.take_urgent(needed),
            (true, false) => self.pool.take(),
            (true, true) => match self.pool.take() {
                Err(error) if is_full(&error) => self.pool.take_urgent(needed),
                other => other,
            },
        };
        spare.map_err(|error| self.no_space(error))
    }

    /// Nothing was written: the journal goes on.
    fn no_space(&self, error: io::Error) -> Error {
        match is_full(&error) {
            true => self.full(true),
            false => Error::io("make a segment in", &self.disk.dir)(error),
        }
    }

    fn seal(&mut self, active: &Active) -> Result<(), Error> {
        let segment = &active.segment;
        let index = seal::encode(&self.reader.index(), Some(segment.number()));
        let trailer = seal::trailer(&index, active.end, segment.salt);
        let written = segment
            .write(&self.disk, &index, u64::from(active.end))
            .and_then(|()| segment.write(&self.disk, &trailer, segment.capacity - TRAILER as u64));
        match written {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(self.full(true)),
            Err(error) => return Err(self.poison("write", &error)),
        }
        self.disk.sync_file(&segment.file).map_err(|error| self.poison("sync", &error))
    }

    /// A segment gets its name when its head is durable, so a named one always has a valid head.
    fn begin(&mut self, spare: Spare) -> Result<(), Error> {
        let Some(number) = self.newest.checked_add(1) else {
            return Err(self.poison("number a segment", &io::Error::other("out of numbers")));
        };
        // Unpredictable, so that no tenant can send bytes that look like a record.
        let mark = RandomState::new().build_hasher().finish() | 1;
        let path = Segment::name(&self.disk.dir, number);
        let small = spare.size < self.settings.segment();
        let salt = Salt { number, mark };
        let segment = Segment { salt, capacity: spare.size, small, file: spare.file, path };
        let state = Bytes::from(seal::encode(&self.reader.index(), None));
        let head = Op { payload: state, ..Op::mark(Tag::Head, GroupId(0), 0) };
        let mut bytes = segment.header().to_vec();
        bytes.extend_from_slice(&Header::of(&head, salt, START, 0, true).encode(salt));
        bytes.extend_from_slice(&head.payload);
        bytes.resize((u64::from(START) + head.size()) as usize, 0);
        match segment.write(&self.disk, &bytes, 0) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(self.full(true)),
            Err(error) => return Err(self.poison("write", &error)),
        }
        let synced = self.disk.sync_file(&segment.file);
        let named = synced.and_then(|()| self.disk.rename(&spare.path, &segment.path));
        named.map_err(|error| self.poison("begin a segment", &error))?;

        let end = bytes.len() as u32;
        let segment = Arc::new(segment);
        self.index().segments.insert(number, Arc::clone(&segment));
        self.pool.live.fetch_add(segment.capacity, Relaxed);
        self.active = Some(Active { segment, end, attempt: 1, entries: 0 });
        self.newest = number;
        self.counters.rolls += 1;
        // The one before is no longer the newest, and may hold nothing.
        self.note_idle();
        Ok(())
    }

    /// Writes records as one round of the active segment, syncs, and lets them take effect.
    fn write_part(&mut self, ops: &[Op], urgent: bool) -> Result<(), Error> {
        let Some(mut active) = self.active.take() else {
            return Err(self.poison("write", &io::Error::other("no segment is active")));
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let places = match self.put(ops, &mut active, &mut scratch) {
            Err(error) if is_full(&error) && urgent => {
                self.pool.release_reserve();
                self.put(ops, &mut active, &mut scratch)
            }
            other => other,
        };
        self.scratch = scratch;
        let (places, end) = match places {
            Ok(done) => done,
            Err(error) if is_full(&error) => {
                self.active = Some(active);
                return Err(self.full(true));
            }
            Err(error) => return Err(self.poison("write", &error)),
        };
        self.disk.sync_file(&active.segment.file).map_err(|error| self.poison("sync", &error))?;
        self.counters.written += u64::from(end - active.end);
        active.end = end;
        active.entries += ops.iter().filter(|op| op.tag == Tag::Entry).count() as u64;
        self.active = Some(active);
        self.counters.rounds += 1;
        self.counters.records += ops.len() as u64;
        let mut index = self.index();
        for (op, place) in ops.iter().zip(places) {
            index.apply(op, place);
        }
        Ok(())
    }

    /// Writes records behind the end, without moving it. Each try has a number of its own, so that what a failed one
    /// left is never taken for a part of the next.
    fn put(&self, ops: &[Op], active: &mut Active, scratch: &mut Vec<u8>) -> io::Result<(Vec<Place>, u32)> {
        let salt = active.segment.salt;
        let attempt = active.attempt;
        active.attempt = attempt.wrapping_add(1);
        scratch.clear();
        let mut places = Vec::with_capacity(ops.len());
        // Up to where the scratch goes before each payload that is written from where it is.
        let mut cuts: Vec<(usize, &Bytes)> = Vec::new();
        let mut end = active.end;
        for (at, op) in ops.iter().enumerate() {
            let len = op.payload.len();
            places.push(Place { segment: salt.number, offset: end, len: len as u32 });
            scratch.extend_from_slice(&Header::of(op, salt, active.end, attempt, at + 1 == ops.len()).encode(salt));
            match len <= INLINE {
                true => scratch.extend_from_slice(&op.payload),
                false => cuts.push((scratch.len(), &op.payload)),
            }
            scratch.resize(scratch.len() + (padded(len as u64) as usize - len), 0);
            end += op.size() as u32;
        }
        let mut slices = Vec::with_capacity(2 * cuts.len() + 1);
        let mut from = 0;
        for (to, payload) in cuts {
            slices.push(IoSlice::new(&scratch[from..to]));
            slices.push(IoSlice::new(payload));
            from = to;
        }
        slices.push(IoSlice::new(&scratch[from..]));
        self.disk.write(&active.segment.file, &mut slices, u64::from(active.end))?;
        Ok((places, end))
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

/// A segment's header and the header of its head, rounded up.
const START_COST: u64 = START as u64 + HEADER as u64 + 8;

fn fitting(costs: &[u64], room: u64) -> usize {
    let mut left = room;
    costs.iter().take_while(|cost| left.checked_sub(**cost).map(|rest| left = rest).is_some()).count()
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.disk.dir).field("stats", &self.stats()).finish()
    }
}
