//! How many series and values labels have, as Mimir's API answers it.

use crate::api::json;
use crate::api::params::{self, Params};
use crate::api::prometheus::read::{Read, read};
use crate::api::prometheus_json;
use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use eval::value::Warnings;
use model::{Labels, Matcher, Signal, TimeRange};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 500;
/// Series with samples this young are counted, as long as the request does not ask for other times.
const ACTIVE_MS: i64 = 20 * 60_000;

/// A bare JSON answer, without Prometheus's envelope; what it lacks is said in it.
fn bare(result: Result<(String, Warnings), QueryError>) -> Response {
    match result {
        Ok((mut data, warnings)) => {
            json::warn(&mut data, &warnings.warnings);
            ([(header::CONTENT_TYPE, "application/json")], data).into_response()
        }
        Err(error) => prometheus_json::failure(&error),
    }
}

fn limit(params: &Params) -> Result<usize, QueryError> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| QueryError::bad(format!("{text:?} is not a number")));
    match params.parsed("limit", number)?.unwrap_or(DEFAULT_LIMIT) {
        limit if limit > MAX_LIMIT => Err(QueryError::bad(format!("'limit' param cannot be greater than {MAX_LIMIT}"))),
        limit => Ok(limit),
    }
}

fn selector(params: &Params) -> Result<Vec<Matcher>, QueryError> {
    let invalid = |e: promql::ParseError| QueryError::bad(format!("invalid parameter \"selector\": {e}"));
    params.get("selector").map_or(Ok(Vec::new()), |text| promql::parse_selector(text).map_err(invalid))
}

/// Both methods count what has samples in the last 20 minutes: every reader sees heads and segments alike.
fn check_method(params: &Params) -> Result<(), QueryError> {
    match params.get("count_method").unwrap_or("inmemory") {
        "inmemory" | "active" => Ok(()),
        other => Err(QueryError::bad(format!(
            "invalid 'count_method' param '{other}'. valid options are: [inmemory active]"
        ))),
    }
}

/// Runs `write` over the recent series that a selector matches.
async fn recent(
    read: &Read,
    matchers: Vec<Matcher>,
    write: impl FnOnce(&HashSet<Labels>) -> String + Send + 'static,
) -> Result<(String, Warnings), QueryError> {
    let now = params::now_ms();
    read.run(move |context| {
        let range = TimeRange::new(now.saturating_sub(ACTIVE_MS), i64::MAX);
        let found = context.rows.series(Signal::Metrics, &matchers, range)?;
        Ok((write(&found), Warnings::default()))
    })
    .await
}

/// The series of each value of each label.
fn counted(found: &HashSet<Labels>, wanted: impl Fn(&str) -> bool) -> BTreeMap<&str, BTreeMap<&str, u64>> {
    let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (name, value) in found.iter().flatten().filter(|(name, _)| wanted(name)) {
        *counts.entry(name).or_default().entry(value).or_default() += 1;
    }
    counts
}

pub async fn names(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        check_method(&read.params)?;
        let limit = limit(&read.params)?;
        recent(&read, selector(&read.params)?, move |found| {
            let counts = counted(found, |_| true);
            let total: usize = counts.values().map(BTreeMap::len).sum();
            let mut sorted: Vec<(&str, usize)> = counts.iter().map(|(name, values)| (*name, values.len())).collect();
            sorted.sort_by_key(|(name, values)| (Reverse(*values), *name));
            let mut out = format!("{{\"label_values_count_total\":{total},\"label_names_count\":{}", counts.len());
            out.push_str(",\"cardinality\":");
            json::list(&mut out, sorted.iter().take(limit), |out, (name, values)| {
                out.push_str("{\"label_name\":");
                json::string(out, name);
                out.push_str(&format!(",\"label_values_count\":{values}}}"));
            });
            out.push('}');
            out
        })
        .await
    };
    bare(result.await)
}

pub async fn values(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        check_method(&read.params)?;
        let limit = limit(&read.params)?;
        let wanted: Vec<String> = read.params.all("label_names[]").map(str::to_owned).collect();
        if wanted.is_empty() {
            return Err(QueryError::bad("'label_names[]' param is required"));
        }
        recent(&read, selector(&read.params)?, move |found| {
            let counts = counted(found, |name| wanted.iter().any(|w| w == name));
            let mut out = format!("{{\"series_count_total\":{},\"labels\":", found.len());
            json::list(&mut out, &wanted, |out, name| {
                let none = BTreeMap::new();
                let values = counts.get(name.as_str()).unwrap_or(&none);
                out.push_str("{\"label_name\":");
                json::string(out, name);
                let series: u64 = values.values().sum();
                out.push_str(&format!(",\"label_values_count\":{},\"series_count\":{series}", values.len()));
                out.push_str(",\"cardinality\":");
                let mut sorted: Vec<(&str, u64)> = values.iter().map(|(value, series)| (*value, *series)).collect();
                sorted.sort_by_key(|(value, series)| (Reverse(*series), *value));
                json::list(out, sorted.iter().take(limit), |out, (value, series)| {
                    out.push_str("{\"label_value\":");
                    json::string(out, value);
                    out.push_str(&format!(",\"series_count\":{series}}}"));
                });
                out.push('}');
            });
            out.push('}');
            out
        })
        .await
    };
    bare(result.await)
}

pub async fn active(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        read.params.required("selector")?;
        recent(&read, selector(&read.params)?, |found| {
            let mut sorted: Vec<&Labels> = found.iter().collect();
            sorted.sort();
            let mut out = String::from("{\"data\":");
            json::list(&mut out, sorted, json::labels);
            out.push('}');
            out
        })
        .await
    };
    bare(result.await)
}
