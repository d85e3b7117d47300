//! What the log's thread calls: a shard as a replicated state machine.

use crate::shard::Shard;
use crate::signal::Head;
use bytes::Bytes;
use consensus::{Committed, Group, StateMachine};
use prost::Message;
use std::sync::Arc;

pub struct Machine<H: Head>(pub Arc<Shard<H>>);

impl<H: Head> StateMachine for Machine<H> {
    fn opened(&mut self, group: &Group) {
        self.0.attach(group.clone());
    }

    fn apply(&mut self, entry: Committed) -> Bytes {
        self.0.apply(entry.index, entry.data, entry.slice).encode_to_vec().into()
    }

    fn restore(&mut self, index: u64, snapshot: Bytes) {
        self.0.restore(index, snapshot);
    }

    fn lead(&mut self, term: Option<u64>) {
        self.0.led.send_replace(term);
    }
}
