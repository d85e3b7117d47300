//! The shards of a signal that are open on this node.

use crate::error::Error;
use crate::shard::Shard;
use crate::signal::Head;
use model::ShardId;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Changes when a shard is placed here or leaves; asked at every append and read.
pub struct Shards<H: Head>(RwLock<BTreeMap<ShardId, Arc<Shard<H>>>>);

impl<H: Head> Default for Shards<H> {
    fn default() -> Shards<H> {
        Shards(RwLock::default())
    }
}

impl<H: Head> Shards<H> {
    pub fn find(&self, id: ShardId) -> Result<Arc<Shard<H>>, Error> {
        let open = self.0.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&id).cloned().ok_or(Error::NotHere { shard: id })
    }

    pub fn all(&self) -> Vec<Arc<Shard<H>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn add(&self, shard: Arc<Shard<H>>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(shard.id, shard);
    }

    pub fn remove(&self, id: ShardId) -> Option<Arc<Shard<H>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Bytes that their heads take.
    pub fn memory(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().map(|shard| shard.memory()).sum()
    }
}
