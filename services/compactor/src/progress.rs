//! How far the merge under way is, for who asks.

use crate::plan::Job;
use model::TenantId;
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Of one compactor, which merges one job at a time.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    merge: Merge,
    since: Instant,
}

/// A merge, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merge {
    signal: &'static str,
    /// Of the blocks that it makes.
    level: u8,
    /// How many segments or blocks go in.
    inputs: usize,
    /// Before encoding.
    raw_bytes: u64,
    raw_bytes_done: u64,
    /// Whose rows are merged now.
    tenant: Option<TenantId>,
    seconds: u64,
}

/// Until it is dropped, a merge is under way.
pub struct Begun<'p>(&'p Progress);

impl Progress {
    pub fn begin(&self, job: &Job) -> Begun<'_> {
        let segments = job.inputs.segments.iter().map(|segment| segment.raw_bytes);
        let blocks = job.inputs.blocks.iter().map(|block| block.raw_bytes);
        let merge = Merge {
            signal: job.signal.name(),
            level: job.inputs.level(),
            inputs: job.inputs.segments.len() + job.inputs.blocks.len(),
            raw_bytes: segments.chain(blocks).sum(),
            raw_bytes_done: 0,
            tenant: None,
            seconds: 0,
        };
        self.change(|running| *running = Some(Running { merge, since: Instant::now() }));
        Begun(self)
    }

    /// The merge under way.
    pub fn now(&self) -> Option<Merge> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_ref()?;
        Some(Merge { seconds: running.since.elapsed().as_secs(), ..running.merge.clone() })
    }

    fn change(&self, change: impl FnOnce(&mut Option<Running>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Begun<'_> {
    pub fn turn_to(&self, tenant: &TenantId) {
        self.merge(|merge| merge.tenant = Some(tenant.clone()));
    }

    /// So many raw bytes more are merged.
    pub fn did(&self, raw_bytes: u64) {
        self.merge(|merge| merge.raw_bytes_done += raw_bytes);
    }

    fn merge(&self, change: impl FnOnce(&mut Merge)) {
        self.0.change(|running| {
            if let Some(running) = running {
                change(&mut running.merge);
            }
        });
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.change(|running| *running = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::segment;
    use catalog::Inputs;
    use model::Signal;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_merge_is_told_while_it_lasts() {
        let segments = vec![Arc::new(segment(Signal::Logs, 0, 0, 0)), Arc::new(segment(Signal::Logs, 0, 1, 0))];
        let job = Job { signal: Signal::Logs, inputs: Inputs { segments, blocks: Vec::new() }, due: Arc::default() };
        let progress = Progress::default();
        assert_eq!(progress.now(), None);
        let begun = progress.begin(&job);
        begun.turn_to(&TenantId::anonymous());
        begun.did(15);
        tokio::time::advance(std::time::Duration::from_secs(3)).await;
        let want = Merge {
            signal: "logs",
            level: 1,
            inputs: 2,
            raw_bytes: 20,
            raw_bytes_done: 15,
            tenant: Some(TenantId::anonymous()),
            seconds: 3,
        };
        assert_eq!(progress.now(), Some(want));
        drop(begun);
        assert_eq!(progress.now(), None);
    }
}
