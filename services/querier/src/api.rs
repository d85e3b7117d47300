//! The query APIs of Loki and Prometheus, to the letter of what their clients read.

mod json;
mod loki;
mod loki_json;
mod params;
mod prometheus;
mod prometheus_json;

use crate::querier::Querier;
use axum::Router;

/// All query routes. Every one takes GET and POST.
pub fn router(querier: Querier) -> Router {
    Router::new().merge(loki::routes()).merge(prometheus::routes()).with_state(querier)
}
