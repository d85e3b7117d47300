//! Why the bucket could not be put in order this time.

use model::Reason;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] objects::Error),
    #[error("the control group: {0}")]
    Control(#[from] tonic::Status),
    #[error("the control group did not answer within {limit:?}")]
    Timeout { limit: Duration },
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    #[error("the catalog refused: {0}")]
    Refused(String),
    /// Nothing more may be written.
    #[error("the lease of epoch {epoch} is lost")]
    Lost { epoch: u64 },
    #[error(transparent)]
    Block(#[from] block::Error),
    /// What was written is of no use, and will be swept.
    #[error("a delete request was taken back while its rows were left out of a merge")]
    Withdrawn,
    #[error("a delete request of {tenant}: {source}")]
    Delete { tenant: model::TenantId, source: hidden::Error },
    #[error("merging logs of {tenant}: {source}")]
    Logs { tenant: model::TenantId, source: logs::Error },
    #[error("merging metrics of {tenant}: {source}")]
    Metrics { tenant: model::TenantId, source: metrics::Error },
    #[error("merging logs of {tenant} made {found} rows of {rows}: nothing was replaced")]
    Rows { tenant: model::TenantId, rows: u64, found: u64 },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Store(error) => error.reason(),
            Error::Control(status) => transport::status::reason(status),
            Error::Timeout { .. } | Error::Withdrawn => Reason::Unavailable,
            Error::Block(error) => error.reason(),
            Error::Logs { source, .. } => source.reason(),
            Error::Metrics { source, .. } => source.reason(),
            Error::Delete { .. } | Error::Catalog(_) | Error::Refused(_) | Error::Lost { .. } | Error::Rows { .. } => {
                Reason::Internal
            }
        }
    }
}
