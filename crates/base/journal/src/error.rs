//! Everything that can go wrong with a journal.

use model::{ByteSize, GroupId, Reason};
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("journal settings: {text}")]
    Settings { text: String },
    #[error("journal {} is in use by another process", dir.display())]
    Locked { dir: PathBuf },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// Bytes that were synced are not what was written. The replica must not start from them: it may have
    /// acknowledged what is lost, and rejoins under a new replica id.
    #[error("journal segment {segment} is corrupt at byte {offset}: {what}")]
    Corrupt { segment: u64, offset: u64, what: String },
    /// Over `max_size`, or the disk itself is full (`disk`): compact (flush) the group that `oldest` names.
    /// Urgent rounds are still taken while the reserve lasts.
    #[error("{}", full_text(*used, *limit, *disk))]
    Full { used: ByteSize, limit: ByteSize, disk: bool },
    /// A record does not fit in a segment.
    #[error("a record of {bytes} does not fit in a journal segment of {limit} (journal.segment_size)")]
    TooLarge { bytes: ByteSize, limit: ByteSize },
    /// The round would leave a gap, or touch what was compacted.
    #[error("index {index} does not continue the log of group {}, which holds {first} to {last}", group.0)]
    Index { group: GroupId, index: u64, first: u64, last: u64 },
    /// There is no such entry: compacted, not yet written, or an unknown group (first 1, last 0).
    #[error("group {} has no entry {index}, its log holds {first} to {last}", group.0)]
    NotFound { group: GroupId, index: u64, first: u64, last: u64 },
    /// A write or sync failed before; what is on disk is unknown until the journal is opened again.
    #[error("journal takes no more rounds: {text}")]
    Poisoned { text: String },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Settings { .. } => Reason::BadInput,
            Error::TooLarge { .. } => Reason::TooLarge,
            Error::NotFound { .. } => Reason::NotFound,
            Error::Full { .. } | Error::Locked { .. } | Error::Poisoned { .. } | Error::Io { .. } => {
                Reason::Unavailable
            }
            Error::Corrupt { .. } | Error::Index { .. } => Reason::Internal,
        }
    }

    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }

    pub(crate) fn corrupt(segment: u32, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { segment: u64::from(segment), offset, what: what.into() }
    }
}

fn full_text(used: ByteSize, limit: ByteSize, disk: bool) -> String {
    let (what, why) = match disk {
        true => ("the disk of the journal is full", "below the limit of"),
        false => ("the journal is full", "the limit is"),
    };
    format!("{what}: its segments take {used}, {why} {limit} (journal.max_size); flushing the oldest group frees space")
}

/// Whether a disk, or a quota of it, has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
