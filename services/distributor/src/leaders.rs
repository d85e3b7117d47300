//! Appends over gRPC to the shard leaders: in this process or in another one.

use crate::append::{Append, AppendError, Appended, Refusal};
use futures::future::BoxFuture;
use model::{Reason, ShardId};
use std::time::Duration;
use tokio::time::Instant;
use transport::v1::{AppendReply, AppendRequest, ingest_client::IngestClient};
use transport::{Link, link::MAX_MESSAGE, rows, status};
use wire::batch::{Batch, Entry};

/// When a leader that is full or away may be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub struct Leaders {
    client: IngestClient<Link>,
}

impl Leaders {
    pub fn new(link: Link) -> Leaders {
        Leaders { client: IngestClient::new(link).max_decoding_message_size(MAX_MESSAGE) }
    }

    async fn send(&self, shard: ShardId, batches: Vec<Batch>, deadline: Instant) -> Result<Vec<Appended>, AppendError> {
        let count = batches.len();
        let request = AppendRequest { shard: Some(rows::shard(shard)), entry: Entry::encode_batches(&batches) };
        let mut client = self.client.clone();
        match tokio::time::timeout_at(deadline, client.append(request)).await {
            Ok(Ok(reply)) => read(shard, count, reply.into_inner()),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(late(shard)),
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
        refused.into_iter().map(|r| Refusal { text: r.text, count: r.rows }).collect()
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

fn late(shard: ShardId) -> AppendError {
    let text = format!("shard {shard} did not store the rows in time (distributor.append_timeout)");
    AppendError { reason: Reason::Unavailable, text, retry_after: Some(RETRY_AFTER) }
}

impl Append for Leaders {
    fn append(
        &self,
        shard: ShardId,
        batches: Vec<Batch>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        Box::pin(self.send(shard, batches, deadline))
    }
}
