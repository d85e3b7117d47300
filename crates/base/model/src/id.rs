//! Names of shards, Raft groups and batches.

use crate::Signal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A Raft group of a node. Never used again for another group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group that keeps the catalog, tenants, limits and placement.
    pub const CONTROL: GroupId = GroupId(1);
}

/// A slice of the hash space of one signal, kept by one Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardId {
    pub signal: Signal,
    pub index: u32,
}

impl ShardId {
    pub fn new(signal: Signal, index: u32) -> ShardId {
        ShardId { signal, index }
    }

    /// The group that keeps this shard.
    pub fn group(self) -> GroupId {
        GroupId(u64::from(self.signal.code()) << 32 | u64::from(self.index))
    }

    pub fn from_group(group: GroupId) -> Option<ShardId> {
        let signal = Signal::from_code(u8::try_from(group.0 >> 32).ok()?)?;
        Some(ShardId { signal, index: group.0 as u32 })
    }
}

/// `logs-3`: also a part of object names.
impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.signal, self.index)
    }
}

/// How many shards a cluster has of each signal. May be raised, never lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardCounts {
    /// Shards of logs.
    pub logs: u32,
    /// Shards of metrics.
    pub metrics: u32,
}

impl Default for ShardCounts {
    fn default() -> ShardCounts {
        ShardCounts { logs: 4, metrics: 4 }
    }
}

impl ShardCounts {
    pub fn of(self, signal: Signal) -> u32 {
        match signal {
            Signal::Logs => self.logs,
            Signal::Metrics => self.metrics,
        }
    }

    /// The larger of both, signal by signal.
    pub fn most(self, other: ShardCounts) -> ShardCounts {
        ShardCounts { logs: self.logs.max(other.logs), metrics: self.metrics.max(other.metrics) }
    }

    /// All shards of a signal.
    pub fn shards(self, signal: Signal) -> impl Iterator<Item = ShardId> {
        (0..self.of(signal)).map(move |index| ShardId::new(signal, index))
    }
}

/// Made of a batch's content, so that a retry has the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_name_their_shard() {
        for shard in [ShardId::new(Signal::Logs, 0), ShardId::new(Signal::Metrics, 77)] {
            assert_eq!(ShardId::from_group(shard.group()), Some(shard));
        }
        assert_eq!(ShardId::from_group(GroupId::CONTROL), None);
    }
}
