//! Counts the samples that a query looks at, step by step, as Prometheus's query statistics do.

use eval::{column::Grid, histogram::Native};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What some evaluations cost that together are one query.
#[derive(Debug)]
pub struct Tally {
    grid: Grid,
    steps: Vec<AtomicU64>,
    peak: AtomicU64,
}

/// Bytes of a sample: its time and its value.
const SAMPLE: usize = 16;

impl Tally {
    /// Of a query with these steps, the last of which is at `end` or before; `step` 0 is that of an instant query.
    pub fn new(start: i64, end: i64, step: i64) -> Tally {
        let grid = if step == 0 { Grid::instant(start) } else { Grid::range(start, end, step) };
        Tally { grid, steps: (0..grid.steps).map(|_| AtomicU64::new(0)).collect(), peak: AtomicU64::new(0) }
    }

    /// Adds samples that the step at a time looks at.
    pub(crate) fn add(&self, time: i64, samples: u64) {
        let step = usize::try_from((time - self.grid.start) / self.grid.step).ok();
        if let Some(count) = step.and_then(|step| self.steps.get(step)) {
            count.fetch_add(samples, Relaxed);
        }
    }

    /// Notes the most bytes that an evaluation has kept at a time.
    pub(crate) fn kept(&self, bytes: usize) {
        self.peak.fetch_max((bytes / SAMPLE) as u64, Relaxed);
    }

    /// Time in milliseconds and samples of each step. One that two selectors or two steps look at counts twice.
    pub fn per_step(&self) -> impl Iterator<Item = (i64, u64)> {
        self.steps.iter().enumerate().map(|(step, count)| (self.grid.time(step), count.load(Relaxed)))
    }

    pub fn total(&self) -> u64 {
        self.steps.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The most that was kept at a time, in bytes of a float sample.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }
}

/// For how many float samples a histogram counts.
pub(crate) fn samples_of(histogram: &Native) -> u64 {
    let buckets = histogram.positive.len() + histogram.negative.len() + histogram.custom.len();
    ((160 + 8 * buckets) / SAMPLE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, parse, range};
    use eval::source::{SeriesIter, SeriesSource, SourceError};
    use model::{Labels, Matcher, Series, TimeRange, labels::METRIC_NAME};
    use std::sync::Arc;

    /// A sample every ten seconds, of two series.
    struct Source;

    impl SeriesSource for Source {
        fn select(&self, _: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
            Ok(Box::new(["a", "b"].into_iter().map(move |a| {
                let mut series = Series::new(Labels::from_pairs([(METRIC_NAME, "m"), ("a", a)]));
                series.times = (0..100).map(|i| i * 10_000).filter(|time| range.contains(*time)).collect();
                series.values = series.times.iter().map(|time| *time as f64).collect();
                Ok(series)
            })))
        }
    }

    #[test]
    fn samples_are_counted_as_prometheus_counts_them() {
        // As in its own tests of query statistics, of twice as many series.
        let check = |text: &str, want: [u64; 3]| {
            let tally = Arc::new(Tally::new(201_000, 261_000, 30_000));
            let options = Options { tally: Some(tally.clone()), ..Options::default() };
            range(&Source, &parse(text).expect("a query"), 201_000, 261_000, 30_000, &options).expect("an answer");
            let steps: Vec<_> = tally.per_step().collect();
            assert_eq!(steps, [(201_000, want[0]), (231_000, want[1]), (261_000, want[2])], "{text}");
            assert_eq!(tally.total(), want.iter().sum::<u64>());
            assert!(tally.peak() > 0);
        };
        check("m", [2, 2, 2]);
        check("m + m offset 1m", [4, 4, 4]);
        check("sum by (a) (rate(m[1m]))", [12, 12, 12]);
        check("max_over_time(m[20s]) + timestamp(m)", [6, 6, 6]);
        check("max_over_time(m[60s] @ 30)", [8, 8, 8]);
        // The values of a subquery, not what they were made of.
        check("max_over_time(sum(m)[20s:5s])", [4, 4, 4]);
        check("m unless m @ 0", [4, 4, 4]);
    }
}
