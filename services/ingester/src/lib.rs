//! Keeps shards: their logs, their recent rows, and their flushes into the object store.
//!
//! In the order in which rows meet the parts: `append` takes a distributor's batches and has them logged; the
//! `machine` applies what was agreed to the shard's `head`; `flush` writes heads as segments and tells the `control`
//! group's catalog; `select` reads heads for queriers, and `fold` does parts of queries with them. `signal` is the door behind which logs and metrics differ.
//!
//! Among other ingesters, `join` is the way in and out: the `carrier` takes Raft's messages to them, the `keeper` opens
//! and closes shards as the placement says, and on the node that leads the control group `steer` decides about that,
//! by what every node's `groups` tell. `api` has everything flushed when an operator wants it.

mod api;
mod append;
mod carrier;
mod control;
mod error;
mod first;
mod flush;
mod fold;
mod groups;
mod ingester;
mod join;
mod keeper;
mod lead;
mod logs_head;
mod machine;
mod meters;
mod metrics_head;
mod peers;
mod select;
mod settings;
mod shard;
mod shards;
mod signal;
#[doc(hidden)]
pub mod simulated;
mod snapshot;
mod standalone;
mod steer;

pub use api::router;
pub use error::Error;
pub use ingester::{Health, Ingester};
pub use join::Place;
pub use settings::{FlushSettings, MemorySettings, PlacementSettings, Settings};
pub use standalone::standalone;
