//! What Ouro says of itself: log lines for people, and meters for machines. Both also go into Ouro, as tenant `ouro`.

mod capture;
mod log;
mod meters;

pub use capture::{Captured, Line};
pub use log::{LogError, LogFormat, Settings, start};
pub use meters::{Exposition, Kind, Meter};
