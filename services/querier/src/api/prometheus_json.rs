//! Prometheus's answers, byte by byte as its own API writes them.

use crate::api::data::Data;
use crate::api::json;
use crate::error::QueryError;
use crate::looked::Looked;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use eval::value::{InstantSample, SampleValue, Value, Warnings};
use model::Reason;
use promql::Tally;
use std::sync::Arc;
use std::time::Instant;

const KIND: &str = "application/json";

/// `{"status":"success","data":…}`.
pub fn success(data: impl Into<Data>, warnings: &Warnings) -> Response {
    let mut data = data.into();
    data.put_before("{\"status\":\"success\",\"data\":");
    let out = data.end();
    for (name, texts) in [("warnings", &warnings.warnings), ("infos", &warnings.infos)] {
        if !texts.is_empty() {
            out.push_str(&format!(",\"{name}\":"));
            json::strings(out, texts.iter().map(String::as_str));
        }
    }
    out.push('}');
    ([(header::CONTENT_TYPE, KIND)], data.into_body()).into_response()
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
pub fn answer(value: Value) -> Data {
    let mut out = String::from("{\"resultType\":");
    match value {
        Value::Matrix(series) => return Data::matrix(series),
        Value::Scalar(points) => {
            out.push_str("\"scalar\",\"result\":");
            let (time, value) = points.first().copied().unwrap_or((0, f64::NAN));
            json::point(&mut out, time, value);
        }
        Value::String { time_ms, text } => {
            out.push_str("\"string\",\"result\":[");
            json::seconds(&mut out, time_ms);
            out.push(',');
            json::string(&mut out, &text);
            out.push(']');
        }
        Value::Vector(samples) => {
            out.push_str("\"vector\",\"result\":");
            json::list(&mut out, &samples, instant_sample);
        }
    }
    out.push('}');
    out.into()
}

fn instant_sample(out: &mut String, sample: &InstantSample) {
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
}

/// What a query cost, for whoever asks with `stats`.
pub struct Stats {
    /// `stats=all`: step by step too.
    each_step: bool,
    /// When the request came, was read, and came to be evaluated.
    begun: Instant,
    read: Instant,
    evaluated: Instant,
    tally: Arc<Tally>,
}

impl Stats {
    /// What is wanted of a query that is about to be evaluated; nothing without `stats`.
    pub fn wanted(stats: Option<&str>, begun: Instant, read: Instant, tally: Tally) -> Option<Stats> {
        let each_step = stats? == "all";
        Some(Stats { each_step, begun, read, evaluated: Instant::now(), tally: Arc::new(tally) })
    }

    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    /// Adds them to the `data` of an answer, as Prometheus names them. Sorting is a part of the evaluation here. `results`:
    /// steps whose answer was kept from before looked at no samples.
    pub fn add(&self, data: &mut Data, looked: &Looked, kept: u64) {
        let data = data.end();
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let (now, tally) = (Instant::now(), &self.tally);
        let (parsing, waiting) = (seconds(self.begun, self.read), seconds(self.read, self.evaluated));
        let (evaluation, all) = (seconds(self.evaluated, now), seconds(self.begun, now));
        data.truncate(data.len() - 1);
        data.push_str(&format!(
            ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluation},\"resultSortTime\":0,\
             \"queryPreparationTime\":{parsing},\"innerEvalTime\":{evaluation},\"execQueueTime\":{waiting},\
             \"execTotalTime\":{all}}},\"samples\":{{"
        ));
        if self.each_step {
            data.push_str("\"totalQueryableSamplesPerStep\":");
            json::list(data, tally.per_step(), |out, (time, samples)| {
                out.push('[');
                json::seconds(out, time);
                out.push_str(&format!(",{samples}]"));
            });
            data.push(',');
        }
        let (total, peak, series, read) = (tally.total(), tally.peak(), looked.series(), looked.samples());
        data.push_str(&format!(
            "\"totalQueryableSamples\":{total},\"peakSamples\":{peak},\"samplesRead\":{read},\"seriesRead\":{series}}},\
             \"results\":{{\"stepsKept\":{kept}}}}}}}"
        ));
    }
}
