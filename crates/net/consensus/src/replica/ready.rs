//! What Raft wants done, in the order that is safe: entries are durable before anyone is told of them.

use crate::error::Error;
use crate::machine::Follow;
use crate::mark::{changes_members, kind};
use crate::outbox::Outbox;
use crate::replica::split::split;
use crate::replica::{MESSAGE, Replica};
use crate::shared::Shared;
use crate::slot::Work;
use crate::state::Base;
use crate::store::{Noted, only_commit_moved};
use journal::Round;
use raft::Ready;
use raft::eraftpb::{Entry, Message, MessageType};
use std::sync::atomic::Ordering::Relaxed;

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
        // What waits to be applied is in the snapshot.
        self.supersede(&self.lost());
        Ok(Some((base, snapshot.data.clone())))
    }

    fn write(&mut self, round: &mut Round, entries: &[Entry], snapshot: Option<&Base>) {
        let group = self.slot.group;
        let hard = self.node.raft.hard_state();
        let fresh = std::mem::take(&mut self.fresh);
        let store = self.node.mut_store();
        let mut state = store.state.clone();
        if let Some(base) = snapshot {
            (state.base, state.in_file, state.noted) = (base.clone(), true, Default::default());
        }
        let mut noted = Noted::default();
        let noted = entries.iter().filter(|entry| noted.note(entry)).map(|entry| entry.index);
        let known = state.noted.len();
        state.noted.extend(noted);
        if fresh || snapshot.is_some() {
            round.reset(group, state.base.index + 1);
        }
        // Who begins again from before a change of members asks the old ones, of which some may be gone for good.
        let changes = store.changes_between(state.hard.commit, hard.commit)
            || entries.iter().any(|entry| changes_members(kind(entry)) && entry.index <= hard.commit);
        let noted = state.noted.len() > known;
        if fresh || snapshot.is_some() || noted || changes || !only_commit_moved(&state.hard, &hard) {
            state.hard = hard;
            round.hard_state(group, state.encode());
            store.state.hard = state.hard;
            store.state.noted = state.noted;
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
            if self.slot.follow == Follow::Apply {
                shared.appliers.push(&self.slot, work);
            }
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
}
