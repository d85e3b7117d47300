//! A whole cluster in one thread, under a seed: the proof that nothing is lost.
//!
//! The code is the true one. Ingesters run as they do in a process of their own: Raft host and journal, control group,
//! placement and steering, flushes, gossip. Distributors and queriers find shards as they always do. What is simulated is
//! what is around them: the network (`net`), the object store (`bucket`), disks (`journal::faults`: what was not synced
//! is torn by a crash), the order in which threads run (`consensus::stepper`), chance (`chance`, `entropy`) and time
//! (tokio's clock, which stands still until all have done what they can).
//!
//! A `story` begins a cluster of three zones; writers and readers (`client`) work while `trouble` crashes, parts, pauses
//! and wipes; then all trouble ends, and the cluster must heal by itself. The `ledger` says whether a read may look as it
//! does: each acknowledged row once, whenever it is asked for. `check` holds the rest: one leader in a term, equal logs,
//! a catalog without gaps that agrees with the bucket, replicas in three zones.
//!
//! One seed decides everything, so a run that went wrong can be looked at again: see `main`.

pub mod bucket;
pub mod chance;
pub mod check;
pub mod client;
pub mod entropy;
pub mod ledger;
pub mod net;
pub mod process;
pub mod regressions;
pub mod story;
pub mod trace;
pub mod trouble;
pub mod world;
