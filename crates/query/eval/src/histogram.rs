//! Native histograms while a query works on them: sparse buckets by index, and their arithmetic.
//!
//! The layout rules (schemas, zero bucket, custom buckets, reset hints) are those of Prometheus' native histograms.

pub mod buckets;
pub mod quantile;
pub mod reset;
pub mod trim;

use model::{
    Histogram,
    histogram::{CUSTOM_BUCKETS, ResetHint, Span},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A histogram with its buckets as pairs of index and count, ascending by index, in place of spans.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Native {
    /// -4..=8 exponential, or -53: custom buckets.
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub reset: ResetHint,
    pub positive: Vec<(i32, f64)>,
    pub negative: Vec<(i32, f64)>,
    /// Upper bounds of custom buckets, ascending, without +Inf.
    pub custom: Arc<[f64]>,
}

/// An exponential histogram met one with custom buckets: they have no common layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incompatible;

/// What adding or subtracting had to bend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bent {
    /// One side says that its counter was reset, the other that it was not.
    pub collision: bool,
    /// Custom bounds differed; the result has those that both had.
    pub reconciled: bool,
}

impl Native {
    pub fn from_model(from: &Histogram) -> Native {
        Native {
            schema: from.schema,
            zero_threshold: from.zero_threshold,
            zero_count: from.zero_count,
            count: from.count,
            sum: from.sum,
            reset: from.reset,
            positive: unspan(&from.positive_spans, &from.positive),
            negative: unspan(&from.negative_spans, &from.negative),
            custom: Arc::clone(&from.custom_values),
        }
    }

