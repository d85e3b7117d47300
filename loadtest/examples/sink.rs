//! A target that reads every push, forgets it and says yes: what the generator can do at most.
//!
//! `cargo run --release -p loadtest --example sink`, then `loadtest logs --target http://127.0.0.1:3199 --max --for 10s`.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let router = Router::new().route("/loki/api/v1/push", post(forget)).route("/api/v1/push", post(forget));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3199").await.expect("the port is free");
    axum::serve(listener, router).await.expect("serves");
}

async fn forget(_: HeaderMap, body: Body) -> StatusCode {
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        if part.is_err() {
            return StatusCode::BAD_REQUEST;
        }
    }
    StatusCode::NO_CONTENT
}
