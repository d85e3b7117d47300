//! The querier: what answering needs, put together.

use crate::catalog_copy::CatalogCopy;
use crate::heads::Heads;
use crate::others;
use crate::peers::Peers;
use crate::ranges::Ranges;
use crate::results::Results;
use crate::segments::Segments;
use crate::settings::Settings;
use crate::tail::Tails;
use mesh::{Directory, Mesh};
use node::{Compute, Node, Stopping};
use objects::Store;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use telemetry::Exposition;
use tenancy::LimitTable;
use transport::Link;
use transport::v1::ranges_server::RangesServer;

/// What sources read from.
pub struct Parts {
    pub heads: Heads,
    pub catalog: CatalogCopy,
    pub segments: Segments,
    /// Leads to any ingester.
    pub control: Link,
    /// The other queriers.
    pub peers: Arc<Peers>,
    pub others: others::Counts,
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
    pub ranges: Ranges,
    pub results: Option<Arc<Results>>,
    pub tails: Arc<Tails>,
    /// Ends what would go on for ever.
    pub stopping: Stopping,
    pub counts: Counts,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub queries: AtomicU64,
    pub failures: AtomicU64,
}

impl Querier {
    /// `mesh` leads to the other queriers of a cluster. To be called within the runtime.
    pub fn new(
        directory: Directory,
        mesh: Option<Mesh>,
        store: Store,
        limits: Arc<LimitTable>,
        settings: &Settings,
        node: &Node,
    ) -> Querier {
        let peers = Peers::new(mesh);
        let ranges = Ranges::new(store, settings, peers.clone());
        let parts = Parts {
            control: directory.control(),
            heads: Heads::new(directory.clone()),
            catalog: CatalogCopy::new(directory, settings.catalog_age),
            segments: Segments::new(ranges.clone(), settings.indexes),
            peers,
            others: others::Counts::default(),
        };
        let inner = Inner {
            parts: Arc::new(parts),
            limits,
            compute: node.compute().clone(),
            ranges,
            results: Results::new(settings),
            tails: Arc::default(),
            stopping: node.stopping(),
            counts: Counts::default(),
        };
        Querier { inner: Arc::new(inner) }
    }

    /// What other queriers may ask of this one.
    pub fn ranges(&self) -> RangesServer<Ranges> {
        RangesServer::new(self.inner.ranges.clone())
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
        self.inner.ranges.meters(out);
        self.inner.parts.others.meters(out);
        self.inner.results.iter().for_each(|results| results.meters(out));
    }
}
