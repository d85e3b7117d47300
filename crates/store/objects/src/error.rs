//! What can go wrong between here and the bucket.

use model::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("objects.url {url:?}: {why}")]
    Url { url: String, why: String },
    #[error("object {name} is not in the store")]
    NotFound { name: String },
    #[error("object store: {operation} {name}: {why}")]
    Failed { operation: &'static str, name: String, why: String },
    #[error("object store: {operation} {name}: no answer within {limit:?} (objects.timeout)")]
    Timeout { operation: &'static str, name: String, limit: std::time::Duration },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Url { .. } => Reason::BadInput,
            Error::NotFound { .. } => Reason::NotFound,
            Error::Failed { .. } | Error::Timeout { .. } => Reason::Unavailable,
        }
    }
}
