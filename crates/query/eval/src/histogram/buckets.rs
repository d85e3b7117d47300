//! Bounds of buckets, and all buckets of a histogram in order.

use crate::histogram::Native;

/// One bucket with its bounds on the number line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// The upper bound of a positive exponential bucket: 2^(index · 2^-schema), the largest float where that overflows.
pub fn upper(index: i32, schema: i32) -> f64 {
    let bound = bound(index, schema);
    // The bucket that would end at 2^1024 ends at the largest float, the one after it at infinity.
    if bound.is_infinite() && self::bound(index.saturating_sub(1), schema).is_finite() { f64::MAX } else { bound }
}

/// The lower bound of a positive exponential bucket.
pub fn lower(index: i32, schema: i32) -> f64 {
    upper(index.saturating_sub(1), schema)
}

fn bound(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let exponent = i64::from(index) << (-schema).clamp(0, 16);
        return 2f64.powi(exponent.clamp(-2000, 2000) as i32);
    }
    let schema = schema.min(16);
    let whole = index >> schema;
    let fraction = index & ((1 << schema) - 1);
    let scale = 2f64.powi(whole.clamp(-2000, 2000));
    scale * (f64::from(fraction) / f64::from(1 << schema)).exp2()
}

/// Buckets of one schema, merged into a coarser one.
pub fn reduce(from: impl Iterator<Item = (i32, f64)>, schema: i32, to: i32) -> Vec<(i32, f64)> {
    let shift = (schema - to).clamp(0, 31) as u32;
    let mut out: Vec<(i32, f64)> = Vec::new();
    for (index, count) in from {
        let target = if shift == 0 { index } else { (index.saturating_sub(1) >> shift) + 1 };
        match out.last_mut() {
            Some(last) if last.0 == target => last.1 += count,
            _ => out.push((target, count)),
        }
    }
    out
}

impl Native {
    /// All buckets from the smallest to the largest. Buckets next to the zero bucket begin where it ends.
    pub fn buckets(&self) -> Vec<Bucket> {
        if self.is_custom() {
            return self.positive.iter().map(|(index, count)| self.custom_bucket(*index, *count)).collect();
        }
        let mut out = Vec::with_capacity(self.positive.len() + self.negative.len() + 1);
        let begin = |index: i32| lower(index, self.schema).max(self.zero_threshold);
        for (index, count) in self.negative.iter().rev() {
            out.push(Bucket { lower: -upper(*index, self.schema), upper: -begin(*index), count: *count });
        }
        if self.zero_count != 0.0 {
            out.push(Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero_count });
        }
        for (index, count) in &self.positive {
            out.push(Bucket { lower: begin(*index), upper: upper(*index, self.schema), count: *count });
        }
        out
    }

    /// As Prometheus writes a histogram in a label: `{count:4, sum:5, (1,2]:1}`.
    pub fn text(&self) -> String {
        use crate::number::general;
        let mut out = format!("{{count:{}, sum:{}", general(self.count), general(self.sum));
        for bucket in self.buckets().iter().filter(|b| b.count != 0.0) {
            let zero = !self.is_custom() && bucket.lower <= 0.0 && bucket.upper >= 0.0;
            let first = self.is_custom() && bucket.lower == f64::NEG_INFINITY;
            let open = if zero || first || bucket.upper < 0.0 { '[' } else { '(' };
            let close = if zero || bucket.upper > 0.0 || self.is_custom() { ']' } else { ')' };
            out += &format!(
                ", {open}{},{}{close}:{}",
                general(bucket.lower),
                general(bucket.upper),
                general(bucket.count)
            );
        }
        out + "}"
    }

    /// The bounds of a positive bucket (of a negative one: mirrored).
    pub(crate) fn bounds(&self, index: i32) -> (f64, f64) {
        if self.is_custom() {
            let bucket = self.custom_bucket(index, 0.0);
            return (bucket.lower, bucket.upper);
        }
        (lower(index, self.schema).max(self.zero_threshold), upper(index, self.schema))
    }

    fn custom_bucket(&self, index: i32, count: f64) -> Bucket {
        let at = |i: i64| usize::try_from(i).ok().and_then(|i| self.custom.get(i)).copied();
        let upper = at(i64::from(index)).unwrap_or(f64::INFINITY);
        let lower = match index {
            0 => f64::NEG_INFINITY,
            _ => at(i64::from(index) - 1).unwrap_or_else(|| self.custom.last().copied().unwrap_or(f64::NEG_INFINITY)),
        };
        Bucket { lower, upper, count }
    }
}
