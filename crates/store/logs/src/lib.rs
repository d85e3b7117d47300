//! The log signal inside the store: recent rows of a shard, their encoding as one tenant's part of a segment, and the
//! reader over it.
//!
//! In the order in which rows meet them: [`Head`] indexes batches that rest in the journal; [`Frozen`] is what a flush
//! takes from it; an encoder shreds lines into typed columns, row group by row group; [`Reader`] gives them back, byte
//! for byte; [`Merge`] makes one part of several. The format is described in FORMAT.md beside this crate.

mod column;
mod error;
mod filter;
mod frame;
mod frozen;
mod group;
mod head;
mod index;
mod merge;
mod part;
mod reader;
mod rows;
mod selection;
mod settings;
mod shred;
mod varint;
mod view;

pub use error::Error;
pub use frozen::{Frozen, Parts};
pub use head::{Counts, Head, Payload, Stats};
pub use merge::{Keep, Merge};
pub use reader::{Pages, Reader, RowPart, Taken};
pub use selection::Selection;
pub use settings::Settings;
pub use view::{HeadPages, View};
