//! A distributor as a process of its own: HTTP in front, the ingesters of its cluster behind.

use crate::{Distributor, Leaders, Settings, router};
use mesh::{Own, Start};
use model::{Role, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use tenancy::{Limits, Overrides};
use tonic::service::Routes;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Process {
    /// What every tenant may do. These and `tenants` are read again when the settings file changes.
    limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// The door for pushes.
    distributor: Settings,
}

impl Own for Process {
    const ROLE: Role = Role::Distributor;
    const PORT: u16 = 3101;
    const PURPOSE: &'static str = "push to";

    fn check(&self) -> Result<(), String> {
        self.distributor.check()?;
        Overrides::of(self.limits.clone(), self.tenants.clone()).map(drop)
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    mesh::main(args, |own: Process, start: Start| async move {
        let (joining, directory) = start.join().await?;
        let limits = start.node.limits(Overrides::of(own.limits, own.tenants)?, |_| Ok(()));
        let leaders = Arc::new(Leaders::new(directory.clone()));
        let distributor = Arc::new(Distributor::new(own.distributor, limits, leaders, directory.control()));
        let mut stopping = start.node.stopping();
        start.node.spawn("elections", distributor.clone().follow(async move { stopping.wait().await }));
        let routes = router(distributor.clone());
        let mesh = joining.serve(Routes::default(), routes.clone(), &start.node);
        let served = start.serve(&mesh, directory.watch(), routes, move |out| distributor.write_meters(out)).await;
        mesh.leave().await;
        served
    })
}
