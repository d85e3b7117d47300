//! A thread that recycles or removes segments, because removing a large file takes up to 100 ms. On a simulated disk it
//! is done at once.

use crate::pool::Pool;
use crate::segment::Segment;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// More than the segments of any journal that is within its limit by orders of magnitude.
const QUEUE: usize = 4096;

enum Job {
    Free(Arc<Segment>),
    Answer(SyncSender<()>),
}

pub(crate) struct Sweeper {
    /// There is no thread.
    inline: Option<Arc<Pool>>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// That does everything at once.
    pub(crate) fn inline(pool: Arc<Pool>) -> Sweeper {
        Sweeper { inline: Some(pool), jobs: None, thread: None }
    }

    pub(crate) fn start(pool: Arc<Pool>) -> std::io::Result<Sweeper> {
        let (jobs, queue) = sync_channel(QUEUE);
        let work = move || {
            for job in queue {
                match job {
                    Job::Free(segment) => pool.take_back(segment),
                    // The one who asked may have gone.
                    Job::Answer(answer) => drop(answer.send(())),
                }
            }
        };
        let thread = Builder::new().name("journal-sweep".to_owned()).spawn(work)?;
        Ok(Sweeper { inline: None, jobs: Some(jobs), thread: Some(thread) })
    }

    /// If the thread were gone, the file stays until the next open finds that nothing needs it.
    pub(crate) fn free(&self, segment: Arc<Segment>) {
        match &self.inline {
            Some(pool) => pool.take_back(segment),
            None => self.send(Job::Free(segment)),
        }
    }

    /// Waits until everything freed so far is gone.
    pub(crate) fn settle(&self) {
        if self.inline.is_some() {
            return;
        }
        let (answer, answered) = sync_channel(1);
        self.send(Job::Answer(answer));
        let _ = answered.recv();
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
