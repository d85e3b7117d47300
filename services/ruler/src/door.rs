//! How a ruler asks and writes: over the HTTP APIs that everybody uses, in memory or to other members of its cluster.

use crate::error::Error;
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use mesh::Mesh;
use model::{Role, TenantId};
use std::time::Duration;
use tokio::time::timeout;
use tower::ServiceExt;
use wire::prometheus::write::QUERY_RESULT;

const PUSH: &str = "/api/v1/push";

/// The way to a querier and a distributor. Cheap to clone.
#[derive(Clone)]
pub enum Door {
    /// Their routes, in this process.
    InProcess(Router),
    /// Whichever of them is alive.
    Members(Mesh),
}

impl Door {
    /// Asks a PromQL query of `path`; gives the answer: of an instant query a `prometheus.QueryResult`, of others JSON.
    pub async fn ask(
        &self,
        path: &'static str,
        tenant: &TenantId,
        form: String,
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
        self.post(path, "application/x-www-form-urlencoded", tenant, form.into_bytes(), deadline).await
    }

    /// Writes a remote write 1.0 body.
    pub async fn write(&self, tenant: &TenantId, body: Vec<u8>, deadline: Duration) -> Result<(), Error> {
        self.post(PUSH, "application/x-protobuf", tenant, body, deadline).await.map(drop)
    }

    async fn post(
        &self,
        path: &'static str,
        kind: &str,
        tenant: &TenantId,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
        let unreachable = |why: String| Error::Unreachable { path, why };
        let asked = timeout(deadline, self.answer(path, kind, tenant, body)).await;
        let late = |_| unreachable(format!("no answer within {deadline:?} (ruler.timeout)"));
        let (status, bytes) = asked.map_err(late)?.map_err(unreachable)?;
        match status.is_success() {
            true => Ok(bytes),
            false => {
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                Err(Error::Answer { path, status: status.as_u16(), text })
            }
        }
    }

    async fn answer(
        &self,
        path: &'static str,
        kind: &str,
        tenant: &TenantId,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let request = Request::post(path)
            .header("content-type", kind)
            .header("x-scope-orgid", tenant.as_str())
            .header("accept", QUERY_RESULT)
            .body(body)
            .map_err(|e| e.to_string())?;
        match self {
            Door::InProcess(routes) => {
                let Ok(response) = routes.clone().oneshot(request.map(Body::from)).await;
                let status = response.status();
                let body = response.into_body().collect().await.map_err(|e| e.to_string())?;
                Ok((status, body.to_bytes().into()))
            }
            Door::Members(mesh) => {
                let role = if path == PUSH { Role::Distributor } else { Role::Querier };
                let link = mesh.any(role).ok_or_else(|| format!("no {role} is known"))?;
                let request = request.map(|body| tonic::body::Body::new(http_body_util::Full::from(body)));
                let response = link.oneshot(request).await.map_err(|e| e.to_string())?;
                let status = response.status();
                let body = response.into_body().collect().await.map_err(|e| e.to_string())?;
                Ok((status, body.to_bytes().into()))
            }
        }
    }
}
