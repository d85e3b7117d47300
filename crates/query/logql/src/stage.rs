//! The parsers that find labels in lines.

pub(crate) mod json;
pub(crate) mod logfmt;
