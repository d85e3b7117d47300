//! The thread that runs rounds: takes what came in, steps the groups, writes one journal round, answers.

mod intake;
mod pace;
mod peers;
mod shrink;

use crate::cutter::Cutter;
use crate::error::Error;
use crate::fetch::Fetcher;
use crate::inbox::{Command, Mail, Proposal};
use crate::machine::Transport;
use crate::outbox::Outbox;
use crate::replica::{Prepared, Replica};
use crate::shared::{Shared, lock};
use crate::stats::Stats;
use journal::{Journal, Round};
use model::GroupId;
use pace::Pace;
use peers::Peers;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::time::Instant;

/// After so many ticks without an entry the journal gives its spare segments back to the disk.
const REST_TICKS: u64 = 20;
/// Pressure begins at this part of the journal's limit, in quarters.
const PRESSURE: u64 = 3;

pub(crate) struct Rounds {
    shared: Arc<Shared>,
    journal: Journal,
    replicas: BTreeMap<GroupId, Replica>,
    /// The replicas to look at in this round.
    touched: Vec<GroupId>,
    /// Those that did not fit in the rounds before.
    proposals: VecDeque<Proposal>,
    outbox: Outbox,
    fetcher: Fetcher,
    cutter: Cutter,
    peers: Peers,
    pace: Pace,
    next_tick: Instant,
    ticks: u64,
    /// The tick of the last entry; zero once the spares are given back.
    busy: u64,
    stats: Stats,
    /// Commands that wait: until the journal has room for what they bring about, or until a machine was shown what they
    /// cut away.
    commands: Vec<Command>,
    /// The journal had no room for plain entries when it was last asked.
    full: bool,
    /// It has none for anything.
    stalled: bool,
}

impl Rounds {
    pub(crate) fn new(
        shared: Arc<Shared>,
        journal: Journal,
        transport: Arc<dyn Transport>,
        fetcher: Fetcher,
        cutter: Cutter,
    ) -> Rounds {
        let (pace, peers) = (Pace::new(shared.settings.round_pace), Peers::new(shared.settings.max_inflight.0));
        let next_tick = Instant::now() + shared.settings.tick;
        Rounds {
            shared,
            journal,
            replicas: BTreeMap::new(),
            touched: Vec::new(),
            proposals: VecDeque::new(),
            outbox: Outbox::new(transport),
            fetcher,
            cutter,
            peers,
            pace,
            next_tick,
            ticks: 0,
            busy: 0,
            stats: Stats::default(),
            commands: Vec::new(),
            full: false,
            stalled: false,
        }
    }

    /// Until it is told to stop, or can't go on.
    pub(crate) fn run(mut self) {
        let end = catch_unwind(AssertUnwindSafe(|| {
            while self.round()? {}
            self.close();
            Ok::<_, Error>(())
        }));
        match end {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.shared.fail(error.to_string()),
            Err(_) => self.shared.fail("the raft thread panicked".to_owned()),
        }
        // Whoever waits learns of it when what it waits for is dropped.
        self.shared.inbox.close();
    }

    /// One round; false if it was the last.
    fn round(&mut self) -> Result<bool, Error> {
        let idle = self.stalled || (self.touched.is_empty() && self.proposals.is_empty());
        let until = if idle { self.next_tick } else { Instant::now() };
        self.pace.wait(&self.shared.inbox, until);
        let mail = self.shared.inbox.take(until);
        self.work(mail)
    }

