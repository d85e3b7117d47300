//! The HTTP side: connections, the S3 protocol by `s3s`, and faults around it.

use super::fault::{Fault, Faults, Request};
use super::store::Store;
use super::{ACCESS_KEY, SECRET_KEY};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::sync::Arc;

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Serves until it is dropped.
pub async fn serve(listener: std::net::TcpListener, store: Arc<Store>, faults: Arc<Faults>) {
    listener.set_nonblocking(true).expect("a listener can be set to non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes the listener");
    let mut builder = S3ServiceBuilder::new(super::operations::Operations(store));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (service, faults) = (service.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let mut away = faults.away();
            let handle = service_fn(|request| answer(request, &service, &faults));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handle);
            tokio::select! {
                biased;
                _ = away.wait_for(|away| *away) => {}
                _ = connection => {}
            }
        });
    }
}

/// An error here cuts the connection.
async fn answer(request: hyper::Request<Incoming>, service: &S3Service, faults: &Faults) -> io::Result<Answer> {
    let range = request.headers().get("range").and_then(|range| range.to_str().ok()).unwrap_or_default();
    let noted = Request {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        range: range.to_owned(),
    };
    match faults.meet(noted) {
        None => pass(request, service).await,
        Some(Fault::SlowDown) => refuse(request, StatusCode::SERVICE_UNAVAILABLE, "SlowDown").await,
        Some(Fault::Unavailable) => refuse(request, StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable").await,
        Some(Fault::Internal) => refuse(request, StatusCode::INTERNAL_SERVER_ERROR, "InternalError").await,
        Some(Fault::Latency(time)) => {
            tokio::time::sleep(time).await;
            pass(request, service).await
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::DoneThenHang) => {
            pass(request, service).await?;
            std::future::pending().await
        }
        Some(Fault::DoneThenInternal) => {
            pass(request, service).await?;
            Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"))
        }
        Some(Fault::DoneThenCut) => {
            pass(request, service).await?;
            Err(io::Error::other("cut on purpose"))
        }
        Some(Fault::Truncate(bytes)) => Ok(truncate(pass(request, service).await?, bytes)),
    }
}

async fn pass(request: hyper::Request<Incoming>, service: &S3Service) -> io::Result<Answer> {
    let response =
        service.call(request.map(s3s::Body::from)).await.map_err(|error| io::Error::other(format!("{error:?}")))?;
    Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()))
}

/// Reads the body to its end, so that the client gets to read the answer.
async fn refuse(request: hyper::Request<Incoming>, status: StatusCode, code: &str) -> io::Result<Answer> {
    request.into_body().collect().await.map_err(io::Error::other)?;
    Ok(error(status, code))
}

fn error(status: StatusCode, code: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>Injected.</Message></Error>"
    );
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/xml"));
    response
}

/// The first bytes of the body, then an error that cuts the connection.
fn truncate(response: Answer, bytes: usize) -> Answer {
    response.map(|body| {
        let mut left = bytes;
        let parts = body.into_data_stream().map(move |part| {
            let part = part?;
            let kept = part.slice(..part.len().min(left));
            left -= kept.len();
            // An empty frame does not reach the wire; the error after it does.
            if kept.is_empty() { Err(io::Error::other("cut on purpose")) } else { Ok(Frame::data(kept)) }
        });
        let end = futures::stream::iter([Err(io::Error::other("cut on purpose"))]);
        StreamBody::new(parts.chain(end)).boxed_unsync()
    })
}
