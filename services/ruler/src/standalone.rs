//! A ruler as a process of its own: the queriers and distributors of its cluster behind.

use crate::{Door, Ruler, Settings};
use axum::Router;
use mesh::{Own, Start};
use model::Role;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::process::ExitCode;
use tonic::service::Routes;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Process {
    /// Rules and when they are evaluated.
    ruler: Settings,
}

impl Own for Process {
    const ROLE: Role = Role::Ruler;
    const PORT: u16 = 3105;
}

/// Reads the settings and works until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    mesh::main(args, |own: Process, start: Start| async move {
        let (joining, directory) = start.join().await?;
        let mesh = joining.serve(Routes::default(), Router::new(), &start.node);
        let ruler = Ruler::open(&own.ruler, Door::Members(mesh.clone())).map_err(|e| e.to_string())?;
        start.node.spawn("ruler", ruler.clone().run(start.node.stopping()));
        let served = start.serve(&mesh, directory.watch(), Router::new(), move |out| ruler.meters(out)).await;
        mesh.leave().await;
        served
    })
}
