//! Loki's answers, as its clients read them.

use crate::api::json;
use crate::looked::Looked;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use eval::source::Order;
use eval::value::{SampleValue, Value};
use logql::StreamEntries;
use model::Labels;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

/// What a query read, for the `stats` of its answer.
#[derive(Debug, Default, Clone, Copy)]
pub struct Stats {
    seconds: f64,
    entries: u64,
    lines: u64,
    bytes: u64,
    pages: u64,
}

impl Stats {
    /// Of a query that began then, looked at so much, and answers so many entries.
    pub fn of(looked: &Looked, begun: Instant, entries: u64) -> Stats {
        let (lines, bytes, pages) = (looked.lines(), looked.bytes(), looked.pages());
        Stats { seconds: begun.elapsed().as_secs_f64(), entries, lines, bytes, pages }
    }
}

/// `{"status":"success","data":…}`, with `warnings` if there are any.
pub fn success(data: &str, warnings: &[String]) -> Response {
    bare(format!("{{\"status\":\"success\",\"data\":{data}}}"), warnings)
}

/// An answer that is an object without an envelope, with `warnings` in it if there are any.
pub fn bare(mut object: String, warnings: &[String]) -> Response {
    json::warn(&mut object, warnings);
    json_response(object)
}

pub fn json_response(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], text).into_response()
}

/// The `data` of a metric query's answer.
pub fn metric(value: &Value, stats: Stats) -> String {
    let mut out = String::new();
    match value {
        Value::Scalar(points) => {
            out.push_str("{\"resultType\":\"scalar\",\"result\":");
            let (time, value) = points.first().copied().unwrap_or((0, f64::NAN));
            json::point(&mut out, time, value);
        }
        Value::Vector(samples) => {
            out.push_str("{\"resultType\":\"vector\",\"result\":");
            json::list(&mut out, samples, |out, sample| {
                out.push_str("{\"metric\":");
                json::labels(out, &sample.labels);
                out.push_str(",\"value\":");
                // LogQL has floats only.
                let value = if let SampleValue::Float(value) = sample.value { value } else { f64::NAN };
                json::point(out, sample.time_ms, value);
                out.push('}');
            });
        }
        Value::Matrix(series) => {
            out.push_str("{\"resultType\":\"matrix\",\"result\":");
            json::list(&mut out, series, |out, series| {
                out.push_str("{\"metric\":");
                json::labels(out, &series.labels());
                out.push_str(",\"values\":");
                json::list(out, &series.points, |out, (time, value)| json::point(out, *time, *value));
                out.push('}');
            });
        }
        Value::String { text, .. } => {
            out.push_str("{\"resultType\":\"string\",\"result\":");
            json::string(&mut out, text);
        }
    }
    write_stats(&mut out, stats);
    out.push('}');
    out
}

/// The `data` of a log query's answer: each stream with all its labels or, when the client asked for categories,
/// with the stream's own labels and the others beside each entry.
pub fn streams(found: &[StreamEntries], categorize: bool, stats: Stats) -> String {
    let mut out = String::from("{\"resultType\":\"streams\",");
    if categorize {
        out.push_str("\"encodingFlags\":[\"categorize-labels\"],");
    }
    out.push_str("\"result\":");
    list_streams(&mut out, found, categorize);
    write_stats(&mut out, stats);
    out.push('}');
    out
}

/// `[…]` of streams and their entries.
pub fn list_streams(out: &mut String, found: &[StreamEntries], categorize: bool) {
    json::list(out, found, |out, stream| {
        out.push_str("{\"stream\":");
        json::labels(out, &stream.labels);
        out.push_str(",\"values\":");
        json::list(out, &stream.entries, |out, entry| {
            let _ = write!(out, "[\"{}\",", entry.time_ns);
            json::string(out, &entry.line);
            if categorize {
                out.push_str(",{");
                let kinds = [("structuredMetadata", &entry.structured_metadata), ("parsed", &entry.parsed)];
                for (at, (name, labels)) in kinds.into_iter().filter(|(_, labels)| !labels.is_empty()).enumerate() {
                    let _ = write!(out, "{}\"{name}\":", if at > 0 { "," } else { "" });
                    json::labels(out, labels);
                }
                out.push('}');
            }
            out.push(']');
        });
        out.push('}');
    });
}

/// Streams by the labels that they have with categories: their own only. Entries keep the order of the query.
pub fn by_stream(found: Vec<StreamEntries>, order: Order) -> Vec<StreamEntries> {
    let mut streams: BTreeMap<Labels, StreamEntries> = BTreeMap::new();
    for stream in found {
        for entry in &stream.entries {
            let labels = stream.stream_labels(entry);
            let known = streams.entry(labels.clone());
            let known = known.or_insert_with(|| StreamEntries { labels, entries: Vec::new() });
            known.entries.push(entry.clone());
        }
    }
    for stream in streams.values_mut() {
        match order {
            Order::Forward => stream.entries.sort_by_key(|entry| entry.time_ns),
            Order::Backward => stream.entries.sort_by_key(|entry| std::cmp::Reverse(entry.time_ns)),
        }
    }
    streams.into_values().collect()
}

/// Loki's statistics, as far as they mean something here: lines and bytes are those that the stages were given.
fn write_stats(out: &mut String, stats: Stats) {
    let Stats { seconds, entries, lines, bytes, pages } = stats;
    let rate = |count: u64| if seconds > 0.0 { (count as f64 / seconds) as u64 } else { 0 };
    let _ = write!(
        out,
        ",\"stats\":{{\"summary\":{{\"bytesProcessedPerSecond\":{},\"linesProcessedPerSecond\":{},\
         \"totalBytesProcessed\":{bytes},\"totalLinesProcessed\":{lines},\"execTime\":{seconds},\
         \"totalPagesProcessed\":{pages},\"totalEntriesReturned\":{entries}}}}}",
        rate(bytes),
        rate(lines),
    );
}
