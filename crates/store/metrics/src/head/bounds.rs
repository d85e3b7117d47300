//! What the samples of a tenant are held to when they arrive.

use std::time::Duration;

/// Of one tenant, for one head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How much older than its series' newest sample a sample may be; `None`: any.
    pub window: Option<Duration>,
    /// Series that the tenant may have, over all its shards; `None`: any number.
    pub series: Option<u64>,
    /// Series of one metric name, likewise.
    pub series_per_metric: Option<u64>,
    /// How many shards the tenant's series are spread over; each takes its part, so that none asks another.
    pub shards: u32,
}

impl Bounds {
    /// This head's part of a limit of series.
    pub(super) fn part(&self, limit: u64) -> u64 {
        limit.div_ceil(u64::from(self.shards.max(1)))
    }
}

/// Why samples are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Older than the newest of the series by more than the window.
    TooOld,
    /// Another value has its time.
    OtherValue,
    /// The tenant has as many series as it may have.
    SeriesLimit,
    /// The metric has.
    MetricSeriesLimit,
}

impl Why {
    /// A word that stays, for meters and alerts; Mimir's where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Why::TooOld => "sample_too_old",
            Why::OtherValue => "new_value_for_timestamp",
            Why::SeriesLimit => "per_user_series_limit",
            Why::MetricSeriesLimit => "per_metric_series_limit",
        }
    }
}

/// Samples that are refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub why: Why,
    pub rows: u32,
    /// Of the first of them: names series, time and values or limit.
    pub text: String,
}
