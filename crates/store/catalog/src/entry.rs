//! What the catalog knows of a shard, a segment and a block.

use model::{ShardId, Signal, TenantId, TimeRange};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShardEntry {
    /// The shard's log is in segments up to this index.
    pub through: u64,
    /// The catalog's version at which it became so.
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The object's name.
    pub name: String,
    pub shard: ShardId,
    pub level: u8,
    /// Log entries with `after < index <= through`.
    pub after: u64,
    pub through: u64,
    pub term: u64,
    /// Unix milliseconds.
    pub created: i64,
    /// The catalog's version that took it, which the catalog fills in. Zero in catalogs from before blocks.
    #[serde(default)]
    pub order: u64,
    pub rows: u64,
    pub raw_bytes: u64,
    pub bytes: u64,
    /// Sorted by tenant.
    pub tenants: Vec<TenantEntry>,
}

/// Whose rows a segment has, and of which time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantEntry {
    pub tenant: TenantId,
    pub rows: u64,
    /// In the signal's unit, both included.
    pub min: i64,
    pub max: i64,
}

/// Where rows stand among all rows of a signal: of two samples of one series and time, the one at the lower place is
/// the older, and stays. The segments of a shard stand in the order of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub order: u64,
    pub after: u64,
    pub shard: ShardId,
}

/// Rows of one tenant that were in segments before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// The object's name.
    pub name: String,
    pub signal: Signal,
    pub tenant: TenantId,
    /// One more than the highest of what went in.
    pub level: u8,
    /// That of the newest segment that went in. Blocks of one replacement have the same.
    pub place: Place,
    /// Unix milliseconds; that of the newest segment that went in.
    pub created: i64,
    pub rows: u64,
    pub raw_bytes: u64,
    pub bytes: u64,
    /// In the signal's unit, both included.
    pub min: i64,
    pub max: i64,
    /// The shards whose segments went in, ascending, and the last log index of each. Who reads this block must not also
    /// read these entries from a head.
    pub flushed: Vec<(ShardId, u64)>,
    /// The open delete requests of which it has no rows, by their versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<u64>,
    /// The shorter retentions that all of its rows have passed, so that it has none of theirs, by their versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortened: Vec<u64>,
}

impl BlockEntry {
    /// Whether it has rows of this tenant within the range.
    pub fn holds(&self, tenant: &TenantId, range: TimeRange) -> bool {
        self.tenant == *tenant && TimeRange::new(self.min, self.max).overlaps(range)
    }
}

impl SegmentEntry {
    pub fn place(&self) -> Place {
        Place { order: self.order, after: self.after, shard: self.shard }
    }

    /// The entry of a tenant.
    pub fn tenant(&self, tenant: &TenantId) -> Option<&TenantEntry> {
        let at = self.tenants.binary_search_by(|entry| entry.tenant.cmp(tenant)).ok()?;
        self.tenants.get(at)
    }

    /// Whether it has rows of this tenant within the range.
    pub fn holds(&self, tenant: &TenantId, range: TimeRange) -> bool {
        self.tenant(tenant).is_some_and(|entry| TimeRange::new(entry.min, entry.max).overlaps(range))
    }
}
