//! The answers of the query APIs, as far as the client shows them.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub struct Answer {
    pub data: Data,
    #[serde(default)]
    pub warnings: Vec<String>,
    #[serde(default)]
    pub infos: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub enum Data {
    Streams(Vec<Stream>),
    Vector(Vec<Element>),
    Matrix(Vec<Range>),
    Scalar(Point),
    String(Point),
}

pub type Names = BTreeMap<String, String>;

/// Unix seconds and the value's text.
pub type Point = (f64, String);

#[derive(Debug, Deserialize)]
pub struct Stream {
    pub stream: Names,
    /// Unix nanoseconds and the line.
    pub values: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub struct Element {
    pub metric: Names,
    pub value: Option<Point>,
    pub histogram: Option<(f64, Histogram)>,
}

#[derive(Debug, Deserialize)]
pub struct Range {
    pub metric: Names,
    #[serde(default)]
    pub values: Vec<Point>,
    #[serde(default)]
    pub histograms: Vec<(f64, Histogram)>,
}

#[derive(Debug, Deserialize)]
pub struct Histogram {
    pub count: String,
    pub sum: String,
}

/// `name{a="1", b="2"}`.
pub fn series_name(metric: &Names) -> String {
    let name = metric.get("__name__").map_or("", String::as_str);
    let labels: Vec<_> = metric.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| format!("{n}={v:?}")).collect();
    match (name, labels.is_empty()) {
        ("", true) => "{}".into(),
        (name, true) => name.into(),
        (name, false) => format!("{name}{{{}}}", labels.join(", ")),
    }
}

/// Lines of all streams in the order of time, oldest first: nanoseconds, labels, line.
pub fn lines(streams: Vec<Stream>) -> Vec<(i64, String, String)> {
    let mut lines = Vec::new();
    for stream in streams {
        let labels = series_name(&stream.stream);
        lines.extend(stream.values.into_iter().map(|(time, line)| (time.parse().unwrap_or(0), labels.clone(), line)));
    }
    lines.sort_by_key(|(time, _, _)| *time);
    lines
}

/// `2026-11-22 03:04:05.678` in the local time zone.
pub fn local_time(nanos: i64) -> String {
    match jiff::Timestamp::from_nanosecond(nanos.into()) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => nanos.to_string(),
    }
}
