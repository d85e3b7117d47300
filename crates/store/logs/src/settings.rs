//! How log rows are grouped and paged.

use model::ByteSize;
use serde::{Deserialize, Serialize};

/// Steers the encoding of a flush. Readers take what they need from the data itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// About how many bytes of uncompressed bodies make one row group. A flush needs roughly three times as much
    /// memory.
    pub row_group: ByteSize,
    /// At most how many rows one row group holds, give or take a batch.
    pub group_rows: u32,
    /// How many rows are decoded together.
    pub page_rows: u32,
    /// Whether every row group is decoded again after it was encoded, and compared. It costs about as much as encoding.
    pub verify: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { row_group: ByteSize::mib(32), group_rows: 400_000, page_rows: 4096, verify: cfg!(debug_assertions) }
    }
}
