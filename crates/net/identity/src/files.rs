//! Reads the files that hold our certificate, its key, and the authorities.

use crate::error::Error;
use crate::settings::Settings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More than any chain or bundle of authorities of one organisation has.
const MAX_BYTES: u64 = 1 << 20;

/// What the three files hold, as bytes. Has no `Debug`, because one is a private key.
#[derive(PartialEq, Eq)]
pub(crate) struct Files {
    ca: Source,
    certificate: Source,
    key: Source,
}

#[derive(PartialEq, Eq)]
struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Files {
    pub(crate) fn read(settings: &Settings) -> Result<Files, Error> {
        let [ca, certificate, key] = settings.paths().map(|(key, path)| match read(path) {
            Ok(bytes) => Ok(Source { path: path.to_owned(), bytes }),
            Err(source) => Err(Error::Read { key, path: path.to_owned(), source }),
        });
        Ok(Files { ca: ca?, certificate: certificate?, key: key? })
    }

    /// The authorities, at least one.
    pub(crate) fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        self.ca.certificates()
    }

    /// Our certificate and the intermediate ones after it.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        self.certificate.certificates()
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        // What the reader says may repeat a line of the file: it is left out.
        PrivateKeyDer::from_pem_slice(&self.key.bytes)
            .map_err(|_| Error::content(&self.key.path, "(tls.key) holds no private key in PEM"))
    }

    pub(crate) fn paths(&self) -> [&Path; 3] {
        [&self.ca.path, &self.certificate.path, &self.key.path]
    }
}

impl Source {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(Error::content(&self.path, "holds no certificate in PEM")),
            Err(_) => Err(Error::content(&self.path, "is not whole: a PEM section in it does not end or is no base64")),
        }
    }
}

/// Reads a file of a limited size.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1MiB"));
    }
    Ok(bytes)
}
