//! The routes by which agents push.

use crate::body::{Content, Encoding, loki_content, loki_encoding, remote_write_content, remote_write_encoding};
use crate::checked::Written;
use crate::distributor::{Distributor, Push, Pushed};
use crate::error::PushError;
use crate::meters::add;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::Reason;
use std::sync::Arc;
use std::time::Duration;
use wire::prometheus::Version;

/// `POST /loki/api/v1/push` (also as the older `/api/prom/push`), and `POST /api/v1/push` and `/api/v1/write` for
/// remote write.
pub fn router(distributor: Arc<Distributor>) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push_logs))
        .route("/api/prom/push", post(push_logs))
        .route("/api/v1/push", post(push_metrics))
        .route("/api/v1/write", post(push_metrics))
        .with_state(distributor)
}

async fn push_logs(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    let parse = |headers: &HeaderMap| Ok((loki_content(headers)?, loki_encoding(headers)?));
    let (_, pushed) = push(&distributor, request, parse).await;
    answer(&distributor, pushed, false)
}

async fn push_metrics(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    let parse = |headers: &HeaderMap| Ok((remote_write_content(headers)?, remote_write_encoding(headers)?));
    let (content, pushed) = push(&distributor, request, parse).await;
    answer(&distributor, pushed, content == Some(Content::RemoteWrite(Version::V2)))
}

/// The content as the headers tell it, if they can be read, and what became of the push.
async fn push(
    distributor: &Arc<Distributor>,
    request: Request,
    parse: impl Fn(&HeaderMap) -> Result<(Content, Encoding), PushError>,
) -> (Option<Content>, Result<Pushed, PushError>) {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let admitted = tenancy::admit(distributor.limits(), headers.get("x-scope-orgid").map(HeaderValue::as_bytes));
    let parsed = admitted.map_err(PushError::from).and_then(|admitted| Ok((admitted, parse(&headers)?)));
    match parsed {
        Err(error) => (None, Err(error)),
        Ok((admitted, (content, encoding))) => {
            let push = Push { content, encoding, headers, body };
            (Some(content), distributor.push(admitted, push).await)
        }
    }
}

/// 204, or 400 with what was refused, or the error's own status. `counts`: with the headers of remote write 2.0.
fn answer(distributor: &Distributor, pushed: Result<Pushed, PushError>, counts: bool) -> Response {
    let meters = distributor.meters();
    let (written, error) = match pushed {
        Ok(Pushed { written, refused: None }) => {
            add(&meters.pushes_stored, 1);
            (written, None)
        }
        Ok(Pushed { written, refused: Some(text) }) => (written, Some(PushError::Refused { text })),
        Err(error) => (Written::default(), Some(error)),
    };
    let mut response = match &error {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(error) => {
            let status = transport::status::http(error.reason());
            count(distributor, error, status);
            (status, format!("{error}\n")).into_response()
        }
    };
    let headers = response.headers_mut();
    if let Some(wait) = error.as_ref().and_then(PushError::retry_after) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if counts {
        headers.insert("x-prometheus-remote-write-samples-written", HeaderValue::from(written.samples));
        headers.insert("x-prometheus-remote-write-histograms-written", HeaderValue::from(written.histograms));
        headers.insert("x-prometheus-remote-write-exemplars-written", HeaderValue::from(written.exemplars));
    }
    response
}

fn count(distributor: &Distributor, error: &PushError, status: StatusCode) {
    let meters = distributor.meters();
    let counter = match (error, error.reason()) {
        (PushError::Refused { .. }, _) => &meters.pushes_partial,
        (_, Reason::OverLimit) => &meters.pushes_limited,
        _ if status.is_server_error() => &meters.pushes_failed,
        _ => &meters.pushes_refused,
    };
    add(counter, 1);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%error, "a push failed");
    }
}

/// Rounded up, and never 0: that would mean at once.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().max(1.0) as u64
}
