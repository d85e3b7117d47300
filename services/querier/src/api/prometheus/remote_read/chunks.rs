//! Samples as chunks of Prometheus's storage: XOR chunks of floats, and chunks of float histograms, whose counts hold
//! integer ones too.
//!
//! Source of the formats: Prometheus's `tsdb/docs/format/chunks.md`.

use super::bits::{Bits, Xor};
use model::histogram::{CUSTOM_BUCKETS, Histogram, ResetHint, Span};
use model::rows::HistogramSample;
use model::{Series, TimeRange};
use wire::protobuf::{put_bytes, put_uint};

/// The most samples of a chunk.
pub const SAMPLES: usize = 120;
/// `prometheus.Chunk.Encoding`.
const XOR: u64 = 1;
const FLOAT_HISTOGRAM: u64 = 3;

/// The samples of a series within a range as `prometheus.Chunk`s, by their first time.
pub fn chunks(series: &Series, range: TimeRange) -> Vec<Vec<u8>> {
    let mut made: Vec<(i64, Vec<u8>)> = Vec::new();
    let within = |time: &i64| range.contains(*time);
    let floats: Vec<(i64, f64)> =
        series.times.iter().copied().zip(series.values.iter().copied()).filter(|(time, _)| within(time)).collect();
    let histograms: Vec<&HistogramSample> = series.histograms.iter().filter(|sample| within(&sample.time)).collect();
    // Chunks must not overlap: floats end where a histogram is between them, and the other way round.
    let histogram_within =
        |from, to| histograms.get(histograms.partition_point(|h| h.time <= from)).is_some_and(|h| h.time < to);
    let float_within = |from, to| floats.get(floats.partition_point(|f| f.0 <= from)).is_some_and(|f| f.0 < to);
    for run in runs(&floats, |(time, _)| *time, histogram_within) {
        made.extend(run.chunks(SAMPLES).map(|chunk| (chunk[0].0, floats_chunk(chunk))));
    }
    for run in runs(&histograms, |h| h.time, float_within) {
        made.extend(histogram_chunks(run));
    }
    made.sort_by_key(|(time, _)| *time);
    made.into_iter().map(|(_, chunk)| chunk).collect()
}

/// Pieces of a list of samples, cut where something of the other kind is between two of them.
fn runs<'s, T>(
    samples: &'s [T],
    time: impl Fn(&T) -> i64 + 's,
    between: impl Fn(i64, i64) -> bool + 's,
) -> impl Iterator<Item = &'s [T]> {
    samples.chunk_by(move |a, b| !between(time(a), time(b)))
}

fn message(first: i64, last: i64, encoding: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 24);
    put_uint(&mut out, 1, first as u64);
    put_uint(&mut out, 2, last as u64);
    put_uint(&mut out, 3, encoding);
    put_bytes(&mut out, 4, data);
    out
}

fn floats_chunk(samples: &[(i64, f64)]) -> Vec<u8> {
    let [(first, value), rest @ ..] = samples else { return Vec::new() };
    let mut out = Bits::after(&(samples.len() as u16).to_be_bytes());
    out.zigzag(*first);
    let mut xor = Xor::first(&mut out, *value);
    let (mut last, mut step) = (*first, None);
    for (time, value) in rest {
        let now = time.wrapping_sub(last);
        match step {
            None => out.varint(now as u64),
            Some(before) => out.time(now.wrapping_sub(before)),
        }
        (last, step) = (*time, Some(now));
        xor.put(&mut out, *value);
    }
    message(*first, last, XOR, &out.into_bytes())
}

fn histogram_chunks(mut samples: &[&HistogramSample]) -> Vec<(i64, Vec<u8>)> {
    let mut made = Vec::new();
    while let [first, ..] = samples {
        let len = samples.windows(2).take(SAMPLES - 1).take_while(|pair| continues(&pair[0].value, &pair[1].value));
        let len = len.count() + 1;
        made.push((first.time, histogram_chunk(&samples[..len])));
        samples = &samples[len..];
    }
    made
}

