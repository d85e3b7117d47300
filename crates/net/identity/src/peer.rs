//! Reads from a certificate which member it is of.

use crate::dns::Pattern;
use crate::refused::Refused;
use model::Role;
use std::fmt;
use std::str::FromStr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

const SCHEME: &str = "spiffe://";
/// The tag of a URI among a certificate's names (RFC 5280, section 4.2.1.6).
const URI_TAG: u32 = 6;
/// The longest name of a cluster or member, in bytes: a DNS label's, so that it can be one.
const MAX_LEN: usize = 63;
/// How much of a strange name is repeated in an error.
const SHOWN: usize = 100;

/// A member of a cluster, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    pub cluster: String,
    pub role: Role,
    /// The last part of the URI, or the DNS name by which a rule accepted it.
    pub name: String,
}

/// Whom a connection is meant for. What is `None` may be anything; the cluster is always ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Expect {
    pub role: Option<Role>,
    pub name: Option<String>,
}

/// What is wrong with the name of a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("{what} {name:?}: a name is 1 to {MAX_LEN} of a-z 0-9 - _ . and begins with a letter or digit")]
    Name { what: &'static str, name: String },
    #[error("{uri:?} is not spiffe://CLUSTER/ROLE/NAME")]
    Form { uri: String },
    #[error("{uri:?}: {source}")]
    Role { uri: String, source: model::role::UnknownRole },
}

/// Holds what may be the name of a cluster or of a member: `what` says which of them it is.
pub(crate) fn check(what: &'static str, name: &str) -> Result<(), PeerError> {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = (1..=MAX_LEN).contains(&name.len())
        && first(name.as_bytes()[0])
        && name.bytes().all(|b| first(b) || b"-_.".contains(&b));
    if good { Ok(()) } else { Err(PeerError::Name { what, name: shown(name) }) }
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(uri: &str) -> Result<Peer, PeerError> {
        let form = || PeerError::Form { uri: shown(uri) };
        let mut parts = uri.strip_prefix(SCHEME).ok_or_else(form)?.split('/');
        let (Some(cluster), Some(role), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        check("cluster", cluster)?;
        check("member", name)?;
        let role = shown(role).parse().map_err(|source| PeerError::Role { uri: shown(uri), source })?;
        Ok(Peer { cluster: cluster.to_owned(), role, name: name.to_owned() })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.role, self.name)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Which certificates are of members, and which of those are of our cluster.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) cluster: String,
    pub(crate) rules: Vec<(Pattern, Role)>,
}

impl Names {
    /// Reads a certificate and holds it against our cluster and what is expected. Says nothing of its issuer.
    pub(crate) fn admit(&self, der: &[u8], expect: &Expect) -> Result<Peer, Refused> {
        let peer = self.read(der)?;
        if peer.cluster != self.cluster {
            return Err(Refused::ForeignCluster { cluster: peer.cluster, own: self.cluster.clone() });
        }
        if let Some(expected) = expect.role.filter(|role| *role != peer.role) {
            return Err(Refused::WrongRole { role: peer.role, expected });
        }
        if let Some(expected) = expect.name.as_ref().filter(|name| **name != peer.name) {
            return Err(Refused::WrongName { name: peer.name, expected: expected.clone() });
        }
        Ok(peer)
    }

    /// A URI decides alone: only a certificate without one is known by its DNS names.
    fn read(&self, der: &[u8]) -> Result<Peer, Refused> {
        let unnamed = |why: &dyn fmt::Display| Refused::Unnamed { why: why.to_string() };
        let certificate = parse(der).ok_or_else(|| unnamed(&"it is not X.509"))?;
        let names = certificate.subject_alternative_name().map_err(|_| unnamed(&"its names cannot be read"))?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let mut uris = names.iter().filter(|name| is_ours(name));
        match (uris.next(), uris.next()) {
            (Some(GeneralName::URI(uri)), None) => uri.parse().map_err(|error: PeerError| unnamed(&error)),
            (Some(_), None) => Err(unnamed(&"its URI name is not text")),
            (Some(_), Some(_)) => Err(unnamed(&"it has more than one spiffe:// name")),
            (None, _) => self.by_dns(names).map_err(|why| unnamed(&why)),
        }
    }

    fn by_dns(&self, names: &[GeneralName<'_>]) -> Result<Peer, &'static str> {
        let mut found: Option<Peer> = None;
        for name in names {
            let GeneralName::DNSName(name) = name else { continue };
            let name = name.to_ascii_lowercase();
            let Some((_, role)) = self.rules.iter().find(|(pattern, _)| pattern.accepts(&name)) else { continue };
            match &found {
                Some(peer) if peer.role != *role => return Err("tls.names give its DNS names different roles"),
                Some(_) => {}
                None => found = Some(Peer { cluster: self.cluster.clone(), role: *role, name }),
            }
        }
        found.ok_or("it has no spiffe:// name, and no DNS name that tls.names accept")
    }
}

/// Whether a name means to say which member this is. In any case, so that a misspelt one is refused, not overlooked.
fn is_ours(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::URI(uri) => uri.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME)),
        GeneralName::Invalid(tag, _) => tag.0 == URI_TAG,
        _ => false,
    }
}

/// A certificate and nothing after it.
pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

#[cfg(test)]
mod tests;
