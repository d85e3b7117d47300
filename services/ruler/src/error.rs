//! What can be wrong with rules and their evaluation.

use model::Reason;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("ruler.folder {}: {why}", path.display())]
    Folder { path: PathBuf, why: String },
    #[error("rule file {}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("rule file {}, group {group}, rule {rule}: {why}", path.display())]
    Rule { path: PathBuf, group: String, rule: String, why: String },
    #[error("{path} answered {status}: {text}")]
    Answer { path: &'static str, status: u16, text: String },
    #[error("{path} could not be asked: {why}")]
    Unreachable { path: &'static str, why: String },
    #[error("an answer cannot be read: {0}")]
    Unreadable(String),
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Folder { .. } | Error::File { .. } | Error::Rule { .. } => Reason::BadInput,
            Error::Answer { .. } | Error::Unreachable { .. } => Reason::Unavailable,
            Error::Unreadable(_) => Reason::Internal,
        }
    }
}
