//! What can be asked, and what the answer is. Both travel as JSON: they are few, and old ones must stay readable.

use crate::request::Request;
use model::{Signal, TenantId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// These rows are to be deleted. One that is the same as an open one is that one.
    Ask { tenant: TenantId, signal: Signal, query: String, start: i64, end: i64, created: i64 },
    /// A request is taken back. With `force` also one of which a part was rewritten: the rest stays and is shown again.
    Cancel { tenant: TenantId, signal: Signal, request: u64, force: bool },
    /// Nothing has rows of these requests any more. Only the compactor that has the lease can know.
    Finish { done: Vec<(TenantId, u64)> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    Taken {
        request: Arc<Request>,
    },
    Done,
    /// There is no such request of the tenant.
    Unknown,
    /// Too late to take it back: some of its rows are gone.
    Begun,
    /// … or all of them.
    Processed,
    /// The tenant has so many open requests.
    Full {
        open: u64,
        limit: u64,
    },
    /// It cannot be done; the text says why.
    Refused {
        why: String,
    },
}

impl Command {
    /// Whether a tenant may ask for it, by way of a querier.
    pub fn is_of_tenants(&self) -> bool {
        matches!(self, Command::Ask { .. } | Command::Cancel { .. })
    }
}
