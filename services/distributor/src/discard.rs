//! Why rows are discarded: a word for each reason, stable for alerts and for whoever reads an answer.

use crate::meters::add;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::Exposition;

/// The words are Loki's where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    InvalidLabels,
    MissingLabels,
    TooManyLabels,
    LabelNameTooLong,
    LabelValueTooLong,
    DuplicateLabels,
    LineTooLong,
    MetadataTooLarge,
    TooOld,
    TooNew,
    InvalidHistogram,
    MixedSamples,
    NotTranslated,
    /// A shard's leader says why: too old for the series, another value at the same time.
    RefusedByShard,
    /// Another replica of the cluster is stored.
    ReplicaNotElected,
}

/// All of them, in the order of the enum.
const NAMES: [&str; 15] = [
    "invalid_labels",
    "missing_labels",
    "max_label_names_per_series",
    "label_name_too_long",
    "label_value_too_long",
    "duplicate_label_names",
    "line_too_long",
    "structured_metadata_too_large",
    "greater_than_max_sample_age",
    "too_far_in_future",
    "invalid_histogram",
    "mixed_samples",
    "not_translated",
    "refused_by_shard",
    "replica_not_elected",
];

impl Discard {
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// Rows by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discarded([u64; NAMES.len()]);

impl Discarded {
    pub fn add(&mut self, discard: Discard, rows: u64) {
        self.0[discard as usize] += rows;
    }

    pub fn merge(&mut self, other: &Discarded) {
        self.0.iter_mut().zip(other.0).for_each(|(rows, more)| *rows += more);
    }

    pub fn rows(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What a distributor discarded since its start.
#[derive(Debug, Default)]
pub struct DiscardMeters([AtomicU64; NAMES.len()]);

impl DiscardMeters {
    pub fn count(&self, discarded: &Discarded) {
        self.0.iter().zip(discarded.0).filter(|(_, rows)| *rows > 0).for_each(|(counter, rows)| add(counter, rows));
    }

    pub fn write(&self, out: &mut Exposition) {
        for (name, counter) in NAMES.iter().zip(&self.0) {
            let rows = counter.load(Ordering::Relaxed);
            let help = "Lines and samples that were not stored, by reason.";
            out.counter("ouro_distributor_discarded_rows_total", help, &[("reason", name)], rows);
        }
    }
}
