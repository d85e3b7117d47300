//! Stores Ouro's own log lines and meters in Ouro, through the same door as everybody's.

use crate::status::Process;
use axum::Router;
use axum::body::Body;
use http::Request;
use node::Stopping;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{Captured, Line, Meter};
use tower::ServiceExt;
use wire::loki::Builder;
use wire::protobuf::{put_bytes, put_double, put_uint};

/// The tenant of Ouro's own rows.
pub const TENANT: &str = "ouro";

pub struct Observer {
    pub process: Process,
    pub captured: Captured,
    /// The routes of the distributor.
    pub push: Router,
    pub interval: Duration,
}

impl Observer {
    pub async fn run(self, mut stopping: Stopping) {
        // The first look is early, so that a new user's first query finds something.
        let mut pause = Duration::from_secs(1).min(self.interval);
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = self.interval;
            self.observe().await;
        }
    }

    async fn observe(&self) {
        let lines = self.captured.take();
        if !lines.is_empty() {
            self.send("/loki/api/v1/push", logs_body(&lines)).await;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        self.send("/api/v1/push", metrics_body(self.process.meters().meters(), now)).await;
    }

    async fn send(&self, path: &str, body: Vec<u8>) {
        let request = Request::post(path)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-scope-orgid", TENANT)
            .body(Body::from(wire::snappy::compress(&body)));
        let Ok(request) = request else { return };
        let Ok(response) = self.push.clone().oneshot(request).await;
        if !response.status().is_success() {
            // At debug level: a line about a failed push must not become the next push.
            tracing::debug!(path, status = %response.status(), "Ouro's own rows were refused");
        }
    }
}

fn logs_body(lines: &[Line]) -> Vec<u8> {
    let mut streams: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        let role = line.target.split("::").next().unwrap_or("").trim_start_matches("ouro_");
        let labels = format!("{{level={:?}, role={role:?}, service=\"ouro\"}}", line.level);
        streams.entry(labels).or_default().push(line);
    }
    let mut builder = Builder::new();
    for (labels, lines) in streams {
        builder.stream(&labels);
        for line in lines {
            builder.entry(line.time, &line.text, std::iter::empty());
        }
    }
    builder.finish()
}

/// Remote write 1.0: `timeseries = 1 {labels = 1 {name = 1, value = 2}, samples = 2 {value = 1, timestamp = 2}}`.
fn metrics_body(meters: &[Meter], now: i64) -> Vec<u8> {
    let (mut request, mut series, mut message) = (Vec::new(), Vec::new(), Vec::new());
    for meter in meters {
        series.clear();
        let mut labels: Vec<(&str, &str)> = vec![("__name__", meter.name), ("job", "ouro")];
        labels.extend(meter.labels.iter().map(|(name, value)| (*name, value.as_str())));
        labels.sort_unstable();
        for (name, value) in labels {
            message.clear();
            put_bytes(&mut message, 1, name.as_bytes());
            put_bytes(&mut message, 2, value.as_bytes());
            put_bytes(&mut series, 1, &message);
        }
        message.clear();
        put_double(&mut message, 1, meter.value);
        put_uint(&mut message, 2, now as u64);
        put_bytes(&mut series, 2, &message);
        put_bytes(&mut request, 1, &series);
    }
    request
}
