//! Measures what a distributor costs: `push_bench FILE.blk…` sends each block as a push to the router, with shards that
//! forget, and prints CPU seconds per GB of lines or per million samples.
//!
//! A `.blk` file repeats `u32 body length, u32 entries, u32 raw bytes, u16 tenant length, tenant, body`, little-endian;
//! the body is a snappy-compressed Loki push, or a remote write 1.0 where the file's name begins with `metrics`.

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::future::BoxFuture;
use model::{ShardCounts, ShardId};
use ouro_distributor::{Append, AppendError, Appended, Distributor, Settings, router};
use std::path::Path;
use std::sync::Arc;
use tenancy::LimitTable;
use tokio::time::Instant;
use tower::ServiceExt;
use wire::batch::Batch;

struct Forget;

impl Append for Forget {
    fn shards(&self) -> ShardCounts {
        ShardCounts::default()
    }

    fn append(&self, _: ShardId, batches: Vec<Batch>, _: Instant) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        Box::pin(async move { Ok(vec![Appended::default(); batches.len()]) })
    }
}

/// CPU seconds of this process so far, in user mode and in the system.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect::<Vec<_>>();
    (fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number")) / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let limits = Arc::new(LimitTable::default());
    let distributor = Distributor::new(Settings::default(), limits, Arc::new(Forget), transport::link::picked(|| None));
    let routes = router(Arc::new(distributor));
    for path in std::env::args().skip(1) {
        let data = Bytes::from(std::fs::read(&path).expect("the file can be read"));
        let metrics = Path::new(&path).file_name().is_some_and(|name| name.to_string_lossy().starts_with("metrics"));
        let (mut at, mut entries, mut raw, start) = (0, 0, 0, cpu());
        let number = |at: usize, len: usize| data[at..at + len].iter().rev().fold(0usize, |n, b| n << 8 | *b as usize);
        while at < data.len() {
            let (len, tenant) = (number(at, 4), number(at + 12, 2));
            entries += number(at + 4, 4);
            raw += number(at + 8, 4);
            let body = data.slice(at + 14 + tenant..at + 14 + tenant + len);
            at += 14 + tenant + len;
            let uri = if metrics { "/api/v1/write" } else { "/loki/api/v1/push" };
            let request = Request::post(uri).header("content-type", "application/x-protobuf").body(Body::from(body));
            let response = routes.clone().oneshot(request.expect("a request")).await.expect("answers");
            assert_eq!(response.status(), 204);
        }
        let (units, unit) = if metrics { (entries as f64 / 1e6, "M samples") } else { (raw as f64 / 1e9, "GB") };
        println!("{path}: {units:.3} {unit}, {:.3} CPU-s per {unit}", (cpu() - start) / units);
    }
}
