//! What a ruler counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telemetry::Exposition;

#[derive(Debug, Default)]
pub struct Meters {
    /// Of rules.
    pub evaluations: AtomicU64,
    pub failures: AtomicU64,
    /// Of groups, that were due and did not begin in time.
    pub missed: AtomicU64,
    pub groups: AtomicU64,
    pub micros: AtomicU64,
    /// Alerts that could not be noted in the control group.
    pub unnoted: AtomicU64,
}

impl Meters {
    pub fn evaluated(&self, took: Duration) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn write(&self, out: &mut Exposition) {
        for (name, help, count) in [
            ("ouro_rule_evaluations_total", "Rules that were evaluated.", &self.evaluations),
            ("ouro_rule_failures_total", "Rules that could not be evaluated or recorded.", &self.failures),
            ("ouro_rule_groups_evaluated_total", "Groups that were evaluated.", &self.groups),
            ("ouro_rule_groups_missed_total", "Evaluations of groups that did not begin in time.", &self.missed),
            ("ouro_rule_notes_failed_total", "Groups whose alerts could not be noted.", &self.unnoted),
        ] {
            out.counter(name, help, &[], count.load(Ordering::Relaxed));
        }
        // A sum of seconds, as a gauge because counters here are whole numbers.
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        out.gauge("ouro_rule_groups_seconds_total", "How long groups were evaluated in all.", &[], seconds);
    }
}

/// Adds one.
pub fn count(meter: &AtomicU64) {
    meter.fetch_add(1, Ordering::Relaxed);
}
