//! The port for users of a process of a cluster.

use crate::page::{self, Page};
use axum::Router;
use node::Node;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Serves `routes`, and how the process is, until it is told to stop. Prints one line when it listens: what it is, and
/// what for.
pub async fn api(
    listen: SocketAddr,
    routes: Router,
    page: Page,
    node: &Node,
    what: &str,
    purpose: &str,
) -> Result<(), String> {
    let unbound = |e: std::io::Error| format!("cannot listen on {listen}: {e} (listen)");
    let listener = TcpListener::bind(listen).await.map_err(unbound)?;
    let at = listener.local_addr().map_err(unbound)?;
    let me = page.mesh.me();
    println!("{what} {} is ready: {purpose} http://{at}, members reach it at {}", me.name, me.address);
    let mut stopping = node.stopping();
    let served = axum::serve(listener, routes.merge(page::router(page)));
    served.with_graceful_shutdown(async move { stopping.wait().await }).await.map_err(|e| e.to_string())
}
