//! One group on the rounds' thread: Raft's state machine, and who waits for it.

mod cuts;
mod flow;
mod hand_over;
mod members;
mod reading;
mod ready;
mod room;
mod split;
mod watch;

use crate::error::Error;
use crate::fetch::Fetched;
use crate::inbox::{Answer, Proposal};
use crate::machine::Node;
use crate::mark::entry;
use crate::reads::Reads;
use crate::settings::Settings;
use crate::slot::{Slot, Waiter};
use crate::state::{Base, State};
use crate::store::Store;
use cuts::Cuts;
use flow::Flow;
use members::Pending;
use raft::eraftpb::{Message, MessageType};
use raft::{Config, ProgressState, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

pub(crate) use ready::Prepared;
pub(crate) use room::Needs;

/// The most that one message carries, but for one entry that is larger.
const MESSAGE: u64 = 1 << 20;
/// Messages of entries on their way to one follower.
pub(crate) const IN_FLIGHT: usize = 64;

pub(crate) struct Replica {
    pub slot: Arc<Slot>,
    node: RawNode<Store>,
    /// Proposals that are not committed yet, by index.
    waiters: VecDeque<(Waiter, crate::charge::Charge)>,
    changes: Vec<Pending>,
    reads: Reads,
    flow: Flow,
    cuts: Cuts,
    /// When members were last heard from, while this node leads.
    heard: BTreeMap<u64, Instant>,
    /// The journal knows nothing of the replica yet.
    fresh: bool,
    /// It was just opened: where nobody else can lead, there is nothing to wait for.
    eager: bool,
    /// The term in which the machine was told that it leads.
    led: Option<u64>,
    /// What election time-outs are drawn from in place of Raft's own chance.
    seed: Option<u64>,
    /// Followers that were sent a snapshot, and when.
    snapshots: Vec<(u64, u64)>,
    now: u64,
    /// There is something to look at in this round.
    pub touched: bool,
}

impl Replica {
    /// `fresh`: the journal is to be told where the log begins.
    pub(crate) fn new(
        me: Node,
        settings: &Settings,
        store: Store,
        slot: Arc<Slot>,
        fresh: bool,
        seed: Option<u64>,
    ) -> Result<Replica, Error> {
        let config = Config {
            id: me.0,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied: store.state.base.index,
            max_size_per_msg: MESSAGE,
            max_inflight_msgs: IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            batch_append: true,
            // Counted here: Raft would have to see the data of committed entries again.
            max_uncommitted_size: raft::NO_LIMIT,
            ..Config::default()
        };
        let group = store.group;
        let node = RawNode::new(&config, store, &crate::logger::logger());
        let node = node.map_err(|error| Error::Corrupt { group, why: error.to_string() })?;
        Ok(Replica {
            slot,
            node,
            waiters: VecDeque::new(),
            changes: Vec::new(),
            reads: Reads::default(),
            flow: Flow::default(),
            cuts: Cuts::default(),
            heard: BTreeMap::new(),
            fresh,
            eager: true,
            led: None,
            seed,
            snapshots: Vec::new(),
            now: 0,
            touched: false,
        })
    }

    pub(crate) fn store(&self) -> &Store {
        self.node.store()
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store {
        self.node.mut_store()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    fn leader(&self) -> Option<Node> {
        Some(Node(self.node.raft.leader_id)).filter(|node| node.0 != raft::INVALID_ID)
    }

    /// Who is being handed the lead will have it in a moment.
    fn not_leader(&self) -> Error {
        let leader = self.node.raft.lead_transferee.map(Node).or_else(|| self.leader());
        Error::NotLeader { group: self.slot.group, me: Node(self.node.raft.id), leader }
    }

    fn lost(&self) -> Error {
        Error::Lost { group: self.slot.group, me: Node(self.node.raft.id) }
    }

    /// Whether this node alone decides.
    fn is_alone(&self) -> bool {
        let prs = self.node.raft.prs();
        prs.is_singleton() && self.node.raft.promotable()
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn wants_lead(&self) -> bool {
        self.eager && self.is_alone() && !self.is_leader()
    }

    /// Once what is known to be committed is handed over, for it may change the members.
    fn lead_alone(&mut self) {
        let log = &self.node.raft.raft_log;
        if self.wants_lead() && log.applied == log.committed {
            self.eager = false;
            self.campaign();
        }
    }

    pub(crate) fn campaign(&mut self) {
        if let Err(error) = self.node.campaign() {
            tracing::warn!(group = self.slot.group.0, %error, "cannot call an election");
        }
    }

    /// Whether Raft wants a round.
    pub(crate) fn tick(&mut self, now: u64, election_ticks: usize) -> bool {
        self.now = now;
        self.draw_patience(election_ticks);
        let mut wants = self.node.tick();
        if !self.reads.is_idle() {
            self.reads.tick(now);
            wants = true;
        }
        if !self.snapshots.is_empty() {
            wants |= self.look_after_snapshots(election_ticks as u64);
        }
        wants
    }

    /// The time-out until it calls an election, where a seed decides about all: it depends on nothing but who asks, for
    /// what, and when. Looked at at every tick, for Raft draws one of its own whenever its state changes.
    fn draw_patience(&mut self, election_ticks: usize) {
        let Some(seed) = self.seed else { return };
        let raft = &mut self.node.raft;
        let turn = self.now / (2 * election_ticks as u64);
        let drawn = [raft.id, self.slot.group.0, raft.term, turn].iter().fold(seed, |seed, part| mixed(seed ^ part));
        raft.set_randomized_election_timeout(election_ticks + (drawn % election_ticks as u64) as usize);
    }

    /// One that got lost would keep its follower waiting for ever.
    fn look_after_snapshots(&mut self, patience: u64) -> bool {
        let now = self.now;
        let overdue: Vec<u64> =
            self.snapshots.extract_if(.., |(_, sent)| now >= *sent + patience).map(|(peer, _)| peer).collect();
        for peer in &overdue {
            let waits = |peer| self.node.raft.prs().get(peer).is_some_and(|p| p.state == ProgressState::Snapshot);
            if waits(*peer) {
                self.node.report_snapshot(*peer, SnapshotStatus::Failure);
            }
        }
        !overdue.is_empty()
    }

    /// Gives a message of a peer to Raft, unless it would bring Raft down.
    pub(crate) fn step(&mut self, message: Message) -> bool {
        if !self.is_sound(&message) {
            tracing::warn!(
                group = self.slot.group.0,
                from = message.from,
                kind = ?message.get_msg_type(),
                "dropped a raft message that does not fit this replica"
            );
            return false;
        }
        self.heard_from(message.from);
        if message.get_msg_type() == MessageType::MsgAppendResponse {
            match message.reject {
                true => self.flow.forget(message.from),
                false => self.flow.acknowledged(message.from, message.index),
            }
        }
        // Raft's errors here say that the message is of no use: the sender is no member any more.
        let _ = self.node.step(message);
        true
    }

    fn is_sound(&self, message: &Message) -> bool {
        let log = &self.node.raft.raft_log;
        match message.get_msg_type() {
            MessageType::MsgAppend => {
                let expected = message.index.saturating_add(1)..;
                let contiguous = expected.zip(&message.entries).all(|(index, entry)| entry.index == index);
                contiguous && message.entries.iter().all(|entry| entry.term <= message.term)
            }
            // Of a leader who knows entries here that are gone: this replica lost its disk.
            MessageType::MsgHeartbeat => message.commit <= log.last_index() || message.term < self.node.raft.term,
            MessageType::MsgSnapshot => message.get_snapshot().get_metadata().index > 0,
            MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => message.entries.len() == 1,
            // What this node had before it was removed may be committed because it had it.
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                (log.last_term(), log.last_index()) >= self.store().state.had
            }
            MessageType::MsgAppendResponse
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgTransferLeader
            | MessageType::MsgTimeoutNow => true,
            // Proposals are never forwarded, and the others never travel.
            MessageType::MsgPropose
            | MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum => false,
        }
    }

    pub(crate) fn propose(&mut self, proposal: Proposal) -> bool {
        let Proposal { data, mark, charge, answer, .. } = proposal;
        // Raft would forward it, and say that all is well.
        if !self.is_leader() || self.node.raft.lead_transferee.is_some() {
            let _ = answer.send(Err(self.not_leader()));
            return false;
        }
        if answer.is_closed() {
            return false;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.node.raft.id;
        message.set_entries(vec![entry(data, mark)].into());
        if self.node.raft.step(message).is_err() {
            let _ = answer.send(Err(self.not_leader()));
            return false;
        }
        let (index, term) = (self.node.raft.raft_log.last_index(), self.node.raft.term);
        self.waiters.push_back((Waiter { index, term, answer }, charge));
        true
    }

    /// Entries for a follower that is behind are there.
    pub(crate) fn fetched(&mut self, fetched: Fetched) {
        let waiting = self.store_mut().take_waiting(fetched.low);
        if fetched.entries.is_empty() && fetched.low >= self.store().first() {
            // They could not be read: the follower is tried again when it is next heard from.
            return;
        }
        self.store_mut().fetched = fetched.entries;
        waiting.into_iter().for_each(|context| self.node.on_entries_fetched(context));
        self.store_mut().fetched = Vec::new();
    }

    pub(crate) fn unreachable(&mut self, node: Node) {
        self.flow.forget(node.0);
        self.node.report_unreachable(node.0);
    }

    pub(crate) fn transfer(&mut self, to: Node, answer: Answer<()>) {
        let voters = self.node.raft.prs().conf().voters();
        let result = match self.is_leader() {
            false => Err(self.not_leader()),
            true if !voters.contains(to.0) => {
                Err(Error::Members { group: self.slot.group, why: format!("node {to} has no vote") })
            }
            true => Ok(()),
        };
        if result.is_ok() {
            self.node.transfer_leader(to.0);
        }
        let _ = answer.send(result);
    }

    /// The log begins at `base`, of which there is a snapshot now.
    pub(crate) fn cut(&mut self, base: Base) {
        self.slot.members_cut(base.index);
        self.store_mut().cut(base);
        self.publish();
    }

    /// Bytes of entries on their way to a peer.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.flow.totals()
    }

    /// How many messages of entries may be on their way to a peer.
    pub(crate) fn limit_peer(&mut self, peer: u64, messages: usize) {
        if self.is_leader() {
            self.node.raft.adjust_max_inflight_msgs(peer, messages);
        }
    }

    /// The watch and the atomics say how it is.
    pub(crate) fn publish(&self) {
        let raft = &self.node.raft;
        self.slot.first.store(self.store().first(), Relaxed);
        self.slot.last.store(raft.raft_log.last_index(), Relaxed);
        let (leader, term) = (self.leader(), raft.term);
        self.slot.publish(|status| (status.leader, status.term) = (leader, term));
        self.publish_progress();
    }

    /// What stays when this replica goes.
    pub(crate) fn tombstone(&self) -> State {
        let log = &self.node.raft.raft_log;
        self.store().state.tombstone((log.last_term(), log.last_index()))
    }

    pub(crate) fn is_member(&self, node: u64) -> bool {
        self.node.raft.prs().get(node).is_some()
    }
}

/// Spreads the bits of a number over all of it (the end of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
