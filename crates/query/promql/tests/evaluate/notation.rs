//! Series and answers as short texts: `m{l="a"} 0+10x5`, `m{l="a"} 50`.

use eval::{
    source::{SeriesIter, SeriesSource, SourceError},
    value::{SampleValue, Value},
};
use model::{
    Histogram, Labels, LabelsBuilder, Matcher, Series, TimeRange,
    histogram::{CUSTOM_BUCKETS, ResetHint, Span},
    labels::METRIC_NAME,
    rows::{HistogramSample, STALE_NAN_BITS},
};
use std::sync::Arc;

pub struct Few {
    series: Vec<Series>,
    /// The time of the last sample.
    pub last: i64,
}

/// Samples a minute apart from 0 on. `0+10x5` is 0 10 20 30 40 50, `_` no sample, `stale` the end of the series.
pub fn load(lines: &[&str]) -> Few {
    let mut few = Few { series: Vec::new(), last: 0 };
    for line in lines {
        let name_end = line.find(['{', ' ']).expect("a name");
        let labels_end = line.find('}').map_or(name_end, |at| at + 1);
        let mut labels = LabelsBuilder::default();
        labels.set(METRIC_NAME, &line[..name_end]);
        for pair in line[name_end..labels_end].trim_matches(['{', '}']).split(',').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').expect("a label");
            labels.set(name.trim(), value.trim_matches('"'));
        }
        let mut series = Series::new(labels.build());
        for (minute, value) in line[labels_end..].split_whitespace().flat_map(values).enumerate() {
            let time = minute as i64 * 60_000;
            few.last = few.last.max(time);
            if let Some(value) = value {
                series.times.push(time);
                series.values.push(value);
            }
        }
        few.series.push(series);
    }
    few
}

fn values(word: &str) -> Vec<Option<f64>> {
    let number = |text: &str| text.parse::<f64>().expect("a number");
    match (word, word.split_once('+').and_then(|(start, rest)| Some((start, rest.split_once('x')?)))) {
        ("_", _) => vec![None],
        ("stale", _) => vec![Some(f64::from_bits(STALE_NAN_BITS))],
        (_, Some((start, (step, times)))) => (0..=times.parse::<u32>().expect("a count"))
            .map(|i| Some(number(start) + f64::from(i) * number(step)))
            .collect(),
        _ => vec![Some(number(word))],
    }
}

impl Few {
    /// A series of histograms, a minute apart from 0 on.
    pub fn add_histograms(&mut self, line: &str, kinds: &[&str]) {
        let mut series = load(&[&format!("{line} ")]).series.remove(0);
        for (minute, kind) in kinds.iter().enumerate() {
            let time = minute as i64 * 60_000;
            self.last = self.last.max(time);
            series.histograms.push(HistogramSample { time, start: 0, value: Arc::new(histogram(kind)) });
        }
        self.series.push(series);
    }
}

fn histogram(kind: &str) -> Histogram {
    let spans = vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 1 }];
    let exponential = Histogram {
        count: 12.0,
        sum: 18.0,
        zero_count: 2.0,
        zero_threshold: 0.001,
        positive_spans: spans.clone(),
        positive: vec![1.0, 2.0, 3.0],
        negative_spans: spans.clone(),
        negative: vec![1.0, 2.0, 1.0],
        ..Histogram::default()
    };
    let custom = Histogram {
        schema: CUSTOM_BUCKETS,
        count: 6.0,
        sum: 9.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive: vec![1.0, 2.0, 3.0],
        custom_values: [1.0, 2.0].into(),
        ..Histogram::default()
    };
    match kind {
        "finer" => Histogram { schema: 3, ..exponential },
        "custom" => custom,
        "other custom" => Histogram { custom_values: [0.5, 2.0, 9.0].into(), ..custom },
        "gauge" => Histogram { reset: ResetHint::Gauge, ..exponential },
        "reset" => Histogram { reset: ResetHint::Yes, count: 1.0, ..exponential },
        "wide zero" => Histogram { zero_threshold: 3.0, ..exponential },
        "broken" => Histogram {
            schema: 99,
            zero_threshold: f64::NAN,
            count: f64::NEG_INFINITY,
            sum: f64::NAN,
            positive_spans: vec![Span { offset: i32::MAX, length: u32::MAX }, Span { offset: i32::MIN, length: 3 }],
            positive: vec![f64::NAN, -1.0, f64::INFINITY],
            negative_spans: vec![Span { offset: i32::MIN, length: 2 }],
            ..exponential
        },
        _ => exponential,
    }
}

impl SeriesSource for Few {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let matchers = matchers.to_vec();
        let chosen = self.series.iter().filter(move |s| Matcher::all(&matchers, &s.labels()));
        Ok(Box::new(chosen.filter_map(move |series| {
            let mut cut = Series { labels: series.labels.clone(), ..Series::default() };
            for (time, value) in series.times.iter().zip(&series.values).filter(|(t, _)| range.contains(**t)) {
                cut.times.push(*time);
                cut.values.push(*value);
            }
            cut.histograms = series.histograms.iter().filter(|h| range.contains(h.time)).cloned().collect();
            (!cut.is_empty()).then_some(Ok(cut))
        })))
    }
}

/// Six digits are enough to tell answers apart.
pub fn text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    let rounded: f64 = format!("{value:.5e}").parse().expect("a number");
    rounded.to_string()
}

fn name(labels: &Labels) -> String {
    let rest = labels.with(METRIC_NAME, "");
    let braces = if rest.is_empty() { String::new() } else { rest.to_string() };
    format!("{}{braces}", labels.metric_name())
}

/// Each series of an answer as a line; points of a matrix with their time in seconds.
pub fn answer(value: &Value) -> Vec<String> {
    let at = |(time, value): &(i64, f64)| format!("{}@{}", text(*value), time / 1000);
    match value {
        Value::Scalar(points) => points.iter().map(|p| text(p.1)).collect(),
        Value::String { text, .. } => vec![text.clone()],
        Value::Vector(samples) => samples
            .iter()
            .map(|s| match &s.value {
                SampleValue::Float(value) => format!("{} {}", name(&s.labels), text(*value)),
                SampleValue::Histogram(h) => format!("{} histogram of {}", name(&s.labels), text(h.count)),
            })
            .collect(),
        Value::Matrix(series) => {
            let line = |points: &[(i64, f64)]| points.iter().map(at).collect::<Vec<_>>().join(" ");
            series.iter().map(|s| format!("{} {}", name(&s.labels()), line(&s.points))).collect()
        }
    }
}
