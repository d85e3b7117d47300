//! The control group: a group like the shards', whose state machine is the catalog, the placement, the rulers' leases and
//! the elections of replicas. Every ingester has a copy: the first ones vote, the others learn.

pub(crate) mod deletes;
mod elections;
mod rules;
mod state;

use crate::error::Error;
use crate::lead;
use crate::peers::Peers;
use bytes::Bytes;
use catalog::Catalog;
use consensus::{Committed, Group, Host, Proposed, StateMachine};
use model::GroupId;
use placement::Table;
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A snapshot of the state is stored when the log since the last one has this part of as many entries as the catalog
/// has segments: writing snapshots then costs a bounded part of writing entries, and a small catalog's log is short, so
/// that it keeps no segment of the journal from being used again.
const SNAPSHOT_PART: u64 = 16;
/// … and one more entry for so many bytes of rulers' notes, or so many elections, which make snapshots larger, too.
const SNAPSHOT_NOTES: u64 = 4096;
const SNAPSHOT_ELECTIONS: u64 = 32;

/// This node's copy, and the way to change it. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    kept: Mutex<Kept>,
    /// Of the catalog.
    version: watch::Sender<u64>,
    table: watch::Sender<Arc<Table>>,
    /// Of the elections.
    elected: watch::Sender<u64>,
    led: watch::Sender<Option<u64>>,
    group: OnceLock<Group>,
    peers: Peers,
}

#[derive(Default)]
struct Kept {
    state: State,
    applied: u64,
    snapshot: u64,
}

struct Machine(Arc<Shared>);

impl StateMachine for Machine {
    fn apply(&mut self, entry: Committed) -> Bytes {
        let mut kept = self.0.lock();
        let reply = kept.state.apply(&entry.data);
        kept.applied = entry.index;
        self.0.publish(&kept.state);
        reply
    }

    fn restore(&mut self, index: u64, snapshot: Bytes) {
        let mut kept = self.0.lock();
        if !snapshot.is_empty() {
            match State::decode(&snapshot) {
                Ok(state) => kept.state = state,
                // It carries a checksum, so this is a snapshot of a newer version: nothing here can go on.
                Err(error) => panic!("the snapshot of the control group at {index}: {error}"),
            }
        }
        (kept.applied, kept.snapshot) = (index, index);
        self.0.publish(&kept.state);
    }

    fn lead(&mut self, term: Option<u64>) {
        self.0.led.send_replace(term);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State) {
        self.version.send_replace(state.catalog.version());
        self.table.send_if_modified(|table| {
            let newer = table.version() != state.table.version();
            if newer {
                *table = state.table.clone();
            }
            newer
        });
        let elected = state.elections.version();
        self.elected.send_if_modified(|known| std::mem::replace(known, elected) != elected);
    }
}

impl Control {
    /// Opens the group, which begins with these voters; a node that is none of them learns from those that are.
    pub fn open(host: &Host, voters: &[consensus::Node], peers: Peers) -> Result<Control, Error> {
        let shared = Arc::new(Shared {
            kept: Mutex::default(),
            version: watch::Sender::new(0),
            table: watch::Sender::default(),
            elected: watch::Sender::new(0),
            led: watch::Sender::new(None),
            group: OnceLock::new(),
            peers,
        });
        let group = host.group(GroupId::CONTROL, voters, Box::new(Machine(shared.clone()))).map_err(Error::Control)?;
        let _ = shared.group.set(group);
        Ok(Control { shared })
    }

    /// Waits until this node leads the group and has applied its log.
    pub async fn lead(&self) -> Result<(), Error> {
        lead::wait(self.group()?, &self.shared.led).await.map_err(Error::Control)
    }

    /// The term in which this node leads.
    pub fn led(&self) -> Option<u64> {
        *self.shared.led.borrow()
    }

    pub fn group(&self) -> Result<&Group, Error> {
        self.shared.group.get().ok_or(Error::Control(consensus::Error::Stopping))
    }

    /// The catalog as this node knows it.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.lock().state.catalog.clone()
    }

    /// The catalog, once it is at least at this version.
    pub async fn at_least(&self, version: u64) -> Arc<Catalog> {
        let mut versions = self.shared.version.subscribe();
        let _ = versions.wait_for(|now| *now >= version).await;
        self.catalog()
    }

    /// The placement as this node knows it.
    pub fn table(&self) -> watch::Receiver<Arc<Table>> {
        self.shared.table.subscribe()
    }

    /// The placement once it is newer than `known`, or as it is after `patience`.
    pub async fn newer(&self, known: u64, patience: Duration) -> Arc<Table> {
        let mut table = self.table();
        let _ = timeout(patience, table.wait_for(|table| table.version() > known)).await;
        table.borrow().clone()
    }

    /// Commits a command of the catalog.
    pub async fn propose(&self, command: &catalog::Command) -> Result<catalog::Reply, Error> {
        Ok(catalog::Reply::decode(&self.propose_catalog(command.encode().into(), true).await?))
    }

    /// Commits a command of the catalog that is written already; `forward` lets a node that does not lead pass it on.
    pub async fn propose_catalog(&self, command: Bytes, forward: bool) -> Result<Bytes, Error> {
        match self.commit(state::for_catalog(&command)).await {
            Err(Error::Control(consensus::Error::NotLeader { leader: Some(leader), .. })) if forward => {
                self.shared.peers.propose(leader.0, command).await
            }
            done => Ok(done?.reply),
        }
    }

    /// Commits a command of the placement, where this node leads.
    pub async fn place(&self, command: &placement::Command) -> Result<placement::Reply, Error> {
        Ok(placement::Reply::decode(&self.commit(state::for_placement(command)).await?.reply))
    }

    /// May use the log's reserve: with it, a full disk can shrink.
    async fn commit(&self, entry: Bytes) -> Result<Proposed, Error> {
        let group = self.group()?;
        let proposed = group.propose_urgent(entry).await.map_err(Error::Control)?;
        self.compact(group, self.snapshot_entries()).await;
        Ok(proposed)
    }

    fn snapshot_entries(&self) -> u64 {
        let (segments, notes, elected) = {
            let state = &self.shared.lock().state;
            (state.catalog.segments().count() as u64, state.leases.bytes(), state.elections.clusters() as u64)
        };
        1 + segments / SNAPSHOT_PART + notes / SNAPSHOT_NOTES + elected / SNAPSHOT_ELECTIONS
    }

    /// Cuts this node's log now: it may hold a segment that a full disk needs.
    pub async fn cut(&self) {
        if let Ok(group) = self.group() {
            self.compact(group, 1).await;
        }
    }

    /// Cuts this node's log if it is long enough: where it does not lead, nobody else does it.
    pub async fn tidy(&self) {
        if let Ok(group) = self.group() {
            self.compact(group, self.snapshot_entries()).await;
        }
    }

    /// Cuts the log if so many entries were applied since the last time.
    async fn compact(&self, group: &Group, entries: u64) {
        let seen = group.applied();
        let (through, state) = {
            let mut kept = self.shared.lock();
            // Entries of Raft's own are never seen here; with one of ours applied since, the state is a later one.
            let through = kept.applied.max(seen);
            if through < kept.snapshot + entries || through > seen {
                return;
            }
            kept.snapshot = through;
            (through, kept.state.clone())
        };
        if let Err(error) = group.compact(through, state.encode()).await {
            tracing::warn!(%error, "the control group's log was not cut; it will be tried again");
        }
    }
}
