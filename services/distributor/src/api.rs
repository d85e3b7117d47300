//! The routes by which agents push.

use crate::body::{Content, Encoding, loki_content, loki_encoding, remote_write_content, remote_write_encoding};
use crate::checked::Written;
use crate::distributor::{Distributor, Push, Pushed};
use crate::error::PushError;
use crate::meters::add;
use crate::{lines, otlp};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::Reason;
use std::sync::Arc;
use std::time::Duration;
use wire::prometheus::Version;

/// `POST /loki/api/v1/push` (also as the older `/api/prom/push`), `POST /api/v1/push` and `/api/v1/write` for remote write,
/// and the routes of plain lines and OTLP.
pub fn router(distributor: Arc<Distributor>) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push_logs))
        .route("/api/prom/push", post(push_logs))
        .route("/api/v1/push", post(push_metrics))
        .route("/api/v1/write", post(push_metrics))
        .with_state(distributor.clone())
        .merge(lines::router(distributor.clone()))
        .merge(otlp::router(distributor))
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
pub async fn push(
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
            let push = Push { content: content.clone(), encoding, headers, body };
            (Some(content), distributor.push(admitted, push).await)
        }
    }
}

/// 204, or 202 for a replica that is not elected, or 400 with what was refused, or the error's own status. `counts`: with the headers of remote write 2.0.
pub fn answer(distributor: &Distributor, pushed: Result<Pushed, PushError>, counts: bool) -> Response {
    let written = pushed.as_ref().map_or(Written::default(), |pushed| pushed.written);
    let mut response = match count_answer(distributor, pushed) {
        Answered::Stored { refused: None, .. } => StatusCode::NO_CONTENT.into_response(),
        Answered::Left { text } => (StatusCode::ACCEPTED, format!("{text}\n")).into_response(),
        Answered::Stored { refused: Some(text), .. } => (StatusCode::BAD_REQUEST, format!("{text}\n")).into_response(),
        Answered::Failed { error, status } => {
            let mut response = (status, format!("{error}\n")).into_response();
            if let Some(wait) = retry_after(&error) {
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            response
        }
    };
    let headers = response.headers_mut();
    if counts {
        headers.insert("x-prometheus-remote-write-samples-written", HeaderValue::from(written.samples));
        headers.insert("x-prometheus-remote-write-histograms-written", HeaderValue::from(written.histograms));
        headers.insert("x-prometheus-remote-write-exemplars-written", HeaderValue::from(written.exemplars));
    }
    response
}

/// What became of a push, for its answer.
pub enum Answered {
    /// `rows`: how many were refused, and why.
    Stored {
        refused: Option<String>,
        rows: u64,
    },
    /// Another replica's samples are stored.
    Left {
        text: String,
    },
    Failed {
        error: PushError,
        status: StatusCode,
    },
}

/// Counts the push by its outcome.
pub fn count_answer(distributor: &Distributor, pushed: Result<Pushed, PushError>) -> Answered {
    match pushed {
        Ok(Pushed { left: Some(text), .. }) => {
            add(&distributor.meters().pushes_left, 1);
            Answered::Left { text }
        }
        Ok(Pushed { refused, refused_rows, .. }) => {
            let meters = distributor.meters();
            add(if refused.is_none() { &meters.pushes_stored } else { &meters.pushes_partial }, 1);
            Answered::Stored { refused, rows: refused_rows }
        }
        Err(error) => {
            let status = transport::status::http(error.reason());
            count(distributor, &error, status);
            Answered::Failed { error, status }
        }
    }
}

/// The value of `Retry-After`, if waiting helps.
pub fn retry_after(error: &PushError) -> Option<HeaderValue> {
    error.retry_after().map(|wait| HeaderValue::from(whole_seconds(wait)))
}

fn count(distributor: &Distributor, error: &PushError, status: StatusCode) {
    let meters = distributor.meters();
    let counter = match error.reason() {
        Reason::OverLimit => &meters.pushes_limited,
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
