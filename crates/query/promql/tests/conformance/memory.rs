//! A source of series in memory, filled from JSON.

use eval::source::{SeriesIter, SeriesSource, SourceError};
use model::{
    Histogram, Labels, Matcher, Series, TimeRange,
    histogram::{ResetHint, Span},
    rows::{HistogramSample, STALE_NAN_BITS},
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Default)]
pub struct Memory {
    series: BTreeMap<Labels, Series>,
}

/// A number that JSON writes as a string, `Inf`, `NaN` and `stale` among them.
pub fn float(json: &Json) -> f64 {
    match json.as_str() {
        None => json.as_f64().expect("a number"),
        Some("stale") => f64::from_bits(STALE_NAN_BITS),
        Some(text) => text.parse().expect("a number"),
    }
}

pub fn floats(json: &Json) -> Vec<f64> {
    json.as_array().map(|list| list.iter().map(float).collect()).unwrap_or_default()
}

pub fn labels(json: &Json) -> Labels {
    Labels::from_pairs(json.as_object().expect("labels").iter().map(|(n, v)| (n.as_str(), v.as_str().expect("a text"))))
}

pub fn histogram(json: &Json) -> Histogram {
    let spans = |json: &Json| -> Vec<Span> {
        let list = json.as_array().expect("spans");
        let number = |json: &Json| json.as_i64().expect("a number");
        list.iter().map(|s| Span { offset: number(&s[0]) as i32, length: number(&s[1]) as u32 }).collect()
    };
    Histogram {
        schema: json["schema"].as_i64().expect("a schema") as i32,
        zero_threshold: float(&json["z_bucket_w"]),
        zero_count: float(&json["z_bucket"]),
        count: float(&json["count"]),
        sum: float(&json["sum"]),
        reset: match json["hint"].as_str() {
            Some("reset") => ResetHint::Yes,
            Some("not_reset") => ResetHint::No,
            Some("gauge") => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        integer: false,
        positive_spans: spans(&json["p_spans"]),
        positive: floats(&json["p_buckets"]),
        negative_spans: spans(&json["n_spans"]),
        negative: floats(&json["n_buckets"]),
        custom_values: floats(&json["custom_values"]).into(),
    }
}

impl Memory {
    pub fn load(&mut self, list: &Json) {
        for one in list.as_array().into_iter().flatten() {
            let labels = labels(&one["labels"]);
            let mut series = Series::new(labels.clone());
            for sample in one["samples"].as_array().expect("samples") {
                let time = sample[0].as_i64().expect("a time");
                let start = sample.get(2).and_then(Json::as_i64).unwrap_or(0);
                if sample[1].is_object() {
                    series.histograms.push(HistogramSample { time, start, value: Arc::new(histogram(&sample[1])) });
                } else {
                    series.times.push(time);
                    series.values.push(float(&sample[1]));
                    series.starts.push(start);
                }
            }
            self.series.entry(labels.clone()).or_insert_with(|| Series::new(labels)).merge(series);
        }
    }
}

impl SeriesSource for Memory {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let matchers = matchers.to_vec();
        let chosen = self.series.iter().filter(move |(labels, _)| Matcher::all(&matchers, labels.as_packed()));
        Ok(Box::new(chosen.filter_map(move |(_, series)| {
            let from = series.times.partition_point(|t| *t < range.min);
            let to = series.times.partition_point(|t| *t <= range.max).max(from);
            let cut = Series {
                labels: series.labels.clone(),
                times: series.times[from..to].to_vec().into(),
                values: series.values[from..to].to_vec(),
                starts: series.starts.get(from..to).map(<[i64]>::to_vec).unwrap_or_default(),
                histograms: series.histograms.iter().filter(|h| range.contains(h.time)).cloned().collect(),
            };
            (!cut.is_empty()).then_some(Ok(cut))
        })))
    }
}
