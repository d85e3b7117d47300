//! Quantiles, fractions and deviations of native histograms, interpolated within their buckets.

use crate::{
    histogram::{Native, buckets::Bucket},
    number::Kahan,
};

/// What observations of NaN did to a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanEffect {
    None,
    /// The rank fell among them.
    Result,
    /// They count, so the answer is higher than without them.
    Skewed,
}

impl Native {
    /// The φ-quantile: linear within custom buckets and the zero bucket, logarithmic within exponential ones.
    pub fn quantile(&self, q: f64) -> (f64, NanEffect) {
        if q < 0.0 {
            return (f64::NEG_INFINITY, NanEffect::None);
        }
        if q > 1.0 {
            return (f64::INFINITY, NanEffect::None);
        }
        if self.count == 0.0 || q.is_nan() {
            return (f64::NAN, NanEffect::None);
        }
        // From the nearer end, unless observations of NaN are in the count but in no bucket.
        let forward = self.sum.is_nan() || q < 0.5;
        let mut rank = if forward { q * self.count } else { (1.0 - q) * self.count };
        let mut buckets = self.buckets();
        if !forward {
            buckets.reverse();
        }
        let mut bucket = Bucket { lower: 0.0, upper: 0.0, count: 0.0 };
        let mut count = 0.0;
        for next in buckets.iter().filter(|b| b.count != 0.0) {
            bucket = *next;
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return (bucket.upper, NanEffect::None);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return (bucket.lower, NanEffect::None);
            }
        } else {
            bucket = self.halve_zero(bucket);
        }
        count = count.min(self.count);
        if count < rank {
            if self.sum.is_nan() {
                return (f64::NAN, NanEffect::Result);
            }
            return (if forward { bucket.upper } else { bucket.lower }, NanEffect::None);
        }
        let effect = if self.sum.is_nan() { NanEffect::Skewed } else { NanEffect::None };
        rank = if forward { rank - (count - bucket.count) } else { count - rank };
        let fraction = rank / bucket.count;
        if self.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return (bucket.lower + (bucket.upper - bucket.lower) * fraction, effect);
        }
        let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 {
            return ((low + (high - low) * fraction).exp2(), effect);
        }
        (-(high + (low - high) * (1.0 - fraction)).exp2(), effect)
    }

    /// A zero bucket of a histogram with buckets on one side only reaches to zero only.
    fn halve_zero(&self, mut bucket: Bucket) -> Bucket {
        if bucket.lower < 0.0 && bucket.upper > 0.0 {
            match (self.negative.is_empty(), self.positive.is_empty()) {
                (true, false) => bucket.lower = 0.0,
                (false, true) => bucket.upper = 0.0,
                _ => {}
            }
        }
        bucket
    }

    /// Which share of the observations lies between `lower` and `upper`.
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let mut observed = self.buckets();
        observed.retain(|b| b.count != 0.0);
        let rank = |value: f64| -> f64 {
            let mut rank = 0.0;
            for bucket in &observed {
                let zero = !self.is_custom() && bucket.lower <= 0.0 && bucket.upper >= 0.0;
                let mut bucket = if self.is_custom() { *bucket } else { self.halve_zero(*bucket) };
                if self.is_custom() && bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
                    bucket.lower = 0.0;
                }
                if bucket.lower >= value {
                    return rank;
                }
                if bucket.upper > value {
                    return rank + bucket.count * share(bucket, value, self.is_custom() || zero);
                }
                rank += bucket.count;
            }
            // Observations of NaN are in no bucket and thus below no value.
            if self.sum.is_nan() { rank } else { self.count }
        };
        (rank(upper).min(self.count) - rank(lower).min(self.count)) / self.count
    }

    /// The population variance, each bucket counted at its middle (geometric for exponential ones).
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let mut sum = Kahan::default();
        for bucket in self.buckets().iter().filter(|b| b.count != 0.0) {
            let middle = if self.is_custom() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else if bucket.upper < 0.0 {
                -(bucket.upper * bucket.lower).sqrt()
            } else {
                (bucket.upper * bucket.lower).sqrt()
            };
            let delta = middle - mean;
            sum.add(bucket.count * delta * delta);
        }
        sum.value() / self.count
    }
}

/// Which part of a bucket lies below `value`, which is within it.
pub(crate) fn share(bucket: Bucket, value: f64, linear: bool) -> f64 {
    if bucket.lower == f64::NEG_INFINITY {
        return 1.0;
    }
    if bucket.upper == f64::INFINITY {
        return 0.0;
    }
    if linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (low, high, at) = (bucket.lower.abs().log2(), bucket.upper.abs().log2(), value.abs().log2());
    if value > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
}
