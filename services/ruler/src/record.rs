//! Reads the answers of queries, and writes series as a sender of remote write does.

use crate::error::Error;
use crate::group::Rule;
use model::{Labels, LabelsBuilder, labels::METRIC_NAME, rows::STALE_NAN_BITS};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use wire::protobuf::{put_bytes, put_double, put_uint};

/// Series of one body: far below what a push may have.
const BATCH: usize = 2000;

/// Prometheus's answer to a query, as far as floats go.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Element>),
    Scalar((f64, String)),
    Matrix(Vec<Element>),
}

#[derive(Debug, Deserialize)]
struct Element {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

/// A series of an answer: labels and value.
pub type Sample = (BTreeMap<String, String>, f64);

/// The floats of an instant query's answer. Native histograms have none; recording them is not there yet.
pub fn floats(answer: &[u8]) -> Result<Vec<Sample>, Error> {
    let elements = match read(answer)? {
        Data::Scalar(value) => vec![Element { metric: BTreeMap::new(), value: Some(value) }],
        Data::Vector(elements) => elements,
        Data::Matrix(_) => return Err(Error::Unreadable("it is neither vector nor scalar".into())),
    };
    let floats = elements.into_iter().filter_map(|element| Some((element.metric, element.value?.1)));
    let number = |text: String| text.parse::<f64>().map_err(|e| Error::Unreadable(e.to_string()));
    floats.map(|(metric, value)| Ok((metric, number(value)?))).collect()
}

/// The label sets of a range query's answer.
pub fn label_sets(answer: &[u8]) -> Result<Vec<BTreeMap<String, String>>, Error> {
    match read(answer)? {
        Data::Matrix(elements) => Ok(elements.into_iter().map(|element| element.metric).collect()),
        _ => Err(Error::Unreadable("it is not a matrix".into())),
    }
}

fn read(answer: &[u8]) -> Result<Data, Error> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|e| Error::Unreadable(e.to_string()))?;
    Ok(answer.data)
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
pub fn series(rule: &Rule, found: &[Sample], limit: usize) -> Result<Vec<(Labels, f64)>, Error> {
    let series: Vec<_> = found.iter().map(|(metric, value)| (recorded(rule, metric), *value)).collect();
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

/// The value that says that a series has ended.
pub fn stale() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Remote write 1.0 bodies, snappy-compressed. `time` in Unix milliseconds.
pub fn bodies(series: &[(Labels, f64)], time: i64) -> impl Iterator<Item = Vec<u8>> {
    series.chunks(BATCH).map(move |chunk| body(chunk, time))
}

fn body(series: &[(Labels, f64)], time: i64) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, value) in series {
        let mut message = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut message, 1, &label);
        }
        let mut sample = Vec::new();
        put_double(&mut sample, 1, *value);
        put_uint(&mut sample, 2, time as u64);
        put_bytes(&mut message, 2, &sample);
        put_bytes(&mut request, 1, &message);
    }
    wire::snappy::compress(&request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        let labels = BTreeMap::from([("tier".into(), "a".into()), ("gone".into(), String::new())]);
        Rule { name: "job:up:sum".into(), expr: String::new(), query: String::new(), labels, alert: None }
    }

    #[test]
    fn recorded_series_have_the_rules_name_and_labels() {
        let answer = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"x","gone":"y"},"value":[1.5,"3"]},
            {"metric":{"job":"h"},"histogram":[1.5,{}]}]}}"#;
        let recorded = series(&rule(), &floats(answer).expect("reads"), 1).expect("makes");
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].0.to_string(), r#"{__name__="job:up:sum", job="x", tier="a"}"#);
        assert_eq!(recorded[0].1, 3.0);
        let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"+Inf"]}}"#;
        assert_eq!(floats(scalar).expect("reads")[0].1, f64::INFINITY);
        let matrix = br#"{"data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"]]}]}}"#;
        assert_eq!(label_sets(matrix).expect("reads").len(), 1);
        for (bad, sets) in [(&b"{}"[..], true), (b"{}", false), (matrix, false), (scalar, true)] {
            assert!(if sets { label_sets(bad).is_err() } else { floats(bad).is_err() });
        }
    }

    #[test]
    fn too_many_and_the_same_twice_are_errors() {
        let of = |name: &str| (BTreeMap::from([("__name__".to_owned(), name.to_owned())]), 1.0);
        assert!(matches!(series(&rule(), &[of("a"), of("b")], 0), Err(Error::Duplicate(_))), "only the name differs");
        let two = [of("a"), (BTreeMap::from([("l".to_owned(), "1".to_owned())]), 1.0)];
        assert!(matches!(series(&rule(), &two, 1), Err(Error::Limit { limit: 1, found: 2, .. })));
        assert_eq!(series(&rule(), &two, 2).expect("makes").len(), 2);
    }
}
