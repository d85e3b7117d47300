//! What Loki's clients ask about the server and about their limits.

use crate::api::loki::read::failure;
use crate::api::{loki_json, params};
use crate::error::QueryError;
use crate::federation::combined;
use crate::querier::Querier;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tenancy::Limits;

/// The version of Loki whose API this is.
const VERSION: &str = "3.4.0";

pub async fn build_info() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    loki_json::json_response(format!(
        "{{\"version\":\"{VERSION}\",\"revision\":\"ouro-{version}\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}"
    ))
}

fn limits_of(querier: &Querier, headers: &HeaderMap) -> Result<Arc<Limits>, QueryError> {
    Ok(combined(&params::tenants(querier, headers)?))
}

/// A tenant's limits by the names that they have in Loki; zero means none.
fn published(limits: &Limits) -> Map<String, Value> {
    let span = |span: Option<Duration>| span.map_or_else(|| "0s".to_owned(), settings::duration::format);
    let all = [
        ("max_entries_limit_per_query", json!(limits.max_log_rows)),
        ("max_label_name_length", json!(limits.max_label_name_length)),
        ("max_label_names_per_series", json!(limits.max_label_names)),
        ("max_label_value_length", json!(limits.max_label_value_length)),
        ("max_line_size", json!(limits.max_line_size.0)),
        ("max_query_bytes_read", json!(limits.query_bytes.0)),
        ("max_query_length", json!(span(limits.max_query_range))),
        ("query_timeout", json!(span(Some(limits.query_timeout)))),
        ("reject_old_samples", json!(limits.reject_old.is_some())),
        ("reject_old_samples_max_age", json!(span(limits.reject_old))),
        ("retention_period", json!(span(limits.retention.logs))),
        ("allow_structured_metadata", json!(true)),
        ("volume_enabled", json!(true)),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What Logs Drilldown asks before it shows anything.
pub async fn drilldown(State(querier): State<Querier>, headers: HeaderMap) -> Response {
    match limits_of(&querier, &headers) {
        Ok(limits) => {
            // Patterns are found when they are asked for, so nothing has to be turned on for them.
            let body = json!({ "limits": published(&limits), "pattern_ingester_enabled": true, "version": VERSION });
            loki_json::json_response(body.to_string())
        }
        Err(error) => failure(&error),
    }
}

/// The same limits as YAML.
pub async fn limits(State(querier): State<Querier>, headers: HeaderMap) -> Response {
    match limits_of(&querier, &headers) {
        Ok(limits) => {
            let lines = published(&limits).into_iter().map(|(name, value)| format!("{name}: {value}\n"));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines.collect::<String>()).into_response()
        }
        Err(error) => failure(&error),
    }
}
