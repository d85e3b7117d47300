//! Bytes between processes: what agents send, what shards log, what services say to each other.
//!
//! `loki` and `prometheus` walk push bodies in place; `otlp` makes such bodies of OTLP's, `lines` of plain lines; `discover`
//! finds out services and levels of log lines; `snappy`, `gzip` and `zstd` inflate them within a limit; `batch` is an entry
//! of a shard's log.

pub mod batch;
pub mod discover;
pub mod error;
pub mod gzip;
pub mod lines;
pub mod loki;
pub mod otlp;
pub mod prometheus;
pub mod protobuf;
pub mod snappy;
pub mod zstd;
