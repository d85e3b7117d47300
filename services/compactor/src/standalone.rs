//! A compactor as a process of its own: the control group of its cluster and the object store behind.

use crate::{Compactor, Settings};
use axum::Router;
use mesh::{Own, Start};
use model::{Role, TenantId};
use objects::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use tenancy::{Limits, Overrides};
use tonic::service::Routes;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Process {
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
}

impl Default for Process {
    fn default() -> Process {
        Process {
            data: "data".into(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: objects::Settings::default(),
            compactor: Settings::default(),
        }
    }
}

impl Own for Process {
    const ROLE: Role = Role::Compactor;
    const PORT: u16 = 3104;

    fn check(&self) -> Result<(), String> {
        Overrides::of(self.limits.clone(), self.tenants.clone())?.check(hidden::check)?;
        self.compactor.check()
    }

    fn redacted(&self) -> Process {
        Process { objects: self.objects.redacted(), ..self.clone() }
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    mesh::main(args, |own: Process, start: Start| async move {
        let store = Store::open(&own.objects, &own.data.join("objects")).map_err(|e| e.to_string())?;
        let (joining, directory) = start.join().await?;
        let mesh = joining.serve(Routes::default(), Router::new(), &start.node);
        let limits = start.node.limits(Overrides::of(own.limits, own.tenants)?, hidden::check);
        let compute = start.node.compute().clone();
        let compactor = Compactor::new(own.compactor, directory.clone(), store, limits, compute);
        start.node.spawn("compactor", compactor.clone().run(start.node.stopping()));
        let routes = crate::router(compactor.clone());
        let served = start.serve(&mesh, directory.watch(), routes, move |out| compactor.meters(out)).await;
        mesh.leave().await;
        served
    })
}
