//! Shards that record what is appended to them, and answer as they are told.

use futures::future::BoxFuture;
use model::{ShardCounts, ShardId};
use ouro_distributor::{Append, AppendError, Appended};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wire::batch::{Batch, Entry};

type Answer = Result<Vec<Appended>, AppendError>;

pub struct Shards {
    entries: Mutex<Vec<(ShardId, Vec<Batch>)>>,
    answers: Mutex<VecDeque<Answer>>,
    /// Each append takes one before it answers.
    pub gate: Semaphore,
}

impl Shards {
    pub fn new() -> Arc<Shards> {
        Shards::gated(Semaphore::MAX_PERMITS)
    }

    pub fn gated(open: usize) -> Arc<Shards> {
        Arc::new(Shards { entries: Mutex::default(), answers: Mutex::default(), gate: Semaphore::new(open) })
    }

    /// What the next append is answered, after those that were set before; without any, all is stored.
    pub fn answer(&self, answer: Answer) {
        self.answers.lock().expect("not poisoned").push_back(answer);
    }

    pub fn entries(&self) -> Vec<(ShardId, Vec<Batch>)> {
        self.entries.lock().expect("not poisoned").clone()
    }

    pub fn batches(&self) -> Vec<(ShardId, Batch)> {
        let entries = self.entries().into_iter();
        entries.flat_map(|(shard, batches)| batches.into_iter().map(move |batch| (shard, batch))).collect()
    }

    /// Of the only batch: its header's rows, and the batch.
    pub fn only(&self) -> Batch {
        let mut batches = self.batches();
        assert_eq!(batches.len(), 1);
        batches.remove(0).1
    }
}

impl Append for Shards {
    fn shards(&self) -> ShardCounts {
        ShardCounts::default()
    }

    fn append(&self, shard: ShardId, batches: Vec<Batch>, deadline: Instant) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            assert!(deadline > Instant::now());
            let logged = Entry::decode(Entry::encode_batches(&batches)).expect("can be logged");
            assert_eq!(logged, Entry::Batches(batches.clone()));
            let stored = vec![Appended::default(); batches.len()];
            self.entries.lock().expect("not poisoned").push((shard, batches));
            self.gate.acquire().await.expect("open").forget();
            self.answers.lock().expect("not poisoned").pop_front().unwrap_or(Ok(stored))
        })
    }
}
