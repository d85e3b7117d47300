//! Messages on their way out: one batch for each peer.

use crate::frame::Batch;
use crate::machine::{Node, Transport};
use model::GroupId;
use protobuf::Message as _;
use raft::eraftpb::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most that one batch carries, but for one message that is larger: it holds one large entry.
const BATCH: usize = 4 << 20;

pub(crate) struct Outbox {
    transport: Arc<dyn Transport>,
    batches: BTreeMap<u64, Batch>,
    pub messages: u64,
    pub sent: u64,
}

impl Outbox {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Outbox {
        Outbox { transport, batches: BTreeMap::new(), messages: 0, sent: 0 }
    }

    pub(crate) fn push(&mut self, group: GroupId, message: &Message) {
        let batch = self.batches.entry(message.to).or_default();
        if batch.messages > 0 && batch.len() + message.compute_size() as usize > BATCH {
            self.sent += 1;
            self.transport.send(Node(message.to), batch.take());
        }
        batch.push(group, message);
        self.messages += 1;
    }

    /// Sends what is there.
    pub(crate) fn flush(&mut self) {
        for (to, batch) in self.batches.iter_mut().filter(|(_, batch)| batch.messages > 0) {
            self.sent += 1;
            self.transport.send(Node(*to), batch.take());
        }
    }
}
