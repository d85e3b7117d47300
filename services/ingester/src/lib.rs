//! Keeps shards: their logs, their recent rows, and their flushes into the object store.
//!
//! In the order in which rows meet the parts: `append` takes a distributor's batches and has them logged; the
//! `machine` applies what was agreed to the shard's `head`; `flush` writes heads as segments and tells the `control`
//! group's catalog; `select` reads heads for queriers. `signal` is the door behind which logs and metrics differ.

mod append;
mod control;
mod error;
mod flush;
mod ingester;
mod lead;
mod logs_head;
mod machine;
mod meters;
mod metrics_head;
mod select;
mod settings;
mod shard;
mod signal;
mod snapshot;
mod standalone;

pub use error::Error;
pub use ingester::{Health, Ingester};
pub use settings::{FlushSettings, MemorySettings, Settings};
pub use standalone::standalone;
