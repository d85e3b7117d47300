//! Native histograms, as Prometheus remote write 2.0 and its TSDB define them.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The schema of histograms whose bucket bounds are listed in `custom_values`.
pub const CUSTOM_BUCKETS: i32 = -53;

/// How a histogram's counter reset relates to the sample before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ResetHint {
    #[default]
    Unknown,
    Yes,
    No,
    Gauge,
}

impl ResetHint {
    /// The number in remote write's `ResetHint`.
    pub fn code(self) -> u8 {
        match self {
            ResetHint::Unknown => 0,
            ResetHint::Yes => 1,
            ResetHint::No => 2,
            ResetHint::Gauge => 3,
        }
    }

    pub fn from_code(code: u64) -> ResetHint {
        match code {
            1 => ResetHint::Yes,
            2 => ResetHint::No,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        }
    }
}

/// `length` consecutive buckets, `offset` after the end of the span before (the first: after index 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// A native histogram sample with absolute float counts. Integer histograms become this without loss up to 2^53;
/// `integer` remembers that they were.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// -4..=8 exponential, or -53: custom buckets.
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub reset: ResetHint,
    pub integer: bool,
    pub positive_spans: Vec<Span>,
    /// Absolute counts, one for each bucket that the spans name.
    pub positive: Vec<f64>,
    pub negative_spans: Vec<Span>,
    pub negative: Vec<f64>,
    /// Upper bounds of custom buckets, ascending, without +Inf. Empty for other schemas.
    pub custom_values: Arc<[f64]>,
}

/// Equal bit for bit: NaN payloads and the sign of zero count.
impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        self.schema == other.schema
            && self.reset == other.reset
            && self.integer == other.integer
            && [self.zero_threshold, self.zero_count, self.count, self.sum].map(f64::to_bits)
                == [other.zero_threshold, other.zero_count, other.count, other.sum].map(f64::to_bits)
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && bits(&self.positive) == bits(&other.positive)
            && bits(&self.negative) == bits(&other.negative)
            && bits(&self.custom_values) == bits(&other.custom_values)
    }
}
