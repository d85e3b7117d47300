//! The way to a service: its server itself when it is in this process, a channel when it is not.

use std::time::Duration;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

/// What generated clients are made of. Cheap to clone.
pub type Link = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, LinkError>;

/// A request did not reach its service.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(BoxError);

/// How often the other end is asked whether it is there, and how long it has to answer: one that has stopped, or is cut
/// off, breaks the connection after both.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The largest message in either direction. Entries, rows and catalogs all are far below.
pub const MAX_MESSAGE: usize = 256 << 20;

/// A link to a server in this process: no socket, and no copy but the message's own encoding.
pub fn in_memory<S>(server: S) -> Link
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(server.map_err(|e| LinkError(e.into())))
}

/// Reads the address of a service; the error names the setting.
pub fn uri(setting: &str, address: &str) -> Result<Uri, String> {
    let uri: Uri = address.parse().map_err(|e| format!("{setting} {address:?} is not an address: {e}"))?;
    match uri.scheme_str() {
        Some("http") if uri.authority().is_some() => Ok(uri),
        _ => Err(format!("{setting} {address:?}: write http://host:port")),
    }
}

/// A link to a server at `http://host:port`, connected when first used and again whenever it breaks.
pub fn to(uri: Uri) -> Link {
    link(endpoint(uri).connect_lazy())
}

/// A link over connections that `connector` makes, the first when it is first used and another whenever one breaks.
pub fn over<C, S>(connector: C) -> Link
where
    C: Service<Uri, Response = S> + Send + 'static,
    C::Future: Send,
    BoxError: From<C::Error>,
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    // Where it leads is the connector's business.
    link(endpoint(Uri::from_static("http://member")).connect_with_connector_lazy(connector))
}

/// A link that is another one for each request.
pub fn picked(pick: impl Fn() -> Option<Link> + Clone + Send + Sync + 'static) -> Link {
    BoxCloneSyncService::new(tower::service_fn(move |request| {
        let link = pick();
        async move {
            match link {
                Some(link) => link.oneshot(request).await,
                None => Err(LinkError("no member that could answer is known".into())),
            }
        }
    }))
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
}

fn link(channel: Channel) -> Link {
    BoxCloneSyncService::new(channel.map_err(|e| LinkError(e.into())))
}
