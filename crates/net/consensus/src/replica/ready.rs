//! What Raft wants done, in the order that is safe: entries are durable before anyone is told of them.

use crate::error::Error;
use crate::outbox::Outbox;
use crate::replica::split::split;
use crate::replica::{MESSAGE, Replica};
use crate::shared::Shared;
use crate::slot::{Item, Work};
use crate::state::Base;
use crate::store::{changes_members, kind, only_commit_moved};
use journal::Round;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{ProgressState, Ready};
use std::sync::atomic::Ordering::{Relaxed, Release};

/// A replica's part of a round that is being written.
pub(crate) struct Prepared {
    ready: Ready,
    entries: Vec<Entry>,
    /// The entries that change members, of those that were handed over.
    changes: Vec<Entry>,
    /// The snapshot that takes the place of the log, and its state.
    snapshot: Option<(Base, bytes::Bytes)>,
}

impl Prepared {
    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Number of entries and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.entries.iter().map(|entry| entry.data.len() as u64).sum())
    }
}

impl Replica {
    pub(crate) fn has_ready(&self) -> bool {
        self.node.has_ready() || self.store().has_wanted() || self.wants_lead()
    }

    /// Adds what must be durable to the round, and sends what need not wait for it. None if there is nothing to do.
    pub(crate) fn prepare(
        &mut self,
        shared: &Shared,
        round: &mut Round,
        outbox: &mut Outbox,
    ) -> Result<Option<Prepared>, Error> {
        self.lead_alone();
        if !self.node.has_ready() {
            return Ok(None);
        }
        let mut ready = self.node.ready();
        self.send(outbox, ready.take_messages());
        for state in ready.take_read_states() {
            let answers = self.reads.confirmed(self.node.raft.id, &state.request_ctx);
            self.hand_over_reads(shared, state.index, answers);
        }
        // Before the lead is looked at: what is committed is not lost.
        let changes = self.hand_over(shared, ready.take_committed_entries());
        self.check_lead(shared);
        let snapshot = self.receive_snapshot(shared, &ready)?;
        let entries = ready.take_entries();
        self.write(round, &entries, snapshot.as_ref().map(|(base, _)| base));
        Ok(Some(Prepared { ready, entries, changes, snapshot }))
    }

    /// A snapshot's file is durable before the journal forgets the log.
    fn receive_snapshot(&mut self, shared: &Shared, ready: &Ready) -> Result<Option<(Base, bytes::Bytes)>, Error> {
        let snapshot = ready.snapshot();
        if snapshot.is_empty() {
            return Ok(None);
        }
        let meta = snapshot.get_metadata();
        let base = Base { index: meta.index, term: meta.term, members: meta.get_conf_state().clone() };
        shared.files.write(self.slot.group, &base, &snapshot.data)?;
        self.supersede();
        Ok(Some((base, snapshot.data.clone())))
    }

    /// What waits to be applied is in the snapshot.
    fn supersede(&mut self) {
        let mut queue = self.slot.queue();
        queue.epoch += 1;
        queue.works.retain(|work| !matches!(work, Work::Entry(_) | Work::Range { .. }));
        let waiters = std::mem::take(&mut queue.waiters);
        drop(queue);
        waiters.into_iter().for_each(|waiter| drop(waiter.answer.send(Err(self.lost()))));
    }

    fn write(&mut self, round: &mut Round, entries: &[Entry], snapshot: Option<&Base>) {
        let group = self.slot.group;
        let hard = self.node.raft.hard_state();
        let fresh = std::mem::take(&mut self.fresh);
        let store = self.node.mut_store();
        let mut state = store.state.clone();
        if let Some(base) = snapshot {
            (state.base, state.in_file, state.changes) = (base.clone(), true, Default::default());
        }
        let changes = entries.iter().filter(|entry| changes_members(kind(entry))).map(|entry| entry.index);
        let known = state.changes.len();
        state.changes.extend(changes);
        if fresh || snapshot.is_some() {
            round.reset(group, state.base.index + 1);
        }
        if fresh || snapshot.is_some() || state.changes.len() > known || !only_commit_moved(&state.hard, &hard) {
            state.hard = hard;
            round.hard_state(group, state.encode());
            store.state.hard = state.hard;
            store.state.changes = state.changes;
        }
        for entry in entries {
            round.entry(group, entry.index, entry.term, kind(entry), entry.data.clone());
        }
    }

