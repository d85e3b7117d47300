//! Who is at the other end of a connection.
//!
//! Members of a cluster speak mutual TLS 1.3. A member's certificate says who it is by the URI name
//! `spiffe://CLUSTER/ROLE/NAME`, or by a DNS name that a rule of the [`Settings`] binds to a role. An [`Identity`] is
//! made of the files that hold ours; its [`Acceptor`] and [`Connector`] turn a TCP stream into a TLS stream and the
//! [`Peer`] behind it. Certificates of other clusters are [`Refused`] inside the handshake, also when the same
//! authority issued them, so two clusters cannot merge.
//!
//! Files that change are loaded while the process runs ([`Identity::watch`]); connections that stand are left alone.
//! [`Authority`] issues certificates where no other authority is at hand. ARCHITECTURE.md says how this holds.

mod authority;
mod dns;
mod error;
mod files;
mod handshake;
mod identity;
mod loaded;
mod peer;
mod refusals;
mod refused;
mod settings;
mod verifier;
mod watch;

pub use authority::{Authority, Issued};
pub use error::Error;
pub use handshake::{Acceptor, Connector, HANDSHAKE};
pub use identity::{Identity, Stats};
pub use peer::{Expect, Peer, PeerError};
pub use refused::{Cause, Refused};
pub use settings::{NameSettings, Settings};
pub use watch::Look;
