//! Tells the handles of a group how far its followers are.

use crate::machine::Node;
use crate::progress::{Heard, Progress};
use crate::replica::Replica;
use raft::ProgressState;
use tokio::time::Instant;

impl Replica {
    /// A member answered.
    pub(crate) fn heard_from(&mut self, node: u64) {
        if self.is_leader() {
            self.heard.insert(node, Instant::now());
        }
    }

    pub(crate) fn publish_progress(&self) {
        let mut heard = self.slot.heard();
        heard.clear();
        if !self.is_leader() {
            return;
        }
        let raft = &self.node.raft;
        let voters = raft.prs().conf().voters();
        let others = raft.prs().iter().filter(|(node, _)| **node != raft.id);
        heard.extend(others.map(|(node, progress)| Heard {
            progress: Progress {
                node: Node(*node),
                voter: voters.contains(*node),
                matched: progress.matched,
                active: false,
                snapshot: progress.state == ProgressState::Snapshot,
            },
            at: self.heard.get(node).copied(),
        }));
    }
}
