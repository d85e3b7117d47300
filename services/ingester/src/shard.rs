//! One shard on this node: its group, its head, and how far it was flushed.

use crate::error::Error;
use crate::signal::{Head, Rest, Stats};
use crate::snapshot::{self, Flushed, Recent};
use bytes::Bytes;
use consensus::Group;
use model::{BatchId, ShardId};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use transport::v1;
use wire::batch::{Batch, Entry};

pub struct Shard<H: Head> {
    pub id: ShardId,
    /// This node.
    me: consensus::Node,
    settings: H::Settings,
    state: Mutex<State<H>>,
    group: OnceLock<Group>,
    /// Bodies that were decompressed to look at them before they were logged, so that applying need not do it again.
    bodies: Mutex<HashMap<BatchId, Bytes>>,
    /// The term in which this node leads the shard and has applied all that came before it.
    pub led: watch::Sender<Option<u64>>,
    /// Rings when a flush is wanted now.
    pub wanted: Notify,
    /// What the head takes, as of the last entry: asked at every append, which must not wait for an apply.
    memory: AtomicU64,
    /// The log index up to which the shard was flushed.
    pub progress: watch::Sender<u64>,
    /// Set when this node no longer keeps the shard.
    pub closed: watch::Sender<bool>,
}

/// Changes only under the lock, so a view is always of one moment.
struct State<H: Head> {
    head: Arc<H>,
    applied: u64,
    flushed: Flushed,
    recent: Recent,
    /// Batches of the log after `flushed` that came again and were not stored: the index of the entry, and which of it.
    repeated: BTreeSet<(u64, usize)>,
    /// When the oldest row that is not cut yet arrived.
    since: Option<Instant>,
    /// The last entry that brought rows.
    rows_through: u64,
    /// A cut that is being flushed.
    cut: Option<Arc<Cut<H>>>,
    /// This node leads the shard, and its head has all rows since the last flush.
    serves: bool,
    /// Why the shard can serve nothing more.
    broken: Option<String>,
}

/// What a flush takes away.
pub struct Cut<H: Head> {
    pub frozen: H::Frozen,
    pub after: u64,
    pub through: u64,
}

impl<H: Head> State<H> {
    fn empty(settings: &H::Settings) -> State<H> {
        State {
            head: Arc::new(H::new(settings)),
            applied: 0,
            flushed: Flushed::default(),
            recent: Recent::default(),
            repeated: BTreeSet::new(),
            since: None,
            rows_through: 0,
            cut: None,
            serves: false,
            broken: None,
        }
    }
}

impl<H: Head> Shard<H> {
    /// A shard that this node follows, until it is told that it leads.
    pub fn new(id: ShardId, me: consensus::Node, settings: &H::Settings) -> Arc<Shard<H>> {
        let state = State::empty(settings);
        Arc::new(Shard {
            id,
            me,
            settings: settings.clone(),
            state: Mutex::new(state),
            group: OnceLock::new(),
            bodies: Mutex::default(),
            led: watch::Sender::new(None),
            wanted: Notify::new(),
            memory: AtomicU64::new(0),
            progress: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        })
    }

    pub fn attach(&self, group: Group) {
        // Called once, before anything else.
        let _ = self.group.set(group);
    }

    pub fn group(&self) -> Result<&Group, Error> {
        self.group.get().ok_or(Error::NotHere { shard: self.id })
    }

