//! What comes to a port that is no member: other protocols, older TLS, silence, and clients that obey no rule.

use crate::fixture::{CLUSTER, Ca, Pair, any, connect, foreigner, member, refused, wire};
use model::Role;
use ouro_identity::{Cause, HANDSHAKE, Identity, Refused};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    version,
};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Trusts every server, as no member does.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn parsed(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    (vec![chain], PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap())
}

/// What a client that obeys no rule speaks.
struct Rogue<'a> {
    pair: Option<&'a Pair>,
    version: &'static SupportedProtocolVersion,
    alpn: &'a [&'a str],
}

impl<'a> Rogue<'a> {
    fn with(pair: &'a Pair) -> Rogue<'a> {
        Rogue { pair: Some(pair), version: &version::TLS13, alpn: &["h2"] }
    }

    fn config(&self) -> ClientConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[self.version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(provider)));
        let mut config = match self.pair {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = parsed(pair);
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Connects and reads until the end.
    async fn attack(&self, stream: TcpStream) -> io::Result<Vec<u8>> {
        let connector = TlsConnector::from(Arc::new(self.config()));
        let mut stream = connector.connect("somewhere.example".try_into().unwrap(), stream).await?;
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await?;
        Ok(got)
    }
}

/// What the acceptor says, and what the client sees of it.
async fn attacked(target: &Identity, rogue: Rogue<'_>) -> (Refused, io::Error) {
    let (near, far) = wire().await;
    let acceptor = target.acceptor();
    // A stream that was accepted in error is dropped, so that the client does not wait for its end.
    let accept = async { acceptor.accept(far).await.map(|(_, peer)| peer) };
    let (seen, accepted) = tokio::join!(rogue.attack(near), accept);
    (accepted.unwrap_err(), seen.unwrap_err())
}

/// Whether an error is the other end's word that it does not go on with the handshake.
fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(Error::AlertReceived(_)))
}

