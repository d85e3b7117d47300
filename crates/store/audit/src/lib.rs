//! Looks at segments and blocks from outside: what is in one and what each part of it costs, whether one is whole, and
//! whether a catalog and a bucket belong together.

mod bucket;
mod error;
mod inspect;
mod verify;

pub use bucket::{Audit, Named};
pub use error::Error;
pub use inspect::{Content, Inspection, Origin, PartInspection, inspect};
pub use verify::{Verified, verify};
