//! Decides inside of the handshake whether the other end is a member of our cluster.
//!
//! Chains, signatures and validity are webpki's to check. What is added here runs after them: which cluster, role and
//! name a trusted certificate is of. Nothing of the application is read or written before it was asked.

use crate::peer::{Expect, Names};
use crate::refused::Refused;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Checks those who connect to us.
#[derive(Debug)]
pub(crate) struct Clients {
    chain: Arc<dyn ClientCertVerifier>,
    names: Arc<Names>,
}

/// Checks those whom we connect to. A member is found by any address, so the host's name says nothing; what counts
/// is the member's.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    names: Arc<Names>,
    expect: Expect,
}

/// An authority of the same name and another key is an unknown one too.
fn untrusted(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => CertificateError::UnknownIssuer.into(),
        other => other,
    }
}

/// Carries a refusal through rustls; `Refused::from` takes it out again.
fn carried(refused: Refused) -> Error {
    CertificateError::Other(rustls::OtherError(Arc::new(refused))).into()
}

impl Clients {
    pub(crate) fn new(chain: Arc<dyn ClientCertVerifier>, names: Arc<Names>) -> Clients {
        Clients { chain, names }
    }

    /// Whether a chain, leaf first, would be trusted now.
    pub(crate) fn trusts(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.chain.verify_client_cert(leaf, rest, UnixTime::now()).map(|_| ()).map_err(untrusted)
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now).map_err(untrusted)?;
        self.names.admit(leaf, &Expect::default()).map_err(carried)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl Servers {
    /// Accepts any member of our cluster.
    pub(crate) fn new(roots: Arc<RootCertStore>, algorithms: WebPkiSupportedAlgorithms, names: Arc<Names>) -> Servers {
        Servers { roots, algorithms, names, expect: Expect::default() }
    }

    pub(crate) fn expecting(self, expect: Expect) -> Servers {
        Servers { expect, ..self }
    }

    /// Whether a chain, leaf first, would be trusted now.
    pub(crate) fn trusts(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.trusts_at(leaf, rest, UnixTime::now())
    }

    fn trusts_at(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let leaf = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, rest, now, self.algorithms.all).map_err(untrusted)
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.trusts_at(leaf, intermediates, now)?;
        self.names.admit(leaf, &self.expect).map_err(carried)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
