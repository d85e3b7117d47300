//! A cluster under load while things are done to it: what is acked is counted by every query, and it is measured how long
//! nothing is acked and nothing is answered in whole.

mod lane;
mod pulse;

use crate::client::until;
use crate::doors::Doors;
use crate::ledger::Ledger;
use crate::members::Members;
use crate::recovery::{Fault, Told, now_s};
use lane::Tenant;
use model::Role;
use pulse::Pulse;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Senders, each with a tenant of its own.
const LANES: usize = 3;
/// Between two requests of one sender or reader.
pub const PACE: Duration = Duration::from_millis(20);

/// Dropping it ends the load.
pub struct Story {
    folder: PathBuf,
    name: String,
    pub distributors: Doors,
    pub queriers: Doors,
    pulse: Arc<Pulse>,
    stop: Arc<AtomicBool>,
    tenants: Vec<Arc<Tenant>>,
    pace: Duration,
    senders: Vec<JoinHandle<Ledger>>,
    readers: Vec<JoinHandle<()>>,
    fault: Option<String>,
    faults: Vec<Fault>,
}

/// How the load fared: texts of the requests that failed and were made again.
#[derive(Debug)]
pub struct Failed {
    pub pushes: Vec<String>,
    pub queries: Vec<String>,
}

impl Story {
    /// Begins to push and query through all doors, and goes on once both goes well. The cluster is to be running. What is
    /// measured is kept in `folder`, where it replaces what was measured before.
    pub async fn begin(folder: &str, name: &str, members: &Members) -> Story {
        let (distributors, queriers) = (members.doors(Role::Distributor), members.doors(Role::Querier));
        Story::begin_at(folder, name, PACE, distributors, queriers).await
    }

    /// … through these doors only, with such pauses between requests.
    pub async fn begin_at(folder: &str, name: &str, pace: Duration, distributors: Doors, queriers: Doors) -> Story {
        let folder = Path::new(folder).join("recovery");
        Told::forget(&folder, name);
        distributors.all_ready().await;
        queriers.all_ready().await;
        let (pulse, stop) = (Arc::new(Pulse::new(LANES)), Arc::new(AtomicBool::new(false)));
        let tenants: Vec<_> = (0..LANES).map(|n| Arc::new(Tenant::new(&format!("{name}-{n}")))).collect();
        let senders = tenants.iter().enumerate().map(|(n, tenant)| {
            let sender = lane::Sending { tenant: tenant.clone(), lane: n, doors: distributors.clone(), pace };
            tokio::spawn(sender.run(pulse.clone(), stop.clone()))
        });
        let senders = senders.collect();
        let (name, faults) = (name.to_owned(), Vec::new());
        let mut story = Story {
            folder,
            name,
            distributors,
            queriers,
            pulse,
            stop,
            tenants,
            pace,
            senders,
            readers: Vec::new(),
            fault: None,
            faults,
        };
        story.read(story.queriers.clone(), true);
        story.goes_well().await;
        story
    }

    fn read(&mut self, doors: Doors, measured: bool) {
        for signal in model::Signal::ALL {
            let (tenants, doors, pace) = (self.tenants.clone(), doors.clone(), self.pace);
            let reader = lane::Reading { tenants, signal, doors, pace, measured };
            self.readers.push(tokio::spawn(reader.run(self.pulse.clone(), self.stop.clone())));
        }
    }

    /// Reads through these doors, too, from now on: they may fail, and nothing that they say may be untrue.
    pub fn witness(&mut self, doors: Doors) {
        self.read(doors, false);
    }

    /// To be called right before something is done to the cluster: what is measured begins here.
    pub fn fault(&mut self, what: &str) {
        self.pulse.measure();
        self.fault = Some(what.to_owned());
    }

    /// Waits until every sender is acked again and every signal is read in whole again, and notes how long they were not.
    pub async fn recovered(&mut self) {
        self.goes_well().await;
        let (writes, reads) = self.pulse.longest();
        let what = self.fault.take().expect("recovers from something");
        println!("{}: {what}: writes paused {} ms, reads {} ms", self.name, writes.as_millis(), reads.as_millis());
        self.faults.push(Fault { what, writes_ms: writes.as_millis() as u64, reads_ms: reads.as_millis() as u64 });
    }

    /// Waits until every sender and every reader has had success with a request that it began after now.
    pub async fn goes_well(&self) {
        let mark = self.pulse.mark();
        until("all is acked and read in whole", async || {
            self.pulse.assert_true();
            self.pulse.all_since(mark)
        })
        .await;
    }

    /// What failed since the beginning, so far.
    pub fn failed(&self) -> Failed {
        let (pushes, queries) = self.pulse.failed();
        Failed { pushes, queries }
    }

    /// Ends the load, reads every row back, and saves what was measured.
    pub async fn end(mut self) -> Failed {
        assert!(self.fault.is_none(), "it was not waited for: {:?}", self.fault);
        self.goes_well().await;
        self.stop.store(true, Relaxed);
        let mut book = Ledger::default();
        for sender in self.senders.drain(..) {
            book.merge(sender.await.expect("a sender ends"));
        }
        for reader in self.readers.drain(..) {
            reader.await.expect("a reader ends");
        }
        self.pulse.assert_true();
        let (_, client) = self.queriers.pick().expect("a querier is ready");
        book.check(client, &format!("{}, at the end", self.name)).await;
        let (lines, samples) = book.acked_rows();
        let (pushes, queries) = self.pulse.requests();
        let faults = std::mem::take(&mut self.faults);
        let told = Told { story: self.name.clone(), at: now_s(), rows: lines + samples, pushes, queries, faults };
        println!("{}: {} rows, pushes {:?}, queries {:?}", told.story, told.rows, told.pushes, told.queries);
        told.save(&self.folder);
        let failed = self.failed();
        failed.pushes.iter().chain(&failed.queries).for_each(|why| println!("  made again: {why}"));
        failed
    }
}

impl Failed {
    /// Nobody who writes or asks has noticed anything.
    #[track_caller]
    pub fn none(&self) {
        self.no_push();
        let queries = &self.queries;
        assert!(queries.is_empty(), "{} queries failed: {:#?}", queries.len(), &queries[..queries.len().min(3)]);
    }

    #[track_caller]
    pub fn no_push(&self) {
        let pushes = &self.pushes;
        assert!(pushes.is_empty(), "{} pushes failed: {:#?}", pushes.len(), &pushes[..pushes.len().min(3)]);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}
