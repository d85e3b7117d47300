//! A time that is over for some tenants: no head has samples of it, so what the catalog names is all there is of it.
//!
//! A sample that comes late makes a head have something there again, and its flush makes a new object; so does a merge.
//! The same objects, and the same delete requests, therefore mean the same rows, for as long as no retention reaches
//! them.

use crate::days::Past;
use crate::error::QueryError;
use crate::federation::Rows;
use crate::results::Objects;
use crate::source::TenantRows;
use catalog::Catalog;
use deletes::Request;
use model::{ShardId, Signal, TenantId, TimeRange};
use std::sync::Arc;
use transport::v1::{Oldest, What, select_reply::Reply};

/// What of one tenant is closed, and the catalog that says what there is of it.
pub struct Closed {
    catalog: Arc<Catalog>,
    flushed: Vec<(ShardId, u64)>,
    range: TimeRange,
}

impl Closed {
    /// The objects that have samples of a range; `None` if not all of it is closed.
    pub fn objects(&self, tenant: &TenantId, range: TimeRange) -> Option<Vec<String>> {
        let is_closed = self.range.contains(range.min) && self.range.contains(range.max);
        let objects = || self.catalog.objects(Signal::Metrics, tenant, range, &self.flushed).ok();
        is_closed.then(objects).flatten()
    }

    /// The delete requests that hide samples of a range.
    pub fn hiding(&self, tenant: &TenantId, range: TimeRange) -> impl Iterator<Item = &Arc<Request>> {
        // No head has anything here, so none has what was deleted.
        self.catalog.deletes().hiding(tenant, Signal::Metrics, range, u64::MAX)
    }
}

impl TenantRows {
    /// What of a range is closed now: nothing, if a shard cannot be asked.
    pub async fn closed(&self, range: TimeRange) -> Result<Option<Closed>, QueryError> {
        let mut heads = self.parts.heads.ask(&self.question(What::Oldest, &[], range), &self.partial).await?;
        let version = heads.iter().map(|head| head.version).max().unwrap_or(0);
        let flushed = heads.iter().map(|head| (head.shard, head.flushed)).collect();
        let mut closed = range;
        for head in &mut heads {
            match head.next().await {
                Ok(Some(Reply::Oldest(Oldest { time }))) => {
                    closed.max = time.map_or(closed.max, |time| closed.max.min(time.saturating_sub(1)));
                }
                // It went, or it is of an older version.
                _ => return Ok(None),
            }
        }
        if !self.partial.shards().is_empty() {
            return Ok(None);
        }
        Ok(Some(Closed { catalog: self.parts.catalog.at_least(version).await?, flushed, range: closed }))
    }
}

impl Past for Rows {
    fn objects(&self, range: TimeRange) -> Option<Objects> {
        let of = |rows: &TenantRows| {
            let closed = rows.closed.as_ref()?;
            let is_kept = rows.kept.of(Signal::Metrics, range) == range;
            // What a shorter retention hides of a range changes as long as it does not hide all of its rows there.
            let mut passed = rows.kept.hiding(Signal::Metrics, range);
            let is_still = is_kept && passed.all(|request| request.range().contains(range.max));
            let mut objects = is_still.then(|| closed.objects(&rows.tenant, range)).flatten()?;
            let hiding = closed.hiding(&rows.tenant, range).chain(rows.kept.hiding(Signal::Metrics, range));
            objects.extend(hiding.map(|request| format!("without {}", request.id())));
            Some(objects)
        };
        self.tenants().map(of).collect()
    }
}
