//! Rolls segments: takes a file, seals the active segment, begins the next.

use super::{Active, Journal, START_COST, room};
use crate::error::{Error, is_full};
use crate::pool::Spare;
use crate::record::{Header, Salt, Tag};
use crate::round::Op;
use crate::seal::{self, TRAILER};
use crate::segment::{START, Segment};
use bytes::Bytes;
use model::{ByteSize, GroupId};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Journal {
    /// Makes the segments ready that a round of `total` bytes may need.
    pub(super) fn prepare(&mut self, total: u64, head: u64) -> Result<(), Error> {
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

    /// Seals the active segment and begins a new one.
    pub(super) fn roll(&mut self, needed: u64, urgent: bool) -> Result<(), Error> {
        let spare = self.spare(needed, urgent)?;
        if let Some(active) = self.active.take()
            && let Err(error) = self.seal(&active)
        {
            self.pool.put_back(spare);
            self.active = Some(active);
            return Err(error);
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
}
