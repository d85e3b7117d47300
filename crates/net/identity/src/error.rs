//! Everything that can go wrong with our own certificate, its files, and an authority.

use crate::peer::PeerError;
use crate::refused::{Cause, Refused};
use model::Reason;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{key} {why}")]
    Settings { key: &'static str, why: String },
    /// A file of the settings.
    #[error("cannot read {} ({key}): {source}", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    /// A file holds something else than it should. Never says what, since it may be a key.
    #[error("{} {why}", path.display())]
    Content { path: PathBuf, why: String },
    /// Usually seen between two writes of whoever renews them.
    #[error("the key {} does not belong to the certificate {}: renew both together", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    /// Our own certificate would be refused by every other member.
    #[error("{} cannot be used: {refused}; {}", path.display(), advice(refused))]
    Own { path: PathBuf, refused: Refused },
    /// A name or number that cannot stand in a certificate.
    #[error("{0}")]
    Name(#[from] PeerError),
    #[error("a member cannot be called ca: its files would be the authority's")]
    Reserved,
    #[error("a certificate lasts 1 to {limit} days, not {days}")]
    Days { days: u32, limit: u32 },
    #[error("{text:?} is neither a DNS name nor an IP address")]
    Host { text: String },
    #[error("{} is there already, and an authority is never overwritten: issue from it, or move it away", path.display())]
    Exists { path: PathBuf },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot make the {what}: {why}")]
    Make { what: &'static str, why: String },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Error::Settings { .. }
            | Error::Content { .. }
            | Error::Mismatch { .. }
            | Error::Own { .. }
            | Error::Name(_)
            | Error::Reserved
            | Error::Days { .. }
            | Error::Host { .. }
            | Error::Exists { .. } => Reason::BadInput,
            Error::Read { .. } | Error::Io { .. } => Reason::Unavailable,
            Error::Make { .. } => Reason::Internal,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }

    pub(crate) fn content(path: &Path, why: impl Into<String>) -> Error {
        Error::Content { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn make<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |why| Error::Make { what, why: why.to_string() }
    }
}

/// What to do about an own certificate that others would refuse.
fn advice(refused: &Refused) -> &'static str {
    match refused.reason() {
        Cause::ForeignCluster => "issue one for this cluster, or set cluster.name to the one it names",
        Cause::Expired => "renew it",
        Cause::NotYetValid => "compare the clock of this machine with the authority's",
        Cause::UnknownAuthority => "add the authority that issued it to tls.ca",
        Cause::Unnamed => "issue one with the URI name spiffe://CLUSTER/ROLE/NAME, or add its DNS name to tls.names",
        Cause::WrongRole | Cause::WrongName => "issue one for this member",
        Cause::NoCertificate | Cause::Handshake | Cause::Timeout => {
            "issue one that may be used by both ends of a connection (server auth and client auth)"
        }
    }
}
