//! Prometheus's answers, byte by byte as its own API writes them.

use crate::api::json;
use crate::error::QueryError;
use crate::looked::Looked;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use eval::value::{Answer, SampleValue, SeriesPoints, Value, Warnings};
use model::Reason;
use std::time::Duration;

const KIND: &str = "application/json";

/// `{"status":"success","data":…}`.
pub fn success(data: &str, warnings: &Warnings) -> Response {
    let mut out = String::with_capacity(data.len() + 64);
    out.push_str("{\"status\":\"success\",\"data\":");
    out.push_str(data);
    for (name, texts) in [("warnings", &warnings.warnings), ("infos", &warnings.infos)] {
        if !texts.is_empty() {
            out.push_str(&format!(",\"{name}\":"));
            json::strings(&mut out, texts.iter().map(String::as_str));
        }
    }
    out.push('}');
    ([(header::CONTENT_TYPE, KIND)], out).into_response()
}

/// `{"status":"error","errorType":…,"error":…}` with the status that goes with it.
pub fn failure(error: &QueryError) -> Response {
    let (status, kind) = match error.reason {
        Reason::BadInput | Reason::TooLarge => (StatusCode::BAD_REQUEST, "bad_data"),
        Reason::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        Reason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Reason::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Reason::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        // Prometheus has no 429 for a query over its budget: what cannot be done is an execution error.
        Reason::Unprocessable | Reason::OverLimit => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        reason => (transport::status::http(reason), "bad_data"),
    };
    let mut out = format!("{{\"status\":\"error\",\"errorType\":\"{kind}\",\"error\":");
    json::string(&mut out, &error.text);
    out.push('}');
    (status, [(header::CONTENT_TYPE, KIND)], out).into_response()
}

/// The `data` of a query's answer.
pub fn answer(answer: &Answer) -> String {
    let mut out = String::with_capacity(1024);
    let (kind, instant) = match &answer.value {
        Value::Scalar(points) => ("scalar", points.first().copied()),
        Value::String { .. } => ("string", None),
        Value::Vector(_) => ("vector", None),
        Value::Matrix(_) => ("matrix", None),
    };
    out.push_str(&format!("{{\"resultType\":\"{kind}\",\"result\":"));
    match &answer.value {
        Value::Scalar(_) => {
            let (time, value) = instant.unwrap_or((0, f64::NAN));
            json::point(&mut out, time, value);
        }
        Value::String { time_ms, text } => {
            out.push('[');
            json::seconds(&mut out, *time_ms);
            out.push(',');
            json::string(&mut out, text);
            out.push(']');
        }
        Value::Vector(samples) => json::list(&mut out, samples, |out, sample| {
            out.push_str("{\"metric\":");
            json::labels(out, &sample.labels);
            match &sample.value {
                SampleValue::Float(value) => {
                    out.push_str(",\"value\":");
                    json::point(out, sample.time_ms, *value);
                }
                SampleValue::Histogram(histogram) => {
                    out.push_str(",\"histogram\":[");
                    json::seconds(out, sample.time_ms);
                    out.push(',');
                    json::histogram(out, histogram);
                    out.push(']');
                }
            }
            out.push('}');
        }),
        Value::Matrix(series) => json::list(&mut out, series, series_points),
    }
    out.push('}');
    out
}

/// Adds what a query cost to its `data`. Samples are those that were read, which for overlapping windows is less than
/// what Prometheus counts; `kept` steps needed none, since their answer was kept from before.
pub fn add_stats(data: &mut String, took: Duration, looked: &Looked, kept: u64) {
    data.truncate(data.len() - 1);
    let (seconds, samples, series) = (took.as_secs_f64(), looked.samples(), looked.series());
    data.push_str(&format!(
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{seconds},\"execTotalTime\":{seconds}}},\
         \"samples\":{{\"totalQueryableSamples\":{samples},\"seriesRead\":{series}}},\
         \"results\":{{\"stepsKept\":{kept}}}}}}}"
    ));
}

fn series_points(out: &mut String, series: &SeriesPoints) {
    out.push_str("{\"metric\":");
    json::labels(out, &series.labels());
    if !series.points.is_empty() {
        out.push_str(",\"values\":");
        json::list(out, &series.points, |out, (time, value)| json::point(out, *time, *value));
    }
    if !series.histograms.is_empty() {
        out.push_str(",\"histograms\":");
        json::list(out, &series.histograms, |out, (time, histogram)| {
            out.push('[');
            json::seconds(out, *time);
            out.push(',');
            json::histogram(out, histogram);
            out.push(']');
        });
    }
    out.push('}');
}
