//! What is sent: a workload's parameters, and the bodies that follow from them.

use crate::args::{LogsCommand, MetricsCommand};
use crate::logs::Logs;
use crate::metrics::Metrics;
use anyhow::ensure;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The parameters from which every body follows, times excepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub seed: u64,
    pub tenants: u32,
    pub tenant_prefix: String,
    #[serde(flatten)]
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "lowercase")]
pub enum Kind {
    Logs { streams: u32, lanes: u32, batch: u32, templates: u32 },
    Metrics { series: u32, churn: f64, rw2: bool },
}

/// Which body: the `number`-th of one agent of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub tenant: u32,
    pub lane: u32,
    pub number: u32,
}

/// One push.
#[derive(Debug, Clone)]
pub struct Body {
    pub rows: u32,
    /// Bytes before compression.
    pub raw_len: usize,
    /// Snappy-compressed protobuf.
    pub payload: Bytes,
}

/// Makes bodies.
pub enum Corpus {
    Logs(Logs),
    Metrics(Metrics),
}

impl Workload {
    pub fn logs(command: &LogsCommand) -> anyhow::Result<Workload> {
        let lanes = command.lanes.unwrap_or(command.streams.div_ceil(25).min(8)).min(command.streams);
        let rate = if command.load.max { f64::INFINITY } else { command.load.rate };
        let each = rate / f64::from(command.load.tenants * lanes);
        let batch = command.batch.unwrap_or(each.clamp(1.0, 500.0) as u32);
        ensure!(command.streams.div_ceil(lanes) <= 65_535, "an agent has at most 65535 streams: raise --lanes");
        Ok(Workload {
            seed: command.load.seed,
            tenants: command.load.tenants,
            tenant_prefix: command.load.tenant_prefix.clone(),
            kind: Kind::Logs { streams: command.streams, lanes, batch, templates: command.templates },
        })
    }

    pub fn metrics(command: &MetricsCommand) -> anyhow::Result<Workload> {
        Ok(Workload {
            seed: command.load.seed,
            tenants: command.load.tenants,
            tenant_prefix: command.load.tenant_prefix.clone(),
            kind: Kind::Metrics { series: command.series, churn: command.churn, rw2: command.rw2 },
        })
    }

    pub fn corpus(&self) -> Arc<Corpus> {
        Arc::new(match self.kind {
            Kind::Logs { streams, lanes, batch, templates } => {
                Corpus::Logs(Logs::new(self.seed, streams, lanes, batch, templates))
            }
            Kind::Metrics { series, churn, rw2 } => Corpus::Metrics(Metrics::new(self.seed, series, churn, rw2)),
        })
    }

    pub fn tenant(&self, tenant: u32) -> String {
        format!("{}{tenant}", self.tenant_prefix)
    }
}

impl Corpus {
    /// Agents of each tenant.
    pub fn lanes(&self) -> u32 {
        match self {
            Corpus::Logs(logs) => logs.lanes(),
            Corpus::Metrics(metrics) => metrics.lanes(),
        }
    }

    /// Rows in each body of this agent.
    pub fn rows(&self, lane: u32) -> u32 {
        match self {
            Corpus::Logs(logs) => logs.batch(),
            Corpus::Metrics(metrics) => metrics.series(lane),
        }
    }

    /// The base time of the body after the one of `last`: `now` (Unix ns), if that is after it. Logs count in ns,
    /// metrics in ms.
    pub fn base(&self, now: i64, last: Option<i64>) -> i64 {
        match self {
            Corpus::Logs(logs) => logs.base(now, last),
            Corpus::Metrics(metrics) => metrics.base(now, last),
        }
    }

    pub fn body(&self, place: Place, base: i64) -> Body {
        match self {
            Corpus::Logs(logs) => logs.body(place, base),
            Corpus::Metrics(metrics) => metrics.body(place, base),
        }
    }

    pub fn path(&self) -> &'static str {
        match self {
            Corpus::Logs(_) => "/loki/api/v1/push",
            Corpus::Metrics(_) => "/api/v1/push",
        }
    }

    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Corpus::Logs(_) => &[("content-type", "application/x-protobuf")],
            Corpus::Metrics(metrics) if metrics.rw2() => &[
                ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "2.0.0"),
            ],
            Corpus::Metrics(_) => &[
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ],
        }
    }
}
