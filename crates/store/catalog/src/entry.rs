//! What the catalog knows of a segment and of a shard.

use model::{ShardId, TenantId, TimeRange};
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

impl SegmentEntry {
    /// Whether it has rows of this tenant within the range.
    pub fn holds(&self, tenant: &TenantId, range: TimeRange) -> bool {
        let at = self.tenants.binary_search_by(|entry| entry.tenant.cmp(tenant));
        at.is_ok_and(|at| TimeRange::new(self.tenants[at].min, self.tenants[at].max).overlaps(range))
    }
}
