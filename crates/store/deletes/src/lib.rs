//! Which rows tenants want deleted: a pure state machine that is part of the catalog.
//!
//! A request names rows by a selector and a range of times. It begins as *received*: readers hide what it names, and the
//! compactor leaves it out of what it writes. It is *processed* once nothing that can be read has such rows. It can be
//! taken back while nothing was rewritten for it. What a selector means is not known here, it is kept as its text.

mod command;
mod request;
mod state;

pub use command::{Command, Reply};
pub use request::{Progress, Request};
pub use state::{Deletes, MAX_OPEN, MAX_QUERY};
