//! Reads the answers of queries, and writes series as a sender of remote write does.

use crate::error::Error;
use crate::group::Rule;
use model::histogram::ResetHint;
use model::{Histogram, Labels, LabelsBuilder, labels::METRIC_NAME, rows::STALE_NAN_BITS};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use wire::error::DecodeError;
use wire::prometheus::write::{put_histogram, put_labels, put_sample};
use wire::prometheus::{TimeSeries, Version};
use wire::protobuf::put_bytes;

/// Series of one body: far below what a push may have.
const BATCH: usize = 2000;

/// Prometheus's answer to a range query, as far as it tells of series.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Matrix(Vec<Element>),
}

#[derive(Debug, Deserialize)]
struct Element {
    metric: BTreeMap<String, String>,
}

/// What a series has at the time of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Box<Histogram>),
}

impl Value {
    /// Says that a series has ended, of whatever kind it was.
    pub fn stale() -> Value {
        Value::Float(f64::from_bits(STALE_NAN_BITS))
    }
}

/// A series of an answer: labels and value.
pub type Sample<V = f64> = (BTreeMap<String, String>, V);

/// The series of an instant query's answer, a `prometheus.QueryResult`. A histogram that cannot be stored, as one with
/// less than nothing in a bucket, is left out.
pub fn samples(answer: &[u8]) -> Result<Vec<Sample<Value>>, Error> {
    let unreadable = |error: DecodeError| Error::Unreadable(error.to_string());
    let mut found = Vec::new();
    for series in wire::prometheus::series(answer, Version::V1) {
        let series = series.map_err(unreadable)?;
        let pairs = series.labels().map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let metric = pairs.collect::<Result<BTreeMap<_, _>, _>>().map_err(unreadable)?;
        match value(&series) {
            Some(Err(DecodeError::Histogram { why })) => {
                tracing::warn!(why, ?metric, "a histogram is not recorded: it cannot be stored");
            }
            Some(value) => found.push((metric, value.map_err(unreadable)?)),
            None => return Err(Error::Unreadable("a series has no value".into())),
        }
    }
    Ok(found)
}

fn value(series: &TimeSeries<'_>) -> Option<Result<Value, DecodeError>> {
    let floats = series.samples().map(|sample| Ok(Value::Float(sample?.value)));
    let histograms = series.histograms().map(|sample| {
        let mut value = sample?.value;
        // What it says of the sample before it does not hold for the one that was recorded before it.
        if value.reset != ResetHint::Gauge {
            value.reset = ResetHint::Unknown;
        }
        Ok(Value::Histogram(Box::new(value)))
    });
    floats.chain(histograms).next()
}

/// As `samples`, without histograms.
pub fn floats(answer: &[u8]) -> Result<Vec<Sample>, Error> {
    let float = |(metric, value)| match value {
        Value::Float(value) => Some((metric, value)),
        Value::Histogram(_) => None,
    };
    Ok(samples(answer)?.into_iter().filter_map(float).collect())
}

/// The label sets of a range query's answer.
pub fn label_sets(answer: &[u8]) -> Result<Vec<BTreeMap<String, String>>, Error> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|e| Error::Unreadable(e.to_string()))?;
    let Data::Matrix(elements) = answer.data;
    Ok(elements.into_iter().map(|element| element.metric).collect())
}

/// What a recording rule makes of a label set.
pub fn recorded(rule: &Rule, metric: &BTreeMap<String, String>) -> Labels {
    let mut labels = LabelsBuilder::default();
    for (name, value) in metric.iter().chain(&rule.labels) {
        labels.set(name.as_str(), value.as_str());
    }
    labels.set(METRIC_NAME, rule.name.as_str());
    labels.build()
}

/// The series that a recording rule gives. `limit`: zero for any.
pub fn series(rule: &Rule, found: Vec<Sample<Value>>, limit: usize) -> Result<Vec<(Labels, Value)>, Error> {
    let series: Vec<_> = found.into_iter().map(|(metric, value)| (recorded(rule, &metric), value)).collect();
    if series.iter().map(|(labels, _)| labels).collect::<HashSet<_>>().len() != series.len() {
        return Err(Error::Duplicate("rule"));
    }
    check_limit(series.len(), limit, "series")?;
    Ok(series)
}

/// The limit of a group; zero for none.
pub fn check_limit(found: usize, limit: usize, what: &'static str) -> Result<(), Error> {
    if limit > 0 && found > limit { Err(Error::Limit { limit, found, what }) } else { Ok(()) }
}

