//! The cluster of a run: its processes, its network, its object store, and what everybody is told at their start.

use crate::bucket::Bucket;
use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::net::Net;
use crate::process::Process;
use crate::trace::Trace;
use model::{ByteSize, ShardCounts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The cluster's name.
pub const CLUSTER: &str = "sim";
/// The wall clock when a run begins.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
/// Ingesters that are there from the beginning; the first three vote in the control group.
pub const INGESTERS: usize = 5;
/// … and with those that come later.
pub const MOST: usize = 7;

/// Cheap to clone.
#[derive(Clone)]
pub struct World {
    pub chance: Chance,
    pub trace: Trace,
    pub net: Net,
    pub bucket: Arc<Bucket>,
    pub ledger: Ledger,
    pub root: Arc<PathBuf>,
    begun: Instant,
    state: Arc<Mutex<State>>,
}

pub struct State {
    /// Ingesters that run, by their names.
    pub processes: BTreeMap<String, Process>,
    /// Those that should.
    pub wanted: BTreeSet<String>,
    /// Whose disks are slow.
    pub slow: BTreeSet<String>,
    /// What new processes are told.
    pub shards: ShardCounts,
    /// Who led which group in which term.
    pub leaders: BTreeMap<(u64, u64), u64>,
    /// Grows with every start.
    pub starts: u64,
}

impl World {
    pub fn new(root: PathBuf, seed: u64, shown: bool) -> World {
        let (chance, trace) = (Chance::new(seed), Trace::new(shown));
        let bucket = Bucket::new(root.join("bucket"), chance.clone(), trace.clone());
        let state = State {
            processes: BTreeMap::new(),
            wanted: (0..INGESTERS).map(name).collect(),
            slow: BTreeSet::new(),
            shards: ShardCounts { logs: 2, metrics: 1 },
            leaders: BTreeMap::new(),
            starts: 0,
        };
        World {
            net: Net::new(chance.clone(), trace.clone()),
            chance,
            trace,
            bucket,
            ledger: Ledger::default(),
            root: Arc::new(root),
            begun: Instant::now(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock; never the same for two starts.
    pub fn now(&self) -> Duration {
        let mut state = self.lock();
        state.starts += 1;
        EPOCH + self.begun.elapsed() + Duration::from_millis(state.starts)
    }

    /// An error's text without the name of the run's folder, which no seed decides.
    pub fn plain(&self, error: &impl std::fmt::Display) -> String {
        format!("{error:#}").replace(&*self.root.to_string_lossy(), "")
    }

    pub fn running(&self) -> Vec<String> {
        self.lock().processes.keys().cloned().collect()
    }

    /// The processes that run.
    pub fn processes(&self) -> Vec<Process> {
        self.lock().processes.values().cloned().collect()
    }

    pub fn process(&self, name: &str) -> Option<Process> {
        self.lock().processes.get(name).cloned()
    }

    /// Those that should run and do not.
    pub fn down(&self) -> Vec<String> {
        let state = self.lock();
        state.wanted.iter().filter(|name| !state.processes.contains_key(*name)).cloned().collect()
    }
}

/// Of the ingester with this number.
pub fn name(number: usize) -> String {
    format!("i{number}")
}

/// Where a process of this name is.
pub fn address(name: &str) -> String {
    let number: u32 = name[1..].parse().unwrap_or(0);
    let network = name.bytes().next().unwrap_or(0);
    format!("10.0.{network}.{}:4100", number + 1)
}

pub fn zone(name: &str) -> String {
    let number: usize = name[1..].parse().unwrap_or(0);
    ["a", "b", "c"][number % 3].to_owned()
}

pub fn cluster_settings(name: &str) -> cluster::Settings {
    cluster::Settings {
        name: CLUSTER.to_owned(),
        member: name.to_owned(),
        zone: zone(name),
        advertise: address(name),
        seeds: (0..3).map(|number| address(&self::name(number))).collect(),
        ..cluster::Settings::default()
    }
}

/// Small and fast, so that a run reaches everything.
pub fn ingester_settings() -> ingester::Settings {
    let mut settings = ingester::Settings::default();
    settings.flush.rows = 40;
    settings.flush.age = Duration::from_secs(4);
    settings.flush.check = Duration::from_millis(500);
    settings.flush.retry = Duration::from_secs(2);
    settings.placement.control = (0..3).map(name).collect();
    settings.placement.replace_after = Duration::from_secs(20);
    settings.placement.settle = Duration::from_secs(10);
    settings.placement.readers_grace = Duration::from_secs(20);
    settings.placement.lag = 20;
    settings.consensus.election_ticks = 10;
    settings.consensus.heartbeat_ticks = 2;
    settings.consensus.round_pace = Duration::ZERO;
    settings.consensus.journal.segment_size = ByteSize(64 << 10);
    settings.consensus.journal.max_size = ByteSize::mib(4);
    settings.consensus.journal.reserve = ByteSize(64 << 10);
    settings
}
