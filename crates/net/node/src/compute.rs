//! Runs work that computes or blocks, away from the threads that serve sockets, and never too much of a kind at once.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kinds of work that must not starve each other: reads cannot hurt writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    Writes,
    Flushes,
    Reads,
    Compactions,
}

#[derive(Debug, Clone)]
pub struct Compute {
    pools: [Arc<Semaphore>; 4],
    /// All cores but one.
    spare: Arc<Semaphore>,
    inline: bool,
}

impl Compute {
    pub(crate) fn new(cores: usize) -> Compute {
        let width = cores.max(1);
        // Readers wait for disks and peers in between, so a few more of them keep the cores busy.
        let pools = [width, 1, width * 2, 1].map(|permits| Arc::new(Semaphore::new(permits)));
        Compute { pools, spare: Arc::new(Semaphore::new(width - 1)), inline: false }
    }

    /// That does everything at once, on the thread of who asks.
    pub(crate) fn inline() -> Compute {
        Compute { inline: true, ..Compute::new(1) }
    }

    /// Whether work is done on the thread of who asks, which it must then not block.
    #[doc(hidden)]
    pub fn is_inline(&self) -> bool {
        self.inline
    }

    /// Room for one more thread of work that runs already, if there is some; until what it gives is dropped. So work
    /// that runs alone may use all cores.
    pub fn spare(&self) -> Option<OwnedSemaphorePermit> {
        self.spare.clone().try_acquire_owned().ok()
    }

    /// Asks for one more thread, as [`Compute::spare`] gives it, for those who know nothing of pools.
    pub fn lender(&self) -> Arc<dyn Fn() -> Option<Box<dyn Send>> + Send + Sync> {
        let compute = self.clone();
        Arc::new(move || compute.spare().map(|held| Box::new(held) as Box<dyn Send>))
    }

    /// Room in a pool for work that its owner runs, if there is some now.
    pub fn room(&self, pool: Pool) -> Option<OwnedSemaphorePermit> {
        self.pools[pool as usize].clone().try_acquire_owned().ok()
    }

    /// Runs a function when its pool has room. Panics of the function are passed on.
    pub async fn run<T: Send + 'static>(&self, pool: Pool, work: impl FnOnce() -> T + Send + 'static) -> T {
        if self.inline {
            return work();
        }
        // The semaphore is never closed; without a permit the work would only be less bounded.
        let permit = self.pools[pool as usize].clone().acquire_owned().await.ok();
        let task = tokio::task::spawn_blocking(move || {
            // Held until the work ends, also when nobody waits for it any more.
            let _permit = permit;
            work()
        });
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; nobody waits for the result any more.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn work_that_runs_alone_may_use_all_cores() {
        let compute = Compute::new(3);
        let (first, second) = (compute.spare(), compute.spare());
        assert!(first.is_some() && second.is_some() && compute.spare().is_none());
        drop(first);
        assert!(compute.spare().is_some());
        assert!(Compute::new(1).spare().is_none());
    }

    #[tokio::test]
    async fn a_pool_is_as_wide_as_it_says() {
        let compute = Compute::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (compute, now, most) = (compute.clone(), now.clone(), most.clone());
            running.spawn(async move {
                let count = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                compute.run(Pool::Writes, count).await;
            });
        }
        running.join_all().await;
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }
}
