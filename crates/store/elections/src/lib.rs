//! Which replica of a highly available sender is stored: a pure state machine that the control group replicates.
//!
//! Two Prometheus servers that scrape the same targets are a *cluster* of a tenant; each names itself by a replica label.
//! One of them is elected, and distributors leave out what others send. They tell now and then that they hear the elected
//! one ([`Command::Hear`]), so that no distributor takes a replica for gone that another one hears. Clocks play no part:
//! who wants another replica elected says which sign of the elected one it saw last, and gets it only if there was none
//! since. How long to listen first is the asker's business.

mod command;
mod state;

pub use command::{Command, Reply};
pub use state::{Changes, Elected, Elections, MAX_NAME};
