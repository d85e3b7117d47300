//! How queries are evaluated.

use crate::tally::Tally;
use eval::threads::Spare;
use std::{fmt, sync::Arc, time::Duration};

/// What an evaluation may do and cost. The default is what Prometheus does by default.
#[derive(Clone)]
pub struct Options {
    /// How long a sample stands for its series.
    pub lookback: Duration,
    /// The step of subqueries that name none.
    pub default_step: Duration,
    /// Whether experimental functions, aggregations and modifiers may be used.
    pub experimental: bool,
    /// Drop metric names at the end of a query instead of at each operator, so that `label_replace` and `by` still
    /// see them in between.
    pub delayed_name_removal: bool,
    /// Use the start timestamps of samples to find counter resets.
    pub start_timestamps: bool,
    /// Bytes that a query may keep (`limits.query_memory`).
    pub max_memory: usize,
    /// Steps that a range query may have.
    pub max_steps: u64,
    /// The query as it was written. With it, aggregations can be computed where the rows are.
    pub text: Option<Arc<str>>,
    /// Lends the query one more thread until what it gives is dropped, if one is idle.
    pub spare: Arc<Spare>,
    /// Where to count the samples that are looked at.
    pub tally: Option<Arc<Tally>>,
    /// Asked now and then; true ends the query.
    pub cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lookback: Duration::from_secs(300),
            default_step: Duration::from_secs(60),
            experimental: false,
            delayed_name_removal: false,
            start_timestamps: true,
            max_memory: 1 << 30,
            max_steps: 11_000,
            text: None,
            spare: Arc::new(|| None),
            tally: None,
            cancelled: Arc::new(|| false),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("lookback", &self.lookback)
            .field("default_step", &self.default_step)
            .field("experimental", &self.experimental)
            .field("delayed_name_removal", &self.delayed_name_removal)
            .field("start_timestamps", &self.start_timestamps)
            .field("max_memory", &self.max_memory)
            .field("max_steps", &self.max_steps)
            .finish_non_exhaustive()
    }
}
