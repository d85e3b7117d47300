//! Starts the log: to standard error for people, and a bounded copy for Ouro itself.

use crate::capture::{Capture, Captured};
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which lines: a level, or `target=level` pairs as tracing's filters write them.
    pub level: String,
    /// How lines look on standard error.
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { level: "info".into(), format: LogFormat::Text }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.level {level:?}: {why}")]
    Level { level: String, why: String },
    #[error("the log was started already")]
    Started,
}

/// Starts the log of this process. The lines that come back are those that were also printed.
pub fn start(settings: &Settings) -> Result<Captured, LogError> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|e| LogError::Level { level: settings.level.clone(), why: e.to_string() })?;
    let (layer, captured) = Capture::new();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let printed = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.compact().with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(printed).with(layer).try_init();
    started.map(|()| captured).map_err(|_| LogError::Started)
}
