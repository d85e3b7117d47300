//! Which segments and blocks exist: a pure state machine that the control group replicates.
//!
//! A shard's segments follow one another without gap or overlap, because `Add` is taken only where the shard's last
//! one ended. Blocks take the place of segments by `Replace`, which a compactor may ask for only under the `lease`.
//! Every change gives a new version. `read` is the rule by which a reader has every row once.

mod command;
mod entry;
mod lease;
pub mod name;
mod read;
mod replace;
mod state;

pub use command::{Command, Reply};
pub use entry::{BlockEntry, Place, SegmentEntry, ShardEntry, TenantEntry};
pub use lease::Lease;
pub use name::Name;
pub use read::Overtaken;
pub use replace::Inputs;
pub use state::{Catalog, Error};
