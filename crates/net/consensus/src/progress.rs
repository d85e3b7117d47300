//! How far the members of a group are, as its leader knows it.

use crate::machine::Node;
use std::time::Duration;
use tokio::time::Instant;

/// A member other than this node, which leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub node: Node,
    pub voter: bool,
    /// What is known to be on its disk of this node's log. `Status::last` is where the log ends.
    pub matched: u64,
    /// It was heard from within an election's time-out.
    pub active: bool,
    /// It is being sent a snapshot.
    pub snapshot: bool,
}

/// The same, with the time in place of what `active` says later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub progress: Progress,
    pub at: Option<Instant>,
}

impl Heard {
    pub(crate) fn progress(&self, patience: Duration) -> Progress {
        Progress { active: self.at.is_some_and(|at| at.elapsed() <= patience), ..self.progress }
    }
}

/// The live voter that could take over with the least to catch up; the lower id of equals.
pub(crate) fn best(all: &[Progress]) -> Option<Node> {
    let fit = all.iter().filter(|progress| progress.voter && progress.active && !progress.snapshot);
    fit.max_by_key(|progress| (progress.matched, std::cmp::Reverse(progress.node))).map(|progress| progress.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_follower_is_alive_has_a_vote_and_most_of_the_log() {
        let member = |node, matched| Progress { node: Node(node), voter: true, matched, active: true, snapshot: false };
        for (members, expected) in [
            (vec![], None),
            (vec![member(2, 5), member(3, 9), member(4, 7)], Some(3)),
            (vec![member(3, 9), member(2, 9)], Some(2)),
            (vec![Progress { active: false, ..member(2, 9) }, member(3, 1)], Some(3)),
            (vec![Progress { voter: false, ..member(2, 9) }, member(3, 1)], Some(3)),
            (vec![Progress { snapshot: true, ..member(2, 9) }], None),
        ] {
            assert_eq!(best(&members), expected.map(Node), "{members:?}");
        }
    }
}
