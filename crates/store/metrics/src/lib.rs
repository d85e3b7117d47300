//! The metric signal inside the store: recent samples of a shard, how a segment keeps them, and how they are read.
//!
//! Samples reach a [`Head`], which keeps them in small compressed chunks. A cut freezes what it has; [`Frozen`]
//! encodes that, one [`block::Part`] a tenant, by an [`Encoder`], and a [`Reader`] reads such a part. [`Merge`] brings
//! the series of several sources together, and a [`Compaction`] makes one part of several. The format of a part, byte
//! by byte, is in FORMAT.md beside this crate.

mod bytes_io;
mod chunk;
mod compaction;
mod error;
mod frozen;
mod generation;
mod head;
mod histogram;
mod merge;
mod order;
mod part;
mod registry;
mod settings;
mod symbols;
mod view;

pub use compaction::{Compaction, Keep};
pub use error::Error;
pub use frozen::{Frozen, Parts};
pub use head::{Admission, Bounds, Head, Outcome, Refusal, Stats, Why};
pub use merge::Merge;
pub use order::{BUCKET, order};
pub use part::encoder::Encoder;
pub use part::reader::{Found, Reader, Select as ReaderSelect};
pub use settings::Settings;
pub use view::{Select as ViewSelect, View};
