//! A process's place in its cluster: the port where other members reach it, the links to them, and who they are.
//!
//! Everything between members travels over one port of each and mutual TLS: gossip, Raft, appends, reads. The `door`
//! takes connections and lets each role call only what it may (`access`); `links` are the way to others; `pump`
//! carries the packets of the gossip. The `directory` knows where shards are, and asks until a leader answers;
//! `leads` finds out when one that does not answer leads no more. `page` shows the cluster to people, by an `overview`
//! that it gathers; `process` is what the mains of all services share.

mod access;
mod directory;
mod door;
mod error;
mod leads;
mod links;
mod mesh;
mod overview;
mod page;
mod process;
mod pump;

pub use directory::Directory;
pub use error::Error;
pub use identity::Peer;
pub use mesh::{Joining, Mesh, random_id};
pub use overview::{Group, Overview, Replica, overview};
pub use page::{Page, router};
pub use process::{Own, Start, main};
