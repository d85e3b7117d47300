//! Opens the parts of segments, and keeps them open for the next query.

use crate::error::QueryError;
use crate::ranges::Ranges;
use block::Segment;
use model::{ByteSize, TenantId};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use std::sync::Arc;

/// Opened segments and readers. The tenant is part of the key of every reader.
pub struct Segments {
    ranges: Ranges,
    opened: Cache<String, Arc<Segment>>,
    logs: Readers<logs::Reader>,
    metrics: Readers<metrics::Reader>,
}

type Readers<R> = Cache<(String, TenantId), Arc<R>, Weight<R>>;

/// How many directories of opened objects are kept.
const OPENED: usize = 512;
/// What an index usually takes.
const USUAL: u64 = 64 << 10;

fn kept<R>(bytes: u64, held: fn(&R) -> usize) -> Readers<R> {
    let items = (bytes / USUAL) as usize + 1;
    // One index may take most of it, so it must not be cut into parts.
    let options = OptionsBuilder::new().shards(1).estimated_items_capacity(items).weight_capacity(bytes).build();
    match options {
        Ok(options) => Cache::with_options(options, Weight(held), Default::default(), DefaultLifecycle::default()),
        Err(_) => Cache::with_weighter(items, bytes, Weight(held)),
    }
}

/// Weighs a reader by what it holds.
struct Weight<R>(fn(&R) -> usize);

impl<R> Clone for Weight<R> {
    fn clone(&self) -> Weight<R> {
        Weight(self.0)
    }
}

impl<R> Weighter<(String, TenantId), Arc<R>> for Weight<R> {
    fn weight(&self, (name, _): &(String, TenantId), reader: &Arc<R>) -> u64 {
        (name.len() + (self.0)(reader) + 256) as u64
    }
}

impl Segments {
    /// That keeps about so many bytes of indexes, half of them for each signal.
    pub fn new(ranges: Ranges, indexes: ByteSize) -> Segments {
        let half = indexes.0 / 2;
        let (logs, metrics) = (kept(half, logs::Reader::held), kept(half, metrics::Reader::held));
        Segments { ranges, opened: Cache::new(OPENED), logs, metrics }
    }

    /// A tenant's logs in a segment; `None` when it has none. Blocks.
    pub fn logs(&self, name: &str, tenant: &TenantId) -> Result<Option<Arc<logs::Reader>>, QueryError> {
        let key = (name.to_owned(), tenant.clone());
        if let Some(reader) = self.logs.get(&key) {
            return Ok(Some(reader));
        }
        let Some(part) = self.open(name)?.part(tenant) else { return Ok(None) };
        let reader = Arc::new(logs::Reader::open(part).map_err(within(name))?);
        self.logs.insert(key, reader.clone());
        Ok(Some(reader))
    }

    /// Whether a tenant's logs in a segment are open already.
    pub fn has_logs(&self, name: &str, tenant: &TenantId) -> bool {
        self.logs.peek(&(name.to_owned(), tenant.clone())).is_some()
    }

    /// A tenant's metrics in a segment; `None` when it has none. Blocks.
    pub fn metrics(&self, name: &str, tenant: &TenantId) -> Result<Option<Arc<metrics::Reader>>, QueryError> {
        let key = (name.to_owned(), tenant.clone());
        if let Some(reader) = self.metrics.get(&key) {
            return Ok(Some(reader));
        }
        let Some(part) = self.open(name)?.part(tenant) else { return Ok(None) };
        let reader = Arc::new(metrics::Reader::open(part).map_err(within(name))?);
        self.metrics.insert(key, reader.clone());
        Ok(Some(reader))
    }

    fn open(&self, name: &str) -> Result<Arc<Segment>, QueryError> {
        if let Some(segment) = self.opened.get(name) {
            return Ok(segment);
        }
        let segment = Arc::new(Segment::open(self.ranges.object(name)).map_err(within(name))?);
        self.opened.insert(name.to_owned(), segment.clone());
        Ok(segment)
    }
}

/// Says in which segment it happened.
pub fn within<E: Into<QueryError>>(name: &str) -> impl Fn(E) -> QueryError {
    move |error| error.into().within(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_may_take_most_of_the_room() {
        let kept = kept::<u64>(1 << 20, |bytes| *bytes as usize);
        let key = |name: &str| (name.to_owned(), TenantId::new("t").expect("a name"));
        kept.insert(key("large"), Arc::new(900_000));
        assert!(kept.get(&key("large")).is_some());
        kept.insert(key("larger"), Arc::new(2_000_000));
        assert!(kept.get(&key("larger")).is_none());
        (0..100).for_each(|n| kept.insert(key(&n.to_string()), Arc::new(50_000)));
        assert!(kept.weight() <= 1 << 20, "{}", kept.weight());
    }
}
