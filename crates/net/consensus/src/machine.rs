//! What plugs into a host: the state machine of a group, and the way to other nodes.

use crate::group::Group;
use bytes::Bytes;
use std::fmt;

/// The id of a replica's node in Raft. Never zero; never given to another node again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u64);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A committed entry.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Grows from entry to entry, but not always by one: Raft has entries of its own.
    pub index: u64,
    pub term: u64,
    /// As it was proposed.
    pub data: Bytes,
    /// Where `data` rests in the journal, readable for as long as it is held. None for an entry that carries a cut, of
    /// whose record the data is a part.
    pub slice: Option<journal::Slice>,
}

/// When a machine is shown entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// Always, on every member.
    #[default]
    Apply,
    /// Only while this node leads. Where it follows, it keeps the log and neither reads nor decodes it.
    ///
    /// When the node has come to lead, the machine is told `restore` with the newest snapshot, is shown every committed
    /// entry after it, and then `lead(Some(term))`. What is proposed meanwhile is logged and replicated at once, and
    /// shown and answered after that. When the node no longer leads, the machine is told `lead(None)` and should let go
    /// of its state: what comes next is a `restore`, if anything. The proposers of entries that were committed and not
    /// shown yet hear `Lost`.
    Keep,
}

/// What a group's log is for. One of the host's apply threads calls it; it may block, which delays the other groups
/// of that thread and in the end has proposals refused.
pub trait StateMachine: Send + 'static {
    /// Asked once, when the group is opened.
    fn follows(&self) -> Follow {
        Follow::Apply
    }

    /// Comes before everything else, with the group's handle.
    fn opened(&mut self, group: &Group) {
        let _ = group;
    }

    /// Applies an entry, in log order. The returned bytes go to the proposer if it waits on this node. An entry
    /// proposed without data is not shown.
    fn apply(&mut self, entry: Committed) -> Bytes;

    /// Begins anew from a snapshot that `compact` or `propose_cut` stored, or from nothing if it is empty. It stands for
    /// everything up to `index`, which is behind what it was stored for where no entry in between has data.
    ///
    /// Called when the group is opened, before any `apply` and on the opening thread, and when this node was so far
    /// behind that it was fed a snapshot; for a machine that `Follow::Keep`s, each time that the node comes to lead.
    fn restore(&mut self, index: u64, snapshot: Bytes);

    /// This node leads from now on (its term), and has applied everything that was committed before; or it no longer
    /// leads. A machine that `Follow::Keep`s is told so even if it was not yet told that the node leads.
    fn lead(&mut self, term: Option<u64>);
}

/// Carries messages to other nodes, whose `Host::receive` takes them.
pub trait Transport: Send + Sync + 'static {
    /// Never blocks. May drop messages, and may deliver them late, twice or in another order.
    fn send(&self, to: Node, messages: Bytes);
}

/// For a node whose groups have it as their only member.
#[derive(Debug, Clone, Copy)]
pub struct NoPeers;

impl Transport for NoPeers {
    fn send(&self, _to: Node, _messages: Bytes) {}
}
