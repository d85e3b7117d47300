//! The life of a process: tasks with names and an owner, a signal to stop, pools for work that computes, limits that
//! follow the settings file, and what every main does around them.

mod compute;
mod gate;
mod limits;
mod node;
pub mod process;

pub use compute::{Compute, Pool};
#[doc(hidden)]
pub use gate::Gate;
pub use node::{Node, Stopping};
