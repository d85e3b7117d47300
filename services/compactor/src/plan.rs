//! What is worth merging: pure functions of the catalog, the settings and the time.
//!
//! Segments are merged, all their tenants at once, into blocks of one tenant and level 1; blocks of one tenant into
//! fewer, of the next level, up to level 3: so a row is written again three times at most. What is merged stands side
//! by side in the order of rows, and was flushed within one window of time.

use crate::deletes::Due;
use crate::settings::Settings;
use catalog::{BlockEntry, Catalog, Inputs, Place, SegmentEntry};
use model::{Signal, TenantId};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Blocks of this level are not merged any more.
const MAX_LEVEL: u8 = 3;
/// So many objects are merged at once, at most: each is open, with a page or more in memory.
const MAX_INPUTS: usize = 64;

/// Objects of one signal that are to be merged.
#[derive(Debug, Clone)]
pub struct Job {
    pub signal: Signal,
    pub inputs: Inputs,
    /// The requests whose rows are left out.
    pub due: Arc<Due>,
}

impl Job {
    pub fn names(&self) -> Vec<String> {
        let segments = self.inputs.segments.iter().map(|s| s.name.clone());
        segments.chain(self.inputs.blocks.iter().map(|b| b.name.clone())).collect()
    }
}

/// Finds the next job.
pub struct Planner<'a> {
    pub catalog: &'a Catalog,
    pub settings: &'a Settings,
    /// Unix milliseconds.
    pub now: i64,
    /// Objects that could not be merged before; they stay as they are.
    pub broken: &'a HashSet<String>,
    /// What is to be deleted by now.
    pub due: &'a Arc<Due>,
}

