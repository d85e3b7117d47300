//! Writes remote write bodies, 1.0 and 2.0, as a sender does.

use wire::protobuf::{put_bytes, put_double, put_uint, put_varint};

/// Names and values, in the order in which they are sent.
pub type Labels = Vec<(String, String)>;

/// A series of a request.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// With `__name__`.
    pub labels: Labels,
    /// Unix milliseconds and value.
    pub samples: Vec<(i64, f64)>,
    pub histograms: Vec<Native>,
    /// Labels, value and Unix milliseconds.
    pub exemplars: Vec<(Labels, f64, i64)>,
    /// Type code, help and unit: of 2.0, or of the request's own list in 1.0.
    pub metadata: Option<(u64, String, String)>,
}

/// An integer histogram of schema 0 with buckets (0.5, 1], (1, 2] … beginning at `offset`.
#[derive(Debug, Clone)]
pub struct Native {
    pub time: i64,
    pub sum: f64,
    pub offset: i32,
    pub buckets: Vec<i64>,
}

/// Labels as pairs of owned texts.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Series {
    pub fn new(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> Series {
        let mut labels = labels(pairs);
        labels.sort();
        Series { labels, samples: samples.to_vec(), ..Series::default() }
    }
}

/// `prometheus.WriteRequest`, uncompressed.
pub fn v1(all: &[Series]) -> Vec<u8> {
    let mut body = Vec::new();
    for series in all {
        let mut message = Vec::new();
        series.labels.iter().for_each(|pair| put_bytes(&mut message, 1, &pair_of(pair)));
        series.samples.iter().for_each(|sample| put_bytes(&mut message, 2, &sample_of(*sample)));
        for (labels, value, time) in &series.exemplars {
            let mut out = Vec::new();
            labels.iter().for_each(|pair| put_bytes(&mut out, 1, &pair_of(pair)));
            put_double(&mut out, 2, *value);
            put_uint(&mut out, 3, *time as u64);
            put_bytes(&mut message, 3, &out);
        }
        series.histograms.iter().for_each(|histogram| put_bytes(&mut message, 4, &histogram.encode()));
        put_bytes(&mut body, 1, &message);
    }
    for series in all {
        let Some((kind, help, unit)) = &series.metadata else { continue };
        let family = series.labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, value)| value.as_str());
        let mut out = Vec::new();
        put_uint(&mut out, 1, *kind);
        put_bytes(&mut out, 2, family.as_bytes());
        put_bytes(&mut out, 4, help.as_bytes());
        put_bytes(&mut out, 5, unit.as_bytes());
        put_bytes(&mut body, 3, &out);
    }
    body
}

/// `io.prometheus.write.v2.Request`, uncompressed.
pub fn v2(all: &[Series]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let messages: Vec<Vec<u8>> = all.iter().map(|series| series_v2(series, &mut symbols)).collect();
    let mut body = Vec::new();
    symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol.as_bytes()));
    messages.iter().for_each(|message| put_bytes(&mut body, 5, message));
    body
}

fn series_v2(series: &Series, symbols: &mut Vec<String>) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &references(&series.labels, symbols));
    series.samples.iter().for_each(|sample| put_bytes(&mut message, 2, &sample_of(*sample)));
    series.histograms.iter().for_each(|histogram| put_bytes(&mut message, 3, &histogram.encode()));
    for (labels, value, time) in &series.exemplars {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &references(labels, symbols));
        put_double(&mut out, 2, *value);
        put_uint(&mut out, 3, *time as u64);
        put_bytes(&mut message, 4, &out);
    }
    if let Some((kind, help, unit)) = &series.metadata {
        let mut out = Vec::new();
        put_uint(&mut out, 1, *kind);
        put_uint(&mut out, 3, symbol(help, symbols));
        put_uint(&mut out, 4, symbol(unit, symbols));
        put_bytes(&mut message, 5, &out);
    }
    message
}

fn references(labels: &[(String, String)], symbols: &mut Vec<String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        put_varint(&mut out, symbol(name, symbols));
        put_varint(&mut out, symbol(value, symbols));
    }
    out
}

fn symbol(text: &str, symbols: &mut Vec<String>) -> u64 {
    let at = symbols.iter().position(|symbol| symbol == text).unwrap_or_else(|| {
        symbols.push(text.to_owned());
        symbols.len() - 1
    });
    at as u64
}

fn pair_of((name, value): &(String, String)) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, name.as_bytes());
    put_bytes(&mut out, 2, value.as_bytes());
    out
}

fn sample_of((time, value): (i64, f64)) -> Vec<u8> {
    let mut out = Vec::new();
    put_double(&mut out, 1, value);
    put_uint(&mut out, 2, time as u64);
    out
}

impl Native {
    pub fn count(&self) -> i64 {
        self.buckets.iter().sum()
    }

    fn encode(&self) -> Vec<u8> {
        let fold = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
        let (mut out, mut span, mut differences) = (Vec::new(), Vec::new(), Vec::new());
        put_uint(&mut out, 1, self.count() as u64);
        put_double(&mut out, 3, self.sum);
        put_double(&mut out, 5, 1e-9);
        put_uint(&mut span, 1, fold(i64::from(self.offset)));
        put_uint(&mut span, 2, self.buckets.len() as u64);
        put_bytes(&mut out, 11, &span);
        let mut last = 0;
        for count in &self.buckets {
            put_varint(&mut differences, fold(count - last));
            last = *count;
        }
        put_bytes(&mut out, 12, &differences);
        put_uint(&mut out, 15, self.time as u64);
        out
    }
}
