//! What Grafana and others ask about the server itself.

use crate::api::params::{self, metadata_range};
use crate::api::prometheus::read::{parse_limit, read, respond};
use crate::api::{json, prometheus_json};
use crate::error::QueryError;
use crate::federation::combined;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use eval::value::Warnings;
use model::{Signal, TimeRange};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Entries of each list when the request does not say.
const DEFAULT_LIMIT: usize = 10;
/// What a range without a beginning means here: the tenant's recent series.
const RECENT_MS: i64 = 3_600_000;

/// Grafana asks this to learn what it talks to.
pub async fn build_info() -> impl IntoResponse {
    let version = env!("CARGO_PKG_VERSION");
    let data = format!(
        "{{\"version\":\"2.55.0\",\"revision\":\"ouro-{version}\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\",\
         \"application\":\"Ouro\"}}"
    );
    (StatusCode::OK, prometheus_json::success(data, &Warnings::default()))
}

/// The tenant's limits, as TOML: there is no Prometheus configuration here.
pub async fn config(State(querier): State<Querier>, headers: HeaderMap) -> Response {
    respond(params::tenants(&querier, &headers).map(|admitted| {
        let text = settings::render(&*combined(&admitted));
        (json!({ "yaml": text }).to_string(), Warnings::default())
    }))
}

/// The flags of Prometheus that mean something here, with the values that hold for the tenant.
pub async fn flags(State(querier): State<Querier>, headers: HeaderMap) -> Response {
    respond(params::tenants(&querier, &headers).map(|admitted| {
        let limits = combined(&admitted);
        let retention = limits.retention.metrics.map_or_else(|| "0s".to_owned(), settings::duration::format);
        let flags = json!({
            "query.lookback-delta": settings::duration::format(promql::Options::default().lookback),
            "query.timeout": settings::duration::format(limits.query_timeout),
            "storage.tsdb.retention.time": retention,
        });
        (flags.to_string(), Warnings::default())
    }))
}

/// How many series there are and what they are made of, in the last hour or from `start` to `end`.
pub async fn tsdb(state: State<Querier>, raw: RawQuery, headers: HeaderMap) -> Response {
    let read = read((state, raw, headers, Bytes::new()));
    let result = async {
        let limit = read.params.parsed("limit", parse_limit)?.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 {
            return Err(QueryError::bad("invalid parameter \"limit\": limit must be a positive number"));
        }
        let mut range = metadata_range(&read.params)?;
        if read.params.get("start").is_none() {
            range = TimeRange::new(range.max.min(params::now_ms()).saturating_sub(RECENT_MS), range.max);
        }
        read.run(move |context| {
            let found = context.rows.matching(Signal::Metrics, &[], range)?;
            let mut names: HashMap<&str, u64> = HashMap::new();
            let mut pairs: HashMap<String, u64> = HashMap::new();
            let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
            for labels in &found {
                *names.entry(labels.metric_name()).or_default() += 1;
                for (name, value) in labels {
                    *pairs.entry(format!("{name}={value}")).or_default() += 1;
                    values.entry(name).or_default().insert(value);
                }
            }
            let by_label = values.iter().map(|(name, values)| ((*name).to_owned(), values.len() as u64));
            let bytes = |values: &HashSet<&str>| values.iter().map(|value| value.len() as u64).sum::<u64>();
            let memory = values.iter().map(|(name, values)| ((*name).to_owned(), bytes(values)));
            let names = names.into_iter().filter(|(name, _)| !name.is_empty());
            let names = names.map(|(name, count)| (name.to_owned(), count));
            let (series, label_pairs) = (found.len(), pairs.len());
            let (min, max) = (range.min, range.max.min(params::now_ms()));
            let mut out = format!(
                "{{\"headStats\":{{\"numSeries\":{series},\"numLabelPairs\":{label_pairs},\"minTime\":{min},\"maxTime\":{max}}}"
            );
            largest(&mut out, "seriesCountByMetricName", names, limit);
            largest(&mut out, "labelValueCountByLabelName", by_label, limit);
            largest(&mut out, "memoryInBytesByLabelName", memory, limit);
            largest(&mut out, "seriesCountByLabelValuePair", pairs.into_iter(), limit);
            out.push('}');
            Ok((out, Warnings::default()))
        })
        .await
    };
    respond(result.await)
}

fn largest(out: &mut String, title: &str, counts: impl Iterator<Item = (String, u64)>, limit: usize) {
    let mut sorted: Vec<(String, u64)> = counts.collect();
    sorted.sort_by(|a, b| Reverse(a.1).cmp(&Reverse(b.1)).then_with(|| a.0.cmp(&b.0)));
    out.push_str(&format!(",\"{title}\":"));
    json::list(out, sorted.iter().take(limit), |out, (name, count)| {
        out.push_str("{\"name\":");
        json::string(out, name);
        out.push_str(&format!(",\"value\":{count}}}"));
    });
}
