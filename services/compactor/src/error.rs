//! Why the bucket could not be put in order this time.

use model::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] objects::Error),
    #[error("the control group: {0}")]
    Control(#[from] tonic::Status),
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    #[error("the catalog refused: {0}")]
    Refused(String),
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Store(error) => error.reason(),
            Error::Control(status) => transport::status::reason(status),
            Error::Catalog(_) | Error::Refused(_) => Reason::Internal,
        }
    }
}
