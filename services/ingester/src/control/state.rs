//! What the control group replicates: the catalog, the placement, the rulers' leases and the elections, as one state machine.

use bytes::{BufMut, Bytes, BytesMut};
use catalog::Catalog;
use elections::Elections;
use leases::Leases;
use placement::Table;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The first byte of a log entry says what the rest of it is for.
const CATALOG: u8 = 1;
const PLACEMENT: u8 = 2;
const LEASES: u8 = 3;
const ELECTIONS: u8 = 4;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    pub catalog: Arc<Catalog>,
    pub table: Arc<Table>,
    #[serde(default)]
    pub leases: Arc<Leases>,
    #[serde(default)]
    pub elections: Arc<Elections>,
}

/// The log entry of a catalog's command.
pub fn for_catalog(command: &[u8]) -> Bytes {
    entry(CATALOG, command)
}

/// The log entry of a placement's command.
pub fn for_placement(command: &placement::Command) -> Bytes {
    entry(PLACEMENT, &command.encode())
}

/// The log entry of a command of the leases.
pub fn for_leases(command: &[u8]) -> Bytes {
    entry(LEASES, command)
}

/// The log entry of a command of the elections.
pub fn for_elections(command: &[u8]) -> Bytes {
    entry(ELECTIONS, command)
}

fn entry(what: u8, command: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + command.len());
    out.put_u8(what);
    out.put_slice(command);
    out.freeze()
}

impl State {
    /// Applies a committed entry; the reply is what the `Reply` of the command's crate reads.
    pub fn apply(&mut self, entry: &[u8]) -> Bytes {
        let reply = match entry.split_first() {
            Some((&CATALOG, command)) => Arc::make_mut(&mut self.catalog).apply(command).encode(),
            Some((&PLACEMENT, command)) => Arc::make_mut(&mut self.table).apply(command).encode(),
            Some((&LEASES, command)) => Arc::make_mut(&mut self.leases).apply(command).encode(),
            Some((&ELECTIONS, command)) => Arc::make_mut(&mut self.elections).apply(command).encode(),
            _ => catalog::Reply::Refused { why: "the command is of no kind that this version knows".into() }.encode(),
        };
        reply.into()
    }

    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub fn decode(bytes: &[u8]) -> Result<State, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests;
