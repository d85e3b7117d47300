//! What is committed goes to the apply thread, in the order that a machine may rely on.

use crate::charge::Charge;
use crate::error::Error;
use crate::machine::Follow;
use crate::mark::{changes_members, kind, shown};
use crate::replica::Replica;
use crate::shared::Shared;
use crate::slot::{Item, Work};
use bytes::Bytes;
use raft::ProgressState;
use raft::eraftpb::Entry;
use std::sync::atomic::Ordering::{Relaxed, Release};

impl Replica {
    /// Tells the machine that it no longer leads, and its proposers that nobody knows.
    pub(crate) fn check_lead(&mut self, shared: &Shared) {
        let term = Some(self.node.raft.term).filter(|_| self.is_leader());
        if self.led != term {
            self.end_lead(shared);
        }
        // Terms only grow, so those of earlier ones are in front.
        while let Some((waiter, _)) = self.waiters.pop_front_if(|(waiter, _)| Some(waiter.term) != term) {
            let _ = waiter.answer.send(Err(self.lost()));
        }
        if term.is_none() {
            let lost = self.lost();
            self.changes.drain(..).for_each(|pending| drop(pending.answer.send(Err(lost.clone()))));
            self.flow.clear();
            self.heard.clear();
            self.snapshots.clear();
        }
    }

    /// Gives committed entries to the apply thread: with their data if memory holds it and the queue has room, else
    /// as a range that is read from the journal. Answers with those that change members.
    pub(crate) fn hand_over(&mut self, shared: &Shared, entries: Vec<Entry>) -> Vec<Entry> {
        let mut range: Option<(u64, u64)> = None;
        let mut changes = Vec::new();
        for entry in entries {
            let (index, term) = (entry.index, entry.term);
            // Before it can be applied, for the machine may look it up.
            self.slot.committed.store(index, Release);
            self.want_cut(index);
            // A machine that only keeps the log is shown none of it here; no proposer waits for it either.
            if self.slot.follow == Follow::Apply || self.led.is_some() {
                self.hand_over_waiters(index);
                self.hand_over_entry(shared, &entry, &mut range);
            }
            if self.is_leader() && term == self.node.raft.term && self.led != Some(term) {
                // The first entry of its term: what was committed before is before it.
                self.push_range(shared, range.take());
                self.begin_lead(shared, index);
            }
            if changes_members(kind(&entry)) {
                // Raft was handed the entry itself, with its data.
                changes.push(entry);
            }
        }
        self.push_range(shared, range);
        changes
    }

    fn hand_over_entry(&self, shared: &Shared, entry: &Entry, range: &mut Option<(u64, u64)>) {
        let (index, term) = (entry.index, entry.term);
        let limit = shared.settings.apply_queue.0;
        let data = match self.store().cached(index) {
            _ if changes_members(kind(entry)) => Some(Bytes::new()),
            Some(cached) if self.slot.unapplied.used() <= limit => Some(shown(cached)),
            _ => None,
        };
        let Some(data) = data else {
            *range = Some((range.map_or(index, |(first, _)| first), index));
            return;
        };
        self.push_range(shared, range.take());
        let charge = (!data.is_empty()).then(|| Charge::new(&self.slot.unapplied, data.len() as u64));
        shared.appliers.push(&self.slot, Work::Entry(Item { index, term, data, charge }));
    }

    /// The node leads, and this is its first committed entry.
    fn begin_lead(&mut self, shared: &Shared, index: u64) {
        self.end_lead(shared);
        let term = self.node.raft.term;
        self.led = Some(term);
        if self.slot.follow == Follow::Keep {
            shared.appliers.push(&self.slot, Work::Replay { last: index });
        }
        shared.appliers.push(&self.slot, Work::Lead(Some(term)));
    }

    fn end_lead(&mut self, shared: &Shared) {
        if self.led.take().is_none() {
            return;
        }
        if self.slot.follow == Follow::Keep {
            self.supersede(&self.lost());
        }
        shared.appliers.push(&self.slot, Work::Lead(None));
    }

    /// What waits to be applied is of no use any more; its proposers hear why.
    pub(crate) fn supersede(&self, why: &Error) {
        let keeps = self.slot.follow == Follow::Keep;
        let mut queue = self.slot.queue();
        queue.epoch += 1;
        queue.works.retain(|work| match work {
            Work::Entry(_) | Work::Range { .. } | Work::Replay { .. } => false,
            // It would be told that it leads without having been shown the log. That it no longer leads it must hear.
            Work::Lead(term) => !keeps || term.is_none(),
            _ => true,
        });
        let waiters = std::mem::take(&mut queue.waiters);
        drop(queue);
        waiters.into_iter().for_each(|waiter| drop(waiter.answer.send(Err(why.clone()))));
    }

    fn push_range(&self, shared: &Shared, range: Option<(u64, u64)>) {
        let Some((next, last)) = range else { return };
        let mut queue = self.slot.queue();
        if let Some(Work::Range { last: end, .. }) = queue.works.back_mut()
            && *end + 1 == next
        {
            *end = last;
            return;
        }
        drop(queue);
        shared.appliers.push(&self.slot, Work::Range { next, last });
    }

    fn hand_over_waiters(&mut self, index: u64) {
        while let Some((waiter, charge)) = self.waiters.pop_front_if(|(waiter, _)| waiter.index <= index) {
            drop(charge);
            self.slot.queue().waiters.push_back(waiter);
        }
    }

    /// Lets go of entries that are handed over and that no follower waits for. One that is far behind is fed from
    /// the journal.
    pub(crate) fn release(&mut self) {
        let handed_over = self.slot.committed.load(Relaxed);
        let id = self.node.raft.id;
        let following = |(peer, progress): (&u64, &raft::Progress)| {
            (*peer != id && progress.state == ProgressState::Replicate).then_some(progress.matched)
        };
        let slowest = match self.is_leader() {
            true => self.node.raft.prs().iter().filter_map(following).min().unwrap_or(handed_over),
            false => handed_over,
        };
        self.store_mut().release(slowest.min(handed_over));
    }
}
