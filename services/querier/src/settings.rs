//! What steers a querier.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many opened segments of tenants are kept for the next query.
    pub open_segments: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { open_segments: 512 }
    }
}
