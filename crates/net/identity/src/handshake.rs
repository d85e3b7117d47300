//! Turns TCP streams into TLS streams between members.

use crate::identity::Identity;
use crate::loaded::ALPN;
use crate::peer::{Expect, Peer};
use crate::refused::Refused;
use rustls::CommonState;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// How long a handshake may take. Between members it takes milliseconds.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Takes connections of other members of our cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Acceptor {
    identity: Identity,
}

/// Makes connections to other members of our cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    identity: Identity,
}

impl Acceptor {
    pub(crate) fn new(identity: Identity) -> Acceptor {
        Acceptor { identity }
    }

    /// Shakes hands with whoever connected. Nothing of the application was read when it is refused. A refusal is
    /// counted and logged here: the caller only lets go of it.
    pub async fn accept(&self, stream: TcpStream) -> Result<(server::TlsStream<TcpStream>, Peer), Refused> {
        let from = address(&stream);
        let accepted = async {
            let acceptor = TlsAcceptor::from(self.identity.inner().current.load().server.clone());
            let stream = within(acceptor.accept(stream)).await?;
            let peer = peer(&self.identity, stream.get_ref().1, &Expect::default())?;
            Ok((stream, peer))
        };
        accepted.await.inspect_err(|refused| note(&self.identity, refused, from, "refused a connection"))
    }
}

impl Connector {
    pub(crate) fn new(identity: Identity) -> Connector {
        Connector { identity }
    }

    /// Shakes hands with whom we connected to. Fails if it is another than `expect` says. A refusal is counted and
    /// logged here: the caller only lets go of it.
    ///
    /// In TLS 1.3 the connecting end is done first. If the other end refuses our certificate, that is seen by the
    /// first read of the stream.
    pub async fn connect(
        &self,
        stream: TcpStream,
        expect: Expect,
    ) -> Result<(client::TlsStream<TcpStream>, Peer), Refused> {
        let to = address(&stream);
        let connected = async {
            let connector = TlsConnector::from(self.identity.inner().current.load().client(expect.clone()));
            // rustls asks for a name. It is neither sent nor checked: a member is known by its certificate alone.
            let stream = within(connector.connect(ServerName::from(to), stream)).await?;
            let peer = peer(&self.identity, stream.get_ref().1, &expect)?;
            Ok((stream, peer))
        };
        connected.await.inspect_err(|refused| note(&self.identity, refused, to, "refused to go on with a member"))
    }
}

async fn within<S>(handshake: impl Future<Output = io::Result<S>>) -> Result<S, Refused> {
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err((&error).into()),
        Err(_) => Err(Refused::Timeout),
    }
}

/// Who is at the other end of a connection that the verifiers let pass.
fn peer(identity: &Identity, connection: &CommonState, expect: &Expect) -> Result<Peer, Refused> {
    // rustls fails if there is nothing in common, but not if the other end names no protocol.
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(Refused::handshake("the other end does not speak h2"));
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or(Refused::NoCertificate)?;
    identity.inner().names.admit(leaf, expect)
}

/// Without the port, which is another for each connection.
fn address(stream: &TcpStream) -> IpAddr {
    stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical())
}

fn note(identity: &Identity, refused: &Refused, remote: IpAddr, what: &'static str) {
    let now = Instant::now().into_std();
    if let Some(left_out) = identity.inner().refusals.count(refused.reason(), remote, now) {
        tracing::warn!(reason = %refused.reason(), why = %refused, %remote, left_out, "{what}");
    }
}
