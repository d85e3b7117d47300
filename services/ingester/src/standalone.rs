//! An ingester as a process of its own: gRPC in front, the log and the object store behind.

use crate::{Ingester, Settings};
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
use tonic::transport::server::TcpIncoming;
use transport::link::MAX_MESSAGE;
use transport::v1::control_server::ControlServer;
use transport::v1::ingest_server::IngestServer;
use transport::v1::read_server::ReadServer;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Address and port for distributors, queriers and compactors.
    listen: SocketAddr,
    /// Folder of the log and, unless `objects.url` says otherwise, of the segments.
    data: PathBuf,
    /// How many shards each signal has; the same in every service.
    shards: ShardCounts,
    /// What every tenant may do. These and `tenants` are read again when the settings file changes.
    limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// Where segments rest.
    objects: objects::Settings,
    /// Shards, heads and flushes.
    ingester: Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            listen: SocketAddr::from(([127, 0, 0, 1], 4100)),
            data: "data".into(),
            shards: ShardCounts::default(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: objects::Settings::default(),
            ingester: Settings::default(),
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
        self.ingester.consensus.check().map_err(|e| format!("ingester.{e}"))
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone() -> ExitCode {
    process::main(|settings: Process, node: Node, _| async move {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let unbound = |e: std::io::Error| format!("cannot listen on {}: {e} (listen)", settings.listen);
        let incoming = TcpIncoming::bind(settings.listen).map_err(unbound)?.with_nodelay(Some(true));
        let at = incoming.local_addr().map_err(unbound)?;
        let store = Store::open(&settings.objects, &settings.data.join("objects")).map_err(|e| text(&e))?;
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let opened = Ingester::open(&settings.data, &settings.ingester, settings.shards, limits, store, &node).await;
        let ingester = opened.map_err(|e| text(&e))?;
        println!("ingester is ready: gRPC on http://{at}, data in {}", settings.data.display());
        let mut stopping = node.stopping();
        let served = tonic::transport::Server::builder()
            .add_service(IngestServer::new(ingester.clone()).max_decoding_message_size(MAX_MESSAGE))
            .add_service(ReadServer::new(ingester.clone()))
            .add_service(ControlServer::new(ingester.clone()))
            .serve_with_incoming_shutdown(incoming, async move { stopping.wait().await })
            .await;
        ingester.shutdown().await;
        served.map_err(|e| format!("cannot serve on {at}: {e}"))
    })
}
