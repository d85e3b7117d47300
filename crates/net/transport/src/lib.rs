//! How services talk: their own protocol over gRPC, in memory within one process or over a socket between two.

pub mod link;
pub mod rows;
pub mod status;

/// The messages and services of `proto/ouro/v1`.
#[allow(missing_docs, clippy::all, rust_2018_idioms)]
pub mod v1 {
    tonic::include_proto!("ouro.v1");
}

pub use link::Link;
