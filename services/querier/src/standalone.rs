//! A querier as a process of its own: HTTP in front, the ingesters of its cluster and the object store behind.

use crate::{Querier, Settings, router};
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
    /// Address and port of the query API.
    listen: SocketAddr,
    /// Its place in the cluster.
    cluster: cluster::Settings,
    /// Who it is to other members.
    tls: identity::Settings,
    /// Folder of the segments when `objects.url` is empty.
    data: PathBuf,
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
            cluster: cluster::Settings::default(),
            tls: identity::Settings::default(),
            data: "data".into(),
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
        self.cluster.check().map_err(|e| e.to_string())
    }

    fn render(&self) -> String {
        settings::render(&Process { objects: self.objects.redacted(), ..self.clone() })
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::main(args, |settings: Process, node: Node, _| async move {
        let config = settings.render().into();
        let store = Store::open(&settings.objects, &settings.data.join("objects")).map_err(|e| e.to_string())?;
        let opened = Mesh::open(&settings.cluster, &settings.tls, Role::Querier, mesh::random_id()).await;
        let joining = opened.map_err(|e| e.to_string())?;
        let directory = Directory::of(joining.mesh().clone());
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let compute = node.compute().clone();
        let querier =
            Querier::new(directory.clone(), Some(joining.mesh().clone()), store, limits, &settings.querier, compute);
        let routes = router(querier.clone());
        let mesh = joining.serve(Routes::new(querier.ranges()), routes.clone(), &node);
        let mut stopping = node.stopping();
        node.spawn("querier: placement", directory.clone().follow(async move { stopping.wait().await }));
        let meters = Arc::new(move |out: &mut telemetry::Exposition| querier.meters(out));
        let page = Page { mesh: mesh.clone(), table: directory.watch(), config, meters };
        let served = mesh::api(settings.listen, routes, page, &node, "querier", "query").await;
        mesh.leave().await;
        served
    })
}