    /// The commit index, which rounds leave out.
    pub(crate) fn write_commit(&mut self, round: &mut Round) {
        let (group, last) = (self.slot.group, self.store().last());
        let committed = self.node.raft.raft_log.committed.min(last);
        let state = &mut self.store_mut().state;
        if committed > state.hard.commit {
            state.hard.commit = committed;
            round.hard_state(group, state.encode());
        }
    }

    /// The round is durable: acknowledges it, and goes on.
    pub(crate) fn persisted(&mut self, shared: &Shared, prepared: Prepared, outbox: &mut Outbox) {
        let Prepared { mut ready, entries, mut changes, snapshot } = prepared;
        let messages = ready.take_persisted_messages();
        if let Some((base, data)) = snapshot {
            shared.files.remove_before(self.slot.group, base.index);
            self.slot.members_reset(&base);
            self.slot.committed.store(base.index, Relaxed);
            let work = Work::Restore { index: base.index, data };
            self.store_mut().reset(base);
            shared.appliers.push(&self.slot, work);
        }
        self.store_mut().append(entries);
        let mut light = self.node.advance_append(ready);
        self.send(outbox, messages);
        self.send(outbox, light.take_messages());
        changes.extend(self.hand_over(shared, light.take_committed_entries()));
        self.apply_changes(changes);
        self.node.advance_apply();
        self.check_lead(shared);
        self.release();
        self.ask(shared);
    }

    fn send(&mut self, outbox: &mut Outbox, messages: Vec<Message>) {
        for message in messages {
            match message.get_msg_type() {
                MessageType::MsgAppend => {
                    for part in split(message, MESSAGE) {
                        self.flow.sent(&part);
                        outbox.push(self.slot.group, &part);
                    }
                    continue;
                }
                MessageType::MsgSnapshot => {
                    self.snapshots.retain(|(peer, _)| *peer != message.to);
                    self.snapshots.push((message.to, self.now));
                    self.flow.forget(message.to);
                }
                _ => {}
            }
            outbox.push(self.slot.group, &message);
        }
    }

    /// Tells the machine that it no longer leads, and its proposers that nobody knows.
    fn check_lead(&mut self, shared: &Shared) {
        let term = Some(self.node.raft.term).filter(|_| self.is_leader());
        if self.led.is_some() && self.led != term {
            self.led = None;
            shared.appliers.push(&self.slot, Work::Lead(None));
        }
        // Terms only grow, so those of earlier ones are in front.
        while let Some((waiter, _)) = self.waiters.pop_front_if(|(waiter, _)| Some(waiter.term) != term) {
            let _ = waiter.answer.send(Err(self.lost()));
        }
        if term.is_none() {
            let lost = self.lost();
            self.changes.drain(..).for_each(|pending| drop(pending.answer.send(Err(lost.clone()))));
            self.flow.clear();
            self.snapshots.clear();
        }
    }

    /// Gives committed entries to the apply thread: with their data if memory holds it and the queue has room, else
    /// as a range that is read from the journal. Answers with those that change members.
    fn hand_over(&mut self, shared: &Shared, entries: Vec<Entry>) -> Vec<Entry> {
        let limit = shared.settings.apply_queue.0;
        let mut range: Option<(u64, u64)> = None;
        let mut changes = Vec::new();
        for entry in entries {
            let (index, term) = (entry.index, entry.term);
            self.hand_over_waiters(index);
            // Before it can be applied, for the machine may look it up.
            self.slot.committed.store(index, Release);
            let data = match self.store().cached(index) {
                _ if changes_members(kind(&entry)) => Some(bytes::Bytes::new()),
                Some(cached) if self.slot.unapplied.used() <= limit => Some(cached.data.clone()),
                _ => None,
            };
            match data {
                None => range = Some((range.map_or(index, |(first, _)| first), index)),
                Some(data) => {
                    self.push_range(shared, range.take());
                    let charge =
                        (!data.is_empty()).then(|| crate::charge::Charge::new(&self.slot.unapplied, data.len() as u64));
                    shared.appliers.push(&self.slot, Work::Entry(Item { index, term, data, charge }));
                }
            }
            if self.is_leader() && term == self.node.raft.term && self.led != Some(term) {
                // The first entry of its term: what was committed before is before it.
                self.push_range(shared, range.take());
                if self.led.replace(term).is_some() {
                    shared.appliers.push(&self.slot, Work::Lead(None));
                }
                shared.appliers.push(&self.slot, Work::Lead(Some(term)));
            }
            if changes_members(kind(&entry)) {
                // Raft was handed the entry itself, with its data.
                changes.push(entry);
            }
        }
        self.push_range(shared, range);
        changes
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
    fn release(&mut self) {
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
