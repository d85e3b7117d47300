//! What steers a ruler.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder with a folder of rule files for each tenant; empty: no rules.
    pub folder: PathBuf,
    /// How often a group without an interval of its own is evaluated.
    #[serde(with = "settings::duration")]
    pub interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { folder: PathBuf::new(), interval: Duration::from_secs(60) }
    }
}
