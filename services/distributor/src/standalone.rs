//! A distributor as a process of its own: HTTP in front, an ingester behind.

use crate::{Distributor, Leaders, Settings, router};
use model::{ShardCounts, TenantId};
use node::Node;
use node::process::{self, ProcessSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tenancy::{Limits, Overrides};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Address and port of the push API.
    listen: SocketAddr,
    /// Where the ingester is, `http://host:port`.
    ingester: String,
    /// How many shards each signal has; the same in every service.
    shards: ShardCounts,
    /// What every tenant may do. These and `tenants` are read again when the settings file changes.
    limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// The door for pushes.
    distributor: Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            listen: SocketAddr::from(([127, 0, 0, 1], 3101)),
            ingester: "http://127.0.0.1:4100".into(),
            shards: ShardCounts::default(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            distributor: Settings::default(),
            log: telemetry::Settings::default(),
        }
    }
}

impl ProcessSettings for Process {
    fn log(&self) -> &telemetry::Settings {
        &self.log
    }

    fn check(&self) -> Result<(), String> {
        Overrides::of(self.limits.clone(), self.tenants.clone())?;
        transport::link::uri("ingester", &self.ingester).map(drop)
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone() -> ExitCode {
    process::main(|settings: Process, node: Node, _| async move {
        let leaders = Leaders::new(transport::link::to(transport::link::uri("ingester", &settings.ingester)?));
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let distributor = Distributor::new(settings.distributor, settings.shards, limits, Arc::new(leaders));
        let listen = settings.listen;
        let listener =
            tokio::net::TcpListener::bind(listen).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        let at = listener.local_addr().map_err(|e| e.to_string())?;
        println!("distributor is ready: push to http://{at}, rows go to {}", settings.ingester);
        let mut stopping = node.stopping();
        let served = axum::serve(listener, router(Arc::new(distributor)));
        served.with_graceful_shutdown(async move { stopping.wait().await }).await.map_err(|e| e.to_string())
    })
}
