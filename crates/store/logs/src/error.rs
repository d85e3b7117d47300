//! What can go wrong with log rows.

use model::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Block(#[from] block::Error),
    #[error("the payload of the batch at log index {index} cannot be read: {source}")]
    Payload { index: u64, source: std::io::Error },
    #[error("the body of the batch at log index {index}: {source}")]
    Body { index: u64, source: wire::error::DecodeError },
    #[error("the batch at log index {index} has a stream whose labels are not valid: {why}")]
    Labels { index: u64, why: String },
    #[error("the batch at log index {index} does not hold log lines")]
    Signal { index: u64 },
    #[error("the logs of this part are corrupt: {why}")]
    Corrupt { why: &'static str },
    #[error("the logs of this part have format version {version}, this program reads up to {newest}: update it")]
    Newer { version: u8, newest: u8 },
    #[error("{what} cannot be compressed: {why}")]
    Encode { what: &'static str, why: String },
    #[error("decoding an encoded row group did not give its rows back (row {row})")]
    Unfaithful { row: u64 },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Block(error) => error.reason(),
            Error::Body { .. } | Error::Labels { .. } | Error::Signal { .. } => Reason::BadInput,
            _ => Reason::Internal,
        }
    }

    pub(crate) fn corrupt(why: &'static str) -> Error {
        Error::Corrupt { why }
    }
}
