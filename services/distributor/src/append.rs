//! Hands batches to the shards, gathering those of concurrent pushes into one entry of a shard's log.

use crate::budget::Claim;
use crate::meters::{Meters, add};
use crate::settings::Settings;
use futures::future::BoxFuture;
use model::{Reason, ShardCounts, ShardId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use wire::batch::Batch;

/// Where batches go.
pub trait Append: Send + Sync + 'static {
    /// The shards that may be written now.
    fn shards(&self) -> ShardCounts;

    /// Has the shard store these batches as one entry of its log, and answers when they can be read: with what became
    /// of each, in order.
    fn append(
        &self,
        shard: ShardId,
        batches: Vec<Batch>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>>;
}

/// What became of one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Empty when all of it is stored, now or by an earlier try.
    pub refused: Vec<Refusal>,
}

/// Rows that the leader refused, and why: too old for their series, another value at the same time, too many series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
    pub count: u32,
    /// The leader's word for the reason.
    pub reason: String,
}

/// Why nothing of an entry is known to be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AppendError {
    pub reason: Reason,
    pub text: String,
    /// When another try may go better, if that is known.
    pub retry_after: Option<Duration>,
}

impl AppendError {
    fn new(reason: Reason, text: String) -> AppendError {
        AppendError { reason, text, retry_after: None }
    }
}

/// A lane for each shard that is written.
pub struct Lanes {
    append: Arc<dyn Append>,
    /// Made when a shard is first written.
    lanes: RwLock<HashMap<ShardId, Arc<Lane>>>,
    meters: Arc<Meters>,
    /// Bytes gathered into one entry.
    gather: usize,
    /// Entries on their way at a time.
    most: u32,
    timeout: Duration,
}

/// The batches that wait for one shard.
#[derive(Default)]
struct Lane(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Entries on their way.
    busy: u32,
}

struct Waiting {
    batch: Batch,
    deadline: Instant,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
    /// Kept as long as the batch.
    _claim: Arc<Claim>,
}

impl Lanes {
    pub fn new(settings: &Settings, append: Arc<dyn Append>, meters: Arc<Meters>) -> Lanes {
        Lanes {
            append,
            lanes: RwLock::default(),
            meters,
            gather: settings.gather.as_usize(),
            most: settings.appends.max(1),
            timeout: settings.append_timeout,
        }
    }

    /// The shards that may be written now.
    pub fn shards(&self) -> ShardCounts {
        self.append.shards()
    }

    fn lane(&self, shard: ShardId) -> Arc<Lane> {
        if let Some(lane) = self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&shard) {
            return Arc::clone(lane);
        }
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(shard).or_default())
    }

    /// Waits until the shard has stored the batch. A batch that comes alone goes at once; while as many entries as may
    /// be are on their way, the next one is gathered. Dropped before its batch is on its way, it never goes.
    pub async fn append(
        self: &Arc<Self>,
        shard: ShardId,
        batch: Batch,
        claim: Arc<Claim>,
    ) -> Result<Appended, AppendError> {
        let lane = self.lane(shard);
        let deadline = Instant::now() + self.timeout;
        let (reply, answer) = oneshot::channel();
        let begins = {
            let mut queue = lane.lock();
            queue.waiting.push_back(Waiting { batch, deadline, reply, _claim: claim });
            let begins = queue.busy < self.most;
            queue.busy += u32::from(begins);
            begins
        };
        if begins {
            // Not the push's own future: other pushes' batches may go with this one, and its agent may hang up.
            tokio::spawn(Arc::clone(self).drain(shard, Busy { lane, held: true }));
        }
        let late = |_| {
            AppendError::new(
                Reason::Timeout,
                format!("shard {shard} took over {} s (distributor.append_timeout)", self.timeout.as_secs_f64()),
            )
        };
        match timeout_at(deadline, answer).await.map_err(late)? {
            Ok(result) => result,
            Err(_) => Err(AppendError::new(Reason::Internal, format!("appending to shard {shard} failed"))),
        }
    }

    /// Sends entries as long as batches wait.
    async fn drain(self: Arc<Self>, shard: ShardId, mut busy: Busy) {
        loop {
            let (batches, replies, deadline) = busy.take(self.gather);
            if batches.is_empty() {
                return;
            }
            add(&self.meters.appends, 1);
            add(&self.meters.batches, batches.len() as u64);
            let append = self.append.append(shard, batches, deadline);
            let result = match timeout_at(deadline, append).await {
                Ok(Ok(appended)) if appended.len() != replies.len() => {
                    let text = format!("shard {shard} answered for {} of {} batches", appended.len(), replies.len());
                    Err(AppendError::new(Reason::Internal, text))
                }
                Ok(result) => result,
                // Each push tells its own agent that it took too long.
                Err(_) => Err(AppendError::new(Reason::Timeout, format!("shard {shard} took too long"))),
            };
            let answers: Box<dyn Iterator<Item = _> + Send> = match result {
                Ok(appended) => Box::new(appended.into_iter().map(Ok)),
                Err(error) => Box::new(std::iter::repeat(Err(error))),
            };
            for ((reply, _claim), answer) in replies.into_iter().zip(answers) {
                let _ = reply.send(answer); // nobody may be waiting any more
            }
        }
    }
}

type Reply = (oneshot::Sender<Result<Appended, AppendError>>, Arc<Claim>);

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the entries on their way, given back also if the task that sends it panics.
struct Busy {
    lane: Arc<Lane>,
    held: bool,
}

impl Busy {
    /// Takes batches that are still waited for, one at least and no more than `bytes` after that, and the latest of
    /// their deadlines. When there are none, the lane has one entry less on its way from that moment on.
    fn take(&mut self, bytes: usize) -> (Vec<Batch>, Vec<Reply>, Instant) {
        let (mut batches, mut replies, mut deadline) = (Vec::new(), Vec::new(), Instant::now());
        let (mut queue, mut size) = (self.lane.lock(), 0);
        while let Some(next) = queue.waiting.front() {
            if !batches.is_empty() && size + next.batch.payload.len() > bytes {
                break;
            }
            let Some(next) = queue.waiting.pop_front() else { break };
            if next.reply.is_closed() {
                continue;
            }
            size += next.batch.payload.len();
            deadline = deadline.max(next.deadline);
            batches.push(next.batch);
            replies.push((next.reply, next._claim));
        }
        if batches.is_empty() {
            queue.busy -= 1;
            self.held = false;
        }
        (batches, replies, deadline)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.held {
            self.lane.lock().busy -= 1;
        }
    }
}
