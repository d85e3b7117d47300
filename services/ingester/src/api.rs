//! The route by which everything is flushed: the leader of every shard is asked, wherever it is.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::{StreamExt, stream};
use mesh::Directory;
use model::ShardId;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;
use transport::rows;
use transport::v1::{FlushRequest, ingest_client::IngestClient};

/// Longer than a leader waits for its flush, so that it can say why it is late.
const DEADLINE: Duration = Duration::from_secs(55);
/// Shards that are asked for at once.
const WIDTH: usize = 16;

#[derive(Debug, Deserialize)]
struct Params {
    /// Answer only when everything acked before is in the object store.
    #[serde(default)]
    wait: bool,
}

/// `POST /flush`, also with `wait=true`. In a cluster it is on the ports of ingesters, which are for operators: tenants
/// do not reach them.
pub fn router(directory: Directory) -> Router {
    Router::new().route("/flush", post(flush)).with_state(directory)
}

/// 204, or 503 with a line for each shard that was not flushed.
async fn flush(State(directory): State<Directory>, Query(params): Query<Params>) -> Response {
    match flush_all(&directory, params.wait).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn flush_all(directory: &Directory, wait: bool) -> Result<(), String> {
    let table = directory.table();
    let shards: Vec<ShardId> = table.groups().filter_map(|(group, _)| ShardId::from_group(group)).collect();
    let (all, deadline) = (shards.len(), Instant::now() + DEADLINE);
    if all == 0 {
        return Err("no shard is known yet\n".to_owned());
    }
    let flush = async |shard| flush_one(directory, shard, wait, deadline).await.err().map(|why| (shard, why));
    let flushes = stream::iter(shards).map(flush).buffer_unordered(WIDTH);
    let mut failed: Vec<_> = flushes.filter_map(async |failed| failed).collect().await;
    if failed.is_empty() {
        return Ok(());
    }
    failed.sort_unstable();
    let lines: String = failed.iter().map(|(shard, why)| format!("{shard}: {why}\n")).collect();
    Err(format!("{} of {all} shards were not flushed:\n{lines}", failed.len()))
}

async fn flush_one(directory: &Directory, shard: ShardId, wait: bool, deadline: Instant) -> Result<(), String> {
    let request = FlushRequest { wait, shard: Some(rows::shard(shard)) };
    let call = |link| async move { IngestClient::new(link).flush(request).await };
    match directory.ask(shard, deadline, call).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ShardCounts, Signal};
    use placement::{Command, Table};
    use std::sync::Arc;
    use transport::link;

    /// Of shards that are all led by nobody.
    fn silent(shards: &[ShardId]) -> Directory {
        let groups = shards.iter().map(|shard| (shard.group(), vec![1])).collect();
        let mut table = Table::default();
        for command in [Command::Read { shards: ShardCounts { logs: 2, metrics: 2 } }, Command::Place { groups }] {
            table.apply(&command.encode());
        }
        Directory::one(link::picked(|| None), Arc::new(table))
    }

    #[tokio::test]
    async fn shards_that_are_not_flushed_are_named() {
        let shards = [ShardId { signal: Signal::Logs, index: 1 }, ShardId { signal: Signal::Metrics, index: 0 }];
        let why = flush_all(&silent(&shards), true).await.expect_err("nobody flushes");
        assert!(why.starts_with("2 of 2 shards were not flushed:\nlogs-1: "), "{why}");
        assert!(why.contains("\nmetrics-0: "), "{why}");
    }

    #[tokio::test]
    async fn without_a_shard_nothing_is_known_to_be_flushed() {
        assert_eq!(flush_all(&silent(&[]), false).await, Err("no shard is known yet\n".to_owned()));
    }
}
