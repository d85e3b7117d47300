//! Who does which part of a work that exactly one may do, and what the doers must remember: a pure state machine that
//! the control group replicates.
//!
//! The work, rules of all tenants, is cut into [`SLOTS`] slots. A holder keeps any number of slots by one command in a
//! while, [`Command::Beat`], so the log grows with the holders and not with the work. Clocks play no part: who wants
//! another's slots says which beat of that one it saw last, and gets them only if there was none since.
//! How long to look on first is the asker's business: too short a patience costs work twice, and changes nothing,
//! because every slot has an epoch that grows with each grant, and a note is taken only under the slot's epoch.

mod command;
mod state;

pub use command::{Command, Reply};
pub use state::{Holder, Leases, MAX_TENANT_BYTES, SLOTS, Slot};
