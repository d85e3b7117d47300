//! What a step of gossip leads to, as values.

use crate::member::Member;
use bytes::Bytes;
use std::sync::Arc;

/// What the caller has to do after a step. It takes out what it did; the next step appends.
#[derive(Debug, Default)]
pub struct Out {
    /// Addresses, and what to send there. One that is lost does no harm.
    pub packets: Vec<(String, Bytes)>,
    /// What changed in the list of members, in order.
    pub changes: Vec<Change>,
    /// The seeds should be looked up, and given to `Gossip::announce`.
    pub announce: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A member has come, or has come back.
    Up(Arc<Member>),
    /// A member left, which it does draining, or was lost.
    Down(Arc<Member>),
    /// A member has something new to say of itself, or was started again.
    Replaced { old: Arc<Member>, new: Arc<Member> },
    /// A lost member is forgotten.
    Forgotten(Arc<Member>),
    /// Others took this process for lost, or held an old claim to its name: it has made a new one.
    Renewed(Arc<Member>),
    /// Another live process has this process's name and the higher incarnation. This one is no member until that one
    /// is gone.
    Conflict { rival: Arc<Member> },
    /// This process has left its cluster.
    Left,
}
