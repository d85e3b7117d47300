//! Takes a group off this node. What Raft must not forget of it stays in the journal as a tombstone.

use crate::error::Error;
use crate::inbox::Command;
use crate::shared::{Phase, Shared, lock};
use crate::snapshot::Directory;
use crate::state::State;
use journal::GroupLog;
use model::GroupId;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) async fn remove(shared: &Arc<Shared>, group: GroupId) -> Result<(), Error> {
    shared.check()?;
    let before = match lock(&shared.open).entry(group) {
        Entry::Vacant(vacant) => {
            vacant.insert(Phase::Removing);
            None
        }
        Entry::Occupied(mut found) if *found.get() == Phase::Open => Some(found.insert(Phase::Removing)),
        Entry::Occupied(_) => return Err(Error::Between { group }),
    };
    let shared = Arc::clone(shared);
    // It goes on to its end, whether or not somebody waits for it.
    let done = tokio::spawn(async move {
        let result = work(&shared, group).await;
        let mut open = lock(&shared.open);
        match (&result, before) {
            // Nothing has happened.
            (Err(Error::Full { .. }), Some(before)) => open.insert(group, before),
            _ => open.remove(&group),
        };
        result
    });
    done.await.unwrap_or(Err(Error::Stopping))
}

async fn work(shared: &Shared, group: GroupId) -> Result<(), Error> {
    let (answer, removed) = oneshot::channel();
    let (closed, gone) = oneshot::channel();
    shared.inbox.command(Command::Remove { group, answer, closed });
    let removed = removed.await.unwrap_or_else(|_| Err(shared.gone()));
    let gone = gone.await.unwrap_or_else(|_| Err(shared.gone()));
    removed.and(gone)
}

pub(crate) fn is_removed(log: &GroupLog) -> bool {
    let state = log.hard_state.as_ref().and_then(|bytes| State::decode(bytes));
    state.is_some_and(|state| state.removed)
}

/// Removes the snapshots of removed groups: a crash may have come before they went.
pub(crate) fn sweep(files: &Directory, known: &BTreeMap<GroupId, GroupLog>) -> Result<(), Error> {
    known.iter().filter(|(_, log)| is_removed(log)).try_for_each(|(group, _)| files.remove_all(*group))
}
