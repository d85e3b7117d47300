//! The settings of a journal.

use crate::error::Error;
use model::ByteSize;
use serde::{Deserialize, Serialize};

/// The smallest segment: room for a head, a few records and the index.
pub(crate) const MIN_SEGMENT: u64 = 16 << 10;
/// Places inside a segment are 32 bit.
pub(crate) const MAX_SEGMENT: u64 = 2 << 30;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The size of one segment file, allocated at once and used again: 16 KiB to 2 GiB. No record can be larger.
    pub segment_size: ByteSize,
    /// Soft limit of all segments that hold needed records; over it only urgent rounds (flush markers) are taken.
    pub max_size: ByteSize,
    /// Disk space kept back so that a node with a full disk can still write flush markers, and so shrink.
    pub reserve: ByteSize,
    /// Whether a round is synced before it is acknowledged. Off only in tests and benchmarks.
    pub sync: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            segment_size: ByteSize::mib(32),
            max_size: ByteSize::mib(16 << 10),
            reserve: ByteSize::mib(16),
            sync: true,
        }
    }
}

impl Settings {
    /// Says which field is out of bounds, and what they are.
    pub fn check(&self) -> Result<(), Error> {
        let segment = self.segment_size;
        if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&segment.0) {
            return Err(Error::Settings {
                text: format!(
                    "segment_size is {segment}, it must be {} to {}",
                    ByteSize(MIN_SEGMENT),
                    ByteSize(MAX_SEGMENT)
                ),
            });
        }
        if self.max_size.0 < 2 * segment.0 {
            return Err(Error::Settings {
                text: format!("max_size is {}, it must be at least two segments of {segment}", self.max_size),
            });
        }
        Ok(())
    }

    /// Files are laid out in steps of eight bytes.
    pub(crate) fn segment(&self) -> u64 {
        self.segment_size.0 & !7
    }
}
