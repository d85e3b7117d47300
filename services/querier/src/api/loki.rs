//! Loki's query API, under `/loki/api/v1`.

use crate::api::json;
use crate::api::loki_json::{self, Stats};
use crate::api::params::{self, Params, loki_time, now_ns};
use crate::engine::{self, Context};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use eval::source::Order;
use model::{Labels, Matcher, Reason, Signal, TimeRange};
use std::collections::BTreeSet;
use std::time::Instant;

/// The lines of an answer when the request does not say.
const DEFAULT_LIMIT: usize = 100;
const HOUR: i64 = 3_600_000_000_000;
/// The most points of a series in one answer.
const MAX_STEPS: i64 = 11_000;

pub fn routes() -> Router<Querier> {
    let api = Router::new()
        .route("/query", get(query).post(query))
        .route("/query_range", get(query_range).post(query_range))
        .route("/labels", get(labels).post(labels))
        .route("/label", get(labels).post(labels))
        .route("/label/{name}/values", get(label_values).post(label_values))
        .route("/series", get(series).post(series))
        .route("/format_query", get(format_query).post(format_query))
        .route("/status/buildinfo", get(build_info));
    Router::new().nest("/loki/api/v1", api)
}

/// The `data` of an answer, and warnings of what it lacks.
type Answered = (String, Vec<String>);

struct Read {
    querier: Querier,
    params: Params,
    headers: HeaderMap,
}

impl Read {
    fn new(querier: Querier, query: Option<String>, headers: HeaderMap, body: &Bytes) -> Read {
        let params = Params::read(query.as_deref(), &headers, body);
        Read { querier, params, headers }
    }

    async fn run(
        &self,
        work: impl FnOnce(&Context) -> Result<String, QueryError> + Send + 'static,
    ) -> Result<Answered, QueryError> {
        let admitted = params::tenant(&self.querier, &self.headers)?;
        engine::run(&self.querier, admitted, self.params.whole()?, work).await
    }

    /// Nanoseconds: `start` and `end`, or the last hour, or what `since` says.
    fn range(&self) -> Result<(i64, i64), QueryError> {
        let params = &self.params;
        let end = params.parsed("end", loki_time)?.unwrap_or_else(now_ns);
        let since =
            params.parsed("since", params::prometheus_duration)?.map_or(HOUR, |ms| ms.saturating_mul(1_000_000));
        let start = params.parsed("start", loki_time)?.unwrap_or_else(|| end.min(now_ns()).saturating_sub(since));
        if end < start {
            return Err(QueryError::bad("end timestamp must not be before or equal to start time"));
        }
        Ok((start, end))
    }

    fn limit(&self, most: u32) -> Result<usize, QueryError> {
        let number = |text: &str| text.parse::<i64>().map_err(|_| QueryError::bad(format!("{text:?} is not a number")));
        match self.params.parsed("limit", number)? {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) if limit <= 0 => Err(QueryError::bad("limit must be a positive value")),
            Some(limit) if limit > i64::from(most) => {
                let text = format!(
                    "max entries limit per query exceeded, limit > max_entries_limit ({limit} > {most}) (limits.max_log_rows)"
                );
                Err(QueryError::bad(text))
            }
            Some(limit) => Ok(limit as usize),
        }
    }

    fn order(&self) -> Result<Order, QueryError> {
        match self.params.get("direction").unwrap_or("backward").to_ascii_lowercase().as_str() {
            "backward" => Ok(Order::Backward),
            "forward" => Ok(Order::Forward),
            other => Err(QueryError::bad(format!("invalid direction '{other}'"))),
        }
    }

    /// Nanoseconds. Without one, a range is cut into about 250 steps of at least a second.
    fn step(&self, start: i64, end: i64) -> Result<i64, QueryError> {
        let step = match self.params.parsed("step", params::prometheus_duration)? {
            Some(millis) => millis.saturating_mul(1_000_000),
            None => (((end - start) / 1_000_000_000) / 250).max(1) * 1_000_000_000,
        };
        if step <= 0 {
            let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(QueryError::bad(text));
        }
        if (end - start) / step > MAX_STEPS {
            let text = "exceeded maximum resolution of 11,000 points per time series. Try decreasing the query resolution (?step=XX)";
            return Err(QueryError::bad(text));
        }
        Ok(step)
    }

    /// Whether the client wants the labels of entries by where they come from.
    fn categorize(&self) -> bool {
        let flags = self.headers.get("x-loki-response-encoding-flags").and_then(|v| v.to_str().ok()).unwrap_or("");
        flags.split(',').any(|flag| flag.trim() == "categorize-labels")
    }
}

/// Errors are plain text, which clients match on.
fn respond(result: Result<Answered, QueryError>) -> Response {
    match result {
        Ok((data, warnings)) => loki_json::success(&data, &warnings),
        Err(error) => failure(&error),
    }
}

fn failure(error: &QueryError) -> Response {
    let status = match error.reason {
        // What is too much for one query stays too much: it must not be retried as a rate limit would be.
        Reason::OverLimit => StatusCode::BAD_REQUEST,
        reason => transport::status::http(reason),
    };
    (status, error.text.clone()).into_response()
}

fn parse(text: &str) -> Result<logql::Expr, QueryError> {
    logql::parse(text).map_err(|e| QueryError::bad(e.to_string()))
}

fn options(context: &Context) -> logql::Options {
    logql::Options {
        max_memory: context.limits.query_memory.as_usize(),
        cancelled: context.cancelled.clone(),
        now: now_ns(),
        ..logql::Options::default()
    }
}

