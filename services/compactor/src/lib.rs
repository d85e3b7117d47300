//! Keeps the bucket in order: merges segments of many tenants into blocks of one, takes what has passed its retention
//! out of the catalog, and deletes objects that the catalog does not name.
//!
//! Of several compactors one works: it has the `lease`, and every change that it asks of the catalog carries the lease's
//! epoch. `plan` says what is worth merging, `job` merges it, `retention` and `orphans` say what may go, `deletes` what
//! must; `compactor` does these in turn, and `api` tells of it.

mod api;
mod compactor;
mod control;
mod deletes;
mod error;
#[cfg(test)]
mod examples;
mod heads;
mod job;
mod lease;
mod meters;
mod orphans;
mod plan;
mod progress;
mod retention;
mod settings;
mod standalone;

pub use api::router;
pub use compactor::Compactor;
pub use error::Error;
pub use settings::Settings;
pub use standalone::standalone;
