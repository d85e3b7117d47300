//! Appends over gRPC to the shard leaders, wherever they are.

use crate::append::{Append, AppendError, Appended, Refusal};
use futures::future::BoxFuture;
use mesh::Directory;
use model::{Reason, ShardCounts, ShardId};
use std::time::Duration;
use tokio::time::Instant;
use transport::v1::{AppendReply, AppendRequest, ingest_client::IngestClient};
use transport::{Link, link::MAX_MESSAGE, rows, status};
use wire::batch::{Batch, Entry};

/// When a leader that is full or away may be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub struct Leaders {
    directory: Directory,
}

impl Leaders {
    pub fn new(directory: Directory) -> Leaders {
        Leaders { directory }
    }

    /// A batch is known by its content, so a leader that is asked twice stores it once.
    async fn send(&self, shard: ShardId, batches: Vec<Batch>, deadline: Instant) -> Result<Vec<Appended>, AppendError> {
        let request = AppendRequest { shard: Some(rows::shard(shard)), entry: Entry::encode_batches(&batches) };
        let call = |link: Link| {
            let mut client = IngestClient::new(link).max_decoding_message_size(MAX_MESSAGE);
            let request = request.clone();
            async move { client.append(request).await }
        };
        match self.directory.ask(shard, deadline, call).await {
            Ok(reply) => read(shard, batches.len(), reply.into_inner()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// What became of each of `count` batches.
fn read(shard: ShardId, count: usize, reply: AppendReply) -> Result<Vec<Appended>, AppendError> {
    if reply.outcomes.len() != count {
        let text = format!("shard {shard} answered for {} batches of {count}", reply.outcomes.len());
        return Err(AppendError { reason: Reason::Internal, text, retry_after: None });
    }
    let refusals = |refused: Vec<transport::v1::Refusal>| {
        refused.into_iter().map(|r| Refusal { text: r.text, count: r.rows, reason: r.reason }).collect()
    };
    Ok(reply.outcomes.into_iter().map(|outcome| Appended { refused: refusals(outcome.refused) }).collect())
}

/// The ingester names the shard where it matters.
fn failed(error: &tonic::Status) -> AppendError {
    let reason = status::reason(error);
    let text = error.message().to_owned();
    let later = matches!(reason, Reason::Unavailable | Reason::OverLimit | Reason::Timeout);
    AppendError { reason, text, retry_after: later.then_some(RETRY_AFTER) }
}

impl Append for Leaders {
    fn shards(&self) -> ShardCounts {
        self.directory.table().writable()
    }

    fn append(
        &self,
        shard: ShardId,
        batches: Vec<Batch>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        Box::pin(self.send(shard, batches, deadline))
    }
}
