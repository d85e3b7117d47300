//! How the process is: `/ready`, `/metrics`, `/config`.

use crate::server::Roles;
use crate::settings::Settings;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use telemetry::Exposition;

/// The whole process, as far as it can be asked about.
#[derive(Clone)]
pub struct Process {
    pub roles: Roles,
    pub settings: Arc<Settings>,
}

pub fn router(process: Process) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .with_state(process)
}

/// 200 once everything is open, which is before the first request is read. An object store that is away is said, but
/// does not make the process unready: writes and reads go on.
async fn ready(State(process): State<Process>) -> String {
    match process.roles.ingester.health().store_away {
        None => "ready\n".into(),
        Some(away) => {
            let since = away.since.elapsed().unwrap_or_default().as_secs();
            format!("ready, but the object store is away since {since} s: {}; writes and reads go on\n", away.why)
        }
    }
}

async fn metrics(State(process): State<Process>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, process.meters().text())
}

/// The effective settings as TOML, without secrets.
async fn config(State(process): State<Process>) -> String {
    settings::render(&process.settings.redacted())
}

impl Process {
    /// All meters of this process.
    pub fn meters(&self) -> Exposition {
        let mut out = Exposition::default();
        out.gauge("ouro_build_info", "Which Ouro this is.", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        out.gauge("process_resident_memory_bytes", "Memory of the process.", &[], resident_memory());
        let roles = &self.roles;
        roles.distributor.write_meters(&mut out);
        roles.ingester.meters(&mut out);
        roles.querier.meters(&mut out);
        roles.compactor.meters(&mut out);
        roles.ruler.meters(&mut out);
        out
    }
}

/// From `/proc/self/statm`, in pages of 4 KiB; zero where there is none.
fn resident_memory() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}
