//! The one log on disk that all Raft groups of a node share.
//!
//! A [`Journal`] has one owner, which appends a [`Round`] of records of any groups and syncs once. Records rest in
//! preallocated, recycled segment files; memory holds each entry's place and term only. A [`Reader`] reads entries
//! from other threads, a [`Slice`] keeps one entry's place readable for as long as it is held.
//!
//! What a crash can do: the last round is there in full or not at all, every round that `append` acknowledged is
//! there. Bytes that are bad anywhere else are [`Error::Corrupt`], never a silently shorter log. ARCHITECTURE.md has
//! the format and the reasons.

mod disk;
mod error;
#[doc(hidden)]
pub mod faults;
mod index;
mod journal;
mod log;
mod open;
mod pool;
mod reader;
mod record;
mod round;
mod scan;
mod seal;
mod segment;
mod settings;
mod sweep;

pub use error::Error;
pub use journal::{Journal, Stats};
pub use open::{GroupLog, Opened};
pub use reader::{Reader, Record};
pub use round::Round;
pub use segment::Slice;
pub use settings::Settings;