/// Remote write 1.0 bodies, snappy-compressed. `time` in Unix milliseconds.
pub fn bodies(series: &[(Labels, Value)], time: i64) -> impl Iterator<Item = Vec<u8>> {
    series.chunks(BATCH).map(move |chunk| wire::snappy::compress(&body(chunk, time)))
}

/// Uncompressed.
fn body(series: &[(Labels, Value)], time: i64) -> Vec<u8> {
    let (mut request, mut message) = (Vec::new(), Vec::new());
    for (labels, value) in series {
        message.clear();
        put_labels(&mut message, labels);
        match value {
            Value::Float(value) => put_sample(&mut message, time, *value),
            Value::Histogram(value) => put_histogram(&mut message, time, value),
        }
        put_bytes(&mut request, 1, &message);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram::Span;

    fn rule() -> Rule {
        let labels = BTreeMap::from([("tier".into(), "a".into()), ("gone".into(), String::new())]);
        Rule { name: "job:up:sum".into(), expr: String::new(), query: String::new(), labels, alert: None }
    }

    fn histogram(count: f64, reset: ResetHint) -> Value {
        let positive_spans = vec![Span { offset: 1, length: 1 }];
        let value = Histogram { count, sum: 9.0, reset, positive_spans, positive: vec![count], ..Histogram::default() };
        Value::Histogram(Box::new(value))
    }

    /// A querier's answer has the bytes of a body.
    fn answer(series: &[(&[(&str, &str)], Value)]) -> Vec<u8> {
        let series: Vec<_> =
            series.iter().map(|(pairs, value)| (Labels::from_pairs(pairs.iter().copied()), value.clone())).collect();
        body(&series, 1500)
    }

    #[test]
    fn recorded_series_have_the_rules_name_and_labels() {
        let answer = answer(&[
            (&[("__name__", "up"), ("job", "x"), ("gone", "y")], Value::Float(3.0)),
            (&[("job", "h")], histogram(2.5, ResetHint::Gauge)),
            (&[("job", "resets")], histogram(2.5, ResetHint::Yes)),
            (&[("job", "bad")], histogram(-1.0, ResetHint::Unknown)),
            (&[], Value::Float(f64::INFINITY)),
        ]);
        let recorded = series(&rule(), samples(&answer).expect("reads"), 4).expect("makes");
        let series = |pairs: &str| format!(r#"{{__name__="job:up:sum", {pairs}tier="a"}}"#);
        let found: Vec<_> = recorded.into_iter().map(|(labels, value)| (labels.to_string(), value)).collect();
        assert_eq!(
            found,
            [
                (series(r#"job="x", "#), Value::Float(3.0)),
                (series(r#"job="h", "#), histogram(2.5, ResetHint::Gauge)),
                (series(r#"job="resets", "#), histogram(2.5, ResetHint::Unknown)),
                (series(""), Value::Float(f64::INFINITY)),
            ]
        );
        let floats: Vec<f64> = floats(&answer).expect("reads").into_iter().map(|(_, value)| value).collect();
        assert_eq!(floats, [3.0, f64::INFINITY], "what alerts and templates look at");
        let matrix = br#"{"data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"]]},
            {"metric":{"h":"b"},"histograms":[[1,{"count":"2","sum":"1","buckets":[[0,"1","2","2"]]}]]}]}}"#;
        assert_eq!(label_sets(matrix).expect("reads").len(), 2);
        let vector = br#"{"data":{"resultType":"vector","result":[]}}"#;
        assert!(label_sets(b"{}").is_err() && label_sets(vector).is_err());
        for bad in [&b"{}"[..], &[0x0a], &[0x0a, 0], &[0x0a, 2, 0x12, 9]] {
            assert!(matches!(samples(bad), Err(Error::Unreadable(_))), "{bad:?}");
        }
    }

    #[test]
    fn too_many_and_the_same_twice_are_errors() {
        let of = |name: &str| (BTreeMap::from([("__name__".to_owned(), name.to_owned())]), Value::Float(1.0));
        let twice = series(&rule(), vec![of("a"), of("b")], 0);
        assert!(matches!(twice, Err(Error::Duplicate(_))), "only the name differs");
        let two = vec![of("a"), (BTreeMap::from([("l".to_owned(), "1".to_owned())]), Value::Float(1.0))];
        assert!(matches!(series(&rule(), two.clone(), 1), Err(Error::Limit { limit: 1, found: 2, .. })));
        assert_eq!(series(&rule(), two, 2).expect("makes").len(), 2);
    }
}
