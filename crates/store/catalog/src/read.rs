//! Which objects have the rows that heads do not have.

use crate::entry::Place;
use crate::state::Catalog;
use model::{ShardId, Signal, TenantId, TimeRange};

/// A block has log entries that the reader has from a head: the head was asked before they were flushed, and must be
/// asked again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the head of shard {shard} was read from log index {flushed} on, and {block} has rows up to {through}")]
pub struct Overtaken {
    pub shard: ShardId,
    pub flushed: u64,
    pub block: String,
    pub through: u64,
}

impl Catalog {
    /// The names of the objects that have a tenant's rows within the range, oldest rows first, for a reader that has
    /// from the head of each shard the rows after `flushed`.
    pub fn objects(
        &self,
        signal: Signal,
        tenant: &TenantId,
        range: TimeRange,
        heads: &[(ShardId, u64)],
    ) -> Result<Vec<String>, Overtaken> {
        let flushed = |shard: ShardId| heads.iter().find(|(id, _)| *id == shard).map(|(_, flushed)| *flushed);
        let mut found: Vec<(Place, &String)> = Vec::new();
        for segment in self.segments().filter(|s| s.shard.signal == signal && s.holds(tenant, range)) {
            if flushed(segment.shard).is_some_and(|flushed| segment.after < flushed) {
                found.push((segment.place(), &segment.name));
            }
        }
        for block in self.blocks().filter(|b| b.signal == signal && b.holds(tenant, range)) {
            for &(shard, through) in &block.flushed {
                if let Some(flushed) = flushed(shard).filter(|flushed| *flushed < through) {
                    return Err(Overtaken { shard, flushed, block: block.name.clone(), through });
                }
            }
            found.push((block.place, &block.name));
        }
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name.clone()).collect())
    }

    /// The latest time of the objects that may have a tenant's rows within the range; `None` if there are none.
    pub fn newest(&self, signal: Signal, tenant: &TenantId, range: TimeRange) -> Option<i64> {
        let segments = self.segments().filter(|segment| segment.shard.signal == signal && segment.holds(tenant, range));
        let segments = segments.filter_map(|segment| segment.tenant(tenant)).map(|entry| entry.max);
        let blocks = self.blocks().filter(|block| block.signal == signal && block.holds(tenant, range));
        segments.chain(blocks.map(|block| block.max)).max()
    }
}
