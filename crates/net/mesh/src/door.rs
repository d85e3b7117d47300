//! Takes connections of other members, and passes their requests on if their role may make them.

use crate::access;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use identity::{Acceptor, Peer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::ServiceExt;

/// Members that may be connected, or about to be, at a time.
const CONNECTIONS: usize = 8192;
/// A connection that does not answer a ping for so long is closed.
const PING: Duration = Duration::from_secs(10);
/// How long requests under way may take once the door is to be closed.
const FINISH: Duration = Duration::from_secs(2);
/// After the kernel refused a connection for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// What one connection may have on its way.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Serves until `closed` is set, and then finishes the requests under way.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: Acceptor,
    routes: Router,
    mut closed: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = until(&mut closed) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection of a member");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(limit = CONNECTIONS, "a member's connection is refused: there are too many");
            continue;
        };
        let (acceptor, routes, closed) = (acceptor.clone(), routes.clone(), closed.clone());
        connections.spawn(async move {
            let _place = place;
            connection(stream, acceptor, routes, closed).await;
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Waits until the door is to be closed.
pub(crate) async fn until(closed: &mut watch::Receiver<bool>) {
    // An error means that the member is gone, which is the same.
    let _ = closed.wait_for(|closed| *closed).await;
}

async fn connection(stream: TcpStream, acceptor: Acceptor, routes: Router, mut closed: watch::Receiver<bool>) {
    // Small messages go at once.
    let _ = stream.set_nodelay(true);
    // Refusals are counted and logged where they are found.
    let Ok((stream, peer)) = acceptor.accept(stream).await else { return };
    let peer = Arc::new(peer);
    let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        admitted(request.map(Body::new), peer.clone(), routes.clone())
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(4096);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    tokio::select! {
        _ = serving.as_mut() => {}
        () = until(&mut closed) => {
            serving.as_mut().graceful_shutdown();
            // Streams of Raft go on for as long as both ends live, so the end has to be made.
            let _ = timeout(FINISH, serving).await;
        }
    }
}

async fn admitted(mut request: Request, peer: Arc<Peer>, routes: Router) -> Result<Response, Infallible> {
    let path = request.uri().path();
    if !access::may(peer.role, path) {
        tracing::warn!(member = %peer, path, "a member asked for what its role may not have");
        let text = format!("{peer} may not ask for {path}: its role is {}", peer.role);
        return Ok(Status::new(Code::PermissionDenied, text).into_http::<Body>());
    }
    request.extensions_mut().insert(peer);
    Ok(routes.oneshot(request).await.into_response())
}