    /// Waits until this node serves the shard, if it leads it; else says who does, at once.
    pub async fn serving(&self, patience: Duration) -> Result<(), Error> {
        let mut led = self.led.subscribe();
        if led.borrow().is_some() {
            return Ok(());
        }
        let group = self.group()?;
        let mut status = group.watch();
        let replayed = async {
            tokio::select! {
                _ = led.wait_for(Option::is_some) => true,
                _ = status.wait_for(|status| status.leader != Some(self.me)) => false,
            }
        };
        match timeout(patience, replayed).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::NotLeading { shard: self.id, leader: self.leader() }),
        }
    }

    /// Who leads, as far as this node knows.
    fn leader(&self) -> Option<consensus::Node> {
        self.group.get().and_then(|group| group.status().leader)
    }

    /// A view of the head, where it begins, and the last log entry that is in it.
    pub fn view(&self) -> Result<(Flushed, u64, H::View), Error> {
        let state = self.lock();
        self.sound(&state)?;
        Ok((state.flushed, state.applied, state.head.view()))
    }

    pub fn head(&self) -> Arc<H> {
        self.lock().head.clone()
    }

    pub fn stats(&self) -> Stats {
        self.head().stats()
    }

    /// Bytes that the head takes, without waiting for anything.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Whether a cut waits to be flushed: the last try failed, or one is under way.
    pub fn is_cut(&self) -> bool {
        self.lock().cut.is_some()
    }

    pub fn since(&self) -> Option<Instant> {
        self.lock().since
    }

    /// The index of the last entry that brought rows: flushed up to it, all of them are in the object store.
    pub fn rows_through(&self) -> u64 {
        self.lock().rows_through
    }

    /// Waits until it is flushed up to there, or this node no longer leads it as it does now.
    pub async fn wait_for_flush(&self, through: u64) -> Result<(), Error> {
        let (mut progress, mut led) = (self.progress.subscribe(), self.led.subscribe());
        let term = *led.borrow();
        tokio::select! {
            biased;
            _ = progress.wait_for(|flushed| *flushed >= through) => Ok(()),
            _ = led.wait_for(|now| *now != term || now.is_none()) => {
                Err(Error::NotLeading { shard: self.id, leader: self.leader() })
            }
        }
    }

    /// Freezes what was applied so far, or gives the cut that is still to be flushed; `None` when there are no rows.
    pub fn cut(&self) -> Result<Option<Arc<Cut<H>>>, Error> {
        let mut state = self.lock();
        self.sound(&state)?;
        if let Some(cut) = &state.cut {
            return Ok(Some(cut.clone()));
        }
        if state.head.stats().rows == 0 {
            return Ok(None);
        }
        let (after, through) = (state.flushed.through, state.applied);
        state.since = None;
        let cut = Arc::new(Cut { frozen: state.head.cut(through), after, through });
        state.cut = Some(cut.clone());
        Ok(Some(cut))
    }

    /// What stands for everything up to a flush: how far it went, and the batches before that.
    pub fn snapshot(&self, flushed: Flushed) -> Bytes {
        snapshot::encode(flushed, &self.lock().recent, flushed.through)
    }

    /// Hands over bodies until their batches are applied.
    pub fn keep_bodies(&self, bodies: Vec<(BatchId, Bytes)>) {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).extend(bodies);
    }

    pub fn forget_bodies(&self, ids: &[BatchId]) {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().for_each(|id| drop(bodies.remove(id)));
    }

    /// Applies one entry of the log, in order. The reply says what became of each batch.
    pub fn apply(&self, index: u64, data: Bytes, slice: Option<journal::Slice>) -> v1::AppendReply {
        let mut state = self.lock();
        let reply = match Entry::decode(data.clone()) {
            Ok(Entry::Batches(batches)) => self.apply_batches(&mut state, index, &data, &batches, slice),
            Ok(Entry::Flushed { through, version }) => {
                self.apply_flushed(&mut state, Flushed { through, version });
                v1::AppendReply::default()
            }
            Err(error) => {
                tracing::error!(shard = %self.id, index, %error, "a log entry cannot be read");
                v1::AppendReply::default()
            }
        };
        state.applied = state.applied.max(index);
        self.memory.store(state.head.stats().memory_bytes, Ordering::Relaxed);
        reply
    }

    fn apply_batches(
        &self,
        state: &mut State<H>,
        index: u64,
        entry: &Bytes,
        batches: &[Batch],
        slice: Option<journal::Slice>,
    ) -> v1::AppendReply {
        let mut outcomes = Vec::with_capacity(batches.len());
        for (n, batch) in batches.iter().enumerate() {
            let mut outcome = v1::Outcome::default();
            if !state.recent.add(index, batch.header.id) {
                outcome.repeated_batch = true;
                state.repeated.insert((index, n));
            } else if index > state.flushed.through {
                let start = batch.payload.as_ptr() as usize - entry.as_ptr() as usize;
                let rest = Rest { slice: slice.clone(), range: start..start + batch.payload.len() };
                let body = self.bodies.lock().unwrap_or_else(PoisonError::into_inner).remove(&batch.header.id);
                state.since.get_or_insert_with(Instant::now);
                state.rows_through = index;
                if let Err(error) = state.head.apply(index, batch, body, rest) {
                    // The distributor has checked the batch, so this is a defect: say so, and keep the others.
                    tracing::error!(shard = %self.id, index, %error, "a logged batch cannot be applied");
                    let text = error.to_string();
                    outcome.refused.push(v1::Refusal { text, rows: batch.header.rows, reason: String::new() });
                }
            }
            outcomes.push(outcome);
        }
        v1::AppendReply { outcomes }
    }

    fn apply_flushed(&self, state: &mut State<H>, flushed: Flushed) {
        if flushed.through <= state.flushed.through {
            return;
        }
        state.flushed = flushed;
        state.repeated = state.repeated.split_off(&(flushed.through + 1, 0));
        self.progress.send_replace(flushed.through);
        if state.cut.take().is_some_and(|cut| cut.through == flushed.through) {
            state.head.drop_frozen(flushed.through);
        } else if let Err(error) = self.rebuild(state) {
            tracing::error!(shard = %self.id, %error, "the head cannot be rebuilt from the log");
            state.broken = Some(error.to_string());
        }
    }

    /// Another leader's flush ended elsewhere than this node's own cut: the head is made again from the log, without the
    /// batches that were no news when they were applied.
    fn rebuild(&self, state: &mut State<H>) -> Result<(), Error> {
        state.head = Arc::new(H::new(&self.settings));
        state.since = None;
        let group = self.group()?;
        for index in state.flushed.through + 1..=state.applied {
            let Some(slice) = group.slice(index) else { continue };
            let unreadable = |why: String| Error::Log { shard: self.id, index, why };
            let data = slice.read().map_err(|e| unreadable(e.to_string()))?;
            // Raft's own entries have no data.
            if data.is_empty() {
                continue;
            }
            let Ok(Entry::Batches(batches)) = Entry::decode(data.clone()) else { continue };
            for (n, batch) in batches.iter().enumerate() {
                if state.repeated.contains(&(index, n)) {
                    continue;
                }
                let start = batch.payload.as_ptr() as usize - data.as_ptr() as usize;
                let rest = Rest { slice: Some(slice.clone()), range: start..start + batch.payload.len() };
                state.since.get_or_insert_with(Instant::now);
                state.head.apply(index, batch, None, rest)?;
            }
        }
        Ok(())
    }

    /// Begins from a snapshot of the log at `index`. `known`: what the catalog says of this shard.
    pub fn restore(&self, index: u64, data: Bytes, known: Flushed) {
        let mut state = self.lock();
        *state = State::empty(&self.settings);
        match snapshot::decode(data) {
            None => state.broken = Some(Error::Snapshot(self.id).to_string()),
            Some((flushed, recent)) => {
                state.flushed = if known.through > flushed.through { known } else { flushed };
                state.recent = recent;
                state.applied = index.max(state.flushed.through);
            }
        }
        self.progress.send_replace(state.flushed.through);
    }

    /// This node leads from now on, with all that came before in the head; or no longer, and lets go of the head.
    pub fn lead(&self, term: Option<u64>) {
        let mut state = self.lock();
        match term {
            Some(_) => state.serves = true,
            None => *state = State::empty(&self.settings),
        }
        self.memory.store(state.head.stats().memory_bytes, Ordering::Relaxed);
        self.led.send_replace(term);
    }

    fn sound(&self, state: &State<H>) -> Result<(), Error> {
        match &state.broken {
            None if state.serves => Ok(()),
            None => Err(Error::NotLeading { shard: self.id, leader: self.leader() }),
            Some(why) => Err(Error::Log { shard: self.id, index: state.applied, why: why.clone() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
