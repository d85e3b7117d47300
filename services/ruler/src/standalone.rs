//! A ruler as a process of its own: HTTP in front, the queriers and distributors of its cluster behind.

use crate::{Door, Ruler, Settings, members, router};
use mesh::{Own, Start};
use model::Role;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
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
    const PURPOSE: &'static str = "rules and alerts";

    fn check(&self) -> Result<(), String> {
        self.ruler.check()
    }
}

/// Reads the settings and works until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    mesh::main(args, |own: Process, start: Start| async move {
        let (joining, directory) = start.join().await?;
        let door = Door::Members(joining.mesh().clone());
        // Limits are of queries and pushes; whoever answers those holds them.
        let ruler = Ruler::open(&own.ruler, door, directory.control(), Arc::default(), &start.node);
        let ruler = ruler.map_err(|e| e.to_string())?;
        let mesh = joining.serve(Routes::default(), members(ruler.clone()).merge(router(ruler.clone())), &start.node);
        let (leaving, routes) = (ruler.clone(), router(ruler.clone()));
        let served = start.serve(&mesh, directory.watch(), routes, move |out| ruler.meters(out)).await;
        leaving.left().await;
        mesh.leave().await;
        served
    })
}
