//! The files that snapshots rest in: one small file for each group.
//!
//! ```text
//!  0 magic [8], 8 crc32c u32 of all that follows
//! 12 group u64, index u64, term u64, members (as in `state`), then the state machine's bytes
//! ```
//! A file is complete and synced before it has its name, so a bad one is damage, not a crash.

use crate::error::Error;
use crate::state::{Base, get_base, put_base};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::GroupId;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const MAGIC: &[u8; 8] = b"OUROSNP1";
const HEADER: usize = 12;

/// A snapshot that is on disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub base: Base,
    pub data: Bytes,
}

pub(crate) struct Directory {
    dir: PathBuf,
    serial: AtomicU64,
    /// Disk space that is freed when the disk is full, so that a log can still be cut.
    reserve: u64,
    reserved: AtomicBool,
}

impl Directory {
    /// Opens or makes the directory, and removes what a crash left half written.
    pub(crate) fn open(dir: &Path, reserve: u64) -> Result<Directory, Error> {
        fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, &e))?;
        for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, &e))? {
            let path = entry.map_err(|e| Error::io("list", dir, &e))?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
            }
        }
        let directory =
            Directory { dir: dir.to_owned(), serial: AtomicU64::new(0), reserve, reserved: AtomicBool::new(false) };
        directory.reserve();
        Ok(directory)
    }

    /// Writes a snapshot durably. Older ones of the group stay.
    pub(crate) fn write(&self, group: GroupId, base: &Base, data: &[u8]) -> Result<(), Error> {
        let path = self.path(group, base.index);
        let bytes = encode(group, base, data);
        let done = match self.write_file(&path, &bytes) {
            Err(error) if is_full(&error) && self.reserved.swap(false, Relaxed) => {
                // The log shrinks after this, which frees far more.
                tracing::warn!("the disk is full: the reserve of the snapshots is released");
                let _ = fs::remove_file(self.reserve_path());
                self.write_file(&path, &bytes)
            }
            done => done.inspect(|()| self.reserve()),
        };
        done.map_err(|error| Error::io("write", &path, &error))
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.dir.join(format!("{}.tmp", self.serial.fetch_add(1, Relaxed)));
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| File::open(&self.dir)?.sync_all());
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// The newest snapshot of a group.
    pub(crate) fn newest(&self, group: GroupId) -> Result<Option<Snapshot>, Error> {
        match self.indexes(group)?.pop() {
            None => Ok(None),
            Some(index) => self.read(group, index).map(Some),
        }
    }

    pub(crate) fn read(&self, group: GroupId, index: u64) -> Result<Snapshot, Error> {
        let path = self.path(group, index);
        let bytes = Bytes::from(fs::read(&path).map_err(|e| Error::io("read", &path, &e))?);
        let corrupt = || Error::Corrupt { group, why: format!("its snapshot {} is damaged", path.display()) };
        let snapshot = decode(group, bytes).ok_or_else(corrupt)?;
        match snapshot.base.index == index {
            true => Ok(snapshot),
            false => Err(corrupt()),
        }
    }

    /// Removes a group's snapshots before `index`. What fails to go now goes with the next one.
    pub(crate) fn remove_before(&self, group: GroupId, index: u64) {
        let older = self.indexes(group).unwrap_or_default();
        for older in older.into_iter().filter(|older| *older < index) {
            if let Err(error) = self.remove(group, older) {
                tracing::warn!(%error, "an old snapshot stays");
            }
        }
    }

    /// Removes all that there is of a group.
    pub(crate) fn remove_all(&self, group: GroupId) -> Result<(), Error> {
        for index in self.indexes(group)? {
            self.remove(group, index)?;
        }
        Ok(())
    }

    pub(crate) fn remove(&self, group: GroupId, index: u64) -> Result<(), Error> {
        let path = self.path(group, index);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, &error)),
            _ => Ok(()),
        }
    }

    /// Ascending.
    fn indexes(&self, group: GroupId) -> Result<Vec<u64>, Error> {
        let prefix = format!("{:016x}-", group.0);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|e| Error::io("list", &self.dir, &e))? {
            let name = entry.map_err(|e| Error::io("list", &self.dir, &e))?.file_name();
            let index = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            found.extend(index.and_then(|index| u64::from_str_radix(index, 16).ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn path(&self, group: GroupId, index: u64) -> PathBuf {
        self.dir.join(format!("{:016x}-{index:016x}", group.0))
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    /// Written, not only extended: its blocks must be taken.
    fn reserve(&self) {
        if self.reserve == 0 || self.reserved.load(Relaxed) {
            return;
        }
        let path = self.reserve_path();
        let held = fs::metadata(&path).is_ok_and(|meta| meta.len() == self.reserve);
        let made = held || fs::write(&path, vec![0xa5; self.reserve as usize]).is_ok();
        if !made {
            let _ = fs::remove_file(&path);
        }
        self.reserved.store(made, Relaxed);
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn encode(group: GroupId, base: &Base, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER + 128 + data.len());
    out.put_slice(MAGIC);
    out.put_u32_le(0);
    out.put_u64_le(group.0);
    put_base(&mut out, base);
    out.put_slice(data);
    let sum = crc32c::crc32c(&out[HEADER..]);
    out[8..HEADER].copy_from_slice(&sum.to_le_bytes());
    out.freeze()
}

fn decode(group: GroupId, bytes: Bytes) -> Option<Snapshot> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let sum = rest.try_get_u32_le().ok()?;
    if crc32c::crc32c(rest) != sum || rest.try_get_u64_le().ok()? != group.0 {
        return None;
    }
    let base = get_base(&mut rest)?;
    let data = bytes.slice(bytes.len() - rest.len()..);
    Some(Snapshot { base, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Base {
        Base { index, term: 3, ..Base::beginning(vec![1, 2]) }
    }

    #[test]
    fn the_newest_one_is_read_and_older_ones_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = Directory::open(dir.path(), 1000).expect("opens");
        let (group, other) = (GroupId(5), GroupId(55));
        assert_eq!(files.newest(group).expect("lists"), None);
        for index in [9, 300, 20] {
            files.write(group, &at(index), format!("state {index}").as_bytes()).expect("writes");
        }
        files.write(other, &at(7), b"").expect("writes");
        fs::write(dir.path().join("3.tmp"), "half").expect("writes");

        let files = Directory::open(dir.path(), 1000).expect("opens");
        let newest = files.newest(group).expect("reads").expect("is there");
        assert_eq!((newest.base, &newest.data[..]), (at(300), &b"state 300"[..]));
        files.remove_before(group, 300);
        assert_eq!(files.indexes(group).expect("lists"), [300]);
        assert_eq!(files.indexes(other).expect("lists"), [7]);
        files.remove_all(group).expect("removes");
        assert_eq!(files.newest(group).expect("lists"), None);
        assert_eq!(files.indexes(other).expect("lists"), [7]);
        assert!(!dir.path().join("3.tmp").exists());
    }

    #[test]
    fn any_damage_is_seen() {
        let group = GroupId(1);
        let good = encode(group, &at(4), b"data");
        assert!(decode(group, good.clone()).is_some() && decode(GroupId(2), good.clone()).is_none());
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 0x10;
            assert_eq!(decode(group, bad.into()), None, "byte {at}");
            assert_eq!(decode(group, good.slice(..at)), None, "cut at {at}");
        }
    }
}
