//! Native histograms of remote write, whose message is the same in 1.0 and 2.0 but for the start timestamp.

use crate::error::DecodeError;
use crate::protobuf::{Field, Fields, zigzag};
use model::Histogram;
use model::histogram::{CUSTOM_BUCKETS, ResetHint, Span};

/// A histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Unix milliseconds.
    pub time: i64,
    /// Unix milliseconds, 0 = none (always, in 1.0).
    pub start: i64,
    pub value: Histogram,
}

/// One side's buckets as sent: integers as differences, floats as they are.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    /// Absolute counts, from differences.
    integers: Vec<f64>,
    last: i64,
    floats: Vec<f64>,
}

fn invalid(why: &'static str) -> DecodeError {
    DecodeError::Histogram { why }
}

/// Reads a histogram, turns differences into absolute counts and holds it to what `model::Histogram` promises.
pub(super) fn read(mut fields: Fields<'_>, has_start: bool) -> Result<HistogramSample, DecodeError> {
    let mut value = Histogram::default();
    let (mut time, mut start) = (0, 0);
    let (mut negative, mut positive) = (Side::default(), Side::default());
    let (mut integer, mut custom) = (None, Vec::new());
    while let Some(field) = fields.read()? {
        match field.number {
            1 => (integer, value.count) = (Some(true), field.varint()? as f64),
            2 => (integer, value.count) = (Some(false), field.double()?),
            3 => value.sum = field.double()?,
            4 => value.schema = field.sint32()?,
            5 => value.zero_threshold = field.double()?,
            6 => value.zero_count = field.varint()? as f64,
            7 => value.zero_count = field.double()?,
            8 => negative.spans.push(read_span(&field)?),
            9 => negative.add_differences(&field)?,
            10 => field.doubles(|count| negative.floats.push(count))?,
            11 => positive.spans.push(read_span(&field)?),
            12 => positive.add_differences(&field)?,
            13 => field.doubles(|count| positive.floats.push(count))?,
            14 => value.reset = ResetHint::from_code(field.varint()?),
            15 => time = field.int()?,
            16 => field.doubles(|bound| custom.push(bound))?,
            17 if has_start => start = field.int()?,
            _ => {}
        }
    }
    value.integer = integer.unwrap_or(negative.floats.is_empty() && positive.floats.is_empty());
    (value.negative_spans, value.negative) = negative.finish(value.integer)?;
    (value.positive_spans, value.positive) = positive.finish(value.integer)?;
    value.custom_values = custom.into();
    check(&value)?;
    Ok(HistogramSample { time, start, value })
}

fn read_span(field: &Field<'_>) -> Result<Span, DecodeError> {
    let mut span = Span { offset: 0, length: 0 };
    for part in field.message()? {
        let part = part?;
        match part.number {
            1 => span.offset = part.sint32()?,
            2 => span.length = part.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}

impl Side {
    fn add_differences(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        field.varints(|difference| {
            self.last = self.last.checked_add(zigzag(difference)).ok_or(invalid("a bucket's count overflows"))?;
            self.integers.push(self.last as f64);
            Ok(())
        })
    }

    fn finish(self, integer: bool) -> Result<(Vec<Span>, Vec<f64>), DecodeError> {
        let (counts, others) = if integer { (self.integers, self.floats) } else { (self.floats, self.integers) };
        if !others.is_empty() {
            return Err(invalid("its count is of another kind (integer, float) than its buckets"));
        }
        let named: u64 = self.spans.iter().map(|span| u64::from(span.length)).sum();
        if named != counts.len() as u64 {
            return Err(invalid("its spans name another number of buckets than it has"));
        }
        // The first offset may be negative: it is an index. Later ones are gaps.
        if self.spans.iter().skip(1).any(|span| span.offset < 0) {
            return Err(invalid("a span begins before the one that precedes it ends"));
        }
        let last = self.spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum::<i64>();
        if i32::try_from(last).is_err() {
            return Err(invalid("its spans reach past the last bucket index"));
        }
        if counts.iter().any(|count| *count < 0.0) {
            return Err(invalid("a bucket's count is negative"));
        }
        Ok((self.spans, counts))
    }
}

fn check(histogram: &Histogram) -> Result<(), DecodeError> {
    if histogram.count < 0.0 || histogram.zero_count < 0.0 {
        return Err(invalid("its count or zero count is negative"));
    }
    let custom = &histogram.custom_values;
    match histogram.schema {
        -4..=8 if custom.is_empty() => Ok(()),
        -4..=8 => Err(invalid("it has custom values, but its schema is not -53")),
        CUSTOM_BUCKETS => {
            if !histogram.negative.is_empty() || histogram.zero_count != 0.0 {
                return Err(invalid("it has custom buckets, and so may have no negative or zero bucket"));
            }
            if custom.iter().any(|bound| bound.is_nan() || *bound == f64::INFINITY)
                || !custom.is_sorted_by(|a, b| a < b)
            {
                return Err(invalid("its custom values are not ascending finite bounds"));
            }
            let mut end = 0i64;
            for span in &histogram.positive_spans {
                end += i64::from(span.offset);
                if end < 0 {
                    return Err(invalid("a custom bucket has a negative index"));
                }
                end += i64::from(span.length);
            }
            match end > custom.len() as i64 + 1 {
                true => Err(invalid("its spans reach past its custom values")),
                false => Ok(()),
            }
        }
        _ => Err(invalid("its schema is not -4 to 8 or -53")),
    }
}
