//! The object store: a local folder, S3, Google Cloud Storage or Azure, behind one small set of verbs.
//!
//! Objects are written once under names that are never used again, so nothing here relies on conditional writes.

mod environment;
mod error;
mod object;
mod settings;
mod store;
mod unsent;

pub use error::Error;
pub use object::Object;
pub use settings::Settings;
pub use store::{Listed, Store};
