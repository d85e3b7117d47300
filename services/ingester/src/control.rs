//! The control group: a group like the shards', whose state machine is the catalog.

use crate::error::Error;
use crate::lead;
use bytes::Bytes;
use catalog::{Catalog, Command, Reply};
use consensus::{Committed, Group, Host, StateMachine};
use model::GroupId;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;

/// A snapshot of the catalog is stored when the log since the last one has this part of as many entries as the catalog
/// has segments: writing snapshots then costs a bounded part of writing entries, and a small catalog's log is short, so
/// that it keeps no segment of the journal from being used again.
const SNAPSHOT_PART: u64 = 16;

/// This node's copy of the catalog, and the way to change it. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    led: watch::Sender<Option<u64>>,
    group: OnceLock<Group>,
}

#[derive(Default)]
struct State {
    catalog: Arc<Catalog>,
    applied: u64,
    snapshot: u64,
}

struct Machine(Arc<Shared>);

impl StateMachine for Machine {
    fn apply(&mut self, entry: Committed) -> Bytes {
        let mut state = self.0.lock();
        let reply = Arc::make_mut(&mut state.catalog).apply(&entry.data);
        state.applied = entry.index;
        self.0.version.send_replace(state.catalog.version());
        reply.encode().into()
    }

    fn restore(&mut self, index: u64, snapshot: Bytes) {
        let mut state = self.0.lock();
        if !snapshot.is_empty() {
            match Catalog::decode(&snapshot) {
                Ok(catalog) => state.catalog = Arc::new(catalog),
                // It carries a checksum, so this is a snapshot of a newer version: nothing here can go on.
                Err(error) => panic!("the snapshot of the control group at {index}: {error}"),
            }
        }
        (state.applied, state.snapshot) = (index, index);
        self.0.version.send_replace(state.catalog.version());
    }

    fn lead(&mut self, term: Option<u64>) {
        self.0.led.send_replace(term);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Opens the group and waits until this node leads it and has applied its log.
    pub async fn open(host: &Host, me: consensus::Node) -> Result<Control, Error> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            version: watch::Sender::new(0),
            led: watch::Sender::new(None),
            group: OnceLock::new(),
        });
        let group = host.group(GroupId::CONTROL, &[me], Box::new(Machine(shared.clone()))).map_err(Error::Control)?;
        lead::wait(&group, &shared.led).await.map_err(Error::Control)?;
        let _ = shared.group.set(group);
        Ok(Control { shared })
    }

    /// The catalog as this node knows it.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.lock().catalog.clone()
    }

    /// The catalog, once it is at least at this version.
    pub async fn at_least(&self, version: u64) -> Arc<Catalog> {
        let mut versions = self.shared.version.subscribe();
        let _ = versions.wait_for(|now| *now >= version).await;
        self.catalog()
    }

    pub async fn propose(&self, command: &Command) -> Result<Reply, Error> {
        Ok(Reply::decode(&self.propose_raw(command.encode().into()).await?))
    }

    /// Commits a command that is written already. May use the log's reserve: with it, a full disk can shrink.
    pub async fn propose_raw(&self, command: Bytes) -> Result<Bytes, Error> {
        let group = self.shared.group.get().ok_or(Error::Control(consensus::Error::Stopping))?;
        let reply = group.propose_urgent(command).await.map_err(Error::Control)?.reply;
        let entries = 1 + self.catalog().segments().count() as u64 / SNAPSHOT_PART;
        self.compact(group, entries).await;
        Ok(reply)
    }

    /// Cuts the log now: it may hold a segment that a full disk needs.
    pub async fn cut(&self) {
        if let Some(group) = self.shared.group.get() {
            self.compact(group, 1).await;
        }
    }

    /// Cuts the log if so many entries were applied since the last time.
    async fn compact(&self, group: &Group, entries: u64) {
        let seen = group.applied();
        let (through, catalog) = {
            let mut state = self.shared.lock();
            // Entries of Raft's own are never seen here; with one of ours applied since, the catalog is a later one.
            let through = state.applied.max(seen);
            if through < state.snapshot + entries || through > seen {
                return;
            }
            state.snapshot = through;
            (through, state.catalog.clone())
        };
        if let Err(error) = group.compact(through, catalog.encode().into()).await {
            tracing::warn!(%error, "the control group's log was not cut; it will be tried again");
        }
    }
}
