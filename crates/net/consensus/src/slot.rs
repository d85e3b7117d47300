//! What the threads share of one group: its progress, and the work that waits to be applied.

use crate::charge::{Charge, Gauge};
use crate::error::Error;
use crate::group::Proposed;
use crate::inbox::Answer;
use crate::machine::{Follow, Node, StateMachine};
use crate::progress::Heard;
use crate::state::Base;
use bytes::Bytes;
use model::GroupId;
use raft::eraftpb::ConfState;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;

/// How a group is, as this node knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub leader: Option<Node>,
    pub term: u64,
    /// What the state machine has applied. Of one that `Follow::Keep`s, what it had applied when the node last led: it
    /// stands still while the node follows, and begins anew at the snapshot when it leads again.
    pub applied: u64,
    /// What is known to be committed. After a start it begins low, and grows when a leader is heard from.
    pub committed: u64,
    /// The first index that the log holds; what is before is in the snapshot.
    pub first: u64,
    /// The last index of the log, committed or not.
    pub last: u64,
    /// In order.
    pub voters: Arc<[Node]>,
    pub learners: Arc<[Node]>,
}

/// A proposer that waits.
pub(crate) struct Waiter {
    pub index: u64,
    pub term: u64,
    pub answer: Answer<Proposed>,
}

pub(crate) enum Work {
    Open(Box<dyn StateMachine>),
    Entry(Item),
    /// Entries `next..=last`, to be read from the journal.
    Range {
        next: u64,
        last: u64,
    },
    /// The node has come to lead, and the machine was shown nothing so far: the newest snapshot, and the entries after
    /// it up to `last`.
    Replay {
        last: u64,
    },
    Lead(Option<u64>),
    Restore {
        index: u64,
        data: Bytes,
    },
    /// Answered when everything up to `index` is applied.
    Read {
        index: u64,
        answer: Answer<u64>,
    },
    /// The machine goes, and nothing comes after it.
    Close(Answer<()>),
}

/// A committed entry in memory.
pub(crate) struct Item {
    pub index: u64,
    pub term: u64,
    /// Empty: one of Raft's own, which the machine does not see.
    pub data: Bytes,
    pub charge: Option<Charge>,
}

/// Bounded: entries by `apply_queue`, for those over it make one range; the others by the number of elections, and
/// of reads that the inbox lets in.
#[derive(Default)]
pub(crate) struct Queue {
    pub works: VecDeque<Work>,
    /// By index.
    pub waiters: VecDeque<Waiter>,
    /// An apply thread has it, or will.
    pub queued: bool,
    /// Grows when what waits is of no use any more.
    pub epoch: u64,
}

pub(crate) struct Slot {
    pub group: GroupId,
    pub follow: Follow,
    /// The term in which the machine knows that it leads, or zero.
    pub leads: AtomicU64,
    pub applied: AtomicU64,
    pub committed: AtomicU64,
    pub first: AtomicU64,
    pub last: AtomicU64,
    pub uncommitted: Arc<Gauge>,
    pub unapplied: Arc<Gauge>,
    pub status: watch::Sender<Status>,
    queue: Mutex<Queue>,
    /// Who the members are from an index on; the first one is at or before the log's base.
    members: Mutex<VecDeque<(u64, ConfState)>>,
    /// How far the followers are; empty unless this node leads.
    heard: Mutex<Vec<Heard>>,
    ended: OnceLock<Error>,
}

impl Slot {
    pub(crate) fn new(group: GroupId, follow: Follow, base: &Base, last: u64) -> Slot {
        let slot = Slot {
            group,
            follow,
            leads: AtomicU64::new(0),
            applied: AtomicU64::new(base.index),
            committed: AtomicU64::new(base.index),
            first: AtomicU64::new(base.index + 1),
            last: AtomicU64::new(last),
            uncommitted: Arc::default(),
            unapplied: Arc::default(),
            status: watch::Sender::new(Status::default()),
            queue: Mutex::default(),
            members: Mutex::new(VecDeque::from([(base.index, base.members.clone())])),
            heard: Mutex::default(),
            ended: OnceLock::new(),
        };
        slot.publish_members(&base.members);
        slot.publish(|_| {});
        slot
    }

    /// Writes the present numbers to the watch, and what `change` does.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            self.fill(status);
            change(status);
            *status != before
        });
    }

    fn fill(&self, status: &mut Status) {
        status.applied = self.applied.load(Relaxed);
        status.committed = self.committed.load(Relaxed);
        status.first = self.first.load(Relaxed);
        status.last = self.last.load(Relaxed);
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        self.fill(&mut status);
        status
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The members as of `index`; None if that is before all that is known.
    pub(crate) fn members_at(&self, index: u64) -> Option<ConfState> {
        let members = self.members();
        let after = members.partition_point(|(from, _)| *from <= index);
        members.get(after.checked_sub(1)?).map(|(_, members)| members.clone())
    }

    pub(crate) fn members_changed(&self, index: u64, now: ConfState) {
        self.publish_members(&now);
        self.members().push_back((index, now));
    }

    /// The log begins at `index`: what was before is not asked for any more.
    pub(crate) fn members_cut(&self, index: u64) {
        let mut members = self.members();
        while members.get(1).is_some_and(|(from, _)| *from <= index) {
            members.pop_front();
        }
    }

    /// A snapshot says who they are.
    pub(crate) fn members_reset(&self, base: &Base) {
        self.publish_members(&base.members);
        *self.members() = VecDeque::from([(base.index, base.members.clone())]);
    }

    fn publish_members(&self, members: &ConfState) {
        let nodes = |ids: &[u64]| {
            let mut nodes: Vec<Node> = ids.iter().map(|id| Node(*id)).collect();
            nodes.sort_unstable();
            nodes.into()
        };
        self.publish(|status| {
            status.voters = nodes(&members.voters);
            status.learners = nodes(&members.learners);
        });
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, VecDeque<(u64, ConfState)>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group can do nothing more here.
    pub(crate) fn fail(&self, why: String) {
        tracing::error!(group = self.group.0, "{why}");
        let _ = self.ended.set(Error::Failed(why));
    }

    /// The group is no longer on this node.
    pub(crate) fn remove(&self) {
        self.publish(|status| status.leader = None);
        self.heard().clear();
        let _ = self.ended.set(Error::Removed { group: self.group });
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}