/// Whether a histogram may stand in a chunk after another one: both have the same buckets, and no counter was reset, which
/// is what a reader takes for granted there.
fn continues(before: &Histogram, next: &Histogram) -> bool {
    let grows = || {
        let pairs = before.positive.iter().zip(&next.positive).chain(before.negative.iter().zip(&next.negative));
        let whole = [(&before.count, &next.count), (&before.zero_count, &next.zero_count)];
        pairs.chain(whole).all(|(before, next)| next >= before)
    };
    let is_one = match (before.reset == ResetHint::Gauge, next.reset) {
        (true, next) => next == ResetHint::Gauge,
        (false, ResetHint::No) => true,
        (false, ResetHint::Unknown) => grows(),
        (false, ResetHint::Yes | ResetHint::Gauge) => false,
    };
    is_one
        && before.schema == next.schema
        && before.zero_threshold.to_bits() == next.zero_threshold.to_bits()
        && before.positive_spans == next.positive_spans
        && before.negative_spans == next.negative_spans
        && before.custom_values == next.custom_values
}

fn histogram_chunk(samples: &[&HistogramSample]) -> Vec<u8> {
    let [first, rest @ ..] = samples else { return Vec::new() };
    let [high, low] = (samples.len() as u16).to_be_bytes();
    let header = match first.value.reset {
        ResetHint::Unknown => 0,
        ResetHint::No => 0x40,
        ResetHint::Yes => 0x80,
        ResetHint::Gauge => 0xc0,
    };
    let mut out = Bits::after(&[high, low, header]);
    layout(&mut out, &first.value);
    out.varbit(first.time);
    let mut xors: Vec<Xor> = numbers(&first.value).map(|number| Xor::first(&mut out, number)).collect();
    let (mut last, mut step) = (first.time, 0i64);
    for sample in rest {
        let now = sample.time.wrapping_sub(last);
        out.varbit(now.wrapping_sub(step));
        (last, step) = (sample.time, now);
        xors.iter_mut().zip(numbers(&sample.value)).for_each(|(xor, number)| xor.put(&mut out, number));
    }
    message(first.time, last, FLOAT_HISTOGRAM, &out.into_bytes())
}

fn numbers(h: &Histogram) -> impl Iterator<Item = f64> {
    [h.count, h.zero_count, h.sum].into_iter().chain(h.positive.iter().chain(&h.negative).copied())
}

/// What all histograms of a chunk have in common.
fn layout(out: &mut Bits, h: &Histogram) {
    match h.zero_threshold {
        0.0 => out.put(0, 8),
        threshold => {
            // A power of two between 2^-243 and 2^10 is told by its exponent.
            let exponent = ((threshold.to_bits() >> 52) & 0x7ff) as i64 - 1022;
            let is_power = threshold.to_bits() & ((1 << 52) - 1) == 0 && threshold > 0.0;
            if is_power && (-242..=11).contains(&exponent) {
                out.put((exponent + 243) as u64, 8);
            } else {
                out.put(255, 8);
                out.put(threshold.to_bits(), 64);
            }
        }
    }
    out.varbit(i64::from(h.schema));
    for spans in [&h.positive_spans, &h.negative_spans] {
        out.varbit_unsigned(spans.len() as u64);
        for Span { offset, length } in spans {
            out.varbit_unsigned(u64::from(*length));
            out.varbit(i64::from(*offset));
        }
    }
    if h.schema == CUSTOM_BUCKETS {
        out.varbit_unsigned(h.custom_values.len() as u64);
        for bound in h.custom_values.iter() {
            // A zero says that the number itself follows.
            out.put(0, 1);
            out.put(bound.to_bits(), 64);
        }
    }
}

#[cfg(test)]
mod tests;
