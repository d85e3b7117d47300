//! The answer in one piece (`prometheus.ReadResponse`, snappy), which every client takes.

use super::{Query, failed};
use crate::engine::Context;
use crate::error::QueryError;
use eval::source::SeriesSource;
use model::rows::HistogramSample;
use model::{Labels, Reason, Series, TimeRange};
use wire::protobuf::{put_bytes, put_double, put_uint, put_varint};
use wire::snappy;

/// The results of all queries. Holds all of it.
pub fn answer(context: &Context, queries: &[Query]) -> Result<Vec<u8>, QueryError> {
    let mut out = Vec::new();
    for query in queries {
        put_bytes(&mut out, 1, &result(context, query)?);
    }
    Ok(snappy::compress(&out))
}

fn result(context: &Context, query: &Query) -> Result<Vec<u8>, QueryError> {
    let mut series = Vec::new();
    let mut size = 0;
    for one in SeriesSource::select(&context.rows, &query.matchers, query.range).map_err(failed)? {
        if (context.cancelled)() {
            return Err(QueryError::new(Reason::Timeout, "the query was cancelled"));
        }
        let one = one.map_err(failed)?;
        size += one.size();
        let limit = context.limits.query_memory;
        if size as u64 > limit.0 {
            let text = format!("remote read would answer more than {limit} (limits.query_memory)");
            return Err(QueryError::new(Reason::OverLimit, text));
        }
        let message = encode(&one, query.range);
        series.push((one.labels(), message));
    }
    // Clients merge series in order of their labels.
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    series.iter().for_each(|(_, message)| put_bytes(&mut out, 1, message));
    Ok(out)
}

/// `prometheus.TimeSeries` of the samples within the range.
fn encode(series: &Series, range: TimeRange) -> Vec<u8> {
    let mut out = Vec::new();
    put_labels(&mut out, &series.labels());
    for (time, value) in series.times.iter().zip(&series.values).filter(|(time, _)| range.contains(**time)) {
        let mut sample = Vec::with_capacity(20);
        put_double(&mut sample, 1, *value);
        put_uint(&mut sample, 2, *time as u64);
        put_bytes(&mut out, 2, &sample);
    }
    for sample in series.histograms.iter().filter(|sample| range.contains(sample.time)) {
        put_bytes(&mut out, 4, &encode_histogram(sample));
    }
    out
}

/// `prometheus.Label`s in field 1.
pub fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels {
        let mut pair = Vec::new();
        put_bytes(&mut pair, 1, name.as_bytes());
        put_bytes(&mut pair, 2, value.as_bytes());
        put_bytes(out, 1, &pair);
    }
}

/// `prometheus.Histogram` with float counts, which hold integer ones too.
fn encode_histogram(sample: &HistogramSample) -> Vec<u8> {
    let (h, mut out) = (&sample.value, Vec::new());
    put_double(&mut out, 2, h.count);
    put_double(&mut out, 3, h.sum);
    put_uint(&mut out, 4, zigzag(h.schema));
    put_double(&mut out, 5, h.zero_threshold);
    put_double(&mut out, 7, h.zero_count);
    for (spans, counts, of_spans, of_counts) in
        [(&h.negative_spans, &h.negative, 8, 10), (&h.positive_spans, &h.positive, 11, 13)]
    {
        for span in spans {
            let mut message = Vec::new();
            put_uint(&mut message, 1, zigzag(span.offset));
            put_uint(&mut message, 2, u64::from(span.length));
            put_bytes(&mut out, of_spans, &message);
        }
        put_doubles(&mut out, of_counts, counts);
    }
    put_uint(&mut out, 14, u64::from(h.reset.code()));
    put_uint(&mut out, 15, sample.time as u64);
    put_doubles(&mut out, 16, &h.custom_values);
    out
}

fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_varint(out, u64::from(number) << 3 | 2);
        put_varint(out, 8 * values.len() as u64);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
    }
}

/// How `sint32` is written.
fn zigzag(value: i32) -> u64 {
    u64::from((value.wrapping_shl(1) ^ (value >> 31)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::protobuf::Fields;

    #[test]
    fn samples_outside_of_the_range_are_left_out() {
        let series = Series {
            times: vec![1, 2, 3],
            values: vec![0.5, 1.5, 2.5],
            ..Series::new(Labels::from_pairs([("a", "b")]))
        };
        let encoded = encode(&series, TimeRange::new(2, 2));
        let fields: Vec<_> = Fields::new(&encoded).map(|field| field.expect("a field")).collect();
        assert_eq!(fields.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2]);
        let sample: Vec<_> = fields[1].message().expect("a sample").map(|field| field.expect("a field")).collect();
        assert_eq!((sample[0].double(), sample[1].int()), (Ok(1.5), Ok(2)));
    }
}