async fn query(State(querier): State<Querier>, RawQuery(raw): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = Read::new(querier, raw, headers, &body);
    respond(answer_query(&read).await)
}

async fn answer_query(read: &Read) -> Result<Answered, QueryError> {
    let time = read.params.parsed("time", loki_time)?.unwrap_or_else(now_ns);
    let expr = parse(read.params.get("query").unwrap_or(""))?;
    if !expr.is_metric() {
        return Err(QueryError::bad(
            "log queries are not supported as an instant query type, please change your query to a range query type",
        ));
    }
    let start = Instant::now();
    read.run(move |context| {
        let answer = logql::instant(&context.rows, &expr, time, &options(context))?;
        Ok(loki_json::metric(&answer, Stats { seconds: start.elapsed().as_secs_f64(), entries: 0 }))
    })
    .await
}

async fn query_range(
    State(querier): State<Querier>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = Read::new(querier, raw, headers, &body);
    respond(answer_range(&read).await)
}

async fn answer_range(read: &Read) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let expr = parse(read.params.get("query").unwrap_or(""))?;
    let begun = Instant::now();
    if expr.is_metric() {
        let step = read.step(start, end)?;
        return read
            .run(move |context| {
                check_range(context, start, end)?;
                let answer = logql::range(&context.rows, &expr, start, end, step, &options(context))?;
                Ok(loki_json::metric(&answer, Stats { seconds: begun.elapsed().as_secs_f64(), entries: 0 }))
            })
            .await;
    }
    let admitted = params::tenant(&read.querier, &read.headers)?;
    let (limit, order) = (read.limit(admitted.limits().max_log_rows)?, read.order()?);
    let categorize = read.categorize();
    read.run(move |context| {
        check_range(context, start, end)?;
        let found = logql::entries(&context.rows, &expr, start, end, limit, order, &options(context))?;
        let entries = found.iter().map(|stream| stream.entries.len() as u64).sum();
        let stats = Stats { seconds: begun.elapsed().as_secs_f64(), entries };
        let found = if categorize { loki_json::by_stream(found, order) } else { found };
        Ok(loki_json::streams(&found, categorize, stats))
    })
    .await
}

fn check_range(context: &Context, start: i64, end: i64) -> Result<(), QueryError> {
    match context.limits.max_query_range {
        Some(limit) if (end - start) as u128 > limit.as_nanos() => {
            let asked = std::time::Duration::from_nanos((end - start) as u64);
            let text = format!(
                "the query time range exceeds the limit (query length: {asked:?}, limit: {limit:?}, limits.max_query_range)"
            );
            Err(QueryError::bad(text))
        }
        _ => Ok(()),
    }
}

/// The matchers of a selector without stages.
fn selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    match parse(text)? {
        logql::Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(QueryError::bad(format!("only label matchers are supported: {text}"))),
    }
}

async fn list(
    read: Read,
    pick: impl Fn(&Labels, &mut BTreeSet<String>) + Send + 'static,
) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let selectors: Vec<Vec<Matcher>> = read.params.get("query").map(selector).transpose()?.into_iter().collect();
    read.run(move |context| {
        let mut texts = BTreeSet::new();
        context
            .rows
            .matching(Signal::Logs, &selectors, TimeRange::new(start, end))?
            .iter()
            .for_each(|labels| pick(labels, &mut texts));
        let mut out = String::new();
        json::strings(&mut out, texts.iter().map(String::as_str));
        Ok(out)
    })
    .await
}

async fn labels(State(querier): State<Querier>, RawQuery(raw): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = Read::new(querier, raw, headers, &body);
    let names = |labels: &Labels, texts: &mut BTreeSet<String>| texts.extend(labels.iter().map(|(n, _)| n.to_owned()));
    respond(list(read, names).await)
}

async fn label_values(
    Path(name): Path<String>,
    State(querier): State<Querier>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = Read::new(querier, raw, headers, &body);
    respond(list(read, move |labels, texts| texts.extend(labels.get(&name).map(str::to_owned))).await)
}

async fn series(State(querier): State<Querier>, RawQuery(raw): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = Read::new(querier, raw, headers, &body);
    let result = async {
        let (start, end) = read.range()?;
        let given = read.params.all("match[]").chain(read.params.all("match")).filter(|text| !text.is_empty());
        let selectors = given.map(selector).collect::<Result<Vec<_>, _>>()?;
        read.run(move |context| {
            let mut out = String::new();
            json::list(
                &mut out,
                &params::sorted(context.rows.matching(Signal::Logs, &selectors, TimeRange::new(start, end))?),
                json::labels,
            );
            Ok(out)
        })
        .await
    };
    respond(result.await)
}

/// The canonical text of a query, or why it is none.
async fn format_query(
    State(querier): State<Querier>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = Read::new(querier, raw, headers, &body);
    let mut out = String::new();
    match logql::parse(read.params.get("query").unwrap_or("")) {
        Ok(expr) => {
            json::string(&mut out, &expr.to_string());
            loki_json::success(&out, &[])
        }
        Err(error) => {
            json::string(&mut out, &error.to_string());
            let body = loki_json::json_response(format!("{{\"status\":\"invalid-query\",\"error\":{out}}}"));
            (StatusCode::BAD_REQUEST, body).into_response()
        }
    }
}

async fn build_info() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    loki_json::json_response(format!(
        "{{\"version\":\"3.4.0\",\"revision\":\"ouro-{version}\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}"
    ))
}
