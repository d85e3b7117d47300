//! What one query may cost.

use eval::threads::Spare;
use std::fmt;
use std::sync::Arc;

/// Limits of one query, and whether it should end.
#[derive(Clone)]
pub struct Options {
    /// Bytes that the evaluation may keep.
    pub max_memory: usize,
    /// Series that one aggregation may make.
    pub max_series: usize,
    /// Steps of a range query.
    pub max_steps: u64,
    /// Asked now and then; true ends the query with `Cancelled`.
    pub cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Lends the query one more thread until what it gives is dropped, if one is idle.
    pub spare: Arc<Spare>,
    /// What `now` is in templates, Unix nanoseconds.
    pub now: i64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_memory: 256 << 20,
            max_series: 100_000,
            max_steps: 11_000,
            cancelled: Arc::new(|| false),
            spare: Arc::new(|| None),
            now: 0,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_memory", &self.max_memory)
            .field("max_series", &self.max_series)
            .field("max_steps", &self.max_steps)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
