//! The directory of a journal: making, writing, syncing, renaming and removing its files.

use crate::{error::Error, faults::Faults};
use rustix::{fs::FallocateFlags, io::Errno};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed};

/// The kernel takes this many slices in one call (IOV_MAX).
const SLICES: usize = 1024;

pub(crate) struct Disk {
    pub dir: PathBuf,
    dir_file: File,
    sync: bool,
    syncs: AtomicU64,
    faults: Arc<Faults>,
}

impl Disk {
    pub(crate) fn open(dir: &Path, sync: bool, faults: Arc<Faults>) -> Result<Disk, Error> {
        let dir_file = File::open(dir).map_err(Error::io("open", dir))?;
        Ok(Disk { dir: dir.to_owned(), dir_file, sync, syncs: AtomicU64::new(0), faults })
    }

    /// See [`Faults::simulated`].
    pub(crate) fn is_simulated(&self) -> bool {
        self.faults.is_simulated()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Relaxed)
    }

    /// A new file with all its space. On a file system that can't preallocate, only its length.
    pub(crate) fn allocate(&self, path: &Path, size: u64) -> io::Result<File> {
        self.faults.step()?;
        self.faults.allocate(size)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        let made = file.and_then(|file| self.extend(&file, size).map(|()| file));
        if made.is_err() {
            self.faults.release(size);
            // What is left of it is removed at the next open at the latest.
            let _ = fs::remove_file(path);
        }
        made
    }

    /// Gives a file all the space up to `size`.
    pub(crate) fn extend(&self, file: &File, size: u64) -> io::Result<()> {
        loop {
            return match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
                Err(Errno::INTR) => continue,
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size),
                other => other.map_err(io::Error::from),
            };
        }
    }

    /// Writes all slices one after the other from `offset` on.
    pub(crate) fn write(&self, file: &File, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        while !slices.is_empty() {
            let batch = &slices[..slices.len().min(SLICES)];
            let wanted = batch.iter().map(|slice| slice.len() as u64).sum();
            self.faults.remember(file, offset, wanted)?;
            if let Err(error) = self.faults.step() {
                Self::write_part(file, batch, wanted as usize / 2, offset)?;
                return Err(error);
            }
            let allowed = self.faults.write(wanted);
            let written = match allowed == wanted {
                true => rustix::io::pwritev(file, batch, offset),
                false => Self::write_part(file, batch, allowed as usize, offset).and(Err(Errno::NOSPC)),
            };
            match written {
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(0) if wanted > 0 => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
            }
        }
        Ok(())
    }

    /// Only the first bytes, as a disk that fills up in the middle of a write.
    fn write_part(file: &File, slices: &[IoSlice<'_>], bytes: usize, offset: u64) -> Result<usize, Errno> {
        let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(bytes).collect();
        rustix::io::pwrite(file, &joined, offset)
    }

    /// Makes a file's bytes durable. A failure must never be retried: the kernel may have dropped the bytes.
    pub(crate) fn sync_file(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Relaxed);
        self.faults.sync()?;
        if self.sync {
            file.sync_data()?;
        }
        self.faults.synced(file)
    }

    /// Makes names durable.
    fn sync_dir(&self) -> io::Result<()> {
        self.faults.step()?;
        match self.sync {
            true => self.dir_file.sync_all(),
            false => Ok(()),
        }
    }

    /// Renames, durably: what follows may rely on the new name.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.step()?;
        fs::rename(from, to)?;
        self.sync_dir()
    }

    /// Removes a file of `size` bytes; large ones take the file system up to 100 ms.
    pub(crate) fn remove(&self, path: &Path, size: u64) -> io::Result<()> {
        self.faults.step()?;
        fs::remove_file(path)?;
        self.faults.release(size);
        Ok(())
    }
}
