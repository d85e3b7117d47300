//! What a replica must not forget beside its entries: term, vote, where its log begins, which entries concern the host.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::eraftpb::{ConfState, HardState};
use std::collections::BTreeSet;

const VERSION: u8 = 2;
/// Without `had`, and never removed.
const VERSION_1: u8 = 1;
const IN_FILE: u8 = 1;
const REMOVED: u8 = 2;
/// The point at which every group begins, before any entry. Not zero: Raft takes a log that begins at zero for one
/// of which nothing is known, and feeds it entries whose members it cannot know.
pub(crate) const BEGINNING: u64 = 1;

/// The point before the first entry of a log: everything up to it is in a snapshot.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Base {
    pub index: u64,
    pub term: u64,
    /// The members at that point.
    pub members: ConfState,
}

impl Base {
    /// Where a group of these members begins.
    pub(crate) fn beginning(voters: Vec<u64>) -> Base {
        Base { index: BEGINNING, term: 1, members: ConfState { voters, ..ConfState::default() } }
    }
}

/// One record of the journal. It is written before the entries of its round, so that `noted` names every entry that
/// may change members or carry a cut, and perhaps some that do not.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct State {
    pub hard: HardState,
    /// A snapshot with a later point takes its place.
    pub base: Base,
    /// There is a snapshot file of the base; else it is the group's beginning, which needs none.
    pub in_file: bool,
    /// Indexes of entries that change members or carry a cut.
    pub noted: BTreeSet<u64>,
    /// The replica was removed from this node: no more than term, vote and `had` are left of it.
    pub removed: bool,
    /// Term and index of the last entry that the node had of the group when it was removed. Until it has as much
    /// again, it must not vote: what it had may be committed because it had it.
    pub had: (u64, u64),
}

impl State {
    /// What is left of a replica that is removed, whose log ended there.
    pub(crate) fn tombstone(&self, last: (u64, u64)) -> State {
        let hard = HardState { commit: 0, ..self.hard.clone() };
        State { hard, removed: true, had: self.had.max(last), ..State::default() }
    }

    /// How one that was removed begins again.
    pub(crate) fn revived(self) -> State {
        State { removed: false, ..self }
    }
}

impl State {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_u8(VERSION);
        for value in [self.hard.term, self.hard.vote, self.hard.commit] {
            out.put_u64_le(value);
        }
        put_base(&mut out, &self.base);
        let flag = |set, flag| if set { flag } else { 0 };
        out.put_u8(flag(self.in_file, IN_FILE) | flag(self.removed, REMOVED));
        put_list(&mut out, self.noted.iter().copied());
        out.put_u64_le(self.had.0);
        out.put_u64_le(self.had.1);
        out.freeze()
    }

    /// None if the bytes are not a state; the journal's checksum has been verified already.
    pub(crate) fn decode(mut data: &[u8]) -> Option<State> {
        let data = &mut data;
        let version = data.try_get_u8().ok().filter(|version| [VERSION_1, VERSION].contains(version))?;
        let mut next = || data.try_get_u64_le().ok();
        let hard = HardState { term: next()?, vote: next()?, commit: next()?, ..HardState::default() };
        let base = get_base(data)?;
        let flags = data.try_get_u8().ok()?;
        let noted = get_list(data)?.into_iter().collect();
        let had = match version {
            VERSION_1 => (0, 0),
            _ => (data.try_get_u64_le().ok()?, data.try_get_u64_le().ok()?),
        };
        let (in_file, removed) = (flags & IN_FILE != 0, flags & REMOVED != 0);
        data.is_empty().then_some(State { hard, base, in_file, noted, removed, had })
    }
}

pub(crate) fn put_base(out: &mut BytesMut, base: &Base) {
    out.put_u64_le(base.index);
    out.put_u64_le(base.term);
    let members = &base.members;
    for list in [&members.voters, &members.learners, &members.voters_outgoing, &members.learners_next] {
        put_list(out, list.iter().copied());
    }
    out.put_u8(u8::from(members.auto_leave));
}

pub(crate) fn get_base(data: &mut &[u8]) -> Option<Base> {
    let mut base = Base { index: data.try_get_u64_le().ok()?, term: data.try_get_u64_le().ok()?, ..Base::default() };
    base.members.voters = get_list(data)?;
    base.members.learners = get_list(data)?;
    base.members.voters_outgoing = get_list(data)?;
    base.members.learners_next = get_list(data)?;
    base.members.auto_leave = data.try_get_u8().ok()? != 0;
    Some(base)
}

fn put_list(out: &mut BytesMut, list: impl ExactSizeIterator<Item = u64>) {
    // A group has a handful of members, and a log a handful of changes.
    out.put_u32_le(u32::try_from(list.len()).unwrap_or(u32::MAX));
    list.for_each(|value| out.put_u64_le(value));
}

fn get_list(data: &mut &[u8]) -> Option<Vec<u64>> {
    let count = data.try_get_u32_le().ok()? as usize;
    if data.len() / 8 < count {
        return None;
    }
    (0..count).map(|_| data.try_get_u64_le().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_nothing_else_does() {
        let mut state = State { base: Base::beginning(vec![1, 2, 3]), in_file: true, ..State::default() };
        (state.hard.term, state.hard.vote, state.hard.commit) = (7, 2, 99);
        state.base.members.learners = vec![9];
        state.noted = [4, 70].into();
        state.had = (6, 98);
        let data = state.encode();
        assert_eq!(State::decode(&data), Some(state.clone()));
        let mut first = data[..data.len() - 16].to_vec();
        first[0] = VERSION_1;
        assert_eq!(State::decode(&first), Some(State { had: (0, 0), ..state }), "as it was before");
        for len in 0..data.len() {
            assert_eq!(State::decode(&data[..len]), None, "cut at {len}");
        }
        let mut bad = data.to_vec();
        bad[41..45].fill(0xff); // the number of voters
        assert_eq!(State::decode(&bad), None);
        bad.push(0);
        assert_eq!(State::decode(&bad), None);
    }

    #[test]
    fn a_tombstone_keeps_what_raft_must_not_forget() {
        let mut state = State { base: Base::beginning(vec![1, 2, 3]), in_file: true, had: (5, 70), ..State::default() };
        (state.hard.term, state.hard.vote, state.hard.commit) = (7, 2, 99);
        let left = State::decode(&state.tombstone((6, 20)).encode()).expect("reads");
        assert_eq!((left.hard.term, left.hard.vote, left.hard.commit, left.had), (7, 2, 0, (6, 20)));
        assert!(left.removed && left.base == Base::default() && !left.in_file);
        assert_eq!(left.tombstone((6, 19)).had, (6, 20), "it never had less");
        assert!(!left.revived().removed);
    }
}
