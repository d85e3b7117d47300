//! Where the threads of callers leave work for the thread that runs rounds.

use crate::charge::Charge;
use crate::error::Error;
use crate::fetch::Fetched;
use crate::group::Proposed;
use crate::machine::Node;
use crate::mark::Mark;
use crate::replica::Replica;
use crate::slot::Slot;
use crate::state::Base;
use bytes::Bytes;
use model::GroupId;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// Messages that wait, in bytes; over it they are dropped, and Raft sends them again.
const MESSAGE_BYTES: u64 = 128 << 20;
/// Reads that wait.
const READS: usize = 64 << 10;

pub(crate) struct Proposal {
    pub group: GroupId,
    pub data: Bytes,
    pub mark: Mark,
    pub charge: Charge,
    pub answer: Answer<Proposed>,
}

pub(crate) struct Read {
    pub group: GroupId,
    /// Answered when what was committed is applied here.
    pub answer: Answer<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    AddLearner(Node),
    Promote(Node),
    Remove(Node),
}

pub(crate) struct Cut {
    /// Not only the group's name: it may have been removed and opened again.
    pub slot: Arc<Slot>,
    pub base: Base,
    /// A machine that is being shown the log must be done with it up to here.
    pub after: u64,
    /// None if nobody waits: the host began it.
    pub answer: Option<Answer<()>>,
}

pub(crate) enum Command {
    Open(Box<Replica>),
    /// The snapshot of the base is on disk.
    Cut(Cut),
    /// A cut that the host began by itself came to nothing.
    CutFailed {
        group: GroupId,
    },
    /// Answers when the tombstone is durable, and no machine and no file is left.
    Remove {
        group: GroupId,
        answer: Answer<()>,
        closed: Answer<()>,
    },
    Fetched(Fetched),
    Campaign {
        group: GroupId,
    },
    Transfer {
        group: GroupId,
        to: Node,
        answer: Answer<()>,
    },
    Change {
        group: GroupId,
        change: Change,
        answer: Answer<()>,
    },
    Unreachable {
        node: Node,
    },
}

/// All that came in since it was last looked at.
#[derive(Default)]
pub(crate) struct Mail {
    pub commands: Vec<Command>,
    pub messages: Vec<(Node, Bytes)>,
    pub proposals: Vec<Proposal>,
    pub reads: Vec<Read>,
    pub dropped: u64,
    pub stop: bool,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.messages.is_empty() && self.proposals.is_empty() && self.reads.is_empty()
    }
}

#[derive(Default)]
struct State {
    mail: Mail,
    message_bytes: u64,
    /// Bytes of messages and proposals.
    bytes: u64,
    closed: bool,
    /// The rounds' thread sleeps until there are more bytes than this.
    sleeps: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

impl Inbox {
    pub(crate) fn command(&self, command: Command) {
        self.put(0, |mail| mail.commands.push(command));
    }

    pub(crate) fn propose(&self, proposal: Proposal) {
        self.put(proposal.data.len() as u64, |mail| mail.proposals.push(proposal));
    }

    /// False if there is no room.
    pub(crate) fn read(&self, read: Read) -> bool {
        let mut room = true;
        self.put(0, |mail| {
            room = mail.reads.len() < READS;
            if room {
                mail.reads.push(read);
            }
        });
        room
    }

    pub(crate) fn message(&self, from: Node, messages: Bytes) {
        let bytes = messages.len() as u64;
        let mut state = self.lock();
        if state.message_bytes + bytes > MESSAGE_BYTES {
            state.mail.dropped += 1;
            return;
        }
        state.message_bytes += bytes;
        self.put_in(state, bytes, |mail| mail.messages.push((from, messages)));
    }

    /// The rounds' thread finishes what it does, and ends.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.mail.stop = true;
        self.bell.notify_one();
    }

    /// Nothing is taken any more, and what was taken and not looked at is dropped, which its callers see.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.mail);
        drop(state);
        drop(dropped);
    }

    /// Takes what is there; waits for something until `until`.
    pub(crate) fn take(&self, until: Instant) -> Mail {
        let state = self.sleep(self.lock(), until, 0, |state| state.mail.is_empty());
        Self::empty(state)
    }

    /// Lets mail gather until `until`, or until there is a lot of it.
    pub(crate) fn gather(&self, until: Instant, enough: u64) {
        drop(self.sleep(self.lock(), until, enough, |state| state.bytes < enough));
    }

    fn empty(mut state: MutexGuard<'_, State>) -> Mail {
        (state.bytes, state.message_bytes) = (0, 0);
        std::mem::take(&mut state.mail)
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        until: Instant,
        enough: u64,
        wanting: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        while wanting(&state) && !state.mail.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.sleeps = Some(enough);
            state = self.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.sleeps = None;
        state
    }

    fn put(&self, bytes: u64, put: impl FnOnce(&mut Mail)) {
        self.put_in(self.lock(), bytes, put);
    }

    fn put_in(&self, mut state: MutexGuard<'_, State>, bytes: u64, put: impl FnOnce(&mut Mail)) {
        if state.closed {
            return;
        }
        put(&mut state.mail);
        state.bytes += bytes;
        let wake = state.sleeps.is_some_and(|enough| state.bytes >= enough);
        if wake {
            state.sleeps = None;
            drop(state);
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
