//! Which segments exist: a pure state machine that the control group replicates.
//!
//! A shard's segments follow one another without gap or overlap, because `Add` is taken only where the shard's last
//! one ended. Every change gives a new version.

mod command;
mod entry;
mod state;

pub use command::{Command, Reply};
pub use entry::{SegmentEntry, ShardEntry, TenantEntry};
pub use state::{Catalog, Error};
