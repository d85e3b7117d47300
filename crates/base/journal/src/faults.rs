//! Faults that tests hand in: a disk of a given size, a write or sync that fails, a crash that takes back what was not
//! synced.

use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What the disk under a journal does wrong; the default is nothing.
#[derive(Debug)]
pub struct Faults {
    /// Bytes that may still be allocated.
    pub space: AtomicI64,
    /// Bytes that may still be written, for a file system that does not preallocate; the write is cut there.
    pub writable: AtomicI64,
    /// The next sync fails.
    pub fail_sync: AtomicBool,
    /// After this many operations all others fail, as if the process had died there; a write in half.
    pub operations: AtomicI64,
    /// Writes that no sync made durable yet; none are remembered on a disk that is not simulated.
    unsynced: Option<Mutex<Vec<Unsynced>>>,
}

/// What was in a file before a write.
#[derive(Debug)]
struct Unsynced {
    file: File,
    inode: u64,
    offset: u64,
    before: Vec<u8>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            space: AtomicI64::new(i64::MAX / 2),
            writable: AtomicI64::new(i64::MAX / 2),
            fail_sync: AtomicBool::new(false),
            operations: AtomicI64::new(i64::MAX / 2),
            unsynced: None,
        }
    }
}

impl Faults {
    /// A disk whose unsynced writes `crash` takes back. Nothing that a journal on it does is left to another thread.
    pub fn simulated() -> Faults {
        Faults { unsynced: Some(Mutex::default()), ..Faults::default() }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.unsynced.is_some()
    }

    /// The machine stops: of what was written and not synced, every sector that `lost` says is what it was before.
    /// Whoever wrote must have let go of the files. Answers with how many sectors that were.
    pub fn crash(&self, mut lost: impl FnMut() -> bool) -> io::Result<u64> {
        let Some(mut unsynced) = self.unsynced() else { return Ok(0) };
        let mut count = 0;
        while let Some(Unsynced { file, offset, before, .. }) = unsynced.pop() {
            for (at, sector) in before.chunks(SECTOR).enumerate() {
                if lost() {
                    file.write_all_at(sector, offset + (at * SECTOR) as u64)?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    fn unsynced(&self) -> Option<MutexGuard<'_, Vec<Unsynced>>> {
        self.unsynced.as_ref().map(|all| all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes of a file are about to be written.
    pub(crate) fn remember(&self, file: &File, offset: u64, bytes: u64) -> Result<(), Errno> {
        let Some(mut unsynced) = self.unsynced() else { return Ok(()) };
        let kept = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let mut before = vec![0; bytes as usize];
        // What is behind the end of the file was nothing.
        rustix::io::pread(file, &mut before[..], offset)?;
        let inode = file.metadata().map_err(kept)?.ino();
        unsynced.push(Unsynced { file: file.try_clone().map_err(kept)?, inode, offset, before });
        Ok(())
    }

    /// All that was written to a file is durable.
    pub(crate) fn synced(&self, file: &File) -> io::Result<()> {
        if let Some(mut unsynced) = self.unsynced() {
            let inode = file.metadata()?.ino();
            unsynced.retain(|write| write.inode != inode);
        }
        Ok(())
    }

    /// Counts an operation on a file or the directory.
    pub fn step(&self) -> io::Result<()> {
        match self.operations.fetch_sub(1, Relaxed) > 0 {
            true => Ok(()),
            false => Err(io::Error::other("injected end of all operations")),
        }
    }

    pub(crate) fn allocate(&self, bytes: u64) -> io::Result<()> {
        let bytes = bytes as i64;
        let taken = self.space.fetch_update(Relaxed, Relaxed, |space| (space >= bytes).then_some(space - bytes));
        taken.map(|_| ()).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.space.fetch_add(bytes as i64, Relaxed);
    }

    /// How many of these bytes get to the disk; fewer means that the write fails there.
    pub(crate) fn write(&self, bytes: u64) -> u64 {
        let before = self.writable.fetch_sub(bytes as i64, Relaxed);
        let taken = before.clamp(0, bytes as i64) as u64;
        if taken < bytes {
            self.writable.store(0, Relaxed);
        }
        taken
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.step()?;
        match self.fail_sync.swap(false, Relaxed) {
            true => Err(io::Error::other("injected sync failure")),
            false => Ok(()),
        }
    }
}
