//! What a run came to, for people and for programs.

use crate::meter::{ErrorCount, Meter};
use crate::verify::Findings;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The result of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub path: String,
    pub target: String,
    /// How long bodies were made. The rates are over this time; rows and bytes count what was under way then, too.
    pub seconds: f64,
    pub rows: u64,
    pub pushes: u64,
    /// Before compression.
    pub raw_bytes: u64,
    pub wire_bytes: u64,
    pub rows_per_second: f64,
    pub megabytes_per_second: f64,
    /// Of pushes that succeeded, failed tries before them not included.
    pub latency_ms: Quantiles,
    /// Failed tries by kind: a status code or what happened to the connection.
    pub errors: BTreeMap<String, ErrorCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Findings>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Report {
    /// `in_time` is how many rows and bytes were acknowledged when the time was over.
    pub fn new(path: &str, target: &str, elapsed: Duration, in_time: (u64, u64), meter: &Meter) -> Report {
        let (rows, raw_bytes) = (meter.rows.load(Relaxed), meter.raw_bytes.load(Relaxed));
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let seconds = elapsed.as_secs_f64();
        Report {
            path: path.into(),
            target: target.into(),
            seconds,
            rows,
            pushes: meter.pushes.load(Relaxed),
            raw_bytes,
            wire_bytes: meter.wire_bytes.load(Relaxed),
            rows_per_second: in_time.0 as f64 / seconds,
            megabytes_per_second: in_time.1 as f64 / seconds / 1e6,
            latency_ms: Quantiles {
                p50: millis(meter.latency.quantile(0.5)),
                p90: millis(meter.latency.quantile(0.9)),
                p99: millis(meter.latency.quantile(0.99)),
                max: millis(meter.latency.max()),
            },
            errors: meter.errors(),
            verify: None,
        }
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "  {name:<16} {value}");
        line("rows", format!("{} in {:.1} s, {} pushes", self.rows, self.seconds, self.pushes))?;
        line("rows/s", format!("{:.0}", self.rows_per_second))?;
        let wire = self.wire_bytes as f64 / 1e6;
        line("MB/s", format!("{:.2} uncompressed ({wire:.1} MB compressed in all)", self.megabytes_per_second))?;
        let Quantiles { p50, p90, p99, max } = self.latency_ms;
        line("latency ms", format!("p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1}"))?;
        for (kind, error) in &self.errors {
            line("errors", format!("{} × {kind}: {}", error.count, error.first))?;
        }
        if self.errors.is_empty() {
            line("errors", "none".into())?;
        }
        Ok(())
    }
}
