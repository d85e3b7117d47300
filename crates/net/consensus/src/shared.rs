//! What a host's threads and its groups' handles share.

use crate::apply::Appliers;
use crate::error::Error;
use crate::inbox::Inbox;
use crate::machine::Node;
use crate::settings::Settings;
use crate::snapshot::Directory;
use crate::stats::Stats;
use journal::{GroupLog, Reader};
use model::GroupId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(crate) struct Shared {
    pub me: Node,
    pub settings: Settings,
    pub inbox: Inbox,
    pub reader: Reader,
    pub files: Arc<Directory>,
    pub appliers: Appliers,
    /// What the journal held of each group when it was opened, or when the group was removed.
    pub known: Mutex<BTreeMap<GroupId, GroupLog>>,
    pub open: Mutex<HashMap<GroupId, Phase>>,
    /// Of messages that no replica here can use: their group, and who sent them.
    pub foreign: Mutex<BTreeSet<(GroupId, Node)>>,
    pub stats: Mutex<Stats>,
    pub pressure: Mutex<Option<GroupId>>,
    pub failed: OnceLock<String>,
    /// There are no threads: a test runs the host step by step, and draws what is left to chance from this.
    pub stepped: Option<u64>,
}

/// A group that is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Opening,
    Open,
    Removing,
}

/// Pairs that are remembered until they are asked for.
const FOREIGN: usize = 1024;

impl Shared {
    pub(crate) fn note_foreign(&self, group: GroupId, from: Node) {
        let mut foreign = lock(&self.foreign);
        if foreign.len() < FOREIGN {
            foreign.insert((group, from));
        }
    }

    /// Why nothing can be done: the host failed, or it stops.
    pub(crate) fn gone(&self) -> Error {
        self.failed.get().map_or(Error::Stopping, |why| Error::Failed(why.clone()))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failed.get().map_or(Ok(()), |why| Err(Error::Failed(why.clone())))
    }

    pub(crate) fn fail(&self, why: String) {
        tracing::error!("the raft host can do nothing more: {why}");
        let _ = self.failed.set(why);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
