//! Why an ingester could not do what was asked.

use model::{ByteSize, Reason, ShardId};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No row was changed or dropped by the try.
    #[error("the log in {} cannot be opened: {why}{}", folder.display(), advice(why))]
    Open { folder: PathBuf, why: String },
    #[error("the folder {} cannot be used: {error}", folder.display())]
    Folder { folder: PathBuf, error: std::io::Error },
    #[error("group {} is not kept here", group.0)]
    NoGroup { group: model::GroupId },
    #[error("shard {shard} is not kept here")]
    NotHere { shard: ShardId },
    #[error("shard {shard} is not led here, {}", match leader { Some(node) => format!("node {node} leads it"), None => "and no leader is known".to_owned() })]
    NotLeading { shard: ShardId, leader: Option<consensus::Node> },
    #[error("shard {shard}: {source}")]
    Consensus { shard: ShardId, source: consensus::Error },
    #[error("the control group: {0}")]
    Control(consensus::Error),
    #[error("node {node} is not among the ingesters that are known now")]
    NoPeer { node: u64 },
    #[error("node {node}: {why}")]
    Peer { node: u64, why: String },
    #[error("the control group refused: {why}")]
    Placement { why: String },
    #[error(transparent)]
    Mesh(#[from] mesh::Error),
    #[error("heads take {used} of memory, the limit is {limit} (ingester.memory.heads): flushing makes room")]
    HeadsFull { used: ByteSize, limit: ByteSize },
    #[error("batches on their way take {used}, the limit is {limit} (ingester.memory.in_flight)")]
    Busy { used: ByteSize, limit: ByteSize },
    #[error("shard {shard} is answering as many reads as it may (ingester.reads)")]
    Reads { shard: ShardId },
    #[error("the entry cannot be read: {0}")]
    Entry(#[from] wire::error::DecodeError),
    #[error("an entry of {found} was sent to shard {shard}")]
    Signal { shard: ShardId, found: model::Signal },
    #[error(transparent)]
    Logs(#[from] logs::Error),
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    #[error(transparent)]
    Eval(#[from] eval::EvalError),
    #[error(transparent)]
    LogQl(#[from] logql::Error),
    #[error(transparent)]
    Store(#[from] objects::Error),
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    #[error("the catalog refused a segment of {shard}: {why}")]
    Refused { shard: ShardId, why: String },
    #[error("the snapshot of {0} cannot be read")]
    Snapshot(ShardId),
    #[error("log entry {index} of {shard} cannot be read back: {why}")]
    Log { shard: ShardId, index: u64, why: String },
    #[error("shard {shard} was not flushed within {waited:?}; it goes on")]
    FlushLate { shard: ShardId, waited: std::time::Duration },
    #[error("the object store could not be reached within {waited:?}: {why}")]
    StoreAway { waited: std::time::Duration, why: String },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Consensus { source, .. } | Error::Control(source) => source.reason(),
            Error::NotHere { .. }
            | Error::NotLeading { .. }
            | Error::NoGroup { .. }
            | Error::NoPeer { .. }
            | Error::Peer { .. }
            | Error::Reads { .. }
            | Error::HeadsFull { .. }
            | Error::Busy { .. }
            | Error::FlushLate { .. }
            | Error::StoreAway { .. } => Reason::Unavailable,
            Error::Open { .. } | Error::Folder { .. } | Error::Mesh(_) => Reason::Unavailable,
            Error::Entry(error) => error.reason(),
            Error::Signal { .. } => Reason::BadInput,
            Error::Logs(error) => error.reason(),
            Error::Metrics(error) => error.reason(),
            Error::Eval(error) => error.reason(),
            Error::LogQl(error) => error.reason(),
            Error::Store(error) => error.reason(),
            Error::Catalog(_)
            | Error::Placement { .. }
            | Error::Refused { .. }
            | Error::Snapshot(_)
            | Error::Log { .. } => Reason::Internal,
        }
    }
    /// As it travels to other services. What another node should be asked says so, and which.
    pub fn status(&self) -> tonic::Status {
        let status = transport::status::grpc(self.reason(), self.to_string());
        match self {
            Error::NotLeading { leader, .. }
            | Error::Consensus { source: consensus::Error::NotLeader { leader, .. }, .. }
            | Error::Control(consensus::Error::NotLeader { leader, .. }) => {
                transport::status::elsewhere(status, leader.map(|node| node.0))
            }
            Error::NotHere { .. }
            | Error::Consensus {
                source: consensus::Error::Lost { .. } | consensus::Error::Stopping | consensus::Error::Timeout { .. },
                ..
            } => transport::status::elsewhere(status, None),
            _ => status,
        }
    }
}

/// What can be done about a log whose files are damaged.
fn advice(why: &str) -> &'static str {
    match why.contains("corrupt") {
        true => {
            "; no row was changed or dropped: put back a good copy of the segment's file (journal/<segment>.log), or \
             begin anew with another data folder and keep this one"
        }
        false => "",
    }
}
