//! Seeds that found a defect once, and what it was: they are run first, and stay.

/// A seed may mean something else when the simulation changes; then it is one more among many.
pub const FOUND: &[(u64, &str)] = &[];
