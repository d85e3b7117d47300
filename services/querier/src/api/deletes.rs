//! Delete requests: of logs as Loki has them, of series as Prometheus's admin API has them, with a list and a way back.

use crate::api::loki;
use crate::api::params::{self, Params, loki_time, now_ms, prometheus_time};
use crate::api::{json, loki_json, prometheus_json};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use deletes::{Command, Progress, Reply, Request};
use model::{Reason, Signal, TenantId};

/// Selectors of one call.
const MAX_SELECTORS: usize = 20;

type Asked = (State<Querier>, RawQuery, HeaderMap, Bytes);

pub fn routes() -> Router<Querier> {
    let logs = get(async |State(querier), headers: HeaderMap| list(&querier, &headers, Signal::Logs).await)
        .post(async |asked: (_, _, _, _)| ask(asked, Signal::Logs).await)
        .put(async |asked: (_, _, _, _)| ask(asked, Signal::Logs).await)
        .delete(async |asked: (_, _, _, _)| cancel(asked, Signal::Logs).await);
    let series = get(async |State(querier), headers: HeaderMap| list(&querier, &headers, Signal::Metrics).await)
        .post(async |asked: (_, _, _, _)| ask(asked, Signal::Metrics).await)
        .put(async |asked: (_, _, _, _)| ask(asked, Signal::Metrics).await)
        .delete(async |asked: (_, _, _, _)| cancel(asked, Signal::Metrics).await);
    Router::new().route("/loki/api/v1/delete", logs).route("/prometheus/api/v1/admin/tsdb/delete_series", series)
}

fn failure(signal: Signal, error: &QueryError) -> Response {
    match signal {
        Signal::Logs => loki::failure(error),
        Signal::Metrics => prometheus_json::failure(error),
    }
}

fn done(signal: Signal, result: Result<(), QueryError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(signal, &error),
    }
}

/// The tenant, if it may have rows deleted.
fn admitted(querier: &Querier, headers: &HeaderMap) -> Result<TenantId, QueryError> {
    let admitted = params::tenants(querier, headers)?;
    let [only] = &*admitted else {
        return Err(QueryError::bad(format!("rows of one tenant are deleted, not of {} at once", admitted.len())));
    };
    match only.limits().deletion {
        true => Ok(only.tenant().clone()),
        false => {
            let text = format!("rows of {} may not be deleted (limits.deletion is false)", only.tenant());
            Err(QueryError::new(Reason::Forbidden, text))
        }
    }
}

async fn ask((State(querier), RawQuery(query), headers, body): Asked, signal: Signal) -> Response {
    let result = async {
        let tenant = admitted(&querier, &headers)?;
        let params = Params::read(query.as_deref(), &headers, &body);
        let now = now_ms();
        let (start, end) = range(&params, signal, now)?;
        for query in selectors(&params, signal)? {
            let (tenant, created) = (tenant.clone(), now);
            let command = Command::Ask { tenant, signal, query, start, end, created };
            answered(querier.inner.parts.delete(&command).await?)?;
        }
        Ok(())
    };
    done(signal, result.await)
}

/// The selectors, each read once to see whether it can be.
fn selectors(params: &Params, signal: Signal) -> Result<Vec<String>, QueryError> {
    let name = match signal {
        Signal::Logs => "query",
        Signal::Metrics => "match[]",
    };
    let all: Vec<String> = params.all(name).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    match all.len() {
        0 => return Err(QueryError::bad(format!("{name} is not set"))),
        count if count > MAX_SELECTORS => {
            let text = format!("{count} selectors are given, at most {MAX_SELECTORS} are taken at once");
            return Err(QueryError::bad(text));
        }
        _ => {}
    }
    all.iter().try_for_each(|text| hidden::matchers(signal, text).map(drop))?;
    Ok(all)
}

/// In the signal's unit, both included.
fn range(params: &Params, signal: Signal, now: i64) -> Result<(i64, i64), QueryError> {
    let (time, now): (fn(&str) -> _, i64) = match signal {
        Signal::Logs => (loki_time, now.saturating_mul(Signal::Logs.units_per_milli())),
        Signal::Metrics => (prometheus_time, now),
    };
    let start = params.parsed("start", time)?;
    if start.is_none() && signal == Signal::Logs {
        return Err(QueryError::bad("start time not set"));
    }
    let (start, end) = (start.unwrap_or(i64::MIN), params.parsed("end", time)?.unwrap_or(now));
    if end > now {
        return Err(QueryError::bad("deletes in the future are not allowed"));
    }
    if start > end {
        return Err(QueryError::bad("start time can't be greater than end time"));
    }
    Ok((start, end))
}

async fn cancel((State(querier), RawQuery(query), headers, body): Asked, signal: Signal) -> Response {
    let result = async {
        let tenant = admitted(&querier, &headers)?;
        let params = Params::read(query.as_deref(), &headers, &body);
        let id = params.get("request_id").ok_or_else(|| QueryError::bad("request_id is not set"))?;
        let request = Request::version_of(id).ok_or_else(unknown)?;
        let force = params.get("force") == Some("true");
        answered(querier.inner.parts.delete(&Command::Cancel { tenant, signal, request, force }).await?)
    };
    done(signal, result.await)
}

fn unknown() -> QueryError {
    QueryError::new(Reason::NotFound, "could not find delete request with given id")
}

fn answered(reply: Reply) -> Result<(), QueryError> {
    match reply {
        Reply::Taken { .. } | Reply::Done => Ok(()),
        Reply::Unknown => Err(unknown()),
        Reply::Begun => Err(QueryError::bad(
            "some of these rows are deleted already: with force=true the others are kept and shown again",
        )),
        Reply::Processed => Err(QueryError::bad("deletion of request which is already processed is not allowed")),
        Reply::Full { open, limit } => {
            let text =
                format!("the tenant has {open} delete requests that are not processed, which is the limit ({limit})");
            Err(QueryError::new(Reason::OverLimit, text))
        }
        Reply::Refused { why } => Err(QueryError::new(Reason::Unprocessable, why)),
    }
}

async fn list(querier: &Querier, headers: &HeaderMap, signal: Signal) -> Response {
    let result = async {
        let tenant = admitted(querier, headers)?;
        let catalog = querier.inner.parts.catalog.newest().await?;
        let mut out = String::new();
        let own = catalog.deletes().of(&tenant).iter().filter(|request| request.signal == signal);
        json::list(&mut out, own, |out, request| listed(out, request));
        Ok(out)
    };
    match result.await {
        Ok(out) => loki_json::json_response(out),
        Err(error) => failure(signal, &error),
    }
}

/// Times are Unix seconds.
fn listed(out: &mut String, request: &Request) {
    out.push_str(&format!("{{\"request_id\":\"{}\",\"start_time\":", request.id()));
    let millis = |time: i64| time.div_euclid(request.signal.units_per_milli());
    json::seconds(out, millis(request.start));
    out.push_str(",\"end_time\":");
    json::seconds(out, millis(request.end));
    out.push_str(",\"query\":");
    json::string(out, &request.query);
    let status = match request.progress {
        Progress::Received | Progress::Begun => "received",
        Progress::Processed(_) => "processed",
    };
    out.push_str(&format!(",\"status\":\"{status}\",\"created_at\":"));
    json::seconds(out, request.created);
    out.push('}');
}
