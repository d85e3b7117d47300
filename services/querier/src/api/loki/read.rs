//! Reads what Loki's requests have in common, and writes their errors.

use crate::api::loki_json;
use crate::api::params::{self, Params, loki_time, now_ns};
use crate::engine::{self, Asked, Context};
use crate::error::QueryError;
use crate::federation::Rows;
use crate::levels;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use eval::source::Order;
use model::{Matcher, Reason};
use tenancy::Limits;

/// The lines of an answer when the request does not say.
const DEFAULT_LIMIT: usize = 100;
const HOUR: i64 = 3_600_000_000_000;
/// The most points of a series in one answer.
const MAX_STEPS: i64 = 11_000;

/// The `data` of an answer, and warnings of what it lacks.
pub type Answered = (String, Vec<String>);

/// A request, read.
pub struct Read {
    pub querier: Querier,
    pub params: Params,
    pub headers: HeaderMap,
}

impl FromRequest<Querier> for Read {
    type Rejection = BytesRejection;

    async fn from_request(request: Request, querier: &Querier) -> Result<Read, BytesRejection> {
        let (headers, query) = (request.headers().clone(), request.uri().query().map(str::to_owned));
        let body = Bytes::from_request(request, querier).await?;
        let params = Params::read(query.as_deref(), &headers, &body);
        Ok(Read { querier: querier.clone(), params, headers })
    }
}

impl Read {
    pub async fn run(
        &self,
        work: impl FnOnce(&Context) -> Result<String, QueryError> + Send + 'static,
    ) -> Result<Answered, QueryError> {
        let admitted = params::tenants(&self.querier, &self.headers)?;
        let asked = Asked { whole: self.params.whole()?, timeout: None };
        engine::run(&self.querier, admitted, asked, work).await
    }

    /// Nanoseconds: `start` and `end`, or the last hour, or what `since` says.
    pub fn range(&self) -> Result<(i64, i64), QueryError> {
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

    pub fn limit(&self, most: u32) -> Result<usize, QueryError> {
        self.count("limit", DEFAULT_LIMIT, most)
    }

    /// A number of things from one to `most`.
    pub fn count(&self, name: &str, default: usize, most: u32) -> Result<usize, QueryError> {
        let number = |text: &str| text.parse::<i64>().map_err(|_| QueryError::bad(format!("{text:?} is not a number")));
        match self.params.parsed(name, number)? {
            None => Ok(default),
            Some(count) if count <= 0 => Err(QueryError::bad(format!("{name} must be a positive value"))),
            Some(count) if count > i64::from(most) => {
                let text = format!(
                    "max entries limit per query exceeded, {name} > max_entries_limit ({count} > {most}) (limits.max_log_rows)"
                );
                Err(QueryError::bad(text))
            }
            Some(count) => Ok(count as usize),
        }
    }

    pub fn order(&self) -> Result<Order, QueryError> {
        match self.params.get("direction").unwrap_or("backward").to_ascii_lowercase().as_str() {
            "backward" => Ok(Order::Backward),
            "forward" => Ok(Order::Forward),
            other => Err(QueryError::bad(format!("invalid direction '{other}'"))),
        }
    }

    /// Nanoseconds. Without one, a range is cut into about 250 steps of at least a second.
    pub fn step(&self, start: i64, end: i64) -> Result<i64, QueryError> {
        let step = match self.params.parsed("step", params::prometheus_duration)? {
            Some(millis) => millis.saturating_mul(1_000_000),
            None => (end.saturating_sub(start) / 1_000_000_000 / 250).max(1) * 1_000_000_000,
        };
        if step <= 0 {
            let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(QueryError::bad(text));
        }
        if end.saturating_sub(start) / step > MAX_STEPS {
            let text = "exceeded maximum resolution of 11,000 points per time series. Try decreasing the query resolution (?step=XX)";
            return Err(QueryError::bad(text));
        }
        Ok(step)
    }

    /// Nanoseconds between two lines of an answer; none for all lines.
    pub fn interval(&self) -> Result<i64, QueryError> {
        match self.params.parsed("interval", params::prometheus_duration)?.unwrap_or(0) {
            millis if millis < 0 => Err(QueryError::bad("interval must be >= 0")),
            millis => Ok(millis.saturating_mul(1_000_000)),
        }
    }

    /// Whether the client wants the labels of entries by where they come from.
    pub fn categorize(&self) -> bool {
        let flags = self.headers.get("x-loki-response-encoding-flags").and_then(|v| v.to_str().ok()).unwrap_or("");
        flags.split(',').any(|flag| flag.trim() == "categorize-labels")
    }
}

/// Errors are plain text, which clients match on.
pub fn respond(result: Result<Answered, QueryError>) -> Response {
    match result {
        Ok((data, warnings)) => loki_json::success(&data, &warnings),
        Err(error) => failure(&error),
    }
}

pub fn failure(error: &QueryError) -> Response {
    let status = match error.reason {
        // What is too much for one query stays too much: it must not be retried as a rate limit would be.
        Reason::OverLimit => StatusCode::BAD_REQUEST,
        reason => transport::status::http(reason),
    };
    (status, error.text.clone()).into_response()
}

pub fn parse(text: &str) -> Result<logql::Expr, QueryError> {
    logql::parse(text).map_err(|e| QueryError::bad(e.to_string()))
}

pub fn options(context: &Context) -> logql::Options {
    logql::Options {
        max_memory: context.limits.query_memory.as_usize(),
        cancelled: context.cancelled.clone(),
        spare: context.spare.clone(),
        now: now_ns(),
        ..logql::Options::default()
    }
}

/// The rows that a query is asked of: with levels, if it may look at them.
pub fn rows_for(context: &Context, expr: &logql::Expr) -> Rows {
    if levels::asked_for(expr) { context.rows.levelled() } else { context.rows.clone() }
}

/// As it is asked of these; and whether entries get their levels afterwards, because they are to be told whole.
pub fn rows_for_whole(context: &Context, expr: &logql::Expr) -> (Rows, bool) {
    match levels::are_told_after(expr) {
        true => (context.rows.clone(), true),
        false => (context.rows.levelled(), false),
    }
}

pub fn check_range(limits: &Limits, start: i64, end: i64) -> Result<(), QueryError> {
    match limits.max_query_range {
        Some(limit) if end.saturating_sub(start) as u128 > limit.as_nanos() => {
            let asked = std::time::Duration::from_nanos(end.saturating_sub(start) as u64);
            let text = format!(
                "the query time range exceeds the limit (query length: {asked:?}, limit: {limit:?}, limits.max_query_range)"
            );
            Err(QueryError::bad(text))
        }
        _ => Ok(()),
    }
}

/// The matchers of a selector without stages; `{}` selects everything.
pub fn selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    let inside = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    if inside.is_some_and(|inside| inside.trim().is_empty()) {
        return Ok(Vec::new());
    }
    match parse(text)? {
        logql::Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(QueryError::bad(format!("only label matchers are supported: {text}"))),
    }
}
