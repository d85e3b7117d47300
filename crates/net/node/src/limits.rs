//! Lets limits of tenants change while the process runs: looks at the settings file again and again.

use crate::node::{Node, Stopping};
use model::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use settings::Sources;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenancy::{LimitTable, Limits, Overrides};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// The part of the settings that may change. What else is in the file counts from the next start on.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Changing {
    limits: Limits,
    tenants: BTreeMap<TenantId, Map<String, Value>>,
}

/// Says what is wrong with limits beyond their types: what the crates below cannot know.
pub type Check = fn(&Limits) -> Result<(), String>;

impl Node {
    /// The limits of all tenants, which follow the settings file from now on, as long as `check` takes them.
    pub fn limits(&self, overrides: Overrides, check: Check) -> Arc<LimitTable> {
        let table = Arc::new(LimitTable::new(&overrides));
        if self.sources().path().is_some() {
            let watch = Watch { sources: self.sources().clone(), seen: None, overrides, check, table: table.clone() };
            self.spawn("limits", watch.run(self.stopping()));
        }
        table
    }
}

struct Watch {
    sources: Sources,
    /// What the file had when it was looked at last.
    seen: Option<Result<Vec<u8>, String>>,
    /// In force.
    overrides: Overrides,
    check: Check,
    table: Arc<LimitTable>,
}

impl Watch {
    async fn run(mut self, mut stopping: Stopping) {
        loop {
            self.look().await;
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Takes limits from the file if it has changed.
    async fn look(&mut self) {
        let Some(path) = self.sources.path() else { return };
        let found = Some(tokio::fs::read(path).await.map_err(|e| e.to_string()));
        if found == self.seen {
            return;
        }
        let shown = path.display().to_string();
        self.seen = found;
        match self.load() {
            Ok(overrides) => {
                for change in overrides.changes(&self.overrides) {
                    tracing::info!(file = shown, change, "a limit has changed");
                }
                self.table.replace(&overrides);
                self.overrides = overrides;
            }
            Err(why) => tracing::error!(file = shown, why, "the limits stay as they are: the file cannot be used"),
        }
    }

    fn load(&self) -> Result<Overrides, String> {
        let Changing { limits, tenants } = self.sources.load().map_err(|e| e.to_string())?;
        let overrides = Overrides::of(limits, tenants)?;
        overrides.check(self.check)?;
        Ok(overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn watch(path: &Path) -> Watch {
        let (table, overrides) = (Arc::default(), Overrides::default());
        let check: Check = |limits| if limits.shards == 13 { Err("13 brings bad luck".into()) } else { Ok(()) };
        Watch { sources: Sources::default().file(Some(path)), seen: None, overrides, check, table }
    }

    #[tokio::test]
    async fn limits_follow_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("settings.toml");
        let mut watch = watch(&path);
        let table = watch.table.clone();
        let shards = |name: &str| table.of(&TenantId::new(name).expect("a name")).shards;
        // Not there, changed, partly written, gone: what cannot be used changes nothing.
        for (text, want) in [
            (None, (1, 1)),
            (Some("data = \"x\"\n[limits]\nshards = 3\n[tenants.a]\nshards = 7\n"), (7, 3)),
            (Some("[limits]\nshards = 3\n[tenants.a]\nshar"), (7, 3)),
            (Some("[limits]\nshards = 3\n[tenants.a]\nshard = 9\n"), (7, 3)),
            (Some("[limits]\nshards = 3\n[tenants.a]\nshards = 13\n"), (7, 3)),
            (None, (7, 3)),
            (Some("[limits]\nshards = 4\n"), (4, 4)),
            (Some(""), (1, 1)),
        ] {
            match text {
                Some(text) => std::fs::write(&path, text).expect("written"),
                None => drop(std::fs::remove_file(&path)),
            }
            watch.look().await;
            assert_eq!((shards("a"), shards("b")), want, "{text:?}");
        }
    }
}
