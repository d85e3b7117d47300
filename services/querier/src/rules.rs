//! Rules and alerts for clients that know no other address than the querier's, as Grafana: any ruler answers for all.

use crate::api;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mesh::Mesh;
use model::{Reason, Role};
use std::time::Duration;
use tokio::time::timeout;
use tower::ServiceExt;
use transport::Link;

/// How long a ruler has to begin its answer: longer than it waits for the others.
const PATIENCE: Duration = Duration::from_secs(8);
const TENANT: &str = "x-scope-orgid";

/// `/prometheus/api/v1/rules` and `/prometheus/api/v1/alerts`, where the rulers are other processes.
pub fn routes(mesh: Mesh) -> Router {
    Router::new()
        .route("/prometheus/api/v1/rules", get(forward))
        .route("/prometheus/api/v1/alerts", get(forward))
        .with_state(mesh)
}

async fn forward(State(mesh): State<Mesh>, uri: Uri, headers: HeaderMap) -> Response {
    let rulers: Vec<_> = {
        let members = mesh.members().borrow().clone();
        members.of_role(Role::Ruler).filter(|member| !member.draining).cloned().collect()
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut failed = "no ruler is known".to_owned();
    for ruler in rulers {
        match timeout(PATIENCE, ask(mesh.link(&ruler), path, &headers)).await {
            Ok(Ok(response)) => return response,
            Ok(Err(why)) => failed = format!("{}: {why}", ruler.name),
            Err(_) => failed = format!("{}: no answer within {PATIENCE:?}", ruler.name),
        }
    }
    api::failure(Reason::Unavailable, format!("rules are not known: {failed}"))
}

async fn ask(link: Link, path: &str, headers: &HeaderMap) -> Result<Response, String> {
    let mut request = Request::get(path);
    if let Some(tenant) = headers.get(TENANT) {
        request = request.header(TENANT, tenant);
    }
    let request = request.body(tonic::body::Body::empty()).map_err(|e| e.to_string())?;
    let (parts, body) = link.oneshot(request).await.map_err(|e| e.to_string())?.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let mut response = (parts.status, Body::new(body)).into_response();
    response.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
    Ok(response)
}
