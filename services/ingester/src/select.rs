//! Reads heads for queriers, away from the threads that write, and never more than was asked for.
//!
//! An answer waits for its reader, message by message, so answers are bounded in number and not by a pool: a reader
//! that takes its shards one after the other would otherwise wait for answers that wait for each other.

use crate::control::Control;
use crate::error::Error;
use crate::shard::Shard;
use crate::signal::{Head, Means, Question, Reply};
use model::ByteSize;
use node::Compute;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tonic::Status;
use transport::{status, v1};

/// How long a leader may take to make sure that it still leads.
pub const CONFIRM: Duration = Duration::from_secs(5);
/// Messages that wait for the reader.
const WAITING: usize = 8;

pub type Messages = mpsc::Receiver<Result<v1::SelectReply, Status>>;

/// Answers a question: first where the head begins, then what was asked for.
pub async fn select<H: Head>(
    shard: &Arc<Shard<H>>,
    question: Question,
    reads: &Arc<Semaphore>,
    compute: &Compute,
    control: &Control,
) -> Result<Messages, Error> {
    let Ok(Ok(permit)) = tokio::time::timeout(CONFIRM, reads.clone().acquire_owned()).await else {
        return Err(Error::Reads { shard: shard.id });
    };
    let confirmed = shard.group()?.read_index(Instant::now() + CONFIRM).await;
    confirmed.map_err(|source| Error::Consensus { shard: shard.id, source })?;
    let (flushed, applied, view) = shard.view()?;
    let (sender, receiver) = mpsc::channel(WAITING);
    // What is to be deleted since then must be known to whoever reads this.
    let version = flushed.version.max(control.catalog().deletes().changed());
    let first = Reply::View(v1::View { flushed: flushed.through, version, applied });
    // The channel is empty and has room.
    let _ = sender.try_send(Ok(v1::SelectReply { reply: Some(first) }));
    if compute.is_inline() {
        let mut all = Vec::new();
        answer::<H>(&view, &question, &means(|| false, compute), |message| {
            all.push(message);
            true
        });
        tokio::spawn(async move {
            for message in all {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        return Ok(receiver);
    }
    let compute = compute.clone();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        // A closed channel means that nobody wants the rest.
        let channel = sender.clone();
        let means = means(move || channel.is_closed(), &compute);
        answer::<H>(&view, &question, &means, |message| sender.blocking_send(message).is_ok());
    });
    Ok(receiver)
}

fn means(gone: impl Fn() -> bool + Send + Sync + 'static, compute: &Compute) -> Means {
    Means { gone: Arc::new(gone), spare: compute.lender() }
}

fn answer<H: Head>(
    view: &H::View,
    question: &Question,
    means: &Means,
    mut send: impl FnMut(Result<v1::SelectReply, Status>) -> bool,
) {
    let (mut sent, mut over) = (0u64, false);
    let mut emit = |reply: Reply, bytes: usize| {
        sent += bytes as u64;
        over = sent > question.max_bytes;
        !over && send(Ok(v1::SelectReply { reply: Some(reply) }))
    };
    let result = H::select(view, question, means, &mut emit);
    let status = match result {
        _ if over => {
            too_much(question, if question.what == v1::What::Rows { H::ROWS_LIMIT } else { "limits.query_memory" })
        }
        Err(error) => status::grpc(error.reason(), error.to_string()),
        Ok(()) => return,
    };
    send(Err(status));
}

fn too_much(question: &Question, limit: &str) -> Status {
    let text = format!(
        "the query reads more than {} of recent rows ({limit}): narrow its labels or its time range",
        ByteSize(question.max_bytes)
    );
    status::grpc(model::Reason::Unprocessable, text)
}
