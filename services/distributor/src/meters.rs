//! What a distributor counts.

use crate::discard::DiscardMeters;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::Exposition;

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Meters {
    /// Pushes that were answered, by their answer.
    pub pushes_stored: AtomicU64,
    /// Some rows refused (400), the rest stored.
    pub pushes_partial: AtomicU64,
    /// Of replicas that are not elected (202).
    pub pushes_left: AtomicU64,
    /// Refused for what they are: 4xx but 429.
    pub pushes_refused: AtomicU64,
    /// Refused for a rate: 429.
    pub pushes_limited: AtomicU64,
    /// Not stored for no fault of theirs: 5xx.
    pub pushes_failed: AtomicU64,
    /// Lines that were stored.
    pub lines: AtomicU64,
    /// Lines that were cut.
    pub lines_truncated: AtomicU64,
    /// Samples of either kind that were stored.
    pub samples: AtomicU64,
    /// Rows of both signals that were refused, by this distributor or by a leader.
    pub rows_refused: AtomicU64,
    /// Bytes of bodies as they came.
    pub bytes_received: AtomicU64,
    /// Bytes of bodies once decompressed.
    pub bytes_inflated: AtomicU64,
    /// Entries handed to shard leaders.
    pub appends: AtomicU64,
    /// Batches within those entries.
    pub batches: AtomicU64,
    /// Label sets that were checked because they were not known.
    pub labels_checked: AtomicU64,
    /// Rows that were refused, by reason.
    pub discarded: DiscardMeters,
}

impl Meters {
    pub(crate) fn write(&self, out: &mut Exposition) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (outcome, pushes) in [
            ("stored", &self.pushes_stored),
            ("partial", &self.pushes_partial),
            ("left", &self.pushes_left),
            ("refused", &self.pushes_refused),
            ("limited", &self.pushes_limited),
            ("failed", &self.pushes_failed),
        ] {
            out.counter("ouro_pushes_total", "Pushes by their outcome.", &[("outcome", outcome)], load(pushes));
        }
        for (signal, rows) in [("logs", &self.lines), ("metrics", &self.samples)] {
            out.counter("ouro_rows_stored_total", "Lines and samples stored.", &[("signal", signal)], load(rows));
        }
        for (name, help, counter) in [
            ("ouro_rows_refused_total", "Lines and samples refused.", &self.rows_refused),
            ("ouro_lines_truncated_total", "Lines cut (limits.line_truncate).", &self.lines_truncated),
            ("ouro_push_received_bytes_total", "Bytes of pushes as they came.", &self.bytes_received),
            ("ouro_push_inflated_bytes_total", "Bytes of pushes once decompressed.", &self.bytes_inflated),
            ("ouro_appends_total", "Entries handed to shard leaders.", &self.appends),
            ("ouro_batches_total", "Batches within those entries.", &self.batches),
            ("ouro_labels_checked_total", "Label sets checked because they were not known.", &self.labels_checked),
        ] {
            out.counter(name, help, &[], load(counter));
        }
        self.discarded.write(out);
    }
}

pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
