//! The querier: what answering needs, put together.

use crate::catalog_copy::CatalogCopy;
use crate::heads::Heads;
use crate::segments::Segments;
use crate::settings::Settings;
use mesh::Directory;
use node::Compute;
use objects::Store;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use telemetry::Exposition;
use tenancy::LimitTable;

/// What sources read from.
pub struct Parts {
    pub heads: Heads,
    pub catalog: CatalogCopy,
    pub segments: Segments,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Querier {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub parts: Arc<Parts>,
    pub limits: Arc<LimitTable>,
    pub compute: Compute,
    pub counts: Counts,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub queries: AtomicU64,
    pub failures: AtomicU64,
}

impl Querier {
    pub fn new(
        directory: Directory,
        store: Store,
        limits: Arc<LimitTable>,
        settings: &Settings,
        compute: Compute,
    ) -> Querier {
        let parts = Parts {
            heads: Heads::new(directory.clone()),
            catalog: CatalogCopy::new(directory, settings.catalog_age),
            segments: Segments::new(store, settings.open_segments),
        };
        Querier { inner: Arc::new(Inner { parts: Arc::new(parts), limits, compute, counts: Counts::default() }) }
    }

    /// Writes this querier's meters.
    pub fn meters(&self, out: &mut Exposition) {
        let load = |count: &AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        let counts = &self.inner.counts;
        out.counter("ouro_queries_total", "Queries that were asked.", &[], load(&counts.queries));
        out.counter(
            "ouro_query_failures_total",
            "Queries that were answered with an error.",
            &[],
            load(&counts.failures),
        );
    }
}
