//! A querier as a process of its own: HTTP in front, an ingester and the object store behind.

use crate::{Links, Querier, Settings, router};
use model::{ShardCounts, TenantId};
use node::Node;
use node::process::{self, ProcessSettings};
use objects::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tenancy::{Limits, Overrides};
use transport::link;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Address and port of the query API.
    listen: SocketAddr,
    /// Where the ingester is, `http://host:port`.
    ingester: String,
    /// Folder of the segments when `objects.url` is empty.
    data: PathBuf,
    /// How many shards each signal has; the same in every service.
    shards: ShardCounts,
    /// What every tenant may do. These and `tenants` are read again when the settings file changes.
    limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// Where segments rest.
    objects: objects::Settings,
    /// The door for queries.
    querier: Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            listen: SocketAddr::from(([127, 0, 0, 1], 3102)),
            ingester: "http://127.0.0.1:4100".into(),
            data: "data".into(),
            shards: ShardCounts::default(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: objects::Settings::default(),
            querier: Settings::default(),
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
        link::uri("ingester", &self.ingester).map(drop)
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone() -> ExitCode {
    process::main(|settings: Process, node: Node, _| async move {
        let link = link::to(link::uri("ingester", &settings.ingester)?);
        let store = Store::open(&settings.objects, &settings.data.join("objects")).map_err(|e| e.to_string())?;
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let links = Links { read: link.clone(), control: link };
        let compute = node.compute().clone();
        let querier = Querier::new(links, settings.shards, store, limits, &settings.querier, compute);
        let listen = settings.listen;
        let listener =
            tokio::net::TcpListener::bind(listen).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        let at = listener.local_addr().map_err(|e| e.to_string())?;
        println!("querier is ready: query http://{at}, heads are at {}", settings.ingester);
        let mut stopping = node.stopping();
        let served = axum::serve(listener, router(querier));
        served.with_graceful_shutdown(async move { stopping.wait().await }).await.map_err(|e| e.to_string())
    })
}
