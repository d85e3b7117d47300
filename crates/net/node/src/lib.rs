//! The life of a process: tasks with names and an owner, a signal to stop, and pools for work that computes.

mod compute;
mod node;

pub use compute::{Compute, Pool};
pub use node::{Node, Stopping};
