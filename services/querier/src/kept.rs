//! Which of a tenant's rows are shown: none that have passed its retention, wherever they still are.

use deletes::Request;
use model::{Signal, TimeRange};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tenancy::RetentionSettings;

/// The oldest rows that a tenant is shown, in each signal's unit.
#[derive(Debug, Clone)]
pub struct Kept {
    logs: i64,
    metrics: i64,
    /// What has passed a shorter retention.
    passed: Arc<[Arc<Request>]>,
}

impl Kept {
    /// What the retention allows at this moment.
    pub fn now(retention: &RetentionSettings) -> Kept {
        Kept::at(retention, SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }

    /// … at a time in Unix milliseconds.
    pub fn at(retention: &RetentionSettings, now: i64) -> Kept {
        let oldest = |signal| retention.oldest(signal, now);
        let passed = [Signal::Logs, Signal::Metrics].into_iter().flat_map(|s| hidden::passed(retention, s, now));
        let passed = passed.map(Arc::new).collect();
        Kept { logs: oldest(Signal::Logs), metrics: oldest(Signal::Metrics), passed }
    }

    /// The part of a range that is shown.
    pub fn of(&self, signal: Signal, range: TimeRange) -> TimeRange {
        let oldest = match signal {
            Signal::Logs => self.logs,
            Signal::Metrics => self.metrics,
        };
        TimeRange::new(range.min.max(oldest), range.max)
    }

    /// What names rows of a range that have passed a shorter retention.
    pub fn hiding(&self, signal: Signal, range: TimeRange) -> impl Iterator<Item = &Arc<Request>> {
        self.passed.iter().filter(move |request| request.signal == signal && request.range().overlaps(range))
    }
}
