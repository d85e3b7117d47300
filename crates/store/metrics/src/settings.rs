//! How the heads of metrics and the segments' encoder are steered.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many exemplars of a series are kept until its samples are flushed; the oldest go first.
    pub exemplars_per_series: usize,
    /// About how many samples share a page of a segment. Larger pages compress better; smaller ones make a query of
    /// one series cheaper.
    pub page_samples: usize,
    /// The zstd level of labels and of what is not a number.
    pub zstd_level: i32,
    /// The level of pco, the codec of numbers: 0 to 12.
    pub number_level: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { exemplars_per_series: 10, page_samples: 16_384, zstd_level: 3, number_level: 6 }
    }
}
