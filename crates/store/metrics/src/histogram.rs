//! A native histogram as bytes: counts as varints where they are whole, bit for bit where they are not.

use crate::bytes_io::{Cursor, as_int, put_signed, put_varint};
use crate::error::{Error, corrupt};
use model::Histogram;
use model::histogram::{ResetHint, Span};

/// 2^-128, the zero threshold that nearly all histograms have.
const USUAL_THRESHOLD: u64 = (1023 - 128) << 52;

const INTEGER: u8 = 1 << 2;
const WHOLE_COUNTS: u8 = 1 << 3;
const CUSTOM: u8 = 1 << 4;
const THRESHOLD: u8 = 1 << 5;

/// Appends a histogram; FORMAT.md names the bytes.
pub fn encode(histogram: &Histogram, out: &mut Vec<u8>) {
    let counts = [histogram.count, histogram.zero_count];
    let all = counts.iter().chain(&histogram.positive).chain(&histogram.negative);
    let whole = all.into_iter().all(|count| as_int(count.to_bits()).is_some());
    let mut flags = histogram.reset.code();
    flags |= if histogram.integer { INTEGER } else { 0 };
    flags |= if whole { WHOLE_COUNTS } else { 0 };
    flags |= if histogram.custom_values.is_empty() { 0 } else { CUSTOM };
    flags |= if histogram.zero_threshold.to_bits() == USUAL_THRESHOLD { 0 } else { THRESHOLD };
    out.push(flags);
    put_signed(out, i64::from(histogram.schema));
    if flags & THRESHOLD != 0 {
        put_float(out, histogram.zero_threshold);
    }
    put_float(out, histogram.sum);
    put_counts(out, &counts, whole);
    for (spans, buckets) in
        [(&histogram.positive_spans, &histogram.positive), (&histogram.negative_spans, &histogram.negative)]
    {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_signed(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
        put_varint(out, buckets.len() as u64);
        put_counts(out, buckets, whole);
    }
    if flags & CUSTOM != 0 {
        put_varint(out, histogram.custom_values.len() as u64);
        histogram.custom_values.iter().for_each(|&bound| put_float(out, bound));
    }
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Neighbouring buckets are alike, so whole counts are kept as differences.
fn put_counts(out: &mut Vec<u8>, counts: &[f64], whole: bool) {
    let mut last = 0;
    for count in counts {
        match as_int(count.to_bits()).filter(|_| whole) {
            Some(count) => {
                put_signed(out, count - last);
                last = count;
            }
            None => put_float(out, *count),
        }
    }
}

/// Reads what `encode` wrote.
pub fn decode(cursor: &mut Cursor<'_>) -> Result<Histogram, Error> {
    let flags = cursor.u8()?;
    let whole = flags & WHOLE_COUNTS != 0;
    let schema = i32::try_from(cursor.signed()?).or(corrupt("a histogram's schema is too large"))?;
    let threshold = if flags & THRESHOLD != 0 { cursor.u64_le()? } else { USUAL_THRESHOLD };
    let sum = f64::from_bits(cursor.u64_le()?);
    let counts = take_counts(cursor, 2, whole)?;
    let (positive_spans, positive) = take_side(cursor, whole)?;
    let (negative_spans, negative) = take_side(cursor, whole)?;
    let mut custom_values = Vec::new();
    if flags & CUSTOM != 0 {
        for _ in 0..cursor.count(8)? {
            custom_values.push(f64::from_bits(cursor.u64_le()?));
        }
    }
    Ok(Histogram {
        schema,
        zero_threshold: f64::from_bits(threshold),
        zero_count: counts[1],
        count: counts[0],
        sum,
        reset: ResetHint::from_code(u64::from(flags & 3)),
        integer: flags & INTEGER != 0,
        positive_spans,
        positive,
        negative_spans,
        negative,
        custom_values: custom_values.into(),
    })
}

fn take_side(cursor: &mut Cursor<'_>, whole: bool) -> Result<(Vec<Span>, Vec<f64>), Error> {
    let count = cursor.count(2)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = i32::try_from(cursor.signed()?).or(corrupt("a histogram's span is too large"))?;
        spans.push(Span { offset, length: cursor.u32()? });
    }
    let buckets = cursor.count(if whole { 1 } else { 8 })?;
    Ok((spans, take_counts(cursor, buckets, whole)?))
}

fn take_counts(cursor: &mut Cursor<'_>, n: usize, whole: bool) -> Result<Vec<f64>, Error> {
    let mut counts = Vec::with_capacity(n);
    let mut last = 0i64;
    for _ in 0..n {
        counts.push(if whole {
            last = last.wrapping_add(cursor.signed()?);
            last as f64
        } else {
            f64::from_bits(cursor.u64_le()?)
        });
    }
    Ok(counts)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_count() -> impl Strategy<Value = f64> {
        prop_oneof![4 => (0u32..1000).prop_map(f64::from), 1 => any::<u64>().prop_map(f64::from_bits)]
    }

    fn any_spans() -> impl Strategy<Value = Vec<Span>> {
        prop::collection::vec((any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length }), 0..4)
    }

    /// Histograms with and without whole counts; spans that do not fit the buckets among them.
    pub fn any_histogram() -> impl Strategy<Value = Histogram> {
        let floats = (any_count(), any_count(), any::<f64>(), prop_oneof![Just(2f64.powi(-128)), any::<f64>()]);
        let sides = (
            any_spans(),
            prop::collection::vec(any_count(), 0..9),
            any_spans(),
            prop::collection::vec(any_count(), 0..3),
        );
        (any::<i32>(), any::<bool>(), 0u64..4, floats, sides, prop::collection::vec(any::<f64>(), 0..3)).prop_map(
            |(schema, integer, reset, (count, zero_count, sum, zero_threshold), sides, custom)| Histogram {
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                reset: ResetHint::from_code(reset),
                integer,
                positive_spans: sides.0,
                positive: sides.1,
                negative_spans: sides.2,
                negative: sides.3,
                custom_values: custom.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn histograms_come_back(histogram in any_histogram()) {
            let mut out = Vec::new();
            encode(&histogram, &mut out);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(decode(&mut cursor).expect("decodes"), histogram);
            prop_assert!(cursor.is_empty());
            for len in 0..out.len() {
                prop_assert!(decode(&mut Cursor::new(&out[..len])).is_err());
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&mut Cursor::new(&bytes));
        }
    }
}
