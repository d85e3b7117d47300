//! Parts of a query that other queriers are asked to do. One that is busy, gone or of another version costs the one that
//! asked it that part's work.

use crate::error::QueryError;
use crate::querier::Querier;
use crate::reading::Reading;
use crate::source::TenantRows;
use eval::EvalError;
use eval::source::Said;
use model::Reason;
use node::Pool;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use telemetry::Exposition;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};
use transport::status;
use transport::v1::FoldReply;

/// One that fails after so long is not asked for anything for a while. One that says at once that it is busy, or does not
/// know how, may still be asked for ranges.
const LONG: Duration = Duration::from_secs(1);
/// Messages that wait for who asked.
const WAITING: usize = 8;

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub asked: AtomicU64,
    pub taken_back: AtomicU64,
    given: AtomicU64,
    pub folded: AtomicU64,
}

impl Counts {
    pub fn meters(&self, out: &mut Exposition) {
        for (name, help, count) in [
            ("ouro_querier_slices_asked_total", "Parts of queries that other queriers were asked to do.", &self.asked),
            ("ouro_querier_slices_failed_total", "Those that they did not do.", &self.taken_back),
            ("ouro_querier_slices_given_total", "Parts of queries that were done for other queriers.", &self.given),
            ("ouro_querier_folded_total", "Parts of queries that the leaders of shards did.", &self.folded),
        ] {
            out.counter(name, help, &[], count.load(Relaxed));
        }
    }
}

/// What others were asked to do for one query, and what there is to do if they do not.
pub struct Others<P> {
    parts: BTreeMap<usize, P>,
    tasks: JoinSet<(usize, String, Result<Said, QueryError>, Duration)>,
}

impl<P> Others<P> {
    pub fn none() -> Others<P> {
        Others { parts: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Asks one for a part.
    pub fn ask(
        &mut self,
        rows: &TenantRows,
        peer: String,
        part: P,
        answer: impl Future<Output = Result<Said, QueryError>> + Send + 'static,
    ) {
        let number = self.parts.len();
        self.parts.insert(number, part);
        rows.parts.others.asked.fetch_add(1, Relaxed);
        let begun = Instant::now();
        self.tasks.spawn_on(async move { (number, peer, answer.await, begun.elapsed()) }, &rows.runtime);
    }

    /// Waits for all: what they said, and the parts that none of them did. Blocks.
    ///
    /// # Errors
    /// One says that the query costs too much, or the query should end.
    pub fn done(mut self, rows: &TenantRows) -> Result<(Vec<Said>, Vec<P>), QueryError> {
        let mut all = Vec::new();
        let mut next = || rows.runtime.block_on(rows.reading.during(async { Ok(self.tasks.join_next().await) }));
        while let Some(answer) = next()? {
            let Ok((number, peer, answer, took)) = answer else { continue };
            match answer {
                Ok(said) => {
                    self.parts.remove(&number);
                    all.push(said);
                }
                Err(error) if matches!(error.reason, Reason::Unprocessable | Reason::OverLimit) => return Err(error),
                Err(error) => {
                    tracing::debug!(peer, %error, "a querier did not do its part of a query");
                    if took > LONG {
                        rows.parts.peers.avoid(peer);
                    }
                }
            }
        }
        rows.parts.others.taken_back.fetch_add(self.parts.len() as u64, Relaxed);
        Ok((all, self.parts.into_values().collect()))
    }
}

/// All that one says.
pub async fn listen(mut replies: Streaming<FoldReply>, reading: &Reading) -> Result<Said, QueryError> {
    let mut said = Said::default();
    while let Some(FoldReply { said: message, pages, lines, bytes, read }) = replies.message().await? {
        reading.keep(message.len())?;
        reading.count(read);
        if !message.is_empty() {
            said.messages.push(message.into());
        }
        (said.pages, said.lines, said.bytes) = (said.pages + pages, said.lines + lines, said.bytes + bytes);
    }
    Ok(said)
}

/// Where answers for another querier go.
#[derive(Clone)]
pub struct Replies(mpsc::Sender<Result<FoldReply, Status>>);

impl Replies {
    /// Whether nobody waits for them any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub fn say(&self, message: Vec<u8>) -> Result<(), EvalError> {
        self.send(FoldReply { said: message.into(), ..FoldReply::default() })
    }

    pub fn send(&self, reply: FoldReply) -> Result<(), EvalError> {
        self.0.blocking_send(Ok(reply)).map_err(|_| EvalError::Cancelled)
    }
}

impl Querier {
    /// Does a part of another querier's query. Refused at once when there is no room: two queriers that waited for each other
    /// would do so for ever.
    #[allow(clippy::result_large_err)] // as tonic has it
    pub(crate) fn give(
        &self,
        work: impl FnOnce(&Querier, &Replies) -> Result<(), QueryError> + Send + 'static,
    ) -> Result<Response<ReceiverStream<Result<FoldReply, Status>>>, Status> {
        let Some(room) = self.inner.compute.room(Pool::Reads) else {
            return Err(status::grpc(Reason::Unavailable, "this querier has as many queries as it can do".to_owned()));
        };
        let querier = self.clone();
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::task::spawn_blocking(move || {
            let _room = room;
            if let Err(error) = work(&querier, &Replies(sender.clone())) {
                // Nobody is there when this fails.
                let _ = sender.blocking_send(Err(status::grpc(error.reason, error.text)));
                return;
            }
            querier.inner.parts.others.given.fetch_add(1, Relaxed);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
