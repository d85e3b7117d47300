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
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(crate) struct Shared {
    pub me: Node,
    pub settings: Settings,
    pub inbox: Inbox,
    pub reader: Reader,
    pub files: Arc<Directory>,
    pub appliers: Appliers,
    /// What the journal held of each group when it was opened.
    pub known: BTreeMap<GroupId, GroupLog>,
    pub open: Mutex<HashSet<GroupId>>,
    pub stats: Mutex<Stats>,
    pub pressure: Mutex<Option<GroupId>>,
    pub failed: OnceLock<String>,
}

impl Shared {
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
