//! One tenant's samples in a segment: how they are written, and how they are read. FORMAT.md has the bytes.

pub mod columns;
pub mod directory;
pub mod encoder;
pub mod extras;
pub mod frame;
pub mod numbers;
pub mod opened;
pub mod page;
pub mod reader;
pub mod times;
pub mod values;

/// The sections of a part, by kind.
pub mod section {
    pub const DIRECTORY: u8 = 1;
    pub const LABELS: u8 = 2;
    pub const TIMES: u8 = 3;
    pub const PAGES: u8 = 4;
    pub const EXTRAS: u8 = 5;
}

/// The newest version that is written and read.
pub const VERSION: u8 = 1;

#[cfg(test)]
pub mod tests;
