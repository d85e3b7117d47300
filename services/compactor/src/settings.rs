//! What steers a compactor.

use model::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often catalog and bucket are looked through.
    #[serde(with = "settings::duration")]
    pub interval: Duration,
    /// For how long the catalog must not have named an object before it is deleted: longer than the longest flush and
    /// the longest query.
    #[serde(with = "settings::duration")]
    pub grace: Duration,
    /// How old a segment must be before it is merged: longer than the longest query.
    #[serde(with = "settings::duration")]
    pub segment_age: Duration,
    /// How long rows of a delete request are only hidden, so that it can be taken back, before anything is rewritten
    /// without them.
    #[serde(with = "settings::duration")]
    pub delete_delay: Duration,
    /// How many segments, or blocks of one tenant and level, are worth merging while more may come.
    pub fan_in: usize,
    /// Segments and blocks are merged within spans of so long. Once one is over, what is left of it is merged at last.
    #[serde(with = "settings::duration")]
    pub window: Duration,
    /// Raw bytes of one block, at most. Blocks of half as much are not merged any more.
    pub block_bytes: ByteSize,
    /// Raw bytes that are merged at once, at most; a single segment may have more.
    pub job_bytes: ByteSize,
    /// How long a compactor that is not heard of keeps others from working.
    #[serde(with = "settings::duration")]
    pub lease: Duration,
    /// The encoding of logs.
    pub logs: logs::Settings,
    /// The encoding of metrics.
    pub metrics: metrics::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            interval: Duration::from_secs(10 * 60),
            grace: Duration::from_secs(60 * 60),
            segment_age: Duration::from_secs(60 * 60),
            delete_delay: Duration::from_secs(60 * 60),
            fan_in: 8,
            window: Duration::from_secs(24 * 60 * 60),
            block_bytes: ByteSize::mib(512),
            job_bytes: ByteSize::mib(2048),
            lease: Duration::from_secs(30),
            logs: logs::Settings::default(),
            metrics: metrics::Settings::default(),
        }
    }
}

impl Settings {
    /// Says what is wrong beyond types.
    pub fn check(&self) -> Result<(), String> {
        if self.fan_in < 2 {
            return Err(format!("compactor.fan_in is {}, it must be at least 2", self.fan_in));
        }
        for (name, duration) in [("window", self.window), ("lease", self.lease)] {
            if duration.as_millis() == 0 {
                return Err(format!("compactor.{name} is {duration:?}, it must be at least a millisecond"));
            }
        }
        Ok(())
    }
}
