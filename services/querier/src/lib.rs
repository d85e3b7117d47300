//! Answers queries: from the heads of the shard leaders, and the segments that the catalog names.
//!
//! In the order in which a query meets the parts: `api` reads a request and writes its answer as Loki or Prometheus
//! would; `engine` runs the language away from the sockets, within its budget and deadline; `federation` puts
//! tenants `side_by_side`, `looked` counts what they gave, and `reading` what they read and hold; `source` merges the rows
//! of `heads` and `segments`, each exactly once, by the rule that the crate `catalog` has, and none that `kept` hides: series
//! cut into `runs` for several threads, `lines` dealt out in `pieces`; `catalog_copy` keeps a copy of what exists, and
//! `ranges` the bytes of it that were read lately, shared with the other queriers (`peers`). Parts of queries are done by
//! the leaders of shards (`folded`), and by the `others`: slices of series (`slices`), row groups of lines (`lines`). Range
//! queries in PromQL are answered by `days`: `closed` says which of them can have no new rows, `results` keeps what was
//! answered of those.
//! `levels` finds the levels of lines for queries that look at them, and `tail` follows the lines that come.
//! `rules` passes on what rulers answer.

mod api;
mod catalog_copy;
mod closed;
mod days;
mod deletes;
mod engine;
mod error;
mod federation;
mod folded;
mod heads;
mod kept;
mod levels;
mod lines;
mod looked;
mod others;
mod partial;
mod peers;
mod pieces;
mod querier;
mod ranges;
mod reading;
mod results;
mod rules;
mod runs;
mod segments;
mod settings;
#[doc(hidden)]
pub mod shredded;
mod side_by_side;
#[doc(hidden)]
pub mod simulated;
mod slices;
mod source;
mod standalone;
mod tail;

pub use api::router;
pub use error::QueryError;
pub use querier::Querier;
pub use settings::Settings;
pub use standalone::standalone;
