//! What can be wrong with rules and their evaluation.

use model::{Reason, TenantId};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("rule file {file} of {tenant}: {why}")]
    File { tenant: TenantId, file: String, why: String },
    #[error("rule file {file} of {tenant}, group {group}, rule {rule}: {why}")]
    Rule { tenant: TenantId, file: String, group: String, rule: String, why: String },
    #[error("{path} answered {status}: {text}")]
    Answer { path: &'static str, status: u16, text: String },
    #[error("{path} could not be asked: {why}")]
    Unreachable { path: &'static str, why: String },
    #[error("an answer cannot be read: {0}")]
    Unreadable(String),
    #[error("exceeded limit of {limit} with {found} {what} (limit of the group)")]
    Limit { limit: usize, found: usize, what: &'static str },
    #[error("vector contains metrics with the same labelset after applying {0} labels")]
    Duplicate(&'static str),
    #[error("the group is another ruler's by now")]
    Lost,
    #[error(
        "{tenant} has {bytes} bytes of alerts that are remembered, the limit is {limit}: these are not until others end"
    )]
    Full { tenant: TenantId, bytes: u64, limit: u64 },
    #[error("the control group: {0}")]
    Control(String),
    #[error("ruler.alertmanagers, {url}: {why}")]
    Alertmanager { url: String, why: String },
    #[error("{}: {error}", path.display())]
    Secret { path: PathBuf, error: std::io::Error },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::File { .. } | Error::Rule { .. } | Error::Alertmanager { .. } | Error::Secret { .. } => {
                Reason::BadInput
            }
            Error::Answer { .. } | Error::Unreachable { .. } | Error::Lost | Error::Control(_) => Reason::Unavailable,
            Error::Limit { .. } | Error::Duplicate(_) | Error::Full { .. } => Reason::Unprocessable,
            Error::Unreadable(_) => Reason::Internal,
        }
    }
}
