//! Everything that can go wrong with membership.

use model::Reason;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting is missing or out of bounds.
    #[error("{key}: {text}")]
    Settings { key: &'static str, text: String },
    /// A member cannot be said in a packet.
    #[error("the {field} of a member, {value:?}, {text}")]
    Member { field: &'static str, value: String, text: String },
    /// The task of the membership has ended.
    #[error("this process has left its cluster")]
    Left,
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Settings { .. } | Error::Member { .. } => Reason::BadInput,
            Error::Left => Reason::Unavailable,
        }
    }
}
