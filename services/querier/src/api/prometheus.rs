//! Prometheus's query API, under `/prometheus/api/v1`.

mod cardinality;
mod features;
mod names;
mod read;
mod remote_read;
mod status;

use self::read::{parse, parse_limit, read, respond};
use crate::api::data::Data;
use crate::api::params::{self, Params, metadata_range, prometheus_duration, prometheus_time};
use crate::api::prometheus_json::Stats;
use crate::api::{json, prometheus_json, prometheus_series};
use crate::days::{Answered, Range};
use crate::engine::Context;
use crate::error::QueryError;
use crate::querier::Querier;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use eval::value::{Answer, Warnings};
use model::{Matcher, Reason};
use promql::Tally;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most points of a series in one answer.
const MAX_STEPS: i64 = 11_000;

pub fn routes() -> Router<Querier> {
    let api = Router::new()
        .route("/query", get(query).post(query))
        .route("/query_range", get(query_range).post(query_range))
        .route("/format_query", get(format_query).post(format_query))
        .route("/parse_query", get(parse_query).post(parse_query))
        .route("/query_exemplars", get(exemplars).post(exemplars))
        .route("/labels", get(names::labels).post(names::labels))
        .route("/label/{name}/values", get(names::label_values))
        .route("/series", get(names::series).post(names::series))
        .route("/metadata", get(metadata))
        .route("/read", post(remote_read::remote_read))
        .route("/cardinality/label_names", get(cardinality::names).post(cardinality::names))
        .route("/cardinality/label_values", get(cardinality::values).post(cardinality::values))
        .route("/cardinality/active_series", get(cardinality::active).post(cardinality::active))
        .route("/features", get(features::features))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/buildinfo", get(status::build_info));
    Router::new().nest("/prometheus/api/v1", api)
}

/// What a query may do, by its tenant's limits and its own parameters.
fn options(context: &Context, text: &str, lookback: Option<i64>) -> promql::Options {
    let limits = &context.limits;
    let mut options = promql::Options {
        experimental: limits.promql_experimental,
        delayed_name_removal: limits.delayed_name_removal,
        max_memory: limits.query_memory.as_usize(),
        cancelled: context.cancelled.clone(),
        text: Some(text.into()),
        spare: context.spare.clone(),
        ..promql::Options::default()
    };
    if let Some(lookback) = lookback.filter(|lookback| *lookback > 0) {
        options.lookback = Duration::from_millis(lookback as u64);
    }
    options
}

async fn query(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    if !prometheus_series::is_accepted(&read.headers) {
        return respond(answer_query(read).await);
    }
    match answer_series(read).await {
        Ok(body) => prometheus_series::success(body),
        Err(error) => prometheus_json::failure(&error),
    }
}

/// What an instant query asks.
struct Instantly {
    /// As it was written.
    text: String,
    expr: promql::Expr,
    /// Unix milliseconds.
    time: i64,
    /// Milliseconds.
    lookback: Option<i64>,
    limit: Option<usize>,
}

impl Instantly {
    fn read(params: &Params) -> Result<Instantly, QueryError> {
        let text = params.get("query").unwrap_or("").to_owned();
        Ok(Instantly {
            time: params.parsed("time", prometheus_time)?.unwrap_or_else(params::now_ms),
            lookback: params.parsed("lookback_delta", prometheus_duration)?,
            expr: parse(&text)?,
            text,
            limit: params.parsed("limit", parse_limit)?,
        })
    }

    fn answer(&self, context: &Context, tally: Option<Arc<Tally>>) -> Result<Answer, QueryError> {
        let options = promql::Options { tally, ..options(context, &self.text, self.lookback) };
        let mut answer = promql::instant(&context.rows, &self.expr, self.time, &options)?;
        truncate(&mut answer, self.limit);
        Ok(answer)
    }
}

async fn answer_query(read: read::Read) -> Result<(Data, Warnings), QueryError> {
    let begun = Instant::now();
    let asked = Instantly::read(&read.params)?;
    let (stats, ready) = (read.params.get("stats").map(str::to_owned), Instant::now());
    read.run(move |context| {
        let stats = Stats::wanted(stats.as_deref(), begun, ready, Tally::new(asked.time, asked.time, 0));
        let answer = asked.answer(context, stats.as_ref().map(Stats::tally))?;
        let mut data = prometheus_json::answer(answer.value);
        stats.iter().for_each(|stats| stats.add(&mut data, &context.rows.looked, 0));
        Ok((data, answer.warnings))
    })
    .await
}

async fn answer_series(read: read::Read) -> Result<Vec<u8>, QueryError> {
    let asked = Instantly::read(&read.params)?;
    read.run_whole(move |context| prometheus_series::answer(&asked.answer(context, None)?)).await
}

/// The query as Prometheus writes it. Nobody's rows are read.
async fn format_query(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    respond(parsed(read((state, raw, headers, body))).map(|expr| {
        let mut out = String::new();
        json::string(&mut out, &promql::print::pretty(&expr));
        (out, Warnings::default())
    }))
}

/// The query as a tree.
async fn parse_query(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    respond(
        parsed(read((state, raw, headers, body)))
            .map(|expr| (promql::tree::json(&expr).to_string(), Warnings::default())),
    )
}

fn parsed(read: read::Read) -> Result<promql::Expr, QueryError> {
    parse(read.params.get("query").unwrap_or(""))
}

async fn query_range(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    respond(answer_range(read((state, raw, headers, body))).await)
}

