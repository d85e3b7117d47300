//! Which of a tenant's rows are shown: none that have passed its retention, wherever they still are.

use model::{Signal, TimeRange};
use std::time::{SystemTime, UNIX_EPOCH};
use tenancy::RetentionSettings;

/// The oldest rows that a tenant is shown, in each signal's unit.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    logs: i64,
    metrics: i64,
}

impl Kept {
    /// What the retention allows at this moment.
    pub fn now(retention: &RetentionSettings) -> Kept {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let oldest = |signal| retention.oldest(signal, now);
        Kept { logs: oldest(Signal::Logs), metrics: oldest(Signal::Metrics) }
    }

    /// The part of a range that is shown.
    pub fn of(self, signal: Signal, range: TimeRange) -> TimeRange {
        let oldest = match signal {
            Signal::Logs => self.logs,
            Signal::Metrics => self.metrics,
        };
        TimeRange::new(range.min.max(oldest), range.max)
    }
}
