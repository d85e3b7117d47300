//! Cuts observations above or below a value out of a histogram.

use crate::histogram::Native;

impl Native {
    /// Leaves the observations up to `at`; a bucket that `at` cuts keeps its share of them.
    pub fn trim_upper(&mut self, at: f64) {
        self.trim(at, true);
    }

    /// Leaves the observations above `at`.
    pub fn trim_lower(&mut self, at: f64) {
        self.trim(at, false);
    }

    fn trim(&mut self, at: f64, upper: bool) {
        let share = |lower: f64, higher: f64, linear: bool| -> f64 {
            let below = if at >= higher {
                1.0
            } else if at <= lower {
                0.0
            } else {
                let bucket = crate::histogram::buckets::Bucket { lower, upper: higher, count: 1.0 };
                crate::histogram::quantile::share(bucket, at, linear)
            };
            if upper { below } else { 1.0 - below }
        };
        let custom = self.is_custom();
        let bounds: Vec<(f64, f64)> = self.positive.iter().map(|(i, _)| self.bounds(*i)).collect();
        let (mut count, mut sum) = (0.0, 0.0);
        let mut account = |kept: f64, lower: f64, higher: f64| {
            let middle = if custom || (lower <= 0.0 && higher >= 0.0) {
                match (lower.is_finite(), higher.is_finite()) {
                    (true, true) => (lower + higher) / 2.0,
                    (false, true) => higher,
                    _ => lower,
                }
            } else {
                (lower * higher).sqrt().copysign(higher)
            };
            count += kept;
            sum += if kept == 0.0 { 0.0 } else { kept * middle };
        };
        let mut changed = false;
        for ((_, observed), (lower, higher)) in self.positive.iter_mut().zip(bounds) {
            let kept = *observed * share(lower, higher, custom);
            changed |= kept != *observed;
            *observed = kept;
            account(kept, lower, higher);
        }
        if !custom {
            let bounds: Vec<(f64, f64)> = self.negative.iter().map(|(i, _)| self.bounds(*i)).collect();
            for ((_, observed), (lower, higher)) in self.negative.iter_mut().zip(bounds) {
                let kept = *observed * share(-higher, -lower, false);
                changed |= kept != *observed;
                *observed = kept;
                account(kept, -higher, -lower);
            }
            let zero = if self.zero_threshold == 0.0 {
                f64::from(u8::from(if upper { at >= 0.0 } else { at < 0.0 }))
            } else {
                share(-self.zero_threshold, self.zero_threshold, true)
            };
            let kept = self.zero_count * zero;
            changed |= kept != self.zero_count;
            self.zero_count = kept;
            account(kept, -self.zero_threshold, self.zero_threshold);
        }
        if changed {
            (self.count, self.sum) = (count, sum);
        }
    }
}
