//! The distributor: the push door. It takes pushes in their agents' formats, and hands them to the shards as batches.
//!
//! In the order in which data meets the parts: `api` has the routes; `body` reads a push within the `budget` and knows
//! its encodings (`otlp` has the routes of OTLP over HTTP and gRPC, `lines` that of plain lines); `rate` holds the tenant to its bytes a second;
//! `translate` makes of every content a body of Loki's push or of remote write; `elected` says whose samples are stored
//! where several replicas send the same; `loki` and `remote_write` check what it
//! holds, with `labels` and what is `known` of them, and `discard` has the words for what they leave out; `route` makes
//! batches for shards of what is left; `append` gathers the batches of concurrent pushes and gives them to the shard
//! leaders. `distributor` puts them in a row.

mod api;
pub mod append;
mod body;
mod budget;
mod checked;
mod discard;
mod distributor;
mod elected;
mod error;
mod known;
mod labels;
mod leaders;
mod lines;
mod loki;
mod meters;
mod otlp;
mod rate;
mod remote_write;
mod route;
mod settings;
mod standalone;
mod tenants;
mod translate;

pub use api::router;
pub use append::{Append, AppendError, Appended, Refusal};
pub use distributor::Distributor;
pub use error::PushError;
pub use leaders::Leaders;
pub use meters::Meters;
pub use settings::Settings;
pub use standalone::standalone;
