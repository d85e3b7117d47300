//! `/features`: what clients may use here, by the names that Prometheus 3 gives to features.

use crate::api::params;
use crate::api::prometheus::read::respond;
use crate::federation::combined;
use crate::querier::Querier;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use eval::aggregate::Op;
use eval::value::Warnings;
use promql::signature::FUNCTIONS;
use serde_json::{Map, Value, json};

/// What every tenant may use, in Prometheus's words.
const API: [(&str, bool); 8] = [
    ("admin", false),
    ("exclude_alerts", true),
    ("label_values_match", true),
    ("lifecycle", false),
    ("query_stats", true),
    ("query_warnings", true),
    ("time_range_labels", true),
    ("time_range_series", true),
];
const PROMQL: [&str; 16] = [
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "per_step_stats",
    "subqueries",
    "type_and_unit_labels",
    "without",
    "delayed_name_removal",
];
/// What `limits.promql_experimental` allows.
const EXPERIMENTAL: [&str; 5] = ["anchored", "smoothed", "fill", "fill_left", "fill_right"];
const OPERATORS: [&str; 21] = [
    "!=", "!~", "%", "*", "+", "-", "/", "<", "<=", "==", "=~", ">", ">=", "@", "^", "and", "atan2", "or", "unless",
    "</", ">/",
];

/// Depends on the tenant's limits.
pub async fn features(State(querier): State<Querier>, headers: HeaderMap) -> Response {
    respond(params::tenants(&querier, &headers).map(|admitted| {
        let limits = combined(&admitted);
        (all(limits.promql_experimental, limits.delayed_name_removal).to_string(), Warnings::default())
    }))
}

fn all(experimental: bool, delayed_name_removal: bool) -> Value {
    let map = |pairs: &mut dyn Iterator<Item = (&'static str, bool)>| -> Map<String, Value> {
        pairs.map(|(name, is)| (name.to_owned(), is.into())).collect()
    };
    let language = PROMQL.into_iter().map(|name| match name {
        "delayed_name_removal" => (name, delayed_name_removal),
        "type_and_unit_labels" => (name, false),
        _ => (name, true),
    });
    let aggregations =
        Op::ALL.into_iter().map(|op| (op.name(), experimental || !matches!(op, Op::LimitK | Op::LimitRatio)));
    json!({
        "api": map(&mut API.into_iter()),
        "promql": map(&mut language.chain(EXPERIMENTAL.map(|name| (name, experimental)))),
        "promql_functions": map(&mut FUNCTIONS.iter().map(|f| (f.name, experimental || !f.experimental))),
        "promql_operators": map(&mut OPERATORS.map(|name| (name, true)).into_iter().chain(aggregations)),
        "rules": {"concurrent_rule_eval": false, "keep_firing_for": true, "query_offset": true},
        "tsdb": {"delayed_compaction": false, "exemplar_storage": true, "isolation": true, "native_histograms": true},
        // Beyond what Prometheus has.
        "ouro": {
            "partial_response": true, "read_consistency": true, "remote_read_streamed": true, "tenant_federation": true,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is called a feature must be one, and what is not allowed must not be called so.
    #[test]
    fn features_are_what_queries_may_use() {
        let source = Nothing;
        for experimental in [false, true] {
            let features = all(experimental, false);
            for (text, name, group) in [
                ("rate(m[1m] anchored)", "anchored", "promql"),
                ("m smoothed", "smoothed", "promql"),
                ("m + fill(0) m", "fill", "promql"),
                ("rate(m[1m * 2])", "duration_expr", "promql"),
                ("m offset -5m", "negative_offset", "promql"),
                ("m @ end()", "at_modifier", "promql"),
                ("limitk(1, m)", "limitk", "promql_operators"),
                ("limit_ratio(0.5, m)", "limit_ratio", "promql_operators"),
                ("m </ 5", "</", "promql_operators"),
                ("m atan2 m", "atan2", "promql_operators"),
                ("info(m)", "info", "promql_functions"),
                ("mad_over_time(m[1m])", "mad_over_time", "promql_functions"),
                ("rate(m[1m])", "rate", "promql_functions"),
            ] {
                let options = promql::Options { experimental, ..promql::Options::default() };
                let works = promql::parse(text).is_ok_and(|expr| promql::instant(&source, &expr, 0, &options).is_ok());
                assert_eq!(features[group][name], json!(works), "{text}, experimental: {experimental}");
            }
        }
        assert_eq!(all(false, true)["promql"]["delayed_name_removal"], json!(true));
    }

    struct Nothing;

    impl eval::source::SeriesSource for Nothing {
        fn select(
            &self,
            _: &[model::Matcher],
            _: model::TimeRange,
        ) -> Result<eval::source::SeriesIter<'_>, eval::source::SourceError> {
            Ok(Box::new(std::iter::empty()))
        }
    }
}
