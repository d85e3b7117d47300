//! Opens a journal: the indexes of its sealed segments, and every record of the last one.

use crate::disk::Disk;
use crate::error::Error;
use crate::faults::Faults;
use crate::index::Index;
use crate::journal::{Active, Journal};
use crate::pool::Pool;
use crate::segment::Segment;
use crate::settings::Settings;
use crate::sweep::Sweeper;
use crate::{scan, seal};
use bytes::Bytes;
use model::GroupId;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    pub groups: BTreeMap<GroupId, GroupLog>,
}

/// What the journal holds of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLog {
    pub hard_state: Option<Bytes>,
    pub first: u64,
    /// Less than `first` when the log is empty.
    pub last: u64,
}

impl Journal {
    /// Opens, or makes, the journal in a directory, which it locks against others. Reads the indexes of the sealed
    /// segments and scans the last one; a torn end is cut off and logged. `Corrupt` if acknowledged bytes are bad.
    pub fn open(dir: &Path, settings: Settings) -> Result<Opened, Error> {
        Journal::open_with(dir, settings, Arc::default())
    }

    /// `open`, on a disk that fails as a test wants.
    #[doc(hidden)]
    pub fn open_with(dir: &Path, settings: Settings, faults: Arc<Faults>) -> Result<Opened, Error> {
        settings.check()?;
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let lock = lock(dir)?;
        let disk = Arc::new(Disk::open(dir, settings.sync, faults)?);
        let found = list(dir)?;
        let mut index = Index::default();
        let active = load(&found.segments, &mut index, &disk)?;
        check_complete(&index)?;

        let pool = Arc::new(Pool::new(Arc::clone(&disk), &settings));
        pool.live.store(index.segments.values().map(|segment| segment.capacity).sum(), Relaxed);
        pool.adopt(found.spares)?;
        let sweeper = match disk.is_simulated() {
            true => Sweeper::inline(Arc::clone(&pool)),
            false => Sweeper::start(Arc::clone(&pool)).map_err(Error::io("start the sweeper of", dir))?,
        };
        let groups = index.logs.iter().map(|(group, log)| {
            (*group, GroupLog { hard_state: log.hard_state.clone(), first: log.first, last: log.last })
        });
        let groups = groups.collect();
        let journal = Journal::new(settings, disk, pool, sweeper, index, active, lock);
        Ok(Opened { journal, groups })
    }
}

/// How often, and with which pause, the lock of a folder is tried.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Takes the folder for this process. Who held it may be just about to end, or a child that it started may still be
/// between its birth and its own program and so hold what its parent let go: both are over in a moment.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
    }
    Err(Error::Locked { dir: dir.to_owned() })
}

struct Found {
    segments: BTreeMap<u32, PathBuf>,
    spares: Vec<PathBuf>,
}

fn list(dir: &Path) -> Result<Found, Error> {
    let mut found = Found { segments: BTreeMap::new(), spares: Vec::new() };
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("spare-") {
            found.spares.push(entry.path());
        } else if let Some(number) = name.strip_suffix(".log").and_then(|number| number.parse().ok()) {
            found.segments.insert(number, entry.path());
        }
    }
    Ok(found)
}

/// Fills the index. Answers with the last segment unless it was sealed already.
fn load(paths: &BTreeMap<u32, PathBuf>, index: &mut Index, disk: &Disk) -> Result<Option<Active>, Error> {
    let newest = paths.keys().next_back().copied();
    for (number, path) in paths {
        let segment = Segment::open(path, *number)?;
        match seal::read(&segment)? {
            Some(groups) => seal::load(index, *number, groups),
            None if Some(*number) == newest => {
                let end = scan::replay(&segment, index)?;
                if end.torn > 0 {
                    tracing::warn!(
                        segment = number,
                        offset = end.offset,
                        bytes = end.torn,
                        "cut {} bytes of a round that was never acknowledged off the journal's end",
                        end.torn
                    );
                }
                heal(&segment, disk)?;
                // What was found may be in the page cache only, and is relied on from here.
                disk.sync_file(&segment.file).map_err(Error::io("sync", path))?;
                let segment = Arc::new(segment);
                index.segments.insert(*number, Arc::clone(&segment));
                return Ok(Some(Active::resume(segment, end)));
            }
            None => {
                let what = "it is sealed, but its index is not valid";
                return Err(Error::corrupt(*number, segment.capacity, what));
            }
        }
        index.segments.insert(*number, Arc::new(segment));
    }
    Ok(None)
}

/// Gives a file that was cut its full length again; on a full disk without the space behind it.
fn heal(segment: &Segment, disk: &Disk) -> Result<(), Error> {
    if segment.len()? < segment.capacity && disk.extend(&segment.file, segment.capacity).is_err() {
        let _ = segment.file.set_len(segment.capacity);
    }
    Ok(())
}

fn check_complete(index: &Index) -> Result<(), Error> {
    match index.logs.iter().find(|(_, log)| !log.is_complete()) {
        None => Ok(()),
        Some((group, log)) => {
            let newest = index.segments.keys().next_back().copied().unwrap_or(0);
            let what = format!(
                "the log of group {} goes from {} to {}, but not all of it is in a segment",
                group.0, log.first, log.last
            );
            Err(Error::corrupt(newest, 0, what))
        }
    }
}
