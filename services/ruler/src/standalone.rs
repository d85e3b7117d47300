//! A ruler as a process of its own: the queriers and distributors of its cluster behind.

use crate::{Door, Ruler, Settings};
use axum::Router;
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
    /// Address and port where it tells how it is.
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
        let mesh = opened.map_err(|e| e.to_string())?.serve(Routes::default(), Router::new(), &node);
        let directory = Directory::of(mesh.clone());
        let mut stopping = node.stopping();
        node.spawn("ruler: placement", directory.clone().follow(async move { stopping.wait().await }));
        let ruler = Ruler::open(&settings.ruler, Door::Members(mesh.clone())).map_err(|e| e.to_string())?;
        node.spawn("ruler", ruler.clone().run(node.stopping()));
        let meters = Arc::new(move |out: &mut telemetry::Exposition| ruler.meters(out));
        let page = Page { mesh: mesh.clone(), table: directory.watch(), config, meters };
        let served = mesh::api(settings.listen, Router::new(), page, &node, "ruler", "it tells how it is at").await;
        mesh.leave().await;
        served
    })
}
