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
mod tests {
    use super::*;
    use model::{GroupId, ShardCounts};
    use placement::{Command, Reply};

    #[test]
    fn each_command_reaches_its_own() {
        let mut state = State::default();
        let shards = ShardCounts { logs: 3, metrics: 1 };
        let reply = Reply::decode(&state.apply(&for_placement(&Command::Read { shards })));
        assert_eq!(reply, Reply::Done { version: 1 });
        let remove = catalog::Command::Remove { names: vec!["none".into()], epoch: None };
        let reply = catalog::Reply::decode(&state.apply(&for_catalog(&remove.encode())));
        assert_eq!(reply, catalog::Reply::Done { version: 1 });
        assert_eq!(state.table.readable(), shards);
        let back = State::decode(&state.encode()).expect("reads");
        assert_eq!((back.catalog, back.table), (state.catalog.clone(), state.table.clone()));
        for nonsense in [&b""[..], b"\x09", b"\x01{", b"\x02"] {
            assert!(matches!(catalog::Reply::decode(&state.apply(nonsense)), catalog::Reply::Refused { .. }));
        }
        let place = Command::Place { groups: vec![(GroupId(5), vec![1])] };
        assert_eq!(Reply::decode(&state.apply(&for_placement(&place))), Reply::Done { version: 2 });
        let leave = leases::Command::Leave { holder: "a".into() }.encode();
        assert_eq!(leases::Reply::decode(&state.apply(&for_leases(&leave))), leases::Reply::Done);
        let forget = elections::Command::Forget { silent: Vec::new() }.encode();
        assert_eq!(elections::Reply::decode(&state.apply(&for_elections(&forget))), elections::Reply::Done);
        let before = serde_json::json!({"catalog": &*state.catalog, "table": &*state.table}).to_string();
        let back = State::decode(before.as_bytes()).expect("reads");
        assert_eq!((back.leases, back.elections), Default::default(), "from before there were any");
    }
}
