//! The query APIs of Loki and Prometheus, to the letter of what their clients read.

mod consistency;
mod data;
mod deletes;
mod json;
mod loki;
mod loki_json;
mod params;
mod prometheus;
mod prometheus_json;
mod prometheus_series;

use crate::error::QueryError;
use crate::querier::Querier;
use axum::Router;
use axum::middleware::from_fn;
use axum::response::Response;
use model::Reason;

/// An error as Prometheus writes it.
pub fn failure(reason: Reason, text: String) -> Response {
    prometheus_json::failure(&QueryError::new(reason, text))
}

/// All query routes. Every one takes GET and POST.
pub fn router(querier: Querier) -> Router {
    let routes = Router::new().merge(loki::routes()).merge(prometheus::routes()).merge(deletes::routes());
    routes.layer(from_fn(consistency::answer)).with_state(querier)
}
