//! The routes of OTLP's senders, over HTTP and over gRPC.
//!
//! A gRPC call of one request and one answer is a POST with five bytes before each message and the status in the
//! trailers; so it is read within the same budget and the same limits as every other push.

use crate::api::{self, Answered};
use crate::body::{Content, Encoding, encoding, media_type};
use crate::distributor::Distributor;
use crate::error::PushError;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::sync::Arc;
use wire::otlp::{self, reply};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const GRPC: &str = "application/grpc";

/// `POST /otlp/v1/logs` and `/otlp/v1/metrics`, and gRPC's `LogsService` and `MetricsService`.
pub fn router(distributor: Arc<Distributor>) -> Router {
    Router::new()
        .route("/otlp/v1/logs", post(logs))
        .route("/otlp/v1/metrics", post(metrics))
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", post(grpc_logs))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(grpc_metrics))
        .with_state(distributor)
}

async fn logs(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    over_http(&distributor, otlp::Request::Logs, request).await
}

async fn metrics(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    over_http(&distributor, otlp::Request::Metrics, request).await
}

async fn grpc_logs(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    over_grpc(&distributor, otlp::Request::Logs, request).await
}

async fn grpc_metrics(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    over_grpc(&distributor, otlp::Request::Metrics, request).await
}

/// 200 with what was refused, if anything was, or the error's status with a `google.rpc.Status`; in the request's own
/// content type.
async fn over_http(distributor: &Arc<Distributor>, what: otlp::Request, request: Request) -> Response {
    let json = media_type(request.headers()).1 == JSON;
    let parse = |headers: &HeaderMap| {
        let (found, media, _) = media_type(headers);
        if media != JSON && media != PROTOBUF {
            let expected = "application/x-protobuf or application/json";
            return Err(PushError::ContentType { found, expected });
        }
        Ok((Content::Otlp { what, json }, plain_or_gzip(&encoding(headers))?))
    };
    let (_, pushed) = api::push(distributor, request, parse).await;
    let (status, body, retry_after) = match api::count_answer(distributor, pushed) {
        Answered::Stored { refused, rows } => {
            (StatusCode::OK, reply::success(what, rows, refused.as_deref(), json), None)
        }
        Answered::Left { .. } => (StatusCode::OK, reply::success(what, 0, None, json), None),
        Answered::Failed { error, status } => {
            let code = transport::status::grpc(error.reason(), "").code() as u32;
            (status, reply::status(code, &error.to_string(), json), api::retry_after(&error))
        }
    };
    let media = if json { JSON } else { PROTOBUF };
    let mut response = (status, [(header::CONTENT_TYPE, media)], body).into_response();
    if let Some(wait) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

fn plain_or_gzip(name: &str) -> Result<Encoding, PushError> {
    match name {
        "" | "identity" => Ok(Encoding::None),
        "gzip" => Ok(Encoding::Gzip),
        found => Err(PushError::ContentEncoding { found: found.into(), expected: "gzip or nothing" }),
    }
}

async fn over_grpc(distributor: &Arc<Distributor>, what: otlp::Request, request: Request) -> Response {
    let parse = |headers: &HeaderMap| {
        let (found, media, _) = media_type(headers);
        if media != GRPC && media != "application/grpc+proto" {
            return Err(PushError::ContentType { found, expected: GRPC });
        }
        let name = headers.get("grpc-encoding").map_or(&b""[..], HeaderValue::as_bytes);
        Ok((Content::OtlpGrpc { what }, plain_or_gzip(&String::from_utf8_lossy(name))?))
    };
    let (_, pushed) = api::push(distributor, request, parse).await;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    let answered = match api::count_answer(distributor, pushed) {
        Answered::Left { .. } => Answered::Stored { refused: None, rows: 0 },
        answered => answered,
    };
    let body = match answered {
        Answered::Left { .. } => Body::empty(),
        Answered::Stored { refused, rows } => {
            let message = reply::success(what, rows, refused.as_deref(), false);
            let mut framed = vec![0];
            framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
            framed.extend_from_slice(&message);
            let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
            Body::new(Full::<Bytes>::from(framed).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) }))
        }
        Answered::Failed { error, .. } => {
            let code = transport::status::grpc(error.reason(), "").code() as i32;
            headers.insert(GRPC_STATUS, HeaderValue::from(code));
            let text = percent(&error.to_string());
            headers.insert("grpc-message", HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")));
            Body::empty()
        }
    };
    (headers, body).into_response()
}

const GRPC_STATUS: http::HeaderName = http::HeaderName::from_static("grpc-status");

/// gRPC's messages are printable ASCII; all else, and `%`, is written as `%41`.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
