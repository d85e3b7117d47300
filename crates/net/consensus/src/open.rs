//! Opens one group: puts together what the journal and the snapshot file say of it.

use crate::error::Error;
use crate::machine::{Follow, Node};
use crate::mark::from_record;
use crate::replica::Replica;
use crate::shared::{Shared, lock};
use crate::slot::Slot;
use crate::snapshot::Snapshot;
use crate::state::{Base, State};
use crate::store::{Noted, Store};
use bytes::Bytes;
use model::GroupId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A group as it was found.
pub(crate) struct Found {
    pub replica: Replica,
    pub slot: Arc<Slot>,
    /// What the machine begins from.
    pub snapshot: Option<(u64, Bytes)>,
}

/// Opens what is on disk of a group, or begins it with these voters; without any it waits to be fed a snapshot.
pub(crate) fn open(shared: &Shared, group: GroupId, voters: &[Node], follow: Follow) -> Result<Found, Error> {
    let corrupt = |why: String| Error::Corrupt { group, why };
    let known = lock(&shared.known).get(&group).cloned();
    let state = known.as_ref().and_then(|log| log.hard_state.as_ref()).map(|bytes| {
        State::decode(bytes)
            .ok_or_else(|| corrupt("its state cannot be read: it was written by another version".into()))
    });
    let state = state.transpose()?;
    let removed = state.as_ref().is_some_and(|state| state.removed);
    if removed && !voters.is_empty() {
        return Err(Error::Removed { group });
    }
    if removed {
        // A crash may have come before they went.
        shared.files.remove_all(group)?;
    }
    let file = shared.files.newest(group)?;
    let begun = state.is_some();
    let mut state = state.map_or_else(|| begin(voters), State::revived);
    let file = file.filter(|file| file.base.index >= state.base.index);
    match &file {
        Some(file) => {
            (state.base, state.in_file) = (file.base.clone(), true);
            // A crash may have come before the older ones went.
            shared.files.remove_before(group, file.base.index);
        }
        None if state.in_file => return Err(corrupt(format!("its snapshot at {} is missing", state.base.index))),
        None => {}
    }

    let (first, last) = known.as_ref().map_or((1, 0), |log| (log.first, log.last));
    let follows = begun && follows(shared, group, &state.base, first, last).map_err(corrupt)?;
    let last = if follows { last } else { state.base.index };
    let noted = noted(shared, group, &mut state, last)?;
    adjust(&mut state, last);

    let slot = Arc::new(Slot::new(group, follow, &state.base, last));
    let (reader, files) = (shared.reader.clone(), Arc::clone(&shared.files));
    let store = Store::new(group, reader, files, state, last, noted);
    let replica = Replica::new(shared.me, &shared.settings, store, Arc::clone(&slot), !follows, shared.stepped)?;
    let snapshot = file.map(|Snapshot { base, data }| (base.index, data));
    Ok(Found { replica, slot, snapshot })
}

fn begin(voters: &[Node]) -> State {
    let mut state = State::default();
    if !voters.is_empty() {
        state.base = Base::beginning(voters.iter().map(|node| node.0).collect());
    }
    state
}

/// Whether the journal's entries continue from the base; if not, a snapshot takes the place of all of them.
fn follows(shared: &Shared, group: GroupId, base: &Base, first: u64, last: u64) -> Result<bool, String> {
    if first > base.index + 1 {
        return Err(format!(
            "its log begins at {first}, and the newest snapshot is of {}: what is between is missing",
            base.index
        ));
    }
    if first == base.index + 1 {
        return Ok(true);
    }
    // A crash between the snapshot's file and the journal may leave entries that the snapshot proves wrong.
    Ok(last >= base.index && shared.reader.term(group, base.index) == Some(base.term))
}

/// Reads the entries that concern the host. The state may name some that are not there, and some that were replaced.
fn noted(shared: &Shared, group: GroupId, state: &mut State, last: u64) -> Result<Noted, Error> {
    let (mut found, mut indexes) = (Noted::default(), BTreeSet::new());
    for index in state.noted.range(state.base.index + 1..).take_while(|index| **index <= last) {
        if found.note(&from_record(shared.reader.read(group, *index)?)) {
            indexes.insert(*index);
        }
    }
    state.noted = indexes;
    Ok(found)
}

/// Raft panics at a hard state that does not fit the log, and at messages of term zero.
fn adjust(state: &mut State, last: u64) {
    let least = state.base.term.max(1);
    if state.hard.term < least {
        (state.hard.term, state.hard.vote) = (least, raft::INVALID_ID);
    }
    state.hard.commit = state.hard.commit.clamp(state.base.index, last.max(state.base.index));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_states_are_made_to_fit() {
        // (base index and term, hard term, vote, commit, last) -> (term, vote, commit)
        for (base, hard, last, expected) in [
            ((0, 0), (0, 0, 0), 0, (1, 0, 0)),
            ((1, 1), (0, 0, 0), 1, (1, 0, 1)),
            ((1, 1), (4, 2, 9), 7, (4, 2, 7)),
            ((5, 6), (4, 2, 3), 5, (6, 0, 5)),
            ((5, 4), (4, 2, 3), 9, (4, 2, 5)),
        ] {
            let mut state = State::default();
            (state.base.index, state.base.term) = base;
            (state.hard.term, state.hard.vote, state.hard.commit) = hard;
            adjust(&mut state, last);
            let hard = &state.hard;
            assert_eq!((hard.term, hard.vote, hard.commit), expected, "base {base:?}");
        }
    }
}
