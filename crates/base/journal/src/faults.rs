//! Faults that tests hand in: a disk of a given size, a write or sync that fails.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

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
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            space: AtomicI64::new(i64::MAX / 2),
            writable: AtomicI64::new(i64::MAX / 2),
            fail_sync: AtomicBool::new(false),
            operations: AtomicI64::new(i64::MAX / 2),
        }
    }
}

impl Faults {
    /// Counts an operation on a file or the directory.
    pub(crate) fn step(&self) -> io::Result<()> {
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
