//! What a compactor counts.

use crate::job::Done;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Exposition;

const LAG: &str = "Age of the oldest segment that is not merged, if this compactor has the lease; else 0.";

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// 1 while this compactor has the lease.
    pub leads: AtomicU64,
    /// Named by the catalog at the last look.
    pub segments_now: AtomicU64,
    pub blocks_now: AtomicU64,
    /// When the oldest of these segments was written, in Unix milliseconds; zero without segments.
    pub oldest_segment: AtomicU64,
    pub expired: AtomicU64,
    pub swept: AtomicU64,
    pub swept_bytes: AtomicU64,
    pub failures: AtomicU64,
    jobs: AtomicU64,
    inputs: AtomicU64,
    blocks: AtomicU64,
    rows: AtomicU64,
    raw_bytes: AtomicU64,
    bytes: AtomicU64,
}

/// What a compactor did since its start; rows and bytes are those of the blocks that it made.
#[derive(Debug, Serialize)]
pub struct Sums {
    merges: u64,
    inputs: u64,
    blocks: u64,
    rows: u64,
    raw_bytes: u64,
    bytes: u64,
    expired: u64,
    swept: u64,
    swept_bytes: u64,
    failures: u64,
}

impl Counts {
    pub fn done(&self, done: &Done) {
        let add = |count: &AtomicU64, more: u64| {
            count.fetch_add(more, Ordering::Relaxed);
        };
        add(&self.jobs, 1);
        add(&self.inputs, done.inputs as u64);
        add(&self.blocks, done.blocks as u64);
        add(&self.rows, done.rows);
        add(&self.raw_bytes, done.raw_bytes);
        add(&self.bytes, done.bytes);
    }

    /// Whether this compactor has the lease.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed) == 1
    }

    /// What was done since the start.
    pub fn sums(&self) -> Sums {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Sums {
            merges: load(&self.jobs),
            inputs: load(&self.inputs),
            blocks: load(&self.blocks),
            rows: load(&self.rows),
            raw_bytes: load(&self.raw_bytes),
            bytes: load(&self.bytes),
            expired: load(&self.expired),
            swept: load(&self.swept),
            swept_bytes: load(&self.swept_bytes),
            failures: load(&self.failures),
        }
    }

    fn lag(&self, now: SystemTime) -> Duration {
        let oldest = self.oldest_segment.load(Ordering::Relaxed);
        if oldest == 0 || self.leads.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        now.duration_since(UNIX_EPOCH + Duration::from_millis(oldest)).unwrap_or_default()
    }

    pub fn write(&self, out: &mut Exposition) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        out.gauge("ouro_compactor_leads", "1 while this compactor has the lease.", &[], load(&self.leads) as f64);
        out.gauge("ouro_compactor_lag_seconds", LAG, &[], self.lag(SystemTime::now()).as_secs_f64());
        for (kind, count) in [("segment", &self.segments_now), ("block", &self.blocks_now)] {
            let help = "Segments and blocks that the catalog names, at this compactor's last look.";
            out.gauge("ouro_compactor_objects", help, &[("kind", kind)], load(count) as f64);
        }
        for (name, help, count) in [
            ("ouro_compactor_jobs_total", "Merges that were done.", &self.jobs),
            ("ouro_compactor_inputs_total", "Segments and blocks that were merged.", &self.inputs),
            ("ouro_compactor_blocks_total", "Blocks that were made of them.", &self.blocks),
            ("ouro_compactor_rows_total", "Rows of these blocks.", &self.rows),
            ("ouro_compactor_raw_bytes_total", "Their bytes before compression.", &self.raw_bytes),
            ("ouro_compactor_bytes_total", "Bytes of these blocks.", &self.bytes),
            ("ouro_compactor_failures_total", "Looks and merges that failed.", &self.failures),
            ("ouro_compactor_expired_objects_total", "Segments and blocks past their retention.", &self.expired),
            ("ouro_compactor_swept_objects_total", "Objects without a name that were deleted.", &self.swept),
            ("ouro_compactor_swept_bytes_total", "Their bytes.", &self.swept_bytes),
        ] {
            out.counter(name, help, &[], load(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_the_lease_lags() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        for (leads, oldest, lag) in [(1, 40_000, 60), (0, 40_000, 0), (1, 0, 0), (1, 200_000, 0)] {
            let counts = Counts { leads: leads.into(), oldest_segment: oldest.into(), ..Counts::default() };
            assert_eq!(counts.lag(now), Duration::from_secs(lag), "{leads} {oldest}");
        }
    }
}
