//! Why a connection with another member does not come about.

use crate::handshake::HANDSHAKE;
use model::Role;
use rustls::CertificateError;
use std::fmt;

/// Why the other end of a connection is not accepted. The text speaks of the other end's certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its authority is trusted, its cluster is another.
    #[error("the certificate is of cluster {cluster}, this is {own}")]
    ForeignCluster { cluster: String, own: String },
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate is not valid yet; or a clock is wrong")]
    NotYetValid,
    #[error("the certificate is from no authority that is trusted here (tls.ca)")]
    UnknownAuthority,
    #[error("no certificate was sent")]
    NoCertificate,
    /// It is trusted, but says nowhere which member it is, or in no form that is known.
    #[error("the certificate names no member: {why}")]
    Unnamed { why: String },
    #[error("the certificate is of the role {role}, expected is {expected}")]
    WrongRole { role: Role, expected: Role },
    #[error("the certificate is of the member {name}, expected is {expected}")]
    WrongName { name: String, expected: String },
    /// Not TLS 1.3, not `h2`, garbage, a connection that broke, or the other end refused us.
    #[error("the handshake failed: {text}")]
    Handshake { text: String },
    #[error("the handshake took longer than {}", settings::duration::format(HANDSHAKE))]
    Timeout,
}

/// The kind of a [`Refused`], by which refusals are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    ForeignCluster,
    Expired,
    NotYetValid,
    UnknownAuthority,
    NoCertificate,
    Unnamed,
    WrongRole,
    WrongName,
    Handshake,
    Timeout,
}

impl Cause {
    /// In the order of their declaration, so that `cause as usize` is a cause's place.
    pub const ALL: [Cause; 10] = [
        Cause::ForeignCluster,
        Cause::Expired,
        Cause::NotYetValid,
        Cause::UnknownAuthority,
        Cause::NoCertificate,
        Cause::Unnamed,
        Cause::WrongRole,
        Cause::WrongName,
        Cause::Handshake,
        Cause::Timeout,
    ];

    /// As in log lines and in labels of meters.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::ForeignCluster => "foreign cluster",
            Cause::Expired => "expired",
            Cause::NotYetValid => "not yet valid",
            Cause::UnknownAuthority => "unknown authority",
            Cause::NoCertificate => "no certificate",
            Cause::Unnamed => "unnamed",
            Cause::WrongRole => "wrong role",
            Cause::WrongName => "wrong name",
            Cause::Handshake => "handshake",
            Cause::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Refused {
    pub fn reason(&self) -> Cause {
        match self {
            Refused::ForeignCluster { .. } => Cause::ForeignCluster,
            Refused::Expired => Cause::Expired,
            Refused::NotYetValid => Cause::NotYetValid,
            Refused::UnknownAuthority => Cause::UnknownAuthority,
            Refused::NoCertificate => Cause::NoCertificate,
            Refused::Unnamed { .. } => Cause::Unnamed,
            Refused::WrongRole { .. } => Cause::WrongRole,
            Refused::WrongName { .. } => Cause::WrongName,
            Refused::Handshake { .. } => Cause::Handshake,
            Refused::Timeout => Cause::Timeout,
        }
    }

    pub(crate) fn handshake(text: impl fmt::Display) -> Refused {
        Refused::Handshake { text: text.to_string() }
    }
}

impl From<&rustls::Error> for Refused {
    fn from(error: &rustls::Error) -> Refused {
        use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented};
        match error {
            InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Refused::Expired,
            InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
                Refused::NotYetValid
            }
            InvalidCertificate(CertificateError::UnknownIssuer) => Refused::UnknownAuthority,
            // What our own verifiers say travels through rustls as it is.
            InvalidCertificate(CertificateError::Other(other)) => {
                other.0.downcast_ref().cloned().unwrap_or_else(|| Refused::handshake(error))
            }
            NoCertificatesPresented => Refused::NoCertificate,
            AlertReceived(alert) => Refused::handshake(format_args!("the other end refused it ({alert:?})")),
            other => Refused::handshake(other),
        }
    }
}

impl From<&std::io::Error> for Refused {
    fn from(error: &std::io::Error) -> Refused {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => inner.into(),
            None => Refused::handshake(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_its_own_place_and_word() {
        let words: std::collections::HashSet<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(words.len(), Cause::ALL.len());
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
        }
    }
}
