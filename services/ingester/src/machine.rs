//! What the log's thread calls: a shard as a replicated state machine.

use crate::control::Control;
use crate::shard::Shard;
use crate::signal::Head;
use crate::snapshot::Flushed;
use bytes::Bytes;
use consensus::{Committed, Follow, Group, StateMachine};
use prost::Message;
use std::sync::Arc;

pub struct Machine<H: Head> {
    pub shard: Arc<Shard<H>>,
    pub control: Control,
}

impl<H: Head> StateMachine for Machine<H> {
    /// Followers keep the log, and have no head.
    fn follows(&self) -> Follow {
        Follow::Keep
    }

    fn opened(&mut self, group: &Group) {
        self.shard.attach(group.clone());
    }

    fn apply(&mut self, entry: Committed) -> Bytes {
        self.shard.apply(entry.index, entry.data, entry.slice).encode_to_vec().into()
    }

    fn restore(&mut self, index: u64, snapshot: Bytes) {
        // What the catalog knows to be in segments is not put into the head again.
        let known = self.control.catalog().shard(self.shard.id);
        self.shard.restore(index, snapshot, Flushed { through: known.through, version: known.version });
    }

    fn lead(&mut self, term: Option<u64>) {
        self.shard.lead(term);
    }
}
