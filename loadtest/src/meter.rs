//! Counts what happens while it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a run has done so far.
#[derive(Default)]
pub struct Meter {
    pub rows: AtomicU64,
    /// Bytes before compression.
    pub raw_bytes: AtomicU64,
    pub wire_bytes: AtomicU64,
    pub pushes: AtomicU64,
    /// Lanes that repeat a push until it succeeds.
    pub waiting: AtomicU64,
    /// Of the pushes that succeeded, each without the failed tries before it.
    pub latency: Latency,
    errors: Mutex<BTreeMap<String, ErrorCount>>,
}

/// Failed tries of one kind.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ErrorCount {
    pub count: u64,
    /// What the first one said.
    pub first: String,
}

impl Meter {
    pub fn pushed(&self, rows: u32, raw: usize, wire: usize, took: Duration) {
        self.rows.fetch_add(rows.into(), Relaxed);
        self.raw_bytes.fetch_add(raw as u64, Relaxed);
        self.wire_bytes.fetch_add(wire as u64, Relaxed);
        self.pushes.fetch_add(1, Relaxed);
        self.latency.record(took);
    }

    pub fn failed(&self, kind: &str, text: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        match errors.get_mut(kind) {
            Some(known) => known.count += 1,
            None => {
                let first = text.trim().chars().take(300).collect();
                errors.insert(kind.to_owned(), ErrorCount { count: 1, first });
            }
        }
    }

    pub fn errors(&self) -> BTreeMap<String, ErrorCount> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Buckets for each power of two.
const PARTS: usize = 32;
const BUCKETS: usize = 40 * PARTS;

/// A histogram of durations: exact to 3 % from 1 µs up.
pub struct Latency {
    buckets: Vec<AtomicU64>,
    max: AtomicU64,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max: AtomicU64::new(0) }
    }
}

impl Latency {
    pub fn record(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        self.buckets[bucket(micros)].fetch_add(1, Relaxed);
        self.max.fetch_max(micros, Relaxed);
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max.load(Relaxed))
    }

    /// The duration that this share of all stays at or under; zero when there is none.
    pub fn quantile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut sum = 0;
        for (at, count) in counts.iter().enumerate() {
            sum += count;
            if sum >= wanted && sum > 0 {
                return Duration::from_micros(upper(at)).min(self.max());
            }
        }
        self.max()
    }
}

fn bucket(micros: u64) -> usize {
    let power = (63 - micros.max(1).leading_zeros() as usize).saturating_sub(4);
    let index = if power == 0 { micros as usize } else { power * PARTS / 2 + (micros >> power) as usize };
    index.min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    if index < PARTS {
        return index as u64;
    }
    let power = index / (PARTS / 2) - 1;
    let part = index - power * PARTS / 2;
    ((part as u64 + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything() {
        let mut last = 0;
        for micros in (0..5000).chain((13..36).map(|p| (1 << p) - 1)).chain((13..36).map(|p| 1 << p)) {
            let at = bucket(micros);
            assert!(upper(at) >= micros, "{micros} is in bucket {at} up to {}", upper(at));
            assert!(at == 0 || upper(at - 1) < micros, "{micros} could be in the bucket before {at}");
            assert!(upper(at) as f64 <= micros as f64 * 1.07 + 1.0);
            last = last.max(at);
        }
        assert!(last < BUCKETS);
    }

    #[test]
    fn quantiles_are_near() {
        let latency = Latency::default();
        assert_eq!(latency.quantile(0.99), Duration::ZERO);
        (1..=1000).for_each(|ms| latency.record(Duration::from_millis(ms)));
        for (share, ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = latency.quantile(share).as_secs_f64() * 1000.0;
            assert!((found / ms - 1.0).abs() < 0.07, "{share}: {found}");
        }
        assert_eq!(latency.max(), Duration::from_secs(1));
    }
}
