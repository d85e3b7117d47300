//! Writes `prometheus.TimeSeries`, of which remote write 1.0, answers to remote read and `prometheus.QueryResult` are made.

use crate::protobuf::{put_bytes, put_double, put_doubles, put_sint, put_uint};
use model::{Histogram, Labels};

/// The media type of a `prometheus.QueryResult`. Its bytes are those of a body of remote write 1.0 with the same series.
pub const QUERY_RESULT: &str = "application/x-protobuf;proto=prometheus.QueryResult";

pub fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels {
        let mut pair = Vec::with_capacity(name.len() + value.len() + 8);
        put_bytes(&mut pair, 1, name.as_bytes());
        put_bytes(&mut pair, 2, value.as_bytes());
        put_bytes(out, 1, &pair);
    }
}

/// `time`: Unix milliseconds.
pub fn put_sample(out: &mut Vec<u8>, time: i64, value: f64) {
    let mut sample = Vec::with_capacity(20);
    put_double(&mut sample, 1, value);
    put_uint(&mut sample, 2, time as u64);
    put_bytes(out, 2, &sample);
}

/// With float counts, which hold integer ones too. `time`: Unix milliseconds.
pub fn put_histogram(out: &mut Vec<u8>, time: i64, value: &Histogram) {
    let mut message = Vec::new();
    put_double(&mut message, 2, value.count);
    put_double(&mut message, 3, value.sum);
    put_sint(&mut message, 4, value.schema.into());
    put_double(&mut message, 5, value.zero_threshold);
    put_double(&mut message, 7, value.zero_count);
    for (spans, counts, of_spans, of_counts) in
        [(&value.negative_spans, &value.negative, 8, 10), (&value.positive_spans, &value.positive, 11, 13)]
    {
        for span in spans {
            let mut part = Vec::new();
            put_sint(&mut part, 1, span.offset.into());
            put_uint(&mut part, 2, u64::from(span.length));
            put_bytes(&mut message, of_spans, &part);
        }
        put_doubles(&mut message, of_counts, counts);
    }
    put_uint(&mut message, 14, u64::from(value.reset.code()));
    put_uint(&mut message, 15, time as u64);
    put_doubles(&mut message, 16, &value.custom_values);
    put_bytes(out, 4, &message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::{Version, series};
    use model::histogram::{CUSTOM_BUCKETS, ResetHint, Span};

    fn check(value: Histogram) {
        let (labels, mut message, mut body) =
            (Labels::from_pairs([("__name__", "h"), ("a", "")]), Vec::new(), Vec::new());
        put_labels(&mut message, &labels);
        put_sample(&mut message, -7, -0.0);
        put_histogram(&mut message, 1_700_000_000_000, &value);
        put_bytes(&mut body, 1, &message);
        let read = series(&body, Version::V1).next().expect("a series").expect("reads");
        let pairs: Vec<_> = read.labels().map(|pair| pair.expect("a label")).collect();
        assert_eq!(Labels::from_pairs(pairs), labels);
        let sample = read.samples().next().expect("a sample").expect("reads");
        assert_eq!((sample.time, sample.value.to_bits()), (-7, (-0.0f64).to_bits()));
        let histogram = read.histograms().next().expect("a histogram").expect("reads");
        assert_eq!((histogram.time, histogram.value), (1_700_000_000_000, value));
    }

    #[test]
    fn what_is_written_is_read() {
        check(Histogram::default());
        check(Histogram {
            schema: -4,
            zero_threshold: 1e-128,
            zero_count: 0.5,
            count: 10.75,
            sum: f64::NEG_INFINITY,
            reset: ResetHint::Gauge,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 5, length: 1 }],
            positive: vec![1.5, 0.0, 4.0],
            negative_spans: vec![Span { offset: i32::MIN, length: 1 }],
            negative: vec![4.75],
            ..Histogram::default()
        });
        check(Histogram {
            schema: CUSTOM_BUCKETS,
            count: 3.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive: vec![1.0, 2.0],
            custom_values: [-0.5, 0.25].into(),
            ..Histogram::default()
        });
    }
}
