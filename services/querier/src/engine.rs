//! Runs a query away from the sockets, within its tenant's limits, and only as long as somebody waits for it.

use crate::error::QueryError;
use crate::federation::{Rows, combined};
use crate::kept::Kept;
use crate::partial::Partial;
use crate::querier::Querier;
use crate::reading::Reading;
use crate::source::TenantRows;
use model::Reason;
use node::Pool;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tenancy::{Admitted, Limits, Read};
use tokio::runtime::Handle;

/// What a query may use: its tenants' rows, limits, and the question whether it should end.
pub struct Context {
    pub rows: Rows,
    pub limits: Arc<Limits>,
    pub cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Lends one more thread, if one is idle.
    pub spare: Arc<eval::threads::Spare>,
}

/// How somebody wants a query to be answered.
#[derive(Debug, Default)]
pub struct Asked {
    /// Nothing may be lacking.
    pub whole: bool,
    /// How long it may take, if that is less than the limit.
    pub timeout: Option<Duration>,
}

/// Ends the query when whoever waits for it goes away.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on the pool for reads. Gives what it gave, and warnings of what that lacks.
pub async fn run<T: Send + 'static>(
    querier: &Querier,
    admitted: Vec<Admitted<Read>>,
    asked: Asked,
    work: impl FnOnce(&Context) -> Result<T, QueryError> + Send + 'static,
) -> Result<(T, Vec<String>), QueryError> {
    let inner = &querier.inner;
    inner.counts.queries.fetch_add(1, Ordering::Relaxed);
    let limits = combined(&admitted);
    let timeout = limits.query_timeout.min(asked.timeout.unwrap_or(Duration::MAX));
    let by = if timeout < limits.query_timeout { "timeout" } else { "limits.query_timeout" };
    let deadline = Instant::now() + timeout;
    let gone = OnDrop(Arc::default());
    let flag = gone.0.clone();
    let cancelled: Arc<dyn Fn() -> bool + Send + Sync> =
        Arc::new(move || flag.load(Ordering::Relaxed) || Instant::now() > deadline);
    let reading = Reading::new(limits.query_memory, limits.query_bytes, cancelled.clone());
    let partials: Vec<Arc<Partial>> = admitted.iter().map(|_| Arc::new(Partial::new(asked.whole))).collect();
    let rows = admitted.iter().zip(&partials).map(|(admitted, partial)| TenantRows {
        parts: inner.parts.clone(),
        tenant: admitted.tenant().clone(),
        kept: Kept::now(&admitted.limits().retention),
        reading: reading.clone(),
        partial: partial.clone(),
        runtime: Handle::current(),
        closed: None,
        begun: None,
        limits: admitted.limits().clone(),
        levels: false,
    });
    let rows = Rows::new(rows.collect(), reading.clone());
    let context = Context { rows, limits, cancelled, spare: inner.compute.lender() };
    let result = inner.compute.run(Pool::Reads, move || work(&context)).await;
    if result.is_err() {
        inner.counts.failures.fetch_add(1, Ordering::Relaxed);
    }
    match result {
        Err(error) if error.reason == Reason::Timeout => {
            let text = format!("the query took longer than {timeout:?} ({by})");
            Err(QueryError::new(Reason::Timeout, text))
        }
        other => other.map(|value| (value, warnings(&partials))),
    }
}

/// What shards are missing for any of the tenants, each said once.
fn warnings(partials: &[Arc<Partial>]) -> Vec<String> {
    let all: BTreeSet<String> = partials.iter().flat_map(|partial| partial.warnings()).collect();
    all.into_iter().collect()
}
