//! Cuts that the host makes by itself: those that committed entries carry, and those of logs that hold no data.

use crate::cutter::{Cut, Source};
use crate::machine::Follow;
use crate::replica::Replica;
use crate::state::Base;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Entries without data that a log may begin with while there is no need of space.
const HANDFUL: u64 = 8;
/// At one look of so many a log is looked through for them.
const THROUGH: u64 = 16;
/// Looks after which a cut that failed is tried again.
const PAUSE: u64 = 32;

#[derive(Default)]
pub(crate) struct Cuts {
    /// The committed entry whose cut is next, and what it stands for.
    wanted: Option<(u64, u64)>,
    running: bool,
    /// The looks that there were, one a tick. They go on where a full disk has Raft's ticks wait.
    looks: u64,
    /// None before this one.
    next: u64,
}

impl Replica {
    /// An entry is committed. If it carries a cut, that is the next one, unless one that goes further waits.
    pub(crate) fn want_cut(&mut self, index: u64) {
        if let Some(through) = self.store().cut_at(index)
            && through < index
            && through > self.store().state.base.index
            && self.cuts.wanted.is_none_or(|(_, waiting)| through >= waiting)
        {
            self.cuts.wanted = Some((index, through));
        }
    }

    /// What is to be cut now, at most one thing at a time. `pressed`: the journal is short of space.
    pub(crate) fn next_cut(&mut self, pressed: bool) -> Option<Cut> {
        self.cuts.looks += 1;
        if self.cuts.running || self.cuts.looks < self.cuts.next {
            return None;
        }
        let (base, source, after) = self.wanted_cut().or_else(|| self.cut_without_data(pressed))?;
        let base =
            Base { index: base, term: self.node.raft.raft_log.term(base).ok()?, members: self.slot.members_at(base)? };
        self.cuts.running = true;
        Some(Cut { slot: Arc::clone(&self.slot), base, source, after })
    }

    /// The cut of an entry goes as far as nothing in between has data: else the entry itself would keep the journal's
    /// segment until the next one.
    fn wanted_cut(&mut self) -> Option<(u64, Source, u64)> {
        let (index, through) = self.cuts.wanted?;
        if through <= self.store().state.base.index {
            self.cuts.wanted = None;
            return None;
        }
        let base = self.store().without_data(through, Some(through), self.slot.committed.load(Relaxed));
        let after = index.max(base);
        self.has_shown(after).then_some((base, Source::Entry(index), after))
    }

    fn cut_without_data(&self, pressed: bool) -> Option<(u64, Source, u64)> {
        if !self.cuts.looks.is_multiple_of(THROUGH) {
            return None;
        }
        let state = &self.store().state;
        let at = state.base.index;
        let base = self.store().without_data(at, None, self.slot.committed.load(Relaxed));
        let least = if pressed { 1 } else { HANDFUL };
        let earlier = state.in_file.then_some(at);
        (at > 0 && base >= at + least && self.has_shown(base)).then_some((base, Source::Earlier(earlier), base))
    }

    /// Whether the machine needs no entry up to `index` any more.
    pub(crate) fn has_shown(&self, index: u64) -> bool {
        let applied = || self.slot.applied.load(Acquire) >= index;
        match (self.slot.follow, self.led) {
            (Follow::Keep, None) => true,
            // What it has applied is of this lead once it knows of it.
            (Follow::Keep, Some(term)) => self.slot.leads.load(Acquire) == term && applied(),
            (Follow::Apply, _) => applied(),
        }
    }

    /// A cut that the host began is done, or came to nothing.
    pub(crate) fn cut_ended(&mut self, done: bool) {
        self.cuts.running = false;
        if !done {
            self.cuts.next = self.cuts.looks + PAUSE;
        }
    }
}
