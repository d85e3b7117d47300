//! The container of segments and blocks: what the flush of a shard or the compactor writes, readable by ranges,
//! describing itself.
//!
//! The format, byte by byte, is in FORMAT.md beside this crate. A container knows nothing of rows: a part is one
//! tenant's sections, and what is in a section is the signal's own business.

mod directory;
mod error;
mod inflate;
mod part;
mod segment;
mod writer;

pub use directory::{BlockMeta, Directory, Meta, PartEntry, SectionEntry, SegmentMeta};
pub use error::Error;
pub use inflate::inflate;
pub use part::{MemorySections, Part, Sections, Source, stride};
pub use segment::Segment;
pub use writer::{write, write_block};