async fn answer_range(read: read::Read) -> Result<(Data, Warnings), QueryError> {
    let begun = Instant::now();
    let params = &read.params;
    let required = |name| params.required(name).map(drop);
    required("start")?;
    let start = params.parsed("start", prometheus_time)?.unwrap_or(0);
    required("end")?;
    let end = params.parsed("end", prometheus_time)?.unwrap_or(0);
    if end < start {
        return Err(QueryError::bad("invalid parameter \"end\": end timestamp must not be before start time"));
    }
    required("step")?;
    let step = params.parsed("step", prometheus_duration)?.unwrap_or(0);
    if step <= 0 {
        let text = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(QueryError::bad(text));
    }
    if end.saturating_sub(start) / step > MAX_STEPS {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(QueryError::bad(text));
    }
    let lookback = params.parsed("lookback_delta", prometheus_duration)?;
    let limit = params.parsed("limit", parse_limit)?;
    let text = params.get("query").unwrap_or("").to_owned();
    let expr = parse(&text)?;
    let (stats, ready) = (params.get("stats").map(str::to_owned), Instant::now());
    let results = read.querier.inner.results.clone().filter(|_| !read.refuses_kept());
    read.run(move |context| {
        check_range(context, start, end)?;
        let stats = Stats::wanted(stats.as_deref(), begun, ready, Tally::new(start, end, step));
        let mut options = options(context, &text, lookback);
        options.max_steps = MAX_STEPS as u64 + 1;
        options.tally = stats.as_ref().map(Stats::tally);
        let (tenants, now) = (context.rows.names(), params::now_ms());
        let range = Range { expr: &expr, text: &text, tenants, start, end, step, options: &options, now };
        let Answered { mut answer, kept } = match &results {
            Some(results) => range.by_days(&context.rows, results, |range| context.rows.closed(range))?,
            None => range.whole(&context.rows)?,
        };
        truncate(&mut answer, limit);
        let mut data = prometheus_json::answer(answer.value);
        stats.iter().for_each(|stats| stats.add(&mut data, &context.rows.looked, kept));
        Ok((data, answer.warnings))
    })
    .await
}

fn check_range(context: &Context, start: i64, end: i64) -> Result<(), QueryError> {
    match context.limits.max_query_range {
        Some(limit) if end.saturating_sub(start) as u128 > limit.as_millis() => {
            let asked = Duration::from_millis(end.saturating_sub(start) as u64);
            let text = format!("the query's time range is {asked:?}, the limit is {limit:?} (limits.max_query_range)");
            Err(QueryError::new(Reason::Unprocessable, text))
        }
        _ => Ok(()),
    }
}

/// Keeps the first `limit` series; zero means all.
fn truncate(answer: &mut Answer, limit: Option<usize>) {
    use eval::value::Value;
    let Some(limit) = limit.filter(|limit| *limit > 0) else { return };
    let cut = match &mut answer.value {
        Value::Vector(samples) if samples.len() > limit => {
            samples.truncate(limit);
            true
        }
        Value::Matrix(series) if series.len() > limit => {
            series.truncate(limit);
            true
        }
        _ => false,
    };
    if cut {
        answer.warnings.warn("results truncated due to limit".into());
    }
}

async fn metadata(state: State<Querier>, raw: RawQuery, headers: HeaderMap) -> Response {
    let read = read((state, raw, headers, Bytes::new()));
    let result = async {
        let wanted = read.params.get("metric").map(str::to_owned);
        let limit = read.params.parsed("limit", parse_limit)?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        let each = read.params.parsed("limit_per_metric", parse_limit)?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        read.run(move |context| {
            let all = context.rows.metadata()?;
            let named = all.iter().filter(|(family, _)| wanted.as_ref().is_none_or(|wanted| wanted == *family));
            let mut out = String::from("{");
            for (at, (family, entries)) in named.take(limit).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json::string(&mut out, family);
                out.push(':');
                json::list(&mut out, entries.iter().take(each), |out, entry| {
                    for (name, text) in
                        [("{\"type\":", &entry.kind), (",\"help\":", &entry.help), (",\"unit\":", &entry.unit)]
                    {
                        out.push_str(name);
                        json::string(out, text);
                    }
                    out.push('}');
                });
            }
            out.push('}');
            Ok((out, Warnings::default()))
        })
        .await
    };
    respond(result.await)
}

async fn exemplars(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        let range = metadata_range(&read.params)?;
        let expr = parse(read.params.get("query").unwrap_or(""))?;
        let selectors: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(<[Matcher]>::to_vec).collect();
        read.run(move |context| {
            let mut out = String::new();
            let mut all = std::collections::BTreeMap::new();
            for matchers in &selectors {
                all.extend(context.rows.exemplars(matchers, range)?);
            }
            json::list(&mut out, &all, |out, (labels, exemplars)| {
                out.push_str("{\"seriesLabels\":");
                json::labels(out, labels);
                out.push_str(",\"exemplars\":");
                json::list(out, exemplars, |out, exemplar| {
                    out.push_str("{\"labels\":");
                    json::labels(out, &exemplar.labels);
                    out.push_str(",\"value\":");
                    json::float(out, exemplar.value);
                    out.push_str(",\"timestamp\":");
                    json::seconds(out, exemplar.time);
                    out.push('}');
                });
                out.push('}');
            });
            Ok((out, Warnings::default()))
        })
        .await
    };
    respond(result.await)
}
