//! A querier as a process of its own: HTTP in front, the ingesters of its cluster and the object store behind.

use crate::{Querier, Settings, router, rules};
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
    /// What every tenant may do. These and `tenants` are read again when the settings file changes.
    limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// Where segments rest.
    objects: objects::Settings,
    /// The door for queries.
    querier: Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            data: "data".into(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: objects::Settings::default(),
            querier: Settings::default(),
        }
    }
}

impl Own for Process {
    const ROLE: Role = Role::Querier;
    const PORT: u16 = 3102;
    const PURPOSE: &'static str = "query";

    fn check(&self) -> Result<(), String> {
        Overrides::of(self.limits.clone(), self.tenants.clone())?.check(hidden::check)
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
        let limits = start.node.limits(Overrides::of(own.limits, own.tenants)?, hidden::check);
        let others = Some(joining.mesh().clone());
        let querier = Querier::new(directory.clone(), others, store, limits, &own.querier, &start.node);
        let routes = router(querier.clone());
        let mesh =
            joining.serve(Routes::new(querier.ranges()).add_service(querier.slices()), routes.clone(), &start.node);
        let routes = routes.merge(rules::routes(mesh.clone()));
        let served = start.serve(&mesh, directory.watch(), routes, move |out| querier.meters(out)).await;
        mesh.leave().await;
        served
    })
}
