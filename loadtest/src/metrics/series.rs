//! How a series' value moves from scrape to scrape.

use crate::seed::{hash, unit};

/// The upper bounds of Traefik's classic histogram.
pub const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// The share of the requests at or under each bound.
const SHARES: [f64; 12] = [0.08, 0.21, 0.43, 0.62, 0.78, 0.91, 0.96, 0.985, 0.995, 0.998, 0.9995, 1.0];

/// What a series counts or measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Grows by about `rate` a scrape, in fractions.
    Counter {
        rate: f64,
    },
    /// Grows by about `rate` a scrape, in whole numbers.
    Count {
        rate: f64,
    },
    /// Whole numbers around `mean`, multiples of `unit`.
    Gauge {
        mean: f64,
        unit: f64,
    },
    Constant {
        value: f64,
    },
    /// A bucket of a classic histogram that grows by about `rate` a scrape.
    Bucket {
        rate: f64,
        bound: usize,
    },
    /// The sum of a histogram whose observations are `mean` on average.
    Sum {
        rate: f64,
        mean: f64,
    },
}

impl Kind {
    /// The value after `age` scrapes; `key` is the series' own.
    pub fn value(self, key: u64, age: u64) -> f64 {
        // Within a step the noise moves by less than one, so a counter never falls.
        let noise = unit(hash(&[key, age]));
        let steps = age as f64 + noise;
        match self {
            Kind::Counter { rate } => (1000.0 * unit(key) + steps) * rate,
            Kind::Count { rate } => ((1000.0 * unit(key) + steps) * rate).floor(),
            Kind::Gauge { mean, unit } => ((mean * (0.8 + 0.4 * noise)) / unit).round() * unit,
            Kind::Constant { value } => value,
            Kind::Bucket { rate, bound } => (SHARES[bound] * (steps * rate).floor()).floor(),
            Kind::Sum { rate, mean } => (steps * rate).floor() * mean,
        }
    }

    /// The metric type of remote write 2.0.
    pub fn code(self) -> u64 {
        match self {
            Kind::Counter { .. } | Kind::Count { .. } => 1,
            Kind::Gauge { .. } | Kind::Constant { .. } => 2,
            Kind::Bucket { .. } | Kind::Sum { .. } => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_grow_and_buckets_nest() {
        for kind in [
            Kind::Counter { rate: 0.37 },
            Kind::Count { rate: 12.5 },
            Kind::Bucket { rate: 9.0, bound: 4 },
            Kind::Sum { rate: 9.0, mean: 0.1 },
        ] {
            let values: Vec<f64> = (0..200).map(|age| kind.value(99, age)).collect();
            assert!(values.is_sorted(), "{kind:?}: {values:?}");
            assert!(values[199] > values[0]);
        }
        for age in 0..50 {
            let buckets: Vec<f64> = (0..12).map(|bound| Kind::Bucket { rate: 40.0, bound }.value(5, age)).collect();
            assert!(buckets.is_sorted(), "{buckets:?}");
        }
    }
}