impl Planner<'_> {
    /// What has rows that are to be deleted comes first; then segments: they hinder queries most.
    pub fn next(&self) -> Option<Job> {
        let signals = [Signal::Logs, Signal::Metrics];
        if let Some(job) = signals.into_iter().find_map(|signal| self.rewriting(signal)) {
            return Some(job);
        }
        signals.into_iter().find_map(|signal| self.segments(signal)).or_else(|| self.blocks())
    }

    /// Segments that stand side by side, of which the first has rows that are to be deleted; or a block that has some.
    fn rewriting(&self, signal: Signal) -> Option<Job> {
        if self.due.is_empty() {
            return None;
        }
        let (all, barriers) = self.in_order(signal);
        let first = all.iter().position(|s| self.may_merge(s) && self.due.is_in_segment(s));
        if let Some(rest) = first.map(|first| &all[first..]) {
            let beside = |s: &SegmentEntry| {
                rest.first().is_some_and(|first| {
                    self.window(s.created) == self.window(first.created)
                        && !between(&barriers, first.place(), s.place())
                })
            };
            let len = self.run(rest, |s| s.raw_bytes, |s| self.may_merge(s) && beside(s));
            let segments = rest[..len].iter().map(|segment| Arc::clone(segment)).collect();
            return Some(self.job(signal, Inputs { segments, blocks: Vec::new() }));
        }
        let mut blocks = self.catalog.blocks().filter(|b| b.signal == signal && !self.broken.contains(&b.name));
        let block = blocks.find(|block| self.due.is_in_block(block))?;
        Some(self.job(signal, Inputs { segments: Vec::new(), blocks: vec![block.clone()] }))
    }

    fn job(&self, signal: Signal, inputs: Inputs) -> Job {
        Job { signal, inputs, due: self.due.clone() }
    }

    /// The segments of a signal, oldest rows first, and where blocks stand among them.
    fn in_order(&self, signal: Signal) -> (Vec<&Arc<SegmentEntry>>, Vec<Place>) {
        let mut all: Vec<_> = self.catalog.segments().filter(|s| s.shard.signal == signal).collect();
        all.sort_by_key(|segment| segment.place());
        (all, sorted(self.catalog.blocks().filter(|b| b.signal == signal).map(|b| b.place)))
    }

    fn segments(&self, signal: Signal) -> Option<Job> {
        let (all, barriers) = self.in_order(signal);
        let mut rest = all.as_slice();
        while let Some(first) = rest.first() {
            let beside = |s: &SegmentEntry| {
                self.window(s.created) == self.window(first.created) && !between(&barriers, first.place(), s.place())
            };
            let len = self.run(rest, |s| s.raw_bytes, |s| self.may_merge(s) && beside(s));
            let run = &rest[..len];
            // The last of a window is merged alone, too: then all rows are by tenant, where retention can reach them.
            let is_full = rest.get(len).is_some_and(|next| self.may_merge(next));
            if run.len() >= self.settings.fan_in || (is_full && len > 1) || (len > 0 && self.is_over(first.created)) {
                let segments = run.iter().map(|segment| Arc::clone(segment)).collect();
                return Some(self.job(signal, Inputs { segments, blocks: Vec::new() }));
            }
            rest = &rest[len.max(1)..];
        }
        None
    }

    fn blocks(&self) -> Option<Job> {
        let mut by_tenant: BTreeMap<(Signal, &TenantId), Vec<&Arc<BlockEntry>>> = BTreeMap::new();
        for block in self.catalog.blocks() {
            by_tenant.entry((block.signal, &block.tenant)).or_default().push(block);
        }
        by_tenant.into_iter().find_map(|((signal, tenant), mut all)| {
            all.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
            let segments = self.catalog.segments().filter(|s| s.shard.signal == signal && s.tenant(tenant).is_some());
            let blocks = self.run_of_blocks(signal, &all, &sorted(segments.map(|s| s.place())))?;
            Some(self.job(signal, Inputs { segments: Vec::new(), blocks }))
        })
    }

    fn run_of_blocks(
        &self,
        signal: Signal,
        all: &[&Arc<BlockEntry>],
        barriers: &[Place],
    ) -> Option<Vec<Arc<BlockEntry>>> {
        let mut rest = all;
        while let Some(first) = rest.first() {
            let is_last = self.is_over(first.created) && !self.has_segments(signal, self.window(first.created));
            let beside = |block: &BlockEntry| {
                self.window(block.created) == self.window(first.created)
                    && (is_last || block.level == first.level)
                    && !between(barriers, first.place, block.place)
            };
            let len = self.run(rest, |block| block.raw_bytes, |block| self.may_grow(block) && beside(block));
            if len >= if is_last { 2 } else { self.settings.fan_in } {
                return Some(rest[..len].iter().map(|block| Arc::clone(block)).collect());
            }
            rest = &rest[len.max(1)..];
        }
        None
    }

    /// How many of the first objects may be merged at once.
    fn run<T>(&self, all: &[&Arc<T>], raw_bytes: fn(&T) -> u64, fits: impl Fn(&T) -> bool) -> usize {
        let mut bytes = 0u64;
        let within = |object: &&&Arc<T>| {
            let own = raw_bytes(object);
            bytes = bytes.saturating_add(own);
            fits(object) && (bytes <= self.settings.job_bytes.0 || bytes == own)
        };
        all.iter().take(MAX_INPUTS).take_while(within).count()
    }

    fn may_merge(&self, segment: &SegmentEntry) -> bool {
        // A clock that was wrong must not keep a segment from being merged for years.
        let age = u128::from(self.now.abs_diff(segment.created));
        age >= self.settings.segment_age.as_millis() && !self.broken.contains(&segment.name)
    }

    fn may_grow(&self, block: &BlockEntry) -> bool {
        let is_small = block.raw_bytes < self.settings.block_bytes.0 / 2;
        is_small && block.level < MAX_LEVEL && !self.broken.contains(&block.name)
    }

    fn window(&self, created: i64) -> i64 {
        created.div_euclid(i64::try_from(self.settings.window.as_millis()).unwrap_or(i64::MAX).max(1))
    }

    /// Whether no segment of this time can be flushed, or wait for its age, any more.
    fn is_over(&self, created: i64) -> bool {
        let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let current = self.window(self.now.saturating_sub(millis(self.settings.segment_age)));
        // What is ahead of this clock was written by one that was wrong, or this one is.
        self.window(created) < current || self.window(created) > self.window(self.now)
    }

    fn has_segments(&self, signal: Signal, window: i64) -> bool {
        let mut all = self.catalog.segments().filter(|s| s.shard.signal == signal);
        all.any(|segment| self.window(segment.created) == window && !self.broken.contains(&segment.name))
    }
}

fn sorted(places: impl Iterator<Item = Place>) -> Vec<Place> {
    let mut places: Vec<Place> = places.collect();
    places.sort();
    places
}

/// Whether something that stays stands between two places: what is there may not be merged past it.
fn between(barriers: &[Place], oldest: Place, newest: Place) -> bool {
    let next = barriers.partition_point(|place| *place <= oldest);
    barriers.get(next).is_some_and(|place| *place < newest)
}

#[cfg(test)]
mod tests;
