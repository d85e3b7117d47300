//! Which ingesters keep which shard: the table that the control group replicates, and the next steps towards where the
//! shards should be. Pure: no clock, no sockets, no tasks.
//!
//! The ring over the live ingesters says where a shard *should* be, Raft says where it *is*. [`plan`] compares the two
//! and names the steps that are safe now: a replica moves as a learner that catches up, becomes a voter, and only then
//! is the one that it replaces removed. The [`Table`] says who may hold a replica: an ingester opens the groups that
//! name it and leaves those that no longer do, so a step is written there before Raft is asked for it, and a replica's
//! leave only after Raft has removed it.

mod plan;
mod table;
mod wanted;

pub use plan::{Found, Progress, Rules, Step, plan};
pub use table::{Command, Known, Placed, Reply, Table, Unreadable};
pub use wanted::{Ingester, wanted};
