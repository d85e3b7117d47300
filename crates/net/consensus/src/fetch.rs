//! A thread that reads entries from the journal for followers that are behind, so that rounds never wait for it.

use crate::inbox::Command;
use crate::mark::from_record;
use crate::shared::Shared;
use model::GroupId;
use raft::eraftpb::Entry;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

/// Bytes read at once: a few messages.
const CHUNK: u64 = 4 << 20;
/// More than the groups of a node times their followers.
const QUEUE: usize = 4096;

/// Entries that a follower needs and memory does not hold.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub group: GroupId,
    pub low: u64,
    pub high: u64,
}

/// What was read: entries from `low` on, fewer than wanted, or none if they cannot be read.
pub(crate) struct Fetched {
    pub group: GroupId,
    pub low: u64,
    pub entries: Vec<Entry>,
}

pub(crate) struct Fetcher {
    queue: SyncSender<Wanted>,
}

impl Fetcher {
    /// And what reads for it.
    pub(crate) fn new(shared: &Arc<Shared>) -> (Fetcher, Fetches) {
        let (queue, wanted) = sync_channel(QUEUE);
        (Fetcher { queue }, Fetches { wanted, shared: Arc::downgrade(shared) })
    }

    /// Gives back what finds no room.
    pub(crate) fn fetch(&self, wanted: Wanted) -> Result<(), Wanted> {
        self.queue.try_send(wanted).map_err(|error| match error {
            TrySendError::Full(wanted) | TrySendError::Disconnected(wanted) => wanted,
        })
    }
}

/// The reads that wait.
pub(crate) struct Fetches {
    wanted: Receiver<Wanted>,
    shared: Weak<Shared>,
}

impl Fetches {
    /// Until the fetcher goes.
    pub(crate) fn run(self) {
        while let Ok(wanted) = self.wanted.recv() {
            self.fetch(wanted);
        }
    }

    /// One of them, if one waits; says whether one did.
    pub(crate) fn step(&self) -> bool {
        self.wanted.try_recv().is_ok_and(|wanted| {
            self.fetch(wanted);
            true
        })
    }

    fn fetch(&self, wanted: Wanted) {
        let Some(shared) = self.shared.upgrade() else { return };
        let fetched = read(&shared, wanted);
        shared.inbox.command(Command::Fetched(fetched));
    }
}

fn read(shared: &Shared, wanted: Wanted) -> Fetched {
    let Wanted { group, low, high } = wanted;
    let (mut entries, mut size) = (Vec::new(), 0);
    for index in low..high {
        match shared.reader.read(group, index) {
            Ok(record) => {
                size += record.payload.len() as u64;
                entries.push(from_record(record));
            }
            // Cut meanwhile: the follower gets the snapshot.
            Err(journal::Error::NotFound { .. }) => break,
            Err(error) => {
                tracing::error!(group = group.0, index, %error, "an entry cannot be read for a follower");
                break;
            }
        }
        if size >= CHUNK {
            break;
        }
    }
    Fetched { group, low, entries }
}
