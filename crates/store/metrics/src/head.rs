//! Recent samples of one shard, of all its tenants, in memory.

mod admit;
mod apply;
mod bounds;

pub use admit::Admission;
pub use apply::Outcome;
pub use bounds::{Bounds, Refusal, Why};

use crate::frozen::Frozen;
use crate::generation::Generation;
use crate::registry::Registry;
use crate::settings::Settings;
use crate::view::View;
use model::{TenantId, TimeRange};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

/// Recent samples of one shard. Batches are applied by one thread at a time; everything else may come concurrently.
pub struct Head {
    shared: Arc<Shared>,
    /// Held by whoever applies or cuts.
    writer: Mutex<apply::Scratch>,
}

/// What views and frozen generations share with their head.
pub struct Shared {
    pub settings: Settings,
    registry: RwLock<Registry>,
    generations: RwLock<Generations>,
}

#[derive(Default)]
struct Generations {
    active: Arc<Generation>,
    /// Oldest first.
    frozen: Vec<Arc<Generation>>,
    /// Those that a view may still hold.
    dropped: Vec<Weak<Generation>>,
    dropped_through: u64,
}

/// What a head holds, frozen generations included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Series that the head knows, idle ones included.
    pub series: u64,
    /// Label names and values, each counted once.
    pub symbols: u64,
    /// Samples that are not dropped.
    pub rows: u64,
    /// Of these, samples that are not frozen, and so not yet part of a flush.
    pub active_rows: u64,
    /// Bytes of the uncompressed bodies that brought the samples.
    pub raw_bytes: u64,
    pub active_raw_bytes: u64,
    /// An estimate of what all this takes in memory.
    pub memory_bytes: u64,
    /// Of the samples that are not frozen, Unix milliseconds; empty when there are none.
    pub active_times: TimeRange,
    pub frozen_generations: u64,
}

impl Shared {
    pub fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn generations(&self) -> RwLockReadGuard<'_, Generations> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn generations_mut(&self) -> RwLockWriteGuard<'_, Generations> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// Oldest first.
    fn all(&self) -> Vec<Arc<Generation>> {
        self.frozen.iter().chain([&self.active]).cloned().collect()
    }
}

impl Head {
    pub fn new(settings: Settings) -> Head {
        let shared = Shared { settings, registry: RwLock::default(), generations: RwLock::default() };
        Head { shared: Arc::new(shared), writer: Mutex::default() }
    }

    fn writer(&self) -> MutexGuard<'_, apply::Scratch> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Freezes everything that was applied so far, which are the log entries up to `through`. New samples go to a new
    /// generation; the frozen one stays readable until it is dropped.
    pub fn cut(&self, through: u64) -> Frozen {
        let _writer = self.writer();
        let mut generations = self.shared.generations_mut();
        let frozen = std::mem::take(&mut generations.active);
        frozen.close(through);
        generations.frozen.push(frozen.clone());
        Frozen { shared: self.shared.clone(), generation: frozen }
    }

    /// Lets go of the frozen generations of log entries up to `through`: a segment has them, and the catalog knows.
    pub fn drop_frozen(&self, through: u64) {
        let mut generations = self.shared.generations_mut();
        let (gone, kept) = std::mem::take(&mut generations.frozen).into_iter().partition(|g| g.through() <= through);
        generations.frozen = kept;
        generations.dropped.retain(|generation| generation.strong_count() > 0);
        let gone: Vec<Arc<Generation>> = gone;
        generations.dropped.extend(gone.iter().map(Arc::downgrade));
        generations.dropped_through = generations.dropped_through.max(through);
        drop(generations); // freeing a generation takes a while
    }

    /// The head as it is now.
    pub fn snapshot(&self) -> View {
        let generations = self.shared.generations();
        View {
            shared: self.shared.clone(),
            generations: generations.all(),
            dropped_through: generations.dropped_through,
        }
    }

    pub fn stats(&self) -> Stats {
        let (all, active) = {
            let generations = self.shared.generations();
            (generations.all(), generations.active.clone())
        };
        let registry = self.shared.registry();
        let sum = |count: fn(&Generation) -> u64| all.iter().map(|generation| count(generation)).sum();
        Stats {
            series: registry.len() as u64,
            symbols: registry.symbols().len() as u64,
            rows: sum(|g| g.counts.rows.load(Ordering::Relaxed)),
            active_rows: active.counts.rows.load(Ordering::Relaxed),
            raw_bytes: sum(|g| g.counts.raw_bytes.load(Ordering::Relaxed)),
            active_raw_bytes: active.counts.raw_bytes.load(Ordering::Relaxed),
            memory_bytes: registry.memory_bytes() as u64 + sum(|g| g.memory_bytes() as u64),
            active_times: active.counts.times(),
            frozen_generations: all.len() as u64 - 1,
        }
    }

    /// Forgets the series whose newest sample is before `idle_before` (Unix milliseconds) and that no generation
    /// holds, not even one that only a view holds. What is forgotten with a series is up to when its samples are too
    /// old. Returns how many.
    pub fn sweep(&self, idle_before: i64) -> usize {
        let _writer = self.writer();
        let holders: Vec<Arc<Generation>> = {
            let generations = self.shared.generations();
            let dropped = generations.dropped.iter().filter_map(Weak::upgrade);
            generations.all().into_iter().chain(dropped).collect()
        };
        self.shared.registry_mut().sweep(idle_before, |series| holders.iter().any(|holder| holder.has(series)))
    }

    /// How many series of one tenant the head knows, for limits.
    pub fn tenant_series(&self, tenant: &TenantId) -> u64 {
        let registry = self.shared.registry();
        let Some(tenant) = registry.tenant(tenant) else { return 0 };
        registry.lists(tenant, None).iter().map(|(_, len)| *len as u64).sum()
    }
}

#[cfg(test)]
mod tests;
