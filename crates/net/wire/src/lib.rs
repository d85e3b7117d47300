//! Bytes between processes: what agents send, what shards log, what services say to each other.

pub mod batch;
pub mod error;
pub mod snappy;
