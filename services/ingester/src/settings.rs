//! What steers an ingester.

use model::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// When heads are written to the object store.
    pub flush: FlushSettings,
    /// How much memory heads and batches on their way may take.
    pub memory: MemorySettings,
    /// How many reads of heads may be under way; one query asks every shard of its signal.
    pub reads: usize,
    /// The replicated log.
    pub consensus: consensus::Settings,
    /// The encoding of logs.
    pub logs: logs::Settings,
    /// The encoding of metrics.
    pub metrics: metrics::Settings,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlushSettings {
    /// A head is flushed when its rows took so many bytes before compression.
    pub bytes: ByteSize,
    /// … when it has so many rows.
    pub rows: u64,
    /// … when it takes so much memory.
    pub memory: ByteSize,
    /// … when its oldest row arrived so long ago.
    #[serde(with = "settings::duration")]
    pub age: Duration,
    /// How often heads are looked at.
    #[serde(with = "settings::duration")]
    pub check: Duration,
    /// The longest pause between two tries while the object store is away.
    #[serde(with = "settings::duration")]
    pub retry: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// Over this, writes are refused with 503 until a flush has made room.
    pub heads: ByteSize,
    /// Batches that are being logged and applied.
    pub in_flight: ByteSize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            flush: FlushSettings::default(),
            memory: MemorySettings::default(),
            reads: 256,
            consensus: consensus::Settings::default(),
            logs: logs::Settings::default(),
            metrics: metrics::Settings::default(),
        }
    }
}

impl Default for FlushSettings {
    fn default() -> FlushSettings {
        FlushSettings {
            bytes: ByteSize::mib(512),
            rows: 20_000_000,
            memory: ByteSize::mib(192),
            age: Duration::from_secs(15 * 60),
            check: Duration::from_secs(1),
            retry: Duration::from_secs(15),
        }
    }
}

impl Default for MemorySettings {
    fn default() -> MemorySettings {
        MemorySettings { heads: ByteSize::mib(1024), in_flight: ByteSize::mib(128) }
    }
}
