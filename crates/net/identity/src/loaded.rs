//! One set of files, checked and made into what TLS needs.

use crate::error::Error;
use crate::files::Files;
use crate::peer::{self, Expect, Names, Peer};
use crate::refused::Refused;
use crate::verifier::{Clients, Servers};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What members speak inside of TLS, and nothing else.
pub(crate) const ALPN: &[u8] = b"h2";

/// Named wherever one is needed, so that it does not matter which default the process has, or whether it has one.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// What new connections use.
pub(crate) struct Loaded {
    pub(crate) server: Arc<ServerConfig>,
    client: ClientConfig,
    servers: Servers,
    /// Who we are.
    pub(crate) own: Peer,
    /// When our certificate ends.
    pub(crate) expires: SystemTime,
}

impl Loaded {
    /// Refuses a set that other members would refuse. `own` is what our certificate must say.
    pub(crate) fn new(files: &Files, names: &Arc<Names>, own: &Expect) -> Result<Loaded, Error> {
        let [ca_path, certificate_path, _] = files.paths();
        let roots = roots(files, ca_path)?;
        let certified = certified(files)?;

        let chain = WebPkiClientVerifier::builder_with_provider(roots.clone(), PROVIDER.clone())
            .build()
            .map_err(|error| Error::content(ca_path, error.to_string()))?;
        let clients = Clients::new(chain, names.clone());
        let algorithms = PROVIDER.signature_verification_algorithms;
        let servers = Servers::new(roots, algorithms, names.clone());

        let leaf = &certified.cert[0];
        let refused = |refused: Refused| Error::Own { path: certificate_path.to_owned(), refused };
        clients.trusts(&certified.cert).map_err(|error| refused((&error).into()))?;
        servers.trusts(&certified.cert).map_err(|error| refused((&error).into()))?;
        let peer = names.admit(leaf, own).map_err(refused)?;
        let expires = expires(leaf).ok_or_else(|| Error::content(certificate_path, "has no end that can be read"))?;

        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let server = Arc::new(server(clients, resolver.clone())?);
        let client = client(servers.clone(), resolver)?;
        Ok(Loaded { server, client, servers, own: peer, expires })
    }

    /// For one connection to whom it is meant for.
    pub(crate) fn client(&self, expect: Expect) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.dangerous().set_certificate_verifier(Arc::new(self.servers.clone().expecting(expect)));
        Arc::new(client)
    }
}

fn server(clients: Clients, resolver: Arc<SingleCertAndKey>) -> Result<ServerConfig, Error> {
    let mut server = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::make("TLS configuration"))?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(resolver);
    server.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would be let in on the strength of an earlier check, by what was trusted then.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(server)
}

fn client(servers: Servers, resolver: Arc<SingleCertAndKey>) -> Result<ClientConfig, Error> {
    let mut client = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::make("TLS configuration"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_cert_resolver(resolver);
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(client)
}

fn roots(files: &Files, path: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in files.authorities()? {
        roots.add(authority).map_err(|error| Error::content(path, format!("holds a bad certificate: {error}")))?;
    }
    Ok(Arc::new(roots))
}

/// Our chain and key, which belong together.
fn certified(files: &Files) -> Result<CertifiedKey, Error> {
    let [_, certificate, key_path] = files.paths();
    let key = PROVIDER
        .key_provider
        .load_private_key(files.key()?)
        .map_err(|error| Error::content(key_path, format!("holds a key that cannot be used: {error}")))?;
    let certified = CertifiedKey::new(files.chain()?, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(Error::Mismatch { certificate: certificate.to_owned(), key: key_path.to_owned() })
        }
        Err(error) => Err(Error::content(certificate, format!("holds a bad certificate: {error}"))),
    }
}

fn expires(der: &[u8]) -> Option<SystemTime> {
    let seconds = peer::parse(der)?.validity().not_after.timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}
