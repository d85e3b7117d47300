//! How a ruler asks and writes: over the HTTP APIs that everybody uses, in memory or to other processes.

use crate::error::Error;
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::TenantId;
use std::time::Duration;
use tower::ServiceExt;

/// How long a query or a push may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The way to a querier and a distributor. Cheap to clone.
#[derive(Clone)]
pub enum Door {
    /// Their routes, in this process.
    InProcess(Router),
    Remote {
        http: reqwest::Client,
        querier: String,
        distributor: String,
    },
}

impl Door {
    /// Other processes, by their addresses.
    pub fn remote(querier: &str, distributor: &str) -> Result<Door, String> {
        for (name, address) in [("querier", querier), ("distributor", distributor)] {
            reqwest::Url::parse(address).map_err(|e| format!("{name} {address:?} is not a URL: {e}"))?;
        }
        let http = reqwest::Client::builder().timeout(DEADLINE).build().map_err(|e| e.to_string())?;
        let address = |text: &str| text.trim_end_matches('/').to_owned();
        Ok(Door::Remote { http, querier: address(querier), distributor: address(distributor) })
    }

    /// Asks a PromQL query; gives the JSON of its answer.
    pub async fn ask(&self, tenant: &TenantId, form: String) -> Result<Vec<u8>, Error> {
        self.post("/prometheus/api/v1/query", "application/x-www-form-urlencoded", tenant, form.into_bytes()).await
    }

    /// Writes a remote write 1.0 body.
    pub async fn write(&self, tenant: &TenantId, body: Vec<u8>) -> Result<(), Error> {
        self.post("/api/v1/push", "application/x-protobuf", tenant, body).await.map(drop)
    }

    async fn post(&self, path: &'static str, kind: &str, tenant: &TenantId, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let (status, bytes) = match self {
            Door::InProcess(routes) => in_process(routes.clone(), path, kind, tenant, body).await?,
            Door::Remote { http, querier, distributor } => {
                let address = if path == "/api/v1/push" { distributor } else { querier };
                let request = http.post(format!("{address}{path}")).header("content-type", kind);
                let failed = |e: reqwest::Error| Error::Unreachable { path, why: e.to_string() };
                let sent = request.header("x-scope-orgid", tenant.as_str()).body(body).send().await.map_err(failed)?;
                (sent.status(), sent.bytes().await.map_err(failed)?.into())
            }
        };
        match status.is_success() {
            true => Ok(bytes),
            false => {
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                Err(Error::Answer { path, status: status.as_u16(), text })
            }
        }
    }
}

async fn in_process(
    routes: Router,
    path: &'static str,
    kind: &str,
    tenant: &TenantId,
    body: Vec<u8>,
) -> Result<(StatusCode, Vec<u8>), Error> {
    let failed = |why: String| Error::Unreachable { path, why };
    let request = Request::post(path)
        .header("content-type", kind)
        .header("x-scope-orgid", tenant.as_str())
        .body(Body::from(body))
        .map_err(|e| failed(e.to_string()))?;
    let Ok(response) = routes.oneshot(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|e| failed(e.to_string()))?;
    Ok((status, body.to_bytes().into()))
}
