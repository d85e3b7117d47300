//! Loki's query API, under `/loki/api/v1`.

mod detected;
mod index;
mod interval;
mod patterns;
mod read;
mod status;
mod tail;

pub use self::read::failure;
use self::read::{Answered, Read, check_range, options, parse, respond, rows_for, rows_for_whole, selector};
use crate::api::json;
use crate::api::loki_json::{self, Stats};
use crate::api::params::{self, loki_time, now_ns};
use crate::error::QueryError;
use crate::federation::combined;
use crate::levels;
use crate::querier::Querier;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{Matcher, Signal, TimeRange};
use std::time::Instant;

pub fn routes() -> Router<Querier> {
    let api = Router::new()
        .route("/query", get(query).post(query))
        .route("/query_range", get(query_range).post(query_range))
        .route("/tail", get(tail::tail))
        .route("/labels", get(labels).post(labels))
        .route("/label", get(labels).post(labels))
        .route("/label/{name}/values", get(label_values).post(label_values))
        .route("/series", get(series).post(series))
        .route("/format_query", get(format_query).post(format_query))
        .route("/index/stats", get(index::stats).post(index::stats))
        .route("/index/volume", get(index::volume).post(index::volume))
        .route("/index/volume_range", get(index::volume_range).post(index::volume_range))
        .route("/detected_labels", get(detected::labels).post(detected::labels))
        .route("/detected_fields", get(detected::fields).post(detected::fields))
        .route("/detected_field/{name}/values", get(detected::values).post(detected::values))
        .route("/patterns", get(patterns::patterns).post(patterns::patterns))
        .route("/drilldown-limits", get(status::drilldown))
        .route("/status/buildinfo", get(status::build_info));
    Router::new().nest("/loki/api/v1", api).route("/config/tenant/v1/limits", get(status::limits))
}

async fn query(read: Read) -> Response {
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
        let answer = logql::instant(&rows_for(context, &expr), &expr, time, &options(context))?;
        Ok(loki_json::metric(&answer, Stats::of(&context.rows.looked, start, 0)))
    })
    .await
}

async fn query_range(read: Read) -> Response {
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
                check_range(&context.limits, start, end)?;
                let answer = logql::range(&rows_for(context, &expr), &expr, start, end, step, &options(context))?;
                Ok(loki_json::metric(&answer, Stats::of(&context.rows.looked, begun, 0)))
            })
            .await;
    }
    let admitted = params::tenants(&read.querier, &read.headers)?;
    let (limit, order) = (read.limit(combined(&admitted).max_log_rows)?, read.order()?);
    let (categorize, interval) = (read.categorize(), read.interval()?);
    read.run(move |context| {
        check_range(&context.limits, start, end)?;
        let (rows, told_after) = match categorize {
            true => rows_for_whole(context, &expr),
            false => (rows_for(context, &expr), false),
        };
        let options = options(context);
        let mut found = match interval {
            0 => logql::entries(&rows, &expr, start, end, limit, order, &options)?,
            interval => interval::entries(&rows, &expr, (start, end), limit, order, interval, &options)?,
        };
        if told_after {
            levels::tell(&mut found, &context.limits.discover);
        }
        let entries = found.iter().map(|stream| stream.entries.len() as u64).sum();
        let stats = Stats::of(&context.rows.looked, begun, entries);
        let found = if categorize { loki_json::by_stream(found, order) } else { found };
        Ok(loki_json::streams(&found, categorize, stats))
    })
    .await
}

/// The values of a label; of the label without a name, the names of all.
async fn values_of(read: Read, name: String) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let selectors: Vec<Vec<Matcher>> = read.params.get("query").map(selector).transpose()?.into_iter().collect();
    read.run(move |context| {
        let values = context.rows.label_values(Signal::Logs, &name, &selectors, TimeRange::new(start, end))?;
        let mut out = String::new();
        json::strings(&mut out, values.iter().map(|value| &**value));
        Ok(out)
    })
    .await
}

async fn labels(read: Read) -> Response {
    respond(values_of(read, String::new()).await)
}

async fn label_values(Path(name): Path<String>, read: Read) -> Response {
    respond(values_of(read, name).await)
}

async fn series(read: Read) -> Response {
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
async fn format_query(read: Read) -> Response {
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