#[tokio::test]
async fn certificates_that_are_not_of_this_cluster_are_refused_in_the_handshake() {
    let (ca, other) = (Ca::new(), Ca::new());
    let target = member(&ca, Role::Ingester, "ingester-0");
    let member = "spiffe://ouro/querier/a";
    let aged = |from, to| {
        ca.pair(|params| {
            params.subject_alt_names = vec![rcgen::SanType::URI(member.try_into().unwrap())];
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    let server_only = ca.pair(|params| {
        params.subject_alt_names = vec![rcgen::SanType::URI(member.try_into().unwrap())];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (pair, cause) in [
        (ca.member("spiffe://ouro2/querier/a"), Cause::ForeignCluster),
        (other.member(member), Cause::UnknownAuthority),
        (aged(2000, 2001), Cause::Expired),
        (aged(3000, 3001), Cause::NotYetValid),
        (ca.member("spiffe://ouro/querier"), Cause::Unnamed),
        (ca.pair(|_| ()), Cause::Unnamed),
        (server_only, Cause::Handshake),
    ] {
        let before = refused(&target, cause);
        let (why, seen) = attacked(&target, Rogue::with(&pair)).await;
        assert_eq!(why.reason(), cause, "{why}");
        // An alert is sent from inside of the handshake only: after it, the connection would just end.
        assert!(is_alert(&seen), "{cause}: {seen}");
        assert_eq!(refused(&target, cause), before + 1, "{cause}");
    }
    let none = Rogue { pair: None, version: &version::TLS13, alpn: &["h2"] };
    assert_eq!(attacked(&target, none).await.0, Refused::NoCertificate);
    // The same client with a certificate of this cluster is let in, so each of these was refused for its certificate.
    let good = ca.member(member);
    let (near, far) = wire().await;
    let (_, accepted) = tokio::join!(
        async {
            TlsConnector::from(Arc::new(Rogue::with(&good).config())).connect("a.b".try_into().unwrap(), near).await
        },
        async { target.acceptor().accept(far).await },
    );
    assert_eq!(accepted.unwrap().1.to_string(), member);
}

#[tokio::test]
async fn older_tls_and_other_protocols_are_refused() {
    let ca = Ca::new();
    let target = member(&ca, Role::Ingester, "ingester-0");
    let good = ca.member("spiffe://ouro/querier/a");
    for (version, alpn) in [(&version::TLS12, &["h2"][..]), (&version::TLS13, &["http/1.1"])] {
        let (why, seen) = attacked(&target, Rogue { pair: Some(&good), version, alpn }).await;
        assert_eq!(why.reason(), Cause::Handshake, "{why}");
        assert!(is_alert(&seen), "{seen}");
    }
    let (why, _) = attacked(&target, Rogue { pair: Some(&good), version: &version::TLS13, alpn: &[] }).await;
    assert!(why.to_string().contains("h2"), "{why}");
}

#[tokio::test]
async fn an_acceptor_gives_nothing_to_resume_with() {
    let ca = Ca::new();
    let target = member(&ca, Role::Ingester, "ingester-0");
    let good = ca.member("spiffe://ouro/querier/a");
    // One configuration, so the second connection would use what the first one was given.
    let connector = TlsConnector::from(Arc::new(Rogue::with(&good).config()));
    for _ in 0..2 {
        let (near, far) = wire().await;
        let acceptor = target.acceptor();
        let (near, far) = tokio::join!(connector.connect("a.b".try_into().unwrap(), near), acceptor.accept(far));
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        far.write_all(b"x").await.unwrap();
        far.flush().await.unwrap();
        // Tickets would come before this byte.
        near.read_u8().await.unwrap();
        assert_eq!(near.get_ref().1.tls13_tickets_received(), 0);
        assert_eq!(near.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn a_connector_does_not_resume_either() {
    let ca = Ca::new();
    let from = member(&ca, Role::Querier, "querier-0").connector();
    let (chain, key) = parsed(&ca.member("spiffe://ouro/ingester/a"));
    let mut generous = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    generous.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(generous));
    for _ in 0..2 {
        let (near, far) = wire().await;
        let (near, far) = tokio::join!(from.connect(near, any()), acceptor.accept(far));
        let (mut near, mut far) = (near.unwrap().0, far.unwrap());
        far.write_all(b"x").await.unwrap();
        far.flush().await.unwrap();
        near.read_u8().await.unwrap();
        assert!(near.get_ref().1.tls13_tickets_received() > 0);
        assert_eq!(near.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn garbage_ends_a_connection() {
    let ca = Ca::new();
    let target = member(&ca, Role::Ingester, "ingester-0");
    for garbage in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0xff; 5000], &[0x16, 3, 1, 0xff, 0xff], b""] {
        let (mut near, far) = wire().await;
        near.write_all(garbage).await.unwrap();
        near.shutdown().await.unwrap();
        let refused = target.acceptor().accept(far).await.map(|(_, peer)| peer).unwrap_err();
        assert_eq!(refused.reason(), Cause::Handshake, "{garbage:?}: {refused}");
        let (near, mut far) = wire().await;
        far.write_all(garbage).await.unwrap();
        far.shutdown().await.unwrap();
        let refused = target.connector().connect(near, any()).await.map(|(_, peer)| peer).unwrap_err();
        assert_eq!(refused.reason(), Cause::Handshake, "{garbage:?}: {refused}");
    }
    assert_eq!(refused(&target, Cause::Handshake), 8);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection() {
    let ca = Ca::new();
    let target = member(&ca, Role::Ingester, "ingester-0");
    let (near, far) = wire().await;
    let start = Instant::now();
    // Each is silent to the other's handshake, which is held by nobody.
    let (_quiet_near, to_accept) = wire().await;
    let refused_far = target.acceptor().accept(to_accept).await.map(|(_, peer)| peer).unwrap_err();
    let refused_near = target.connector().connect(near, any()).await.map(|(_, peer)| peer).unwrap_err();
    drop(far);
    assert_eq!((refused_far, refused_near), (Refused::Timeout, Refused::Timeout));
    assert_eq!(start.elapsed().as_secs(), 2 * HANDSHAKE.as_secs());
    assert_eq!(refused(&target, Cause::Timeout), 2);
}

#[tokio::test]
async fn a_member_does_not_go_on_with_another_cluster() {
    let ca = Ca::new();
    let here = member(&ca, Role::Ingester, "ingester-0");
    let spy = foreigner(&ca, "ouro2");
    for (from, to, own, other) in [(&here, &spy, CLUSTER, "ouro2"), (&spy, &here, "ouro2", CLUSTER)] {
        let (near, far) = connect(&from.connector(), &to.acceptor(), any()).await;
        let foreign = Refused::ForeignCluster { cluster: other.into(), own: own.into() };
        assert_eq!(near.map(|(_, peer)| peer), Err(foreign));
        // The acceptor sees that the other end broke off: it was not even shown a certificate.
        assert_eq!(far.map(|(_, peer)| peer).unwrap_err().reason(), Cause::Handshake);
    }
}
