//! The labels and fields that lines have, as Logs Drilldown lists them.

use crate::api::json;
use crate::api::loki::read::{Answered, Read, check_range, failure, options, parse, rows_for_whole, selector};
use crate::api::loki_json;
use crate::api::params;
use crate::engine::Context;
use crate::error::QueryError;
use crate::federation::combined;
use crate::levels;
use axum::extract::Path;
use axum::response::Response;
use eval::source::Order;
use logql::detect::{self, Field};
use model::{Signal, TimeRange};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The newest lines that are looked at, and the fields or values that are answered, when the request does not say.
const DEFAULT: usize = 1000;

fn plain(result: Result<Answered, QueryError>) -> Response {
    match result {
        Ok((text, warnings)) => loki_json::bare(text, &warnings),
        Err(error) => failure(&error),
    }
}

pub async fn labels(read: Read) -> Response {
    plain(answer_labels(&read).await)
}

async fn answer_labels(read: &Read) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let selectors: Vec<_> = read.params.get("query").map(selector).transpose()?.into_iter().collect();
    read.run(move |context| {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for labels in context.rows.matching(Signal::Logs, &selectors, TimeRange::new(start, end))? {
            for (name, value) in &labels {
                values.entry(name.to_owned()).or_default().insert(value.to_owned());
            }
        }
        let mut out = String::from("{\"detectedLabels\":");
        json::list(&mut out, &values, |out, (name, values)| {
            out.push_str("{\"label\":");
            json::string(out, name);
            // Writing to a string cannot fail.
            let _ = write!(out, ",\"cardinality\":{}}}", values.len());
        });
        out.push('}');
        Ok(out)
    })
    .await
}

/// Finds the fields of the newest lines, and writes an answer about them; `write` is told how many to write.
async fn of_lines(
    read: &Read,
    write: impl FnOnce(&BTreeMap<String, Field>, usize) -> String + Send + 'static,
) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let expr = parse(read.params.get("query").unwrap_or(""))?;
    if expr.is_metric() {
        return Err(QueryError::bad("only log queries have fields: the query gives numbers"));
    }
    let most = combined(&params::tenants(&read.querier, &read.headers)?).max_log_rows;
    let lines = read.count("line_limit", DEFAULT.min(most as usize), most)?;
    let limit =
        read.count(if read.params.get("limit").is_some() { "limit" } else { "field_limit" }, DEFAULT, u32::MAX)?;
    read.run(move |context: &Context| {
        check_range(&context.limits, start, end)?;
        let options = options(context);
        let (rows, told_after) = rows_for_whole(context, &expr);
        let mut found = logql::entries(&rows, &expr, start, end, lines, Order::Backward, &options)?;
        if told_after {
            levels::tell(&mut found, &context.limits.discover);
        }
        Ok(write(&detect::fields(&found, &options)?, limit))
    })
    .await
}

pub async fn fields(read: Read) -> Response {
    let result = of_lines(&read, |fields, limit| {
        let mut out = String::from("{\"fields\":");
        json::list(&mut out, fields.iter().take(limit), |out, (name, field)| {
            out.push_str("{\"label\":");
            json::string(out, name);
            let _ = write!(out, ",\"type\":\"{}\",\"cardinality\":{}", field.kind.name(), field.values.len());
            out.push_str(",\"parsers\":");
            match field.parsers.is_empty() {
                true => out.push_str("null"),
                false => json::strings(out, field.parsers.iter().copied()),
            }
            if !field.path.is_empty() {
                out.push_str(",\"jsonPath\":");
                json::strings(out, field.path.iter().map(String::as_str));
            }
            out.push('}');
        });
        let _ = write!(out, ",\"limit\":{limit}}}");
        out
    });
    plain(result.await)
}

pub async fn values(Path(name): Path<String>, read: Read) -> Response {
    let result = of_lines(&read, move |fields, limit| {
        let mut out = String::from("{\"values\":");
        let values = fields.get(&name).into_iter().flat_map(|field| &field.values);
        json::strings(&mut out, values.take(limit).map(String::as_str));
        let _ = write!(out, ",\"limit\":{limit}}}");
        out
    });
    plain(result.await)
}
