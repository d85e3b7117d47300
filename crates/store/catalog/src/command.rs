//! What can be asked of the catalog, and what it answers. Both travel as JSON: they are few, and old ones must stay
//! readable.

use crate::entry::{BlockEntry, SegmentEntry};
use crate::lease::Lease;
use model::TenantId;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// A flush wrote this segment. Taken only if it begins where the shard's last one ended.
    Add { segment: SegmentEntry },
    /// These segments and blocks are gone: their rows have passed their retention. Taken only under the lease of this
    /// epoch; without one, always.
    Remove {
        names: Vec<String>,
        #[serde(default)]
        epoch: Option<u64>,
    },
    /// The compactor `holder` wants the lease, which it last saw with this epoch and renewal; nobody (an empty name)
    /// when it gives the lease back. See [`Lease`].
    Lease { holder: String, epoch: u64, renewal: u64 },
    /// Blocks take the place of segments and blocks, all at once or not at all. Taken only under the lease of this
    /// epoch, and only if no row could be lost, seen twice, or change its place among others by it.
    Replace {
        epoch: u64,
        removed: Vec<String>,
        added: Vec<BlockEntry>,
        /// The delete requests whose rows were left out. Taken only if none of them was taken back.
        #[serde(default)]
        without: Vec<(TenantId, u64)>,
    },
    /// A command of the delete requests; under the lease of this epoch, if there is one.
    Delete {
        command: deletes::Command,
        #[serde(default)]
        epoch: Option<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// Done; the catalog has this version now.
    Done { version: u64 },
    /// Another flush of the shard was first: its segments reach up to `through`, since `version`.
    Taken { through: u64, version: u64 },
    /// The lease as it is now, and the version that the catalog has. It is the asker's if it names the asker.
    Lease { lease: Lease, version: u64 },
    /// A delete request that was followed is taken back.
    Withdrawn,
    /// What the delete requests answer, and the version that the catalog has.
    Delete { reply: deletes::Reply, version: u64 },
    /// The lease has another epoch by now: whoever asked must stop.
    Fenced { epoch: u64 },
    /// The command cannot be read or done; the text says why.
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
