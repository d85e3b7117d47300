//! Recent rows of one shard, all tenants: an index over batches that rest in the journal.

mod generation;
mod streams;

use generation::Known;
pub(crate) use generation::{BatchIndex, Generation};
pub(crate) use streams::{Names, Streams};

use crate::error::Error;
use crate::frozen::Frozen;
use crate::settings::Settings;
use crate::view::View;
use bytes::Bytes;
use model::{Labels, Signal, TimeRange};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenancy::LimitTable;
use wire::batch::Header;

/// Where the snappy-compressed body of a batch rests. Reads may block.
pub trait Payload: Send + Sync {
    fn read(&self) -> std::io::Result<Bytes>;
}

/// What has arrived since the last flush, by tenant and stream. Costs about a hundred bytes a batch and a stream in
/// it, whatever the size of the lines: the lines stay where the log keeps them.
pub struct Head {
    settings: Settings,
    /// What streams are called, by tenant; `None`: as they came.
    limits: Option<Arc<LimitTable>>,
    state: Mutex<State>,
}

struct State {
    active: Arc<Generation>,
    /// Cut, but not yet dropped; oldest first.
    frozen: Vec<(u64, Arc<Generation>)>,
    /// The streams of the generation before the active one, whose labels need not be parsed again.
    known: Arc<Known>,
    /// How many batches were applied.
    sequence: u64,
}

/// What a head holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Arrived since the last cut.
    pub active: Counts,
    /// Cut, but not dropped.
    pub frozen: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub tenants: u64,
    pub batches: u64,
    pub rows: u64,
    /// Uncompressed bodies.
    pub raw_bytes: u64,
    /// About what the index takes.
    pub memory_bytes: u64,
    /// The time of the oldest and newest row; `None` without rows.
    pub times: Option<(i64, i64)>,
}

impl Head {
    pub fn new(settings: Settings) -> Head {
        Head::made(settings, None)
    }

    /// One in which streams get the `service_name` that their tenant wants (`limits.discover.service_name`): it is found
    /// with a stream's labels, so a push need not be written again for it.
    pub fn naming(settings: Settings, limits: Arc<LimitTable>) -> Head {
        Head::made(settings, Some(limits))
    }

    fn made(settings: Settings, limits: Option<Arc<LimitTable>>) -> Head {
        let state = State { active: Arc::default(), frozen: Vec::new(), known: Arc::default(), sequence: 0 };
        Head { settings, limits, state: Mutex::new(state) }
    }

    /// Adds a batch of the log entry `index`. `payload` is looked into only when the batch has a stream that was not
    /// met before, and is not kept; later reads go through `rest`.
    ///
    /// # Errors
    /// The batch is not one of log lines, or its body or labels are not valid. It is then not added.
    pub fn apply(&self, index: u64, header: &Header, payload: &Bytes, rest: Arc<dyn Payload>) -> Result<(), Error> {
        if header.format.signal() != Signal::Logs {
            return Err(Error::Signal { index });
        }
        let mut missing: HashMap<u128, Labels> = HashMap::new();
        let mut checked: Option<Arc<Generation>> = None;
        loop {
            let (active, known) = {
                let mut state = self.lock();
                // Unless a cut came between, the labels of all streams are at hand now.
                if checked.is_some_and(|checked| Arc::ptr_eq(&checked, &state.active)) {
                    state.sequence += 1;
                    return state.active.add(index, state.sequence, header, &missing, rest);
                }
                (state.active.clone(), state.known.clone())
            };
            let unknown = active.unknown(header, &known, &mut missing);
            if !unknown.is_empty() {
                self.parse_labels(index, header, payload, &unknown, &mut missing)?;
            }
            checked = Some(active);
        }
    }

    /// Rows up to log index `through`, which must be everything applied so far, become a frozen generation that stays
    /// readable; rows to come go to a new one.
    pub fn cut(&self, through: u64) -> Frozen {
        let mut state = self.lock();
        let cut = std::mem::take(&mut state.active);
        state.known = Arc::new(cut.known());
        state.frozen.push((through, cut.clone()));
        Frozen::new(through, cut, self.settings.clone())
    }

    /// Forgets the generations that were cut at or before `through`: their rows are in the catalog now.
    pub fn drop_frozen(&self, through: u64) {
        self.lock().frozen.retain(|(at, _)| *at > through);
    }

    /// A consistent view of all rows that are here now. Costs as much as counting the generations.
    pub fn snapshot(&self) -> View {
        let state = self.lock();
        let frozen = state.frozen.iter().map(|(_, generation)| generation.clone());
        View::new(frozen.chain([state.active.clone()]).collect(), state.sequence)
    }

    pub fn stats(&self) -> Stats {
        let (active, frozen) = {
            let state = self.lock();
            (state.active.clone(), state.frozen.clone())
        };
        let mut stats = Stats { active: active.counts(), frozen: Counts::default() };
        for (_, generation) in &frozen {
            stats.frozen.add(generation.counts());
        }
        stats
    }

    /// Finds the label texts behind `keys` in a body and parses them.
    fn parse_labels(
        &self,
        index: u64,
        header: &Header,
        payload: &[u8],
        keys: &[u128],
        found: &mut HashMap<u128, Labels>,
    ) -> Result<(), Error> {
        let limits = self.limits.as_ref().map(|limits| limits.of(&header.tenant));
        let body = crate::rows::inflate(index, payload, header.body_len)?;
        let wanted: HashSet<u128> = keys.iter().copied().collect();
        for stream in wire::loki::streams(&body) {
            let stream = stream.map_err(|source| Error::Body { index, source })?;
            let key = wire::loki::key(stream.labels);
            if wanted.contains(&key) && !found.contains_key(&key) {
                let labels = wire::loki::parse_labels(stream.labels);
                let labels = labels.map_err(|e| Error::Labels { index, why: e.to_string() })?;
                let labels = match &limits {
                    Some(limits) => wire::loki::with_service(labels, &limits.discover),
                    None => labels,
                };
                found.insert(key, labels);
            }
        }
        match keys.iter().find(|key| !found.contains_key(key)) {
            Some(key) => Err(Error::Labels { index, why: format!("no stream has the key {key:032x}") }),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds it can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.tenants += other.tenants;
        self.batches += other.batches;
        self.rows += other.rows;
        self.raw_bytes += other.raw_bytes;
        self.memory_bytes += other.memory_bytes;
        self.times = match (self.times, other.times) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    pub(crate) fn range(times: TimeRange) -> Option<(i64, i64)> {
        (!times.is_empty()).then_some((times.min, times.max))
    }
}
