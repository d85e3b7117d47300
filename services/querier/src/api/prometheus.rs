//! Prometheus's query API, under `/prometheus/api/v1`.

use crate::api::params::{self, Params, metadata_range, prometheus_duration, prometheus_time, selectors};
use crate::api::{json, prometheus_json};
use crate::engine::{self, Context};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use eval::value::Warnings;
use model::{Matcher, Reason, Signal};
use std::collections::BTreeSet;
use std::time::Duration;

/// The most points of a series in one answer.
const MAX_STEPS: i64 = 11_000;

pub fn routes() -> Router<Querier> {
    let api = Router::new()
        .route("/query", get(query).post(query))
        .route("/query_range", get(query_range).post(query_range))
        .route("/format_query", get(format_query).post(format_query))
        .route("/parse_query", get(parse_query).post(parse_query))
        .route("/query_exemplars", get(exemplars).post(exemplars))
        .route("/labels", get(labels).post(labels))
        .route("/label/{name}/values", get(label_values))
        .route("/series", get(series).post(series))
        .route("/metadata", get(metadata))
        .route("/status/buildinfo", get(build_info));
    Router::new().nest("/prometheus/api/v1", api)
}

type Request = (State<Querier>, RawQuery, HeaderMap, Bytes);

/// What came with the request, read.
struct Read {
    querier: Querier,
    params: Params,
    headers: HeaderMap,
}

fn read((State(querier), RawQuery(query), headers, body): Request) -> Read {
    Read { querier, params: Params::read(query.as_deref(), &headers, &body), headers }
}

impl Read {
    async fn run(
        &self,
        work: impl FnOnce(&Context) -> Result<(String, Warnings), QueryError> + Send + 'static,
    ) -> Result<(String, Warnings), QueryError> {
        let admitted = params::tenant(&self.querier, &self.headers)?;
        let ((data, mut warnings), missing) = engine::run(&self.querier, admitted, self.params.whole()?, work).await?;
        missing.into_iter().for_each(|text| warnings.warn(text));
        Ok((data, warnings))
    }
}

fn respond(result: Result<(String, Warnings), QueryError>) -> Response {
    match result {
        Ok((data, warnings)) => prometheus_json::success(&data, &warnings),
        Err(error) => prometheus_json::failure(&error),
    }
}

fn parse(text: &str) -> Result<promql::Expr, QueryError> {
    promql::parse(text).map_err(|e| QueryError::bad(format!("invalid parameter \"query\": {e}")))
}

/// What a query may do, by its tenant's limits and its own parameters.
fn options(context: &Context, lookback: Option<i64>) -> promql::Options {
    let limits = &context.limits;
    let mut options = promql::Options {
        experimental: limits.promql_experimental,
        delayed_name_removal: limits.delayed_name_removal,
        max_memory: limits.query_memory.as_usize(),
        cancelled: context.cancelled.clone(),
        ..promql::Options::default()
    };
    if let Some(lookback) = lookback.filter(|lookback| *lookback > 0) {
        options.lookback = Duration::from_millis(lookback as u64);
    }
    options
}

async fn query(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    respond(answer_query(read((state, raw, headers, body))).await)
}

async fn answer_query(read: Read) -> Result<(String, Warnings), QueryError> {
    let time = read.params.parsed("time", prometheus_time)?.unwrap_or_else(params::now_ms);
    let lookback = read.params.parsed("lookback_delta", prometheus_duration)?;
    let expr = parse(read.params.get("query").unwrap_or(""))?;
    let limit = read.params.parsed("limit", parse_limit)?;
    read.run(move |context| {
        let mut answer = promql::instant(&context.rows, &expr, time, &options(context, lookback))?;
        truncate(&mut answer, limit);
        Ok((prometheus_json::answer(&answer), answer.warnings))
    })
    .await
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

fn parsed(read: Read) -> Result<promql::Expr, QueryError> {
    parse(read.params.get("query").unwrap_or(""))
}

async fn query_range(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    respond(answer_range(read((state, raw, headers, body))).await)
}

async fn answer_range(read: Read) -> Result<(String, Warnings), QueryError> {
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
    let expr = parse(params.get("query").unwrap_or(""))?;
    read.run(move |context| {
        check_range(context, start, end)?;
        let mut options = options(context, lookback);
        options.max_steps = MAX_STEPS as u64 + 1;
        let mut answer = promql::range(&context.rows, &expr, start, end, step, &options)?;
        truncate(&mut answer, limit);
        Ok((prometheus_json::answer(&answer), answer.warnings))
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

fn parse_limit(text: &str) -> Result<usize, QueryError> {
    text.parse().map_err(|_| QueryError::bad(format!("cannot parse \"{text}\" to a valid limit")))
}

/// Keeps the first `limit` series; zero means all.
fn truncate(answer: &mut eval::value::Answer, limit: Option<usize>) {
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

fn list_of(texts: &BTreeSet<String>, limit: Option<usize>) -> (String, Warnings) {
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let (mut out, mut warnings) = (String::new(), Warnings::default());
    json::strings(&mut out, texts.iter().take(limit).map(String::as_str));
    if texts.len() > limit {
        warnings.warn("results truncated due to limit".into());
    }
    (out, warnings)
}

async fn labels(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        let (range, selectors) = (metadata_range(&read.params)?, selectors(&read.params)?);
        let limit = read.params.parsed("limit", parse_limit)?;
        read.run(move |context| {
            let found = context.rows.matching(Signal::Metrics, &selectors, range)?;
            let names = found.iter().flat_map(|l| l.iter().map(|(name, _)| name.to_owned())).collect();
            Ok(list_of(&names, limit))
        })
        .await
    };
    respond(result.await)
}

async fn label_values(Path(name): Path<String>, state: State<Querier>, raw: RawQuery, headers: HeaderMap) -> Response {
    let read = read((state, raw, headers, Bytes::new()));
    let result = async {
        let (range, selectors) = (metadata_range(&read.params)?, selectors(&read.params)?);
        let limit = read.params.parsed("limit", parse_limit)?;
        if name.is_empty() {
            return Err(QueryError::bad("invalid label name: \"\""));
        }
        read.run(move |context| {
            let all: &[Vec<Matcher>] = if selectors.is_empty() { &[Vec::new()] } else { &selectors };
            let mut values = BTreeSet::new();
            for matchers in all {
                values.extend(context.rows.metric_label_values(&name, matchers, range)?);
            }
            Ok(list_of(&values, limit))
        })
        .await
    };
    respond(result.await)
}

async fn series(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        let (range, selectors) = (metadata_range(&read.params)?, selectors(&read.params)?);
        if selectors.is_empty() {
            return Err(QueryError::bad("no match[] parameter provided"));
        }
        let limit = read.params.parsed("limit", parse_limit)?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        read.run(move |context| {
            let found = params::sorted(context.rows.matching(Signal::Metrics, &selectors, range)?);
            let (mut out, mut warnings) = (String::new(), Warnings::default());
            json::list(&mut out, found.iter().take(limit), json::labels);
            if found.len() > limit {
                warnings.warn("results truncated due to limit".into());
            }
            Ok((out, warnings))
        })
        .await
    };
    respond(result.await)
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

/// Grafana asks this to learn what it talks to.
async fn build_info() -> impl IntoResponse {
    let version = env!("CARGO_PKG_VERSION");
    let data = format!(
        "{{\"version\":\"2.55.0\",\"revision\":\"ouro-{version}\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\",\
         \"application\":\"Ouro\"}}"
    );
    (StatusCode::OK, prometheus_json::success(&data, &Warnings::default()))
}
