//! What cluster stories stand on: processes that are started and killed, a ledger of what was acked, servers that fail
//! on request, and the rules that the tree keeps.

pub mod client;
pub mod doors;
pub mod hosts;
pub mod ledger;
pub mod members;
pub mod process;
pub mod records;
pub mod recovery;
pub mod remote_write;
pub mod s3;
pub mod story;
pub mod tidy;
pub mod victim;
