//! Whether a counter histogram was reset since the sample before it.

use crate::histogram::{Native, buckets, common_bounds, onto_bounds, same_bounds};
use model::histogram::ResetHint;

impl Native {
    /// Whether something went down since `previous`, or the layout changed in a way that only a new start explains.
    pub fn is_reset_after(&self, previous: &Native) -> bool {
        match self.reset {
            ResetHint::Yes => return true,
            ResetHint::No | ResetHint::Gauge => return false,
            ResetHint::Unknown => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.is_custom() != previous.is_custom() {
            return true;
        }
        if self.is_custom() {
            if same_bounds(&self.custom, &previous.custom) {
                return shrank(&self.positive, &previous.positive);
            }
            let common = common_bounds(&self.custom, &previous.custom);
            return shrank(
                &onto_bounds(&self.positive, &self.custom, &common),
                &onto_bounds(&previous.positive, &previous.custom, &common),
            );
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero, threshold) = previous.zero_count_within(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero {
            return true;
        }
        let before = |from: &[(i32, f64)]| {
            let outside =
                from.iter().filter(|(index, _)| buckets::lower(*index, previous.schema) >= self.zero_threshold);
            buckets::reduce(outside.copied(), previous.schema, self.schema)
        };
        shrank(&self.positive, &before(&previous.positive)) || shrank(&self.negative, &before(&previous.negative))
    }
}

/// Whether a bucket has less than before.
fn shrank(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    before.iter().any(|(index, count)| {
        let found = now.binary_search_by_key(index, |(i, _)| *i).map_or(0.0, |at| now[at].1);
        found < *count
    })
}
