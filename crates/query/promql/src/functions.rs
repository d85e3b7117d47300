//! What functions do with one value or one window of samples. Nothing here knows of steps, series or queries.

pub mod classic;
pub mod dates;
pub mod extended;
pub mod math;
pub mod over_time;
pub mod rate;
pub mod regression;
pub mod window;
