//! A compactor as a process of its own: the control group of its cluster and the object store behind.

use crate::{Compactor, Settings};
use axum::Router;
use mesh::{Directory, Mesh, Page};
use model::{Role, TenantId};
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
use tonic::service::Routes;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Address and port where it tells how it is.
    listen: SocketAddr,
    /// Its place in the cluster.
    cluster: cluster::Settings,
    /// Who it is to other members.
    tls: identity::Settings,
    /// Folder of the segments when `objects.url` is empty.
    data: PathBuf,
    /// What every tenant may do; retention is read from it. These and `tenants` are read again when the settings file
    /// changes.
    limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// Where segments rest.
    objects: objects::Settings,
    /// Merging, sweeping and retention.
    compactor: Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            listen: SocketAddr::from(([127, 0, 0, 1], 3104)),
            cluster: cluster::Settings::default(),
            tls: identity::Settings::default(),
            data: "data".into(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: objects::Settings::default(),
            compactor: Settings::default(),
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
        self.compactor.check()?;
        self.cluster.check().map_err(|e| e.to_string())
    }

    fn render(&self) -> String {
        settings::render(&Process { objects: self.objects.redacted(), ..self.clone() })
    }
}

/// Reads the settings and works until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::main(args, |settings: Process, node: Node, _| async move {
        let config = settings.render().into();
        let store = Store::open(&settings.objects, &settings.data.join("objects")).map_err(|e| e.to_string())?;
        let opened = Mesh::open(&settings.cluster, &settings.tls, Role::Compactor, mesh::random_id()).await;
        let mesh = opened.map_err(|e| e.to_string())?.serve(Routes::default(), Router::new(), &node);
        let directory = Directory::of(mesh.clone());
        let mut stopping = node.stopping();
        node.spawn("compactor: placement", directory.clone().follow(async move { stopping.wait().await }));
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let compactor = Compactor::new(settings.compactor, directory.control(), store, limits, node.compute().clone());
        node.spawn("compactor", compactor.clone().run(node.stopping()));
        let meters = Arc::new(move |out: &mut telemetry::Exposition| compactor.meters(out));
        let page = Page { mesh: mesh.clone(), table: directory.watch(), config, meters };
        let served = mesh::api(settings.listen, Router::new(), page, &node, "compactor", "it tells how it is at").await;
        mesh.leave().await;
        served
    })
}
