//! Segment files that wait to be used (again), and the disk space kept in reserve.

use crate::disk::Disk;
use crate::error::{Error, is_full};
use crate::segment::Segment;
use crate::settings::{MIN_SEGMENT, Settings};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

/// Spares at most, and as a part of all segments.
const KEEP: u64 = 16;
const KEEP_PART: u64 = 8;
/// A small segment takes this part of the reserve, so that a few of them fit.
const SMALL_PART: u64 = 4;

/// A file with all its space and no valid content.
pub(crate) struct Spare {
    pub file: File,
    pub path: PathBuf,
    pub size: u64,
}

pub(crate) struct Pool {
    disk: Arc<Disk>,
    segment: u64,
    reserve: u64,
    max: u64,
    keep: u64,
    /// Bytes of the segments that are in use.
    pub live: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spares: Vec<Spare>,
    /// Whether the reserve is there.
    reserved: bool,
    serial: u64,
}

impl Pool {
    pub(crate) fn new(disk: Arc<Disk>, settings: &Settings) -> Pool {
        let (segment, max) = (settings.segment(), settings.max_size.0);
        let keep = (max / segment / KEEP_PART).clamp(1, KEEP);
        let (live, state) = (AtomicU64::new(0), Mutex::new(State::default()));
        Pool { disk, segment, reserve: settings.reserve.0, max, keep, live, state }
    }

    /// Takes over what an earlier run left: spares of the right size, and the reserve.
    pub(crate) fn adopt(&self, spares: Vec<PathBuf>) -> Result<(), Error> {
        let mut state = self.state();
        for path in spares {
            let file = File::options().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
            let size = file.metadata().map_err(Error::io("open", &path))?.len();
            match size == self.segment && (state.spares.len() as u64) < self.keep {
                true => state.spares.push(Spare { file, path, size }),
                false => fs::remove_file(&path).map_err(Error::io("remove", &path))?,
            }
        }
        let path = self.reserve_path();
        let held = fs::metadata(&path).map_or(0, |meta| meta.len());
        state.reserved = held == self.reserve;
        if held > 0 && !state.reserved {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        if !self.restore(&mut state) {
            tracing::warn!(bytes = self.reserve, "no disk space for the reserve of the journal");
        }
        Ok(())
    }

    /// (number of spares, their bytes, whether the reserve is there)
    pub(crate) fn held(&self) -> (u64, u64, bool) {
        let state = self.state();
        (state.spares.len() as u64, state.spares.iter().map(|spare| spare.size).sum(), state.reserved)
    }

    /// Makes sure that this many whole segments are there to be taken.
    pub(crate) fn prepare(&self, count: u64) -> io::Result<()> {
        let mut state = self.state();
        self.need_reserve(&mut state)?;
        while (state.spares.len() as u64) < count {
            let spare = self.allocate(&mut state, self.segment)?;
            state.spares.push(spare);
        }
        Ok(())
    }

    /// A whole segment, which never costs the reserve.
    pub(crate) fn take(&self) -> io::Result<Spare> {
        let mut state = self.state();
        self.need_reserve(&mut state)?;
        match state.spares.pop() {
            Some(spare) => Ok(spare),
            None => self.allocate(&mut state, self.segment),
        }
    }

    /// A segment for urgent rounds, with room for at least `bytes`: small, and from the reserve if need be.
    pub(crate) fn take_urgent(&self, bytes: u64) -> io::Result<Spare> {
        let size = (self.reserve / SMALL_PART).max(MIN_SEGMENT).max(bytes).min(self.segment) & !7;
        let mut state = self.state();
        match self.allocate(&mut state, size) {
            Err(error) if is_full(&error) => {}
            other => return other,
        }
        if let Some(spare) = state.spares.pop() {
            return Ok(spare);
        }
        self.release(&mut state);
        self.allocate(&mut state, size)
    }

    /// Gives the reserve back to the disk, for an urgent write.
    pub(crate) fn release_reserve(&self) {
        self.release(&mut self.state());
    }

    /// Keeps a spare that was not used after all.
    pub(crate) fn put_back(&self, spare: Spare) {
        match spare.size == self.segment {
            true => self.state().spares.push(spare),
            false => self.remove(&spare.path, spare.size),
        }
    }

    /// Gives the disk back what is only kept to save work while the log is busy.
    pub(crate) fn release_spares(&self) {
        let spares = std::mem::take(&mut self.state().spares);
        spares.iter().for_each(|spare| self.remove(&spare.path, spare.size));
    }

    /// Keeps a segment that nothing needs as a spare, or removes it: when there are enough, when the reserve is
    /// missing, and when a slice still reads it.
    pub(crate) fn take_back(&self, segment: Arc<Segment>) {
        match Arc::try_unwrap(segment) {
            Ok(segment) if self.has_use(&segment) => self.recycle(segment),
            Ok(segment) => self.remove(&segment.path, segment.capacity),
            Err(held) => self.remove(&held.path, held.capacity),
        }
        let mut state = self.state();
        if !state.reserved && self.restore(&mut state) {
            tracing::info!(bytes = self.reserve, "the reserve of the journal is there again");
        }
    }

    fn has_use(&self, segment: &Segment) -> bool {
        let state = self.state();
        let spares = state.spares.len() as u64;
        let room = self.live.load(Relaxed) + (spares + 1) * self.segment <= self.max;
        segment.capacity == self.segment && state.reserved && spares < self.keep && room
    }

    /// The new name must be durable before the file is written: else a crash could bring back the old name with the
    /// new content.
    fn recycle(&self, segment: Segment) {
        let path = self.next_path(&mut self.state());
        match self.disk.rename(&segment.path, &path) {
            Ok(()) => self.state().spares.push(Spare { file: segment.file, path, size: segment.capacity }),
            Err(error) => tracing::warn!(%error, path = %segment.path.display(), "cannot recycle a journal segment"),
        }
    }

    fn remove(&self, path: &Path, size: u64) {
        if let Err(error) = self.disk.remove(path, size) {
            tracing::warn!(%error, path = %path.display(), "cannot remove a journal segment");
        }
    }

    fn allocate(&self, state: &mut State, size: u64) -> io::Result<Spare> {
        let path = self.next_path(state);
        let file = self.disk.allocate(&path, size)?;
        Ok(Spare { file, path, size })
    }

    fn next_path(&self, state: &mut State) -> PathBuf {
        loop {
            state.serial += 1;
            let path = self.disk.dir.join(format!("spare-{}", state.serial));
            if !path.exists() {
                return path;
            }
        }
    }

    fn need_reserve(&self, state: &mut State) -> io::Result<()> {
        match state.reserved || self.restore(state) {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn restore(&self, state: &mut State) -> bool {
        if !state.reserved {
            state.reserved = self.reserve == 0 || self.disk.allocate(&self.reserve_path(), self.reserve).is_ok();
        }
        state.reserved
    }

    fn release(&self, state: &mut State) {
        if state.reserved && self.reserve > 0 {
            tracing::warn!(bytes = self.reserve, "the disk is full: the reserve of the journal is released");
            self.remove(&self.reserve_path(), self.reserve);
            state.reserved = false;
        }
    }

    fn reserve_path(&self) -> PathBuf {
        self.disk.dir.join("reserve")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the pool")
    }
}
