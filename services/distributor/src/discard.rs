//! Why rows are discarded: a word for each reason, stable for alerts and for whoever reads an answer.

use crate::meters::add;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::Exposition;

/// The words are Loki's or Mimir's where those have one.
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
    /// A shard's leader says why, without one of the words that follow.
    RefusedByShard,
    /// Too old for its series.
    SampleTooOld,
    NewValueForTimestamp,
    SeriesLimit,
    MetricSeriesLimit,
    /// Another replica of the cluster is stored.
    ReplicaNotElected,
    /// A rule leaves the series out.
    Relabeled,
}

/// All of them, in the order of the enum.
const NAMES: [&str; 20] = [
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
    "sample_too_old",
    "new_value_for_timestamp",
    "per_user_series_limit",
    "per_metric_series_limit",
    "replica_not_elected",
    "relabel_configuration",
];

impl Discard {
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// By the word of a shard's leader.
    pub fn of_shard(word: &str) -> Discard {
        use Discard::{MetricSeriesLimit, NewValueForTimestamp, SampleTooOld, SeriesLimit};
        let known = [SampleTooOld, NewValueForTimestamp, SeriesLimit, MetricSeriesLimit];
        known.into_iter().find(|discard| discard.name() == word).unwrap_or(Discard::RefusedByShard)
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
    /// Counts rows that nothing is told of.
    pub fn count_quietly(&self, discard: Discard, rows: u64) {
        add(&self.0[discard as usize], rows);
    }

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
