//! An instant query's answer as `prometheus.QueryResult`: unlike Prometheus's JSON it has native histograms as they are,
//! so that rulers can record them.

use crate::error::QueryError;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use eval::value::{Answer, SampleValue, Value};
use wire::prometheus::write::{QUERY_RESULT, put_histogram, put_labels, put_sample};
use wire::protobuf::put_bytes;

/// Whether the client takes such an answer.
pub fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.replace(' ', "") == QUERY_RESULT)
}

/// Series of one sample each; that of a scalar has no labels. Remarks of the evaluation have no place here.
pub fn answer(answer: &Answer) -> Result<Vec<u8>, QueryError> {
    let (mut out, mut message) = (Vec::new(), Vec::new());
    match &answer.value {
        Value::Scalar(points) => {
            let (time, value) = points.first().copied().unwrap_or((0, f64::NAN));
            put_sample(&mut message, time, value);
            put_bytes(&mut out, 1, &message);
        }
        Value::Vector(samples) => {
            for sample in samples {
                message.clear();
                put_labels(&mut message, &sample.labels);
                match &sample.value {
                    SampleValue::Float(value) => put_sample(&mut message, sample.time_ms, *value),
                    SampleValue::Histogram(value) => put_histogram(&mut message, sample.time_ms, value),
                }
                put_bytes(&mut out, 1, &message);
            }
        }
        Value::String { .. } | Value::Matrix(_) => {
            return Err(QueryError::bad("the answer is neither a vector nor a scalar"));
        }
    }
    Ok(out)
}

pub fn success(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, QUERY_RESULT)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eval::value::{InstantSample, Warnings};
    use model::{Histogram, Labels};
    use std::sync::Arc;
    use wire::prometheus::{Version, series};

    /// Each series as `labels floats histograms`.
    fn check(value: Value, want: &[(&str, &[f64], &[Histogram])]) {
        let body = answer(&Answer { value, warnings: Warnings::default() }).expect("has series");
        let mut found = series(&body, Version::V1).map(|series| series.expect("a series"));
        for (labels, floats, histograms) in want {
            let series = found.next().expect("one more");
            let pairs = series.labels().map(|pair| pair.expect("a label"));
            assert_eq!(Labels::from_pairs(pairs).to_string(), *labels);
            let got: Vec<f64> = series.samples().map(|sample| sample.expect("a sample").value).collect();
            assert_eq!(got, *floats);
            let got: Vec<Histogram> = series.histograms().map(|h| h.expect("a histogram").value).collect();
            assert_eq!(got, *histograms);
        }
        assert!(found.next().is_none());
    }

    #[test]
    fn vectors_and_scalars_are_series() {
        let histogram = Histogram { count: 3.5, sum: 2.0, zero_count: 3.5, ..Histogram::default() };
        let sample = |l: &str, value| InstantSample { labels: Labels::from_pairs([("l", l)]), time_ms: 1500, value };
        let vector = vec![
            sample("a", SampleValue::Float(7.0)),
            sample("b", SampleValue::Histogram(Arc::new(histogram.clone()))),
        ];
        check(Value::Vector(vector), &[(r#"{l="a"}"#, &[7.0], &[]), (r#"{l="b"}"#, &[], &[histogram])]);
        check(Value::Vector(Vec::new()), &[]);
        check(Value::Scalar(vec![(1500, -1.0)]), &[("{}", &[-1.0], &[])]);
        for value in [Value::Matrix(Vec::new()), Value::String { time_ms: 0, text: String::new() }] {
            assert!(answer(&Answer { value, warnings: Warnings::default() }).is_err());
        }
    }

    #[test]
    fn only_who_takes_it_gets_it() {
        for (accept, want) in [
            ("*/*", false),
            ("application/x-protobuf", false),
            ("application/x-protobuf; proto=prometheus.QueryResult", true),
            ("application/json, application/x-protobuf;proto=prometheus.QueryResult", true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a value"))]);
            assert_eq!(is_accepted(&headers), want, "{accept}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }
}
