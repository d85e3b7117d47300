//! What can be asked of the catalog, and what it answers. Both travel as JSON: they are few, and old ones must stay
//! readable.

use crate::entry::SegmentEntry;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// A flush wrote this segment. Taken only if it begins where the shard's last one ended.
    Add { segment: SegmentEntry },
    /// These segments are gone: their rows were deleted or have passed their retention.
    Remove { names: Vec<String> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// Done; the catalog has this version now.
    Done { version: u64 },
    /// Another flush of the shard was first: its segments reach up to `through`, since `version`.
    Taken { through: u64, version: u64 },
    /// The command cannot be read; the text says why.
    Refused { why: String },
}

impl Command {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Reply {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|e| Reply::Refused { why: format!("the reply cannot be read: {e}") })
    }
}
