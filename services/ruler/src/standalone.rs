//! A ruler as a process of its own: HTTP in front, the queriers and distributors of its cluster behind.

use crate::{Door, Ruler, Settings, members, router};
use mesh::{Directory, Mesh, Page};
use model::Role;
use node::Node;
use node::process::{self, ProcessSettings};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tonic::service::Routes;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Address and port of the API of rules and alerts.
    listen: SocketAddr,
    /// Its place in the cluster.
    cluster: cluster::Settings,
    /// Who it is to other members.
    tls: identity::Settings,
    /// Rules and when they are evaluated.
    ruler: Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            listen: SocketAddr::from(([127, 0, 0, 1], 3105)),
            cluster: cluster::Settings::default(),
            tls: identity::Settings::default(),
            ruler: Settings::default(),
            log: telemetry::Settings::default(),
        }
    }
}

impl ProcessSettings for Process {
    fn log(&self) -> &telemetry::Settings {
        &self.log
    }

    fn check(&self) -> Result<(), String> {
        self.ruler.check()?;
        self.cluster.check().map_err(|e| e.to_string())
    }

    fn render(&self) -> String {
        settings::render(self)
    }
}

/// Reads the settings and works until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::main(args, |settings: Process, node: Node, _| async move {
        let config = settings.render().into();
        let opened = Mesh::open(&settings.cluster, &settings.tls, Role::Ruler, mesh::random_id()).await;
        let joining = opened.map_err(|e| e.to_string())?;
        let directory = Directory::of(joining.mesh().clone());
        let door = Door::Members(joining.mesh().clone());
        // Limits are of queries and pushes; whoever answers those holds them.
        let ruler = Ruler::open(&settings.ruler, door, directory.control(), Arc::default(), &node);
        let ruler = ruler.map_err(|e| e.to_string())?;
        let mesh = joining.serve(Routes::default(), members(ruler.clone()), &node);
        let mut stopping = node.stopping();
        node.spawn("ruler: placement", directory.clone().follow(async move { stopping.wait().await }));
        let (leaving, routes) = (ruler.clone(), router(ruler.clone()));
        let meters = Arc::new(move |out: &mut telemetry::Exposition| ruler.meters(out));
        let page = Page { mesh: mesh.clone(), table: directory.watch(), config, meters };
        let served = mesh::api(settings.listen, routes, page, &node, "ruler", "rules and alerts").await;
        leaving.left().await;
        mesh.leave().await;
        served
    })
}