    /// A round with what is there now, without waiting for anything.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        let mail = self.shared.inbox.take(Instant::now());
        self.work(mail)
    }

    fn work(&mut self, mail: Mail) -> Result<bool, Error> {
        let stop = mail.stop;
        let begun = Instant::now();
        if let Err(error) = self.check_room() {
            self.turn_away(mail, &error);
            if begun >= self.next_tick {
                self.next_tick = begun + self.shared.settings.tick;
                self.start_cuts();
            }
            self.publish();
            return Ok(!stop);
        }
        let before = (self.stats.proposals, self.stats.entry_bytes);
        self.take_in(mail);
        self.tick(begun);
        self.ask();
        self.persist()?;
        self.fetch();
        self.trim();
        let (proposals, bytes) = (self.stats.proposals - before.0, self.stats.entry_bytes - before.1);
        self.pace.ended(begun, proposals, bytes);
        self.rest(bytes);
        self.publish();
        Ok(!stop)
    }

    fn rest(&mut self, bytes: u64) {
        if bytes > 0 {
            self.busy = self.ticks;
        } else if self.busy > 0 && self.ticks >= self.busy + REST_TICKS {
            self.busy = 0;
            self.journal.release_spares();
        }
    }

    /// Raft can't be told that a round was not written. So none begins before it is sure that there is room.
    fn check_room(&mut self) -> Result<(), Error> {
        let least = self.least();
        let room = self.journal.room_urgent(least.records, least.bytes);
        let stalled = matches!(room, Err(journal::Error::Full { .. }));
        if stalled != std::mem::replace(&mut self.stalled, stalled) {
            match stalled {
                true => tracing::error!("the journal is full and its reserve used up: all groups wait for space"),
                false => tracing::info!("the journal has room again"),
            }
        }
        match room {
            Err(error) if stalled => {
                self.full = true;
                Err(error.into())
            }
            // It says so again when a round is written.
            _ => Ok(()),
        }
    }

    fn tick(&mut self, now: Instant) {
        if now < self.next_tick {
            return;
        }
        // Time that a slow disk took is not made up for: that would only call elections.
        self.next_tick = now + self.shared.settings.tick;
        self.ticks += 1;
        let election = self.shared.settings.election_ticks;
        for (id, replica) in &mut self.replicas {
            if replica.tick(self.ticks, election) {
                touch(&mut self.touched, *id, replica);
            }
        }
        self.peers.tick(&mut self.replicas);
        self.start_cuts();
    }

    fn ask(&mut self) {
        for id in &self.touched {
            if let Some(replica) = self.replicas.get_mut(id) {
                replica.ask(&self.shared);
            }
        }
    }

    /// Makes durable what the touched replicas want, and lets them go on.
    fn persist(&mut self) -> Result<(), Error> {
        let mut round = Round::new();
        let mut prepared: Vec<(GroupId, Prepared)> = Vec::new();
        for id in &self.touched {
            let Some(replica) = self.replicas.get_mut(id) else { continue };
            if let Some(ready) = replica.prepare(&self.shared, &mut round, &mut self.outbox)? {
                prepared.push((*id, ready));
            }
        }
        // A leader's entries travel while they are written here.
        self.outbox.flush();
        let sizes = prepared.iter().map(|(_, ready)| ready.size());
        let (entries, bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        self.append(round, entries, bytes)?;
        for (id, ready) in prepared {
            if let Some(replica) = self.replicas.get_mut(&id) {
                self.stats.snapshots_installed += u64::from(ready.has_snapshot());
                replica.persisted(&self.shared, ready, &mut self.outbox);
            }
        }
        self.outbox.flush();
        Ok(())
    }

    fn append(&mut self, mut round: Round, entries: u64, bytes: u64) -> Result<(), Error> {
        if round.is_empty() {
            return Ok(());
        }
        // Plain entries were only let in where there is room for them; the rest may use the reserve.
        round.urgent();
        fail::fail_point!("consensus::before_append");
        // There was room when the entries were let in. If it fails even so, Raft holds entries that the disk does not:
        // nothing more is done until the host is opened again, from what is on disk.
        self.journal.append(round)?;
        fail::fail_point!("consensus::after_append");
        self.stats.rounds += 1;
        self.stats.entries += entries;
        self.stats.entry_bytes += bytes;
        Ok(())
    }

    /// Starts reading what followers need and memory does not hold.
    fn fetch(&mut self) {
        let mut left = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let Some(replica) = self.replicas.get_mut(&id) else { continue };
            replica.publish();
            replica.touched = false;
            for wanted in replica.store_mut().take_wanted() {
                self.stats.fetches += 1;
                if let Err(wanted) = self.fetcher.fetch(wanted) {
                    // Raft asks again when it next hears from the follower.
                    replica.store_mut().take_waiting(wanted.low);
                }
            }
            if replica.has_ready() {
                touch(&mut left, id, replica);
            }
        }
        self.touched = left;
    }

    /// Bounds what is in memory and on its way.
    fn trim(&mut self) {
        self.peers.limit(&mut self.replicas);
        let total =
            |replicas: &BTreeMap<GroupId, Replica>| replicas.values().map(|r| r.store().cached_bytes).sum::<u64>();
        self.stats.cache_bytes = total(&self.replicas);
        while self.stats.cache_bytes > self.shared.settings.cache.0 {
            let Some(largest) = self.replicas.values_mut().max_by_key(|r| r.store().cached_bytes) else { return };
            largest.store_mut().shrink_cache();
            self.stats.cache_bytes = total(&self.replicas);
        }
    }

    fn publish(&mut self) {
        let journal = self.journal.stats();
        let stats = &mut self.stats;
        stats.groups = self.replicas.len() as u64;
        stats.leading = self.replicas.values().filter(|replica| replica.is_leader()).count() as u64;
        (stats.syncs, stats.journal_segments, stats.journal_bytes) = (journal.syncs, journal.segments, journal.bytes);
        (stats.messages_sent, stats.batches_sent) = (self.outbox.messages, self.outbox.sent);
        *lock(&self.shared.stats) = *stats;
        self.publish_pressure();
    }

    fn publish_pressure(&self) {
        let pressed = self.is_pressed().then(|| self.journal.oldest()).flatten();
        *lock(&self.shared.pressure) = pressed.map(|(group, _)| group);
    }

    fn is_pressed(&self) -> bool {
        let limit = self.shared.settings.journal.max_size.0;
        self.full || self.journal.stats().bytes > limit / 4 * PRESSURE
    }

    /// Writes the commit indexes, which rounds leave out: the next start then applies without waiting for a leader.
    fn close(&mut self) {
        let mut round = Round::new();
        round.urgent();
        self.replicas.values_mut().for_each(|replica| replica.write_commit(&mut round));
        if let Err(error) = self.journal.append(round) {
            tracing::warn!(%error, "the commit indexes were not written; a leader will tell them");
        }
    }
}

/// Has the replica looked at in this round.
fn touch(touched: &mut Vec<GroupId>, id: GroupId, replica: &mut Replica) {
    if !std::mem::replace(&mut replica.touched, true) {
        touched.push(id);
    }
}
