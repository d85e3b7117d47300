//! Why a process could not take its place in the cluster.

use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error("cannot listen on {address}: {source} (cluster.listen)")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// Members are known by their certificates, so the name in ours must be our own.
    #[error("the certificate says {certificate:?}, the settings say {settings:?} (cluster.member)")]
    Name { certificate: String, settings: String },
}
