//! A ruler as a process of its own: no socket of its own, a querier and a distributor behind.

use crate::{Door, Ruler, Settings};
use node::Node;
use node::process::{self, ProcessSettings};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    /// Where a querier is, `http://host:port`.
    querier: String,
    /// Where a distributor is, `http://host:port`.
    distributor: String,
    /// Rules and when they are evaluated.
    ruler: Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            querier: "http://127.0.0.1:3102".into(),
            distributor: "http://127.0.0.1:3101".into(),
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
        Door::remote(&self.querier, &self.distributor).map(drop)
    }
}

/// Reads the settings and works until told to stop.
pub fn standalone() -> ExitCode {
    process::main(|settings: Process, node: Node, _| async move {
        let door = Door::remote(&settings.querier, &settings.distributor)?;
        let ruler = Ruler::open(&settings.ruler, door).map_err(|e| e.to_string())?;
        println!("ruler is ready: it asks {} and writes to {}", settings.querier, settings.distributor);
        ruler.run(node.stopping()).await;
        Ok::<(), String>(())
    })
}
