//! An ingester as a process of its own, among others of its cluster.

use crate::join::Place;
use crate::{Ingester, Settings, api};
use mesh::{Directory, Own, Start};
use model::{Role, ShardCounts, TenantId};
use objects::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use tenancy::{Limits, Overrides};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Process {
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
}

impl Default for Process {
    fn default() -> Process {
        Process {
            data: "data".into(),
            shards: ShardCounts::default(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: objects::Settings::default(),
            ingester: Settings::default(),
        }
    }
}

impl Own for Process {
    const ROLE: Role = Role::Ingester;
    const PORT: u16 = 3103;

    fn check(&self) -> Result<(), String> {
        Overrides::of(self.limits.clone(), self.tenants.clone())?;
        self.ingester.placement.check()?;
        self.ingester.consensus.check().map_err(|e| format!("ingester.{e}"))
    }

    fn redacted(&self) -> Process {
        Process { objects: self.objects.redacted(), ..self.clone() }
    }
}

/// Reads the settings and serves until told to stop.
pub fn standalone(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    mesh::main(args, |own: Process, start: Start| async move {
        let text = |e: &dyn Display| e.to_string();
        let store = Store::open(&own.objects, &own.data.join("objects")).map_err(|e| text(&e))?;
        let limits = start.node.limits(Overrides::of(own.limits, own.tenants)?, |_| Ok(()));
        let place = Place {
            data: &own.data,
            settings: &own.ingester,
            shards: own.shards,
            cluster: start.cluster(),
            tls: start.tls(),
        };
        let joined = Ingester::join(place, limits, store, &start.node).await;
        let (ingester, mesh) = joined.map_err(|e| text(&e))?;
        let directory = Directory::of(mesh.clone());
        let mut stopping = start.node.stopping();
        let follow = directory.clone().follow(async move { stopping.wait().await });
        start.node.spawn("ingester: leaders", follow);
        let (table, meters) = (ingester.control().table(), ingester.clone());
        let served = start.serve(&mesh, table, api::router(directory), move |out| meters.meters(out)).await;
        ingester.leave(&mesh).await;
        ingester.shutdown().await;
        served
    })
}
