//! What kind of rows a shard, a segment or a request is about.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A signal is a value until the ingester's door, and a type inside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Lines of text. Times are Unix nanoseconds.
    Logs,
    /// Float and histogram samples. Times are Unix milliseconds.
    Metrics,
}

impl Signal {
    pub const ALL: [Signal; 2] = [Signal::Logs, Signal::Metrics];

    pub fn name(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }

    /// A stable number for formats on disk and on the wire.
    pub fn code(self) -> u8 {
        match self {
            Signal::Logs => 1,
            Signal::Metrics => 2,
        }
    }

    pub fn from_code(code: u8) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.code() == code)
    }

    /// How many of this signal's time units make a millisecond.
    pub fn units_per_milli(self) -> i64 {
        match self {
            Signal::Logs => 1_000_000,
            Signal::Metrics => 1,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
