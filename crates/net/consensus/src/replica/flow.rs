//! Bytes of entries on their way to each follower of a group.

use raft::eraftpb::Message;
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
pub(crate) struct Flow {
    peers: BTreeMap<u64, Peer>,
}

#[derive(Default)]
struct Peer {
    /// (last index, bytes) of each message.
    messages: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Flow {
    pub(crate) fn sent(&mut self, message: &Message) {
        let Some(last) = message.entries.last() else { return };
        let bytes = message.entries.iter().map(|entry| entry.data.len() as u64).sum();
        let peer = self.peers.entry(message.to).or_default();
        peer.messages.push_back((last.index, bytes));
        peer.bytes += bytes;
    }

    pub(crate) fn acknowledged(&mut self, peer: u64, through: u64) {
        let Some(peer) = self.peers.get_mut(&peer) else { return };
        while let Some((_, bytes)) = peer.messages.pop_front_if(|(last, _)| *last <= through) {
            peer.bytes -= bytes;
        }
    }

    /// What was sent is lost, or of no use.
    pub(crate) fn forget(&mut self, peer: u64) {
        self.peers.remove(&peer);
    }

    pub(crate) fn clear(&mut self) {
        self.peers.clear();
    }

    /// (peer, bytes)
    pub(crate) fn totals(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.peers.iter().map(|(peer, sent)| (*peer, sent.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft::eraftpb::Entry;

    #[test]
    fn bytes_count_until_they_are_acknowledged() {
        let mut flow = Flow::default();
        for (index, bytes) in [(5, 10), (6, 20), (9, 30)] {
            let mut message = Message { to: 2, ..Message::default() };
            message.set_entries(vec![Entry { index, data: Bytes::from(vec![0; bytes]), ..Entry::default() }].into());
            flow.sent(&message);
        }
        for (through, left) in [(4, 60), (6, 30), (8, 30), (9, 0)] {
            flow.acknowledged(2, through);
            assert_eq!(flow.totals().collect::<Vec<_>>(), [(2, left)], "through {through}");
        }
        flow.forget(2);
        assert_eq!(flow.totals().count(), 0);
    }
}
