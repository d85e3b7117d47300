//! The Raft host of a node: many replicated logs over one journal, with one sync a round for all of them.
//!
//! A [`Host`] owns the journal and the thread that runs rounds: it takes what came in (proposals, messages, reads,
//! the tick), steps the groups that it concerns, writes all that must be durable as one journal round, and only then
//! answers. Committed entries go to a few apply threads, where a group's [`StateMachine`] sees them in log order.
//! A [`Group`] is a handle on one log. What travels between nodes is opaque bytes that a [`Transport`] carries.
//!
//! In a cluster most replicas follow. A machine that [`Follow::Keep`]s is shown entries only while its node leads, from
//! the newest snapshot on. [`Group::propose_cut`] makes every member's log shorter, [`Group::progress`] and
//! [`Group::best_follower`] say where to move what, [`Host::remove`] takes a group off a node.
//!
//! ARCHITECTURE.md has the round, the bounds on memory, and what a crash or a full disk can do.

mod apply;
mod charge;
mod cut;
mod cutter;
mod error;
mod fetch;
mod frame;
mod group;
mod host;
mod inbox;
mod logger;
mod machine;
mod mark;
mod open;
mod outbox;
mod progress;
mod reads;
mod remove;
mod replica;
mod rounds;
mod settings;
mod shared;
mod slot;
mod snapshot;
mod state;
mod stats;
#[doc(hidden)]
pub mod stepper;
mod store;

pub use crate::settings::Settings;
pub use error::Error;
pub use group::{Group, Proposed};
pub use host::Host;
pub use machine::{Committed, Follow, NoPeers, Node, StateMachine, Transport};
pub use progress::Progress;
pub use slot::Status;
pub use stats::Stats;
