//! Settings: defaults, then a file, then the environment, then flags; checked before anything starts.
//!
//! Each crate owns its `Settings` beside the code that they steer; this crate merges the sources and says which key
//! of which source is wrong.

pub mod duration;
mod load;

pub use load::{SettingsError, Sources, render};
