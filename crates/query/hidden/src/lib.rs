//! Which rows delete requests and shorter retentions name, by the languages that their selectors are written in.
//!
//! Queriers hide these rows, and the compactor leaves them out of what it writes: both ask [`Hidden`], so that what is
//! hidden is what goes.

mod error;
mod hidden;
mod retention;
mod selector;

pub use error::Error;
pub use hidden::Hidden;
pub use retention::{check, passed};
pub use selector::matchers;
