//! Opens the parts of segments, and keeps them open for the next query.

use crate::error::QueryError;
use crate::ranges::Ranges;
use block::Segment;
use model::TenantId;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Opened segments and readers. The tenant is part of the key of every reader.
pub struct Segments {
    ranges: Ranges,
    opened: Cache<String, Arc<Segment>>,
    logs: Cache<(String, TenantId), Arc<logs::Reader>>,
    metrics: Cache<(String, TenantId), Arc<metrics::Reader>>,
}

impl Segments {
    pub fn new(ranges: Ranges, capacity: usize) -> Segments {
        let (opened, logs, metrics) = (Cache::new(capacity), Cache::new(capacity), Cache::new(capacity));
        Segments { ranges, opened, logs, metrics }
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
