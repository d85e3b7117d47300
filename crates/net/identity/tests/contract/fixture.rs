//! Authorities, certificates with any mistake, and both ends of a connection.

use model::Role;
use ouro_identity::{Acceptor, Cause, Connector, Expect, Identity, Peer, Refused, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{client, server};

pub const CLUSTER: &str = "ouro";

/// Issues whatever a test asks for: unlike `Authority`, also what is wrong.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and key in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new() -> Ca {
        let (params, key) = Ca::parts("test authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Ca { issuer: Issuer::new(params, key), pem }
    }

    /// Another authority that this one vouches for.
    pub fn intermediate(&self) -> Ca {
        let (params, key) = Ca::parts("test intermediate");
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Ca { issuer: Issuer::new(params, key), pem }
    }

    fn parts(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params, KeyPair::generate().unwrap())
    }

    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate of the member that a URI names.
    pub fn member(&self, uri: &str) -> Pair {
        self.pair(|params| params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())])
    }

    /// A certificate that is good for both ends, but for what `change` does to it.
    pub fn pair(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "member");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// A member's files.
pub struct Files {
    pub dir: TempDir,
}

impl Files {
    pub fn new(ca: &str, pair: &Pair) -> Files {
        let files = Files { dir: tempfile::tempdir().unwrap() };
        files.write("ca.crt", ca);
        files.write_pair(pair);
        files
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn write_pair(&self, pair: &Pair) {
        self.write("tls.crt", &pair.certificate);
        self.write("tls.key", &pair.key);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn settings(&self) -> Settings {
        settings_in(self.dir.path())
    }

    pub fn open(&self, role: Role) -> Identity {
        Identity::open(&self.settings(), CLUSTER, role).unwrap()
    }
}

pub fn settings_in(dir: &Path) -> Settings {
    Settings {
        ca: dir.join("ca.crt"),
        certificate: dir.join("tls.crt"),
        key: dir.join("tls.key"),
        reload: Duration::from_millis(10),
        ..Settings::default()
    }
}

/// A good member of `CLUSTER`. Its files are gone: they are only read again by a look.
pub fn member(ca: &Ca, role: Role, name: &str) -> Identity {
    Files::new(&ca.pem, &ca.member(&format!("spiffe://{CLUSTER}/{role}/{name}"))).open(role)
}

/// The identity of another cluster's member.
pub fn foreigner(ca: &Ca, cluster: &str) -> Identity {
    let files = Files::new(&ca.pem, &ca.member(&format!("spiffe://{cluster}/querier/spy")));
    Identity::open(&files.settings(), cluster, Role::Querier).unwrap()
}

pub fn any() -> Expect {
    Expect::default()
}

/// Both ends of a TCP connection: who connected, and who was connected to.
pub async fn wire() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

pub type Near = (client::TlsStream<TcpStream>, Peer);
pub type Far = (server::TlsStream<TcpStream>, Peer);

/// A connection of two members, as each end sees it.
pub async fn connect(from: &Connector, to: &Acceptor, expect: Expect) -> (Result<Near, Refused>, Result<Far, Refused>) {
    let (near, far) = wire().await;
    let to = to.clone();
    // As services do it, in tasks of their own.
    let far = tokio::spawn(async move { to.accept(far).await });
    (from.connect(near, expect).await, far.await.unwrap())
}

/// Sends a word each way.
pub async fn talk(near: &mut Near, far: &mut Far) {
    let mut word = [0; 4];
    near.0.write_all(b"ping").await.unwrap();
    near.0.flush().await.unwrap();
    far.0.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    far.0.write_all(b"pong").await.unwrap();
    far.0.flush().await.unwrap();
    near.0.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"pong");
}

/// How often an identity refused somebody for this cause.
pub fn refused(identity: &Identity, cause: Cause) -> u64 {
    identity.stats().refused.iter().find(|(other, _)| *other == cause).unwrap().1
}
