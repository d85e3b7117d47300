//! Everything that can go wrong with a replicated log.

use crate::machine::Node;
use model::{ByteSize, GroupId, Reason};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("consensus settings: {text}")]
    Settings { text: String },
    /// Ask the leader, if one is known. Nothing was logged.
    #[error("node {me} does not lead group {}, {}", group.0, leader_text(*leader))]
    NotLeader { group: GroupId, me: Node, leader: Option<Node> },
    /// More is on its way than may be. Nothing was logged; later it may work.
    #[error("group {} has {used} of {what}, the limit is {limit} ({setting})", group.0)]
    Busy { group: GroupId, what: &'static str, used: ByteSize, limit: ByteSize, setting: &'static str },
    #[error("an entry of {bytes} is larger than {limit}, half a segment (journal.segment_size)")]
    TooLarge { bytes: ByteSize, limit: ByteSize },
    /// The journal has no room but for urgent entries. Nothing was logged.
    #[error("{}", full_text(*used, *limit, *disk))]
    Full { used: ByteSize, limit: ByteSize, disk: bool },
    /// Leadership went while the entry was on its way: it may be committed, or not.
    #[error("node {me} lost the lead of group {} before the entry was committed: it may be logged or not", group.0)]
    Lost { group: GroupId, me: Node },
    /// No answer in time: there is no leader, or too few nodes are reached.
    #[error("group {} did not answer within {waited:?}", group.0)]
    Timeout { group: GroupId, waited: Duration },
    /// The members were not changed.
    #[error("the members of group {} cannot be changed: {why}", group.0)]
    Members { group: GroupId, why: String },
    /// A snapshot can only stand for what was applied.
    #[error("group {} has applied up to {applied}, a snapshot at {through} cannot be of its state", group.0)]
    NotApplied { group: GroupId, through: u64, applied: u64 },
    /// The log does not hold this entry, or not yet as committed.
    #[error("group {} has no committed entry {index}, its log holds {first} to {committed}", group.0)]
    NoEntry { group: GroupId, index: u64, first: u64, committed: u64 },
    #[error("group {} is open already", group.0)]
    Open { group: GroupId },
    #[error("group {} is just being opened or removed", group.0)]
    Between { group: GroupId },
    /// Only as a member to be, that is without voters, it can come back.
    #[error("group {} was removed from this node", group.0)]
    Removed { group: GroupId },
    #[error("{} belongs to node {found}, this is node {me}", dir.display())]
    Identity { dir: PathBuf, found: Node, me: Node },
    /// What the disk holds of a group does not fit together, or was changed. The replica must not start from it.
    #[error("the log of group {} cannot be opened: {why}", group.0)]
    Corrupt { group: GroupId, why: String },
    #[error("the node is stopping")]
    Stopping,
    /// The host, or this group, can do nothing more; the text says since what.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Settings { .. } => Reason::BadInput,
            Error::TooLarge { .. } => Reason::TooLarge,
            Error::NoEntry { .. } => Reason::NotFound,
            Error::Timeout { .. } => Reason::Timeout,
            Error::NotApplied { .. } | Error::Open { .. } | Error::Corrupt { .. } => Reason::Internal,
            Error::Members { .. } => Reason::Unprocessable,
            Error::NotLeader { .. }
            | Error::Busy { .. }
            | Error::Full { .. }
            | Error::Lost { .. }
            | Error::Between { .. }
            | Error::Removed { .. }
            | Error::Identity { .. }
            | Error::Stopping
            | Error::Failed(_) => Reason::Unavailable,
        }
    }

    pub(crate) fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
        Error::Failed(format!("cannot {action} {}: {error}", path.display()))
    }
}

impl From<journal::Error> for Error {
    fn from(error: journal::Error) -> Error {
        match error {
            journal::Error::Full { used, limit, disk } => Error::Full { used, limit, disk },
            journal::Error::Settings { text } => Error::Settings { text },
            other => Error::Failed(other.to_string()),
        }
    }
}

fn leader_text(leader: Option<Node>) -> String {
    match leader {
        Some(node) => format!("node {node} does"),
        None => "and no leader is known".to_owned(),
    }
}

fn full_text(used: ByteSize, limit: ByteSize, disk: bool) -> String {
    match disk {
        true => format!("the disk of the journal is full: its segments take {used}; flushing frees space"),
        false => format!("the journal takes {used}, the limit is {limit} (journal.max_size); flushing frees space"),
    }
}