    /// The same with spans; buckets without observations are left out.
    pub fn to_model(&self) -> Histogram {
        let (positive_spans, positive) = span(&self.positive);
        let (negative_spans, negative) = span(&self.negative);
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            reset: self.reset,
            integer: false,
            positive_spans,
            positive,
            negative_spans,
            negative,
            custom_values: Arc::clone(&self.custom),
        }
    }

    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// About how many bytes this takes in memory.
    pub fn size(&self) -> usize {
        160 + 16 * (self.positive.len() + self.negative.len())
    }

    /// An empty histogram of the same layout.
    pub fn empty_like(&self) -> Native {
        Native { schema: self.schema, custom: Arc::clone(&self.custom), ..Native::default() }
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.count
    }

    /// Multiplies every count and the sum.
    pub fn scale(&mut self, factor: f64) {
        self.each(|v| v * factor);
        if factor < 0.0 {
            self.reset = ResetHint::Gauge;
        }
    }

    /// Divides every count and the sum. Dividing by zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|v| v / divisor);
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        }
        if divisor < 0.0 {
            self.reset = ResetHint::Gauge;
        }
    }

    fn each(&mut self, f: impl Fn(f64) -> f64) {
        self.zero_count = f(self.zero_count);
        self.count = f(self.count);
        self.sum = f(self.sum);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, count)| *count = f(*count));
    }

    /// Adds `other`; both may come out in a coarser layout that they share.
    pub fn add(&mut self, other: &Native) -> Result<Bent, Incompatible> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`.
    pub fn sub(&mut self, other: &Native) -> Result<Bent, Incompatible> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Native, sign: f64) -> Result<Bent, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut bent = Bent { collision: self.join_hint(other.reset), reconciled: false };
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if self.is_custom() {
            if same_bounds(&self.custom, &other.custom) {
                add_buckets(&mut self.positive, &other.positive, sign);
                return Ok(bent);
            }
            bent.reconciled = true;
            let common = common_bounds(&self.custom, &other.custom);
            let mut mine = onto_bounds(&self.positive, &self.custom, &common);
            add_buckets(&mut mine, &onto_bounds(&other.positive, &other.custom, &common), sign);
            self.positive = mine;
            self.custom = common.into();
            return Ok(bent);
        }
        let other_zero = self.reconcile_zero(other);
        self.zero_count += sign * other_zero;
        let schema = self.schema.min(other.schema);
        self.reduce_to(schema);
        let threshold = self.zero_threshold;
        let theirs = |buckets: &[(i32, f64)]| -> Vec<(i32, f64)> {
            let outside = buckets.iter().filter(|(index, _)| buckets::lower(*index, other.schema) >= threshold);
            buckets::reduce(outside.copied(), other.schema, schema)
        };
        add_buckets(&mut self.positive, &theirs(&other.positive), sign);
        add_buckets(&mut self.negative, &theirs(&other.negative), sign);
        Ok(bent)
    }

    /// Joins reset hints; says whether they contradict each other.
    fn join_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.reset, other) {
            (a, b) if a == b => false,
            (Gauge, _) | (Unknown, Unknown) => false,
            (_, Gauge) => {
                self.reset = Gauge;
                false
            }
            (Unknown, _) => false,
            (_, Unknown) => {
                self.reset = Unknown;
                false
            }
            _ => {
                self.reset = Unknown;
                true
            }
        }
    }

    /// Merges buckets until the schema is `schema`; does nothing when it is not coarser.
    pub fn reduce_to(&mut self, schema: i32) {
        if schema >= self.schema || self.is_custom() {
            return;
        }
        self.positive = buckets::reduce(self.positive.iter().copied(), self.schema, schema);
        self.negative = buckets::reduce(self.negative.iter().copied(), self.schema, schema);
        self.schema = schema;
    }

    /// Widens this zero bucket until it equals that of `other`, and answers what is in the zero bucket of `other` then.
    fn reconcile_zero(&mut self, other: &Native) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        // Thresholds only grow, from bucket bound to bucket bound, so this ends.
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold) = other.zero_count_within(self.zero_threshold);
            } else if threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.zero_count_within(threshold);
                let (schema, threshold) = (self.schema, self.zero_threshold);
                self.positive.retain(|(index, _)| buckets::lower(*index, schema) >= threshold);
                self.negative.retain(|(index, _)| buckets::lower(*index, schema) >= threshold);
            } else {
                break; // A threshold that is not a number.
            }
        }
        count
    }

    /// What a zero bucket up to `threshold` would hold, and the threshold that it needs so as not to cut a bucket.
    fn zero_count_within(&self, threshold: f64) -> (f64, f64) {
        let mut threshold = threshold;
        loop {
            let mut count = self.zero_count;
            let mut grown = threshold;
            for (index, observed) in self.positive.iter().chain(&self.negative) {
                if buckets::lower(*index, self.schema) >= threshold {
                    continue;
                }
                count += observed;
                let upper = buckets::upper(*index, self.schema);
                if upper > grown && *observed != 0.0 {
                    grown = upper;
                }
            }
            // Also true for a threshold that is not a number, which does not grow.
            if grown == threshold || threshold.is_nan() {
                return (count, threshold);
            }
            threshold = grown;
        }
    }

    /// Equal in what they say: buckets without observations and hints do not count.
    pub fn same(&self, other: &Native) -> bool {
        let equal = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        let buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
            let some = |v: &[(i32, f64)]| v.iter().copied().filter(|(_, c)| *c != 0.0).collect::<Vec<_>>();
            let (a, b) = (some(a), some(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1))
        };
        self.schema == other.schema
            && equal(self.count, other.count)
            && equal(self.sum, other.sum)
            && (self.is_custom() && same_bounds(&self.custom, &other.custom)
                || !self.is_custom()
                    && self.zero_threshold == other.zero_threshold
                    && equal(self.zero_count, other.zero_count))
            && buckets(&self.positive, &other.positive)
            && buckets(&self.negative, &other.negative)
    }
}

/// Whether two lists of custom bounds are the same.
pub fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b)
}

/// The bounds that are in both lists.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.binary_search_by(|x| x.total_cmp(bound)).is_ok()).collect()
}

/// Custom buckets, counted into wider bounds.
fn onto_bounds(from: &[(i32, f64)], bounds: &[f64], common: &[f64]) -> Vec<(i32, f64)> {
    let mut out: Vec<(i32, f64)> = Vec::new();
    for (index, count) in from {
        let upper = usize::try_from(*index).ok().and_then(|i| bounds.get(i)).copied().unwrap_or(f64::INFINITY);
        let target = common.partition_point(|bound| *bound < upper) as i32;
        match out.last_mut() {
            Some(last) if last.0 == target => last.1 += count,
            _ => out.push((target, *count)),
        }
    }
    out
}

fn add_buckets(to: &mut Vec<(i32, f64)>, from: &[(i32, f64)], sign: f64) {
    if from.is_empty() {
        return;
    }
    let mut out = Vec::with_capacity(to.len().max(from.len()));
    let (mut mine, mut theirs) = (to.iter().peekable(), from.iter().peekable());
    loop {
        match (mine.peek(), theirs.peek()) {
            (Some(a), Some(b)) if a.0 == b.0 => {
                out.push((a.0, a.1 + sign * b.1));
                mine.next();
                theirs.next();
            }
            (Some(a), Some(b)) if a.0 < b.0 => {
                out.push(**a);
                mine.next();
            }
            (_, Some(b)) => {
                out.push((b.0, sign * b.1));
                theirs.next();
            }
            (Some(a), None) => {
                out.push(**a);
                mine.next();
            }
            (None, None) => break,
        }
    }
    *to = out;
}

/// Reads spans. Bounded by the number of counts, whatever the spans say.
fn unspan(spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(counts.len());
    let mut index = 0i32;
    let mut counts = counts.iter();
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            // Ascending even when a broken span goes backwards.
            if out.last().is_none_or(|(last, _)| *last < index) {
                out.push((index, *count));
            }
            index = index.saturating_add(1);
        }
    }
    out
}

fn span(buckets: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0i64;
    for (index, count) in buckets.iter().filter(|(_, count)| *count != 0.0) {
        let gap = i64::from(*index) - next;
        match spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            _ => spans.push(Span { offset: gap.clamp(i32::MIN.into(), i32::MAX.into()) as i32, length: 1 }),
        }
        counts.push(*count);
        next = i64::from(*index) + 1;
    }
    (spans, counts)
}

#[cfg(test)]
mod tests;
