//! An ingester as a process of its own, among others of its cluster.

use crate::join::Place;
use crate::{Ingester, Settings};
use axum::Router;
use mesh::Page;
use model::{ShardCounts, TenantId};
use node::Node;
use node::process::{self, ProcessSettings};
use objects::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tenancy::{Limits, Overrides};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Address and port where it tells how it is.
    listen: SocketAddr,
    /// Its place in the cluster.
    cluster: cluster::Settings,
    /// Who it is to other members.
    tls: identity::Settings,
    /// Folder of the log and, unless `objects.url` says otherwise, of the segments.
    data: PathBuf,
    /// How many shards of each signal there are at least; the same in every ingester. May be raised, never lowered.
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
            listen: SocketAddr::from(([127, 0, 0, 1], 3103)),
            cluster: cluster::Settings::default(),
            tls: identity::Settings::default(),
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
        self.cluster.check().map_err(|e| e.to_string())?;
        self.ingester.placement.check()?;
        self.ingester.consensus.check().map_err(|e| format!("ingester.{e}"))
    }

    fn render(&self) -> String {
        settings::render(&Process { objects: self.objects.redacted(), ..self.clone() })
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::main(args, |settings: Process, node: Node, _| async move {
        let config = settings.render().into();
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let store = Store::open(&settings.objects, &settings.data.join("objects")).map_err(|e| text(&e))?;
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let place = Place {
            data: &settings.data,
            settings: &settings.ingester,
            shards: settings.shards,
            cluster: &settings.cluster,
            tls: &settings.tls,
        };
        let (ingester, mesh) = Ingester::join(place, limits, store, &node).await.map_err(|e| text(&e))?;
        let meters = {
            let ingester = ingester.clone();
            Arc::new(move |out: &mut telemetry::Exposition| ingester.meters(out))
        };
        let page = Page { mesh: mesh.clone(), table: ingester.control().table(), config, meters };
        let served = mesh::api(settings.listen, Router::new(), page, &node, "ingester", "it tells how it is at").await;
        ingester.leave(&mesh).await;
        ingester.shutdown().await;
        served
    })
}
