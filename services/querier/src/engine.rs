//! Runs a query away from the sockets, within its tenant's limits, and only as long as somebody waits for it.

use crate::error::QueryError;
use crate::kept::Kept;
use crate::partial::Partial;
use crate::querier::Querier;
use crate::source::TenantRows;
use model::Reason;
use node::Pool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tenancy::{Admitted, Limits, Read};
use tokio::runtime::Handle;

/// What a query may use: its tenant's rows, limits, and the question whether it should end.
pub struct Context {
    pub rows: TenantRows,
    pub limits: Arc<Limits>,
    pub cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Ends the query when whoever waits for it goes away.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on the pool for reads. Gives what it gave, and warnings of what that lacks; `whole`: nothing may be lacking.
pub async fn run<T: Send + 'static>(
    querier: &Querier,
    admitted: Admitted<Read>,
    whole: bool,
    work: impl FnOnce(&Context) -> Result<T, QueryError> + Send + 'static,
) -> Result<(T, Vec<String>), QueryError> {
    let inner = &querier.inner;
    inner.counts.queries.fetch_add(1, Ordering::Relaxed);
    let limits = admitted.limits().clone();
    let timeout = limits.query_timeout;
    let deadline = Instant::now() + timeout;
    let gone = OnDrop(Arc::default());
    let flag = gone.0.clone();
    let cancelled: Arc<dyn Fn() -> bool + Send + Sync> =
        Arc::new(move || flag.load(Ordering::Relaxed) || Instant::now() > deadline);
    let partial = Arc::new(Partial::new(whole));
    let rows = TenantRows {
        parts: inner.parts.clone(),
        tenant: admitted.tenant().clone(),
        kept: Kept::now(&limits.retention),
        max_bytes: limits.query_memory.0,
        partial: partial.clone(),
        runtime: Handle::current(),
    };
    let context = Context { rows, limits, cancelled };
    let result = inner.compute.run(Pool::Reads, move || work(&context)).await;
    if result.is_err() {
        inner.counts.failures.fetch_add(1, Ordering::Relaxed);
    }
    match result {
        Err(error) if error.reason == Reason::Timeout => {
            let text = format!("the query took longer than {timeout:?} (limits.query_timeout)");
            Err(QueryError::new(Reason::Timeout, text))
        }
        other => other.map(|value| (value, partial.warnings())),
    }
}
