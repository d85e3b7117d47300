//! Looks at what rests in the object store, beside whatever runs: what is in an object, and whether it is whole.

mod inspect;
mod place;
mod verify;

pub use inspect::inspect;
pub use verify::{verify, verify_catalog};
