//! Where things belong by consistent hashing: a tenant's shards, a series' shard, a shard's members, a work's slot.
//!
//! All of it is a pure function of names, equal on every machine and in every version: XXH3 over fixed bytes, held by
//! golden vectors in the tests.

mod members;
mod shards;

pub use members::{Member, Ring};
pub use shards::{shard_of, shards_of, slot_of};
