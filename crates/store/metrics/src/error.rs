//! What can go wrong with metric samples at rest.

use model::{Labels, Reason};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Decode(#[from] wire::error::DecodeError),
    #[error(transparent)]
    Block(#[from] block::Error),
    #[error("a part of metrics is corrupt: {why}")]
    Corrupt { why: &'static str },
    #[error("a part of metrics has version {version}, this program reads up to {newest}: update it")]
    Newer { version: u8, newest: u8 },
    #[error("a body of logs cannot be read as metrics")]
    Format,
    #[error("series {labels} does not come after {before}, as an encoder needs it")]
    Order { labels: Labels, before: Labels },
    #[error("cannot compress: {why}")]
    Compress { why: String },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Decode(error) => error.reason(),
            Error::Block(error) => error.reason(),
            Error::Format => Reason::BadInput,
            Error::Corrupt { .. } | Error::Newer { .. } | Error::Order { .. } | Error::Compress { .. } => {
                Reason::Internal
            }
        }
    }
}

pub(crate) fn corrupt<T>(why: &'static str) -> Result<T, Error> {
    Err(Error::Corrupt { why })
}
