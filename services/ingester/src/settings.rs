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
    /// Where shards are kept, in a cluster.
    pub placement: PlacementSettings,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementSettings {
    /// Replicas of each shard, in different zones if there are as many: 1 to 5. The same in every ingester.
    pub replicas: usize,
    /// The names of the ingesters that begin the control group, and vote in it from then on: 1, 3 or 5 of them, the
    /// same in every ingester.
    pub control: Vec<String>,
    /// How often the leader of the control group looks whether something should move.
    #[serde(with = "settings::duration")]
    pub interval: Duration,
    /// Shards that may be on their way to other ingesters at a time.
    pub moves: usize,
    /// A new replica that lacks no more entries than this has caught up, and gets its vote.
    pub lag: u64,
    /// An ingester that is away for so long is replaced by others.
    #[serde(with = "settings::duration")]
    pub replace_after: Duration,
    /// How long new shards wait for as many ingesters as they should have replicas.
    #[serde(with = "settings::duration")]
    pub settle: Duration,
    /// How long writers wait with new shards until every reader knows them.
    #[serde(with = "settings::duration")]
    pub readers_grace: Duration,
}

impl Default for PlacementSettings {
    fn default() -> PlacementSettings {
        PlacementSettings {
            replicas: 3,
            control: Vec::new(),
            interval: Duration::from_secs(1),
            moves: 2,
            lag: 200,
            replace_after: Duration::from_secs(5 * 60),
            settle: Duration::from_secs(30),
            readers_grace: Duration::from_secs(60),
        }
    }
}

impl PlacementSettings {
    /// Says which key is wrong, for an ingester of a cluster.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=5).contains(&self.replicas) {
            return Err(format!("ingester.placement.replicas is {}, it must be 1 to 5", self.replicas));
        }
        let mut names = self.control.clone();
        names.sort_unstable();
        names.dedup();
        if names.len() != self.control.len() || !matches!(names.len(), 1 | 3 | 5) {
            return Err(format!(
                "ingester.placement.control is {:?}, it must name 1, 3 or 5 ingesters: those that begin the control group",
                self.control
            ));
        }
        match self.interval.is_zero() {
            true => Err("ingester.placement.interval is zero".to_owned()),
            false => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            placement: PlacementSettings::default(),
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
