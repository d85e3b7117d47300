//! A compactor as a process of its own: no socket of its own, the control group and the object store behind.

use crate::{Compactor, Settings};
use model::TenantId;
use node::Node;
use node::process::{self, ProcessSettings};
use objects::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use tenancy::{Limits, Overrides};
use transport::link;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Where the ingester is, `http://host:port`.
    ingester: String,
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
            ingester: "http://127.0.0.1:4100".into(),
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
        link::uri("ingester", &self.ingester).map(drop)
    }
}

/// Reads the settings and works until told to stop.
pub fn standalone() -> ExitCode {
    process::main(|settings: Process, node: Node, _| async move {
        let control = link::to(link::uri("ingester", &settings.ingester)?);
        let store = Store::open(&settings.objects, &settings.data.join("objects")).map_err(|e| e.to_string())?;
        let limits = node.limits(Overrides::of(settings.limits, settings.tenants)?);
        let compute = node.compute().clone();
        println!("compactor is ready: it tidies {}", store.describe());
        Compactor::new(settings.compactor, control, store, limits, compute).run(node.stopping()).await;
        Ok::<(), String>(())
    })
}
