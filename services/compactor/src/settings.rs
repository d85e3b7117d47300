//! What steers a compactor.

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often the bucket is looked through.
    #[serde(with = "settings::duration")]
    pub interval: Duration,
    /// For how long the catalog must not have named an object before it is deleted: longer than the longest flush and
    /// the longest query.
    #[serde(with = "settings::duration")]
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { interval: Duration::from_secs(10 * 60), grace: Duration::from_secs(60 * 60) }
    }
}
