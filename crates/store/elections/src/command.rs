//! What can be asked of the elections, and what they answer. Both travel as JSON: they are few, and old ones must stay
//! readable.

use crate::state::Elected;
use model::TenantId;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Elects a replica, if the cluster's last sign is still `seen` (0: nobody is elected).
    Elect {
        tenant: TenantId,
        cluster: String,
        replica: String,
        seen: u64,
        /// How many clusters the tenant may have.
        most: u32,
    },
    /// These replicas, each with its tenant and cluster, are heard by a distributor. Signs of others change nothing.
    Hear { heard: Vec<(TenantId, String, String)> },
    /// Clusters that nobody has heard for long, each with the last sign: forgotten, if there was none since.
    Forget { silent: Vec<(TenantId, String, u64)> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// Who is elected now: the one that was asked for, or another one.
    Elected {
        elected: Elected,
    },
    Done,
    /// The cluster would be one too many.
    Full {
        clusters: u64,
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
