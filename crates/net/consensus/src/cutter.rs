//! A thread that writes the snapshots of cuts which the host begins by itself, and removes files: rounds never wait
//! for a sync. It does one thing after the other, so a group's files are never changed twice at a time.

use crate::error::Error;
use crate::inbox::{self, Answer, Command};
use crate::mark::{cut, from_record};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::state::Base;
use bytes::Bytes;
use model::GroupId;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};

/// More than the groups of a node: each has one cut on its way at most, and what it leaves to be swept.
const QUEUE: usize = 4096;

pub(crate) enum Job {
    Cut(Cut),
    /// Older snapshots are of no use.
    Sweep {
        group: GroupId,
        before: u64,
    },
    /// None of the group's are.
    Remove {
        group: GroupId,
        answer: Answer<()>,
    },
}

/// The log is to begin at `base`, of which there is no file yet.
pub(crate) struct Cut {
    pub slot: Arc<Slot>,
    pub base: Base,
    pub source: Source,
    /// See `inbox::Cut`.
    pub after: u64,
}

/// Where the snapshot is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The entry of this index carries it.
    Entry(u64),
    /// It is that of an earlier base; a group that has none yet begins with nothing.
    Earlier(Option<u64>),
}

pub(crate) struct Cutter {
    queue: SyncSender<Job>,
}

impl Cutter {
    /// And what does its jobs.
    pub(crate) fn new(shared: &Arc<Shared>) -> (Cutter, Jobs) {
        let (queue, jobs) = sync_channel(QUEUE);
        (Cutter { queue }, Jobs { jobs, shared: Arc::downgrade(shared) })
    }

    /// False if there is no room: then nobody does it.
    pub(crate) fn start_job(&self, job: Job) -> bool {
        self.queue.try_send(job).is_ok()
    }
}

/// The jobs that wait.
pub(crate) struct Jobs {
    jobs: Receiver<Job>,
    shared: Weak<Shared>,
}

impl Jobs {
    /// Until the cutter goes.
    pub(crate) fn run(self) {
        while let Ok(job) = self.jobs.recv() {
            self.work(job);
        }
    }

    /// One of them, if one waits; says whether one did.
    pub(crate) fn step(&self) -> bool {
        self.jobs.try_recv().is_ok_and(|job| {
            self.work(job);
            true
        })
    }

    fn work(&self, job: Job) {
        let Some(shared) = self.shared.upgrade() else { return };
        match job {
            Job::Cut(cut) => shared.inbox.command(write(&shared, cut)),
            Job::Sweep { group, before } => shared.files.remove_before(group, before),
            Job::Remove { group, answer } => {
                // It is the caller's to try again.
                let _ = answer.send(shared.files.remove_all(group));
            }
        }
    }
}

/// Says what comes of it.
fn write(shared: &Shared, cut: Cut) -> Command {
    let Cut { slot, base, source, after } = cut;
    let group = slot.group;
    fail::fail_point!("consensus::cut_before_snapshot");
    match read(shared, group, source).and_then(|data| shared.files.write(group, &base, &data)) {
        Ok(()) => {
            fail::fail_point!("consensus::cut_after_snapshot");
            Command::Cut(inbox::Cut { slot, base, after, answer: None })
        }
        Err(error) => {
            tracing::warn!(group = group.0, through = base.index, %error, "the log could not be cut; it will be tried again");
            Command::CutFailed { group }
        }
    }
}

fn read(shared: &Shared, group: GroupId, source: Source) -> Result<Bytes, Error> {
    match source {
        Source::Earlier(None) => Ok(Bytes::new()),
        Source::Earlier(Some(index)) => Ok(shared.files.read(group, index)?.data),
        Source::Entry(index) => {
            let entry = from_record(shared.reader.read(group, index)?);
            let why = || format!("entry {index} carries no cut");
            cut(&entry).map(|cut| cut.snapshot).ok_or_else(|| Error::Corrupt { group, why: why() })
        }
    }
}
