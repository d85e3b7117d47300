//! All settings of the one process, each part where its code is.

use model::{ShardCounts, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tenancy::{Limits, Overrides};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of the log and, unless `objects.url` says otherwise, of the segments.
    pub data: PathBuf,
    /// Address and port of the HTTP API.
    pub listen: SocketAddr,
    /// Ouro's own log.
    pub log: telemetry::Settings,
    /// How many shards each signal has.
    pub shards: ShardCounts,
    /// What every tenant may do. These and `tenants` are read again when the settings file changes.
    pub limits: Limits,
    /// What single tenants may do beyond or below that, by the names of the limits.
    pub tenants: BTreeMap<TenantId, Map<String, Value>>,
    /// Where segments rest.
    pub objects: objects::Settings,
    /// The door for pushes.
    pub distributor: distributor::Settings,
    /// Shards, heads and flushes.
    pub ingester: ingester::Settings,
    /// The door for queries.
    pub querier: querier::Settings,
    /// Merging, retention, and sweeping of orphans.
    pub compactor: compactor::Settings,
    /// Rules and alerts.
    pub ruler: ruler::Settings,
    /// Ouro watching itself.
    pub observe: ObserveSettings,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObserveSettings {
    /// Whether Ouro's own log lines and meters are stored in Ouro, as tenant `ouro`.
    pub enabled: bool,
    /// How often.
    #[serde(with = "settings::duration")]
    pub interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            data: "data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 3100)),
            log: Default::default(),
            shards: ShardCounts::default(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            objects: Default::default(),
            distributor: Default::default(),
            ingester: Default::default(),
            querier: Default::default(),
            compactor: Default::default(),
            ruler: Default::default(),
            observe: ObserveSettings::default(),
        }
    }
}

impl Default for ObserveSettings {
    fn default() -> ObserveSettings {
        ObserveSettings { enabled: true, interval: Duration::from_secs(15) }
    }
}

impl Settings {
    /// Says what is wrong beyond types.
    pub fn check(&self) -> Result<(), String> {
        for (name, count) in [("shards.logs", self.shards.logs), ("shards.metrics", self.shards.metrics)] {
            if !(1..=1024).contains(&count) {
                return Err(format!("{name} is {count}, it must be 1 to 1024"));
            }
        }
        self.ingester.consensus.journal.check().map_err(|e| format!("ingester.consensus.{e}"))?;
        self.distributor.check()?;
        self.compactor.check()?;
        self.ruler.check()?;
        self.overrides()?.check(hidden::check)
    }

    pub fn overrides(&self) -> Result<Overrides, String> {
        Overrides::of(self.limits.clone(), self.tenants.clone())
    }

    /// A copy without secrets.
    pub fn redacted(&self) -> Settings {
        Settings { objects: self.objects.redacted(), ..self.clone() }
    }
}
