//! An authority of our own: for development, and for clusters that have no other.

use crate::dns;
use crate::error::Error;
use crate::files::read;
use crate::peer::{self, Peer};
use model::Role;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
/// What a member may not be called, because its files would be the authority's.
const RESERVED: &str = "ca";
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an authority lasts, and a certificate at most.
const MAX_DAYS: u32 = 3650;
/// How far in the past a certificate begins, for members whose clocks are behind.
const SKEW: Duration = Duration::from_secs(300);

/// Issues certificates of one cluster's members.
#[derive(Debug)]
pub struct Authority {
    cluster: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A new certificate and its key, in PEM. Has no `Debug`, because of the key.
pub struct Issued {
    pub name: String,
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Makes an authority for a cluster and writes `ca.crt` and `ca.key` (mode 0600) into `dir`, which is made if
    /// needed. Fails if one of them is there.
    pub fn init(dir: &Path, cluster: &str) -> Result<Authority, Error> {
        peer::check("cluster", cluster)?;
        let mut params = params(&format!("{cluster} authority"), &format!("spiffe://{cluster}"), MAX_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(Error::make("certificate"))?.pem();

        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let [certificate_path, key_path] = [CERTIFICATE, KEY].map(|name| dir.join(name));
        for path in [&certificate_path, &key_path] {
            if path.exists() {
                return Err(Error::Exists { path: path.clone() });
            }
        }
        create(&key_path, &key.serialize_pem(), SECRET)?;
        create(&certificate_path, &certificate, PUBLIC)?;
        Ok(Authority { cluster: cluster.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Opens what `init` wrote.
    pub fn open(dir: &Path) -> Result<Authority, Error> {
        let [certificate_path, key_path] = [CERTIFICATE, KEY].map(|name| dir.join(name));
        let text = |path: &Path| {
            let bytes = read(path).map_err(Error::io("read", path))?;
            String::from_utf8(bytes).map_err(|_| Error::content(path, "is not PEM"))
        };
        let certificate = CertificateDer::from_pem_slice(text(&certificate_path)?.as_bytes())
            .map_err(|_| Error::content(&certificate_path, "holds no certificate in PEM"))?;
        let key = KeyPair::from_pem(&text(&key_path)?)
            .map_err(|_| Error::content(&key_path, "holds no private key in PEM"))?;
        let parsed = peer::parse(&certificate).filter(|parsed| parsed.is_ca());
        let parsed = parsed.ok_or_else(|| Error::content(&certificate_path, "is no authority"))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(Error::Mismatch { certificate: certificate_path, key: key_path });
        }
        let cluster = cluster(&parsed)
            .ok_or_else(|| Error::content(&certificate_path, "names no cluster: it is not one that `init` made"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(Error::make("authority"))?;
        Ok(Authority { cluster, issuer })
    }

    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Issues a certificate that begins now and lasts `days`. `hosts` are DNS names and IP addresses to add, for
    /// programs that check them; members do not.
    pub fn issue(&self, role: Role, name: &str, days: u32, hosts: &[String]) -> Result<Issued, Error> {
        peer::check("member", name)?;
        if name == RESERVED {
            return Err(Error::Reserved);
        }
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(Error::Days { days, limit: MAX_DAYS });
        }
        let member = Peer { cluster: self.cluster.clone(), role, name: name.to_owned() };
        let mut params = params(name, &member.to_string(), days)?;
        for host in hosts {
            params.subject_alt_names.push(san(host)?);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::make("certificate"))?;
        Ok(Issued { name: member.name, certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Issued {
    /// Writes `NAME.crt` and `NAME.key` (mode 0600) into `dir`, over older ones. Each is whole at any moment; a
    /// member that looks between the two waits for its next look.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        replace(dir, &format!("{}.key", self.name), &self.key, SECRET)?;
        replace(dir, &format!("{}.crt", self.name), &self.certificate, PUBLIC)
    }
}

/// Of which cluster an authority is, by its URI name `spiffe://CLUSTER`.
fn cluster(authority: &X509Certificate<'_>) -> Option<String> {
    let names = authority.subject_alternative_name().ok()??;
    let uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    uris.map(str::to_owned).find(|name| peer::check("cluster", name).is_ok())
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::make("key"))
}

/// A certificate of a subject and URI name that lasts from now on.
fn params(subject: &str, uri: &str, days: u32) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).map_err(Error::make("certificate"))?)];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::make("certificate"))?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + DAY * days;
    Ok(params)
}

fn san(host: &str) -> Result<SanType, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let name = Ia5String::try_from(host).ok().filter(|_| dns::is_name(host));
    name.map(SanType::DnsName).ok_or_else(|| Error::Host { text: host.to_owned() })
}

/// Writes a file that is not there yet, durably.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Io { action: "write", path: path.to_owned(), source },
    })
}

/// Puts a new file in the place of an old one in one step.
fn replace(dir: &Path, name: &str, text: &str, mode: u32) -> Result<(), Error> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    // One is left over if the process ended here before.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &new)(error)),
        _ => {}
    }
    create(&new, text, mode)?;
    fs::rename(&new, &path).map_err(Error::io("replace", &path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}
