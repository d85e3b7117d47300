//! Keeps the bucket in order: takes segments whose rows have passed their tenants' retention out of the catalog, and
//! deletes objects that the catalog does not name.

mod compactor;
mod due;
mod error;
mod settings;
mod standalone;

pub use compactor::Compactor;
pub use error::Error;
pub use settings::Settings;
pub use standalone::standalone;
