//! What can be wrong with a segment.

use model::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] objects::Error),
    #[error("segment {name} is corrupt: {why}")]
    Corrupt { name: String, why: &'static str },
    #[error("segment {name} has container version {version}, this program reads up to {newest}: update it")]
    Newer { name: String, version: u16, newest: u16 },
    #[error("section {kind} has no bytes {start}..{end}, its length is {len}")]
    Range { kind: u8, start: u64, end: u64, len: u64 },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Store(error) => error.reason(),
            _ => Reason::Internal,
        }
    }
}
