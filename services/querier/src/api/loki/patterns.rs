//! The templates of lines, counted over the whole range.

use crate::api::json;
use crate::api::loki::read::{Answered, Read, check_range, options, parse, respond, rows_for};
use crate::error::QueryError;
use axum::response::Response;
use std::fmt::Write;

pub async fn patterns(read: Read) -> Response {
    respond(answer(&read).await)
}

async fn answer(read: &Read) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let step = read.step(start, end)?;
    let expr = parse(read.params.get("query").unwrap_or(""))?;
    if expr.is_metric() {
        return Err(QueryError::bad("only log queries have patterns: the query gives numbers"));
    }
    read.run(move |context| {
        check_range(&context.limits, start, end)?;
        let rows = rows_for(context, &expr);
        let found = logql::patterns(&rows, &expr, (start, end), step, &options(context))?;
        let mut out = String::new();
        json::list(&mut out, &found, |out, template| {
            out.push_str("{\"pattern\":");
            json::string(out, &template.text());
            out.push_str(",\"samples\":");
            json::list(out, &template.counts, |out, (time, lines)| {
                // Whole seconds. Writing to a string cannot fail.
                let _ = write!(out, "[{},{lines}]", time / 1_000_000_000);
            });
            out.push('}');
        });
        Ok(out)
    })
    .await
}
