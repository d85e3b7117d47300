//! What can be asked of the leases, and what they answer. Both travel as JSON: they are few, and old ones must stay
//! readable.

use crate::state::{Holder, Slot};
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// `holder` lives and keeps what it has.
    Beat {
        holder: String,
        /// For how many milliseconds after a beat others must let it be.
        patience: u64,
        /// Slots that it wants: granted if nobody has them.
        want: Vec<u32>,
        /// Slots that it lets go of.
        free: Vec<u32>,
        /// Holders that did not beat for their patience, each with the beat that was seen last: lost, if there was none since.
        dead: Vec<(String, u64)>,
    },
    /// `holder` goes and lets go of all it has.
    Leave { holder: String },
    /// What holders of this slot have noted.
    Load { slot: u32, epoch: u64 },
    /// Notes of a slot; nothing for one that may go. All are taken, or none.
    Save { slot: u32, epoch: u64, notes: Vec<(TenantId, String, Option<Arc<str>>)> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// Who lives, and who has what, by slot.
    Held {
        holders: BTreeMap<String, Holder>,
        slots: Vec<(u32, Slot)>,
    },
    /// By tenant and name.
    Notes {
        notes: Vec<(TenantId, String, Arc<str>)>,
    },
    Done,
    /// The slot has another epoch by now: whoever asked must stop.
    Fenced {
        epoch: u64,
    },
    /// The tenant's notes would be larger than they may be, in bytes.
    Full {
        tenant: TenantId,
        bytes: u64,
        limit: u64,
    },
    /// The command cannot be read or done; the text says why.
    Refused {
        why: String,
    },
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
