//! Turns the answer of a rule's expression into the series that it records.

use crate::error::Error;
use crate::files::Rule;
use model::{Labels, LabelsBuilder};
use serde::Deserialize;
use std::collections::BTreeMap;
use wire::protobuf::{put_bytes, put_double, put_uint};

/// Prometheus's answer to an instant query, as far as floats go.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Element>),
    Scalar((f64, String)),
}

#[derive(Debug, Deserialize)]
struct Element {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

/// The series that a rule records, from the JSON answer of its expression.
pub fn series(rule: &Rule, answer: &[u8]) -> Result<Vec<(Labels, f64)>, Error> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|e| Error::Unreadable(e.to_string()))?;
    let elements = match answer.data {
        Data::Scalar(value) => vec![Element { metric: BTreeMap::new(), value: Some(value) }],
        Data::Vector(elements) => elements,
    };
    // Native histograms have no `value`; recording them is not there yet.
    let floats = elements.into_iter().filter_map(|element| Some((element.metric, element.value?.1)));
    floats
        .map(|(metric, value)| {
            let value = value.parse::<f64>().map_err(|e| Error::Unreadable(e.to_string()))?;
            let mut labels = LabelsBuilder::default();
            for (name, value) in metric.iter().chain(&rule.labels) {
                labels.set(name.as_str(), value.as_str());
            }
            labels.set(model::labels::METRIC_NAME, rule.record.as_str());
            Ok((labels.build(), value))
        })
        .collect()
}

/// A remote write 1.0 body, snappy-compressed. `time` in Unix milliseconds.
pub fn body(series: &[(Labels, f64)], time: i64) -> Vec<u8> {
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

    #[test]
    fn recorded_series_have_the_rules_name_and_labels() {
        let rule = Rule {
            record: "job:up:sum".into(),
            expr: String::new(),
            labels: BTreeMap::from([("tier".into(), "a".into()), ("gone".into(), String::new())]),
        };
        let answer = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"x","gone":"y"},"value":[1.5,"3"]},
            {"metric":{"job":"h"},"histogram":[1.5,{}]}]}}"#;
        let recorded = series(&rule, answer).expect("reads");
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].0.to_string(), r#"{__name__="job:up:sum", job="x", tier="a"}"#);
        assert_eq!(recorded[0].1, 3.0);
        let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"+Inf"]}}"#;
        assert_eq!(series(&rule, scalar).expect("reads")[0].1, f64::INFINITY);
        assert!(series(&rule, b"{}").is_err());
    }
}
