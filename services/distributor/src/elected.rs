//! Knows which replica of a highly available sender is stored, and has another one elected when it falls silent.
//!
//! A copy of the control group's elections is followed; most pushes are decided by it. A push of a replica that is not
//! elected, when the elected one was not heard for `limits.ha.failover` by anybody, proposes its own, naming the last sign
//! of the elected one that was seen here. Whoever hears an elected replica says so a few times within the failover, for
//! all of its clusters at once.

use crate::error::PushError;
use elections::{Changes, Command, Elected, MAX_NAME, Reply};
use model::TenantId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenancy::{HaSettings, LimitTable};
use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::{Instant, interval, sleep, timeout};
use transport::Link;
use transport::v1::{ElectRequest, ElectedRequest, elections_client::ElectionsClient};

/// How long the control group may take to commit.
const COMMIT: Duration = Duration::from_secs(5);
/// Longer than an ingester waits for something new.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause after a question that failed; pushes that come meanwhile are told so.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether others should be told what is heard here.
const TICK: Duration = Duration::from_millis(500);
/// Of the failover, after which part without a sign one is given.
const SIGNS: u32 = 3;
/// A cluster that nobody heard for so long is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// Whose samples a push has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica<'a> {
    pub cluster: &'a str,
    pub replica: &'a str,
}

/// What becomes of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Store,
    /// This other replica is stored.
    Leave {
        elected: String,
    },
}

/// The elections as they are known here.
pub struct Elector {
    control: ElectionsClient<Link>,
    known: Mutex<Known>,
    /// One push asks at a time, so that one that waited finds the answer.
    turn: Turn<Option<Failed>>,
    /// Told with the first push of a replica: before, nothing is followed.
    begun: Notify,
}

struct Failed {
    at: Instant,
    why: String,
}

#[derive(Default)]
struct Known {
    version: u64,
    tenants: HashMap<TenantId, HashMap<String, Watched>>,
}

/// An elected replica.
struct Watched {
    elected: Elected,
    /// When it was last heard, here or by another distributor that gave a sign.
    heard: Instant,
    /// When its last sign was seen.
    signed: Instant,
    /// Whether it was heard here since then.
    here: bool,
}

/// What the control group should be told.
#[derive(Default)]
struct Due {
    /// Replicas that were heard here and had no sign for a while.
    heard: Vec<(TenantId, String, String)>,
    /// Clusters that nobody heard for long, with their last signs.
    silent: Vec<(TenantId, String, u64)>,
}

impl Watched {
    fn new(elected: Elected) -> Watched {
        let now = Instant::now();
        Watched { elected, heard: now, signed: now, here: false }
    }
}

impl Known {
    fn take(&mut self, tenant: &TenantId, cluster: &str, elected: Elected) {
        let own = match self.tenants.get_mut(tenant) {
            Some(own) => own,
            None => self.tenants.entry(tenant.clone()).or_default(),
        };
        match own.get_mut(cluster) {
            // Answers may overtake each other.
            Some(watched) if watched.elected.sign >= elected.sign => {}
            Some(watched) => *watched = Watched::new(elected),
            None => drop(own.insert(cluster.to_owned(), Watched::new(elected))),
        }
    }

    fn follow(&mut self, changes: Changes) {
        if changes.whole {
            let there: HashSet<(&TenantId, &str)> = changes.elected.iter().map(|(t, c, _)| (t, c.as_str())).collect();
            for (tenant, own) in &mut self.tenants {
                // What was elected after the answer was made is in none of its lines.
                own.retain(|cluster, w| w.elected.sign > changes.version || there.contains(&(tenant, cluster)));
            }
            self.tenants.retain(|_, own| !own.is_empty());
        }
        for (tenant, cluster, elected) in changes.elected {
            self.take(&tenant, &cluster, elected);
        }
        self.version = changes.version;
    }

    fn due(&self, limits: &LimitTable) -> Due {
        let mut due = Due::default();
        for (tenant, own) in &self.tenants {
            let pause = limits.of(tenant).ha.failover / SIGNS;
            for (cluster, watched) in own {
                // While the control group was away, what was heard may have become old.
                let is_fresh = watched.here && watched.heard.elapsed() < 2 * pause;
                if is_fresh && watched.signed.elapsed() >= pause {
                    due.heard.push((tenant.clone(), cluster.clone(), watched.elected.replica.clone()));
                } else if watched.heard.elapsed() >= FORGET {
                    due.silent.push((tenant.clone(), cluster.clone(), watched.elected.sign));
                }
            }
        }
        due
    }
}

impl Elector {
    /// `control` leads to any ingester. `follow` has to run.
    pub fn new(control: Link) -> Elector {
        let control = ElectionsClient::new(control).max_decoding_message_size(transport::link::MAX_MESSAGE);
        Elector { control, known: Mutex::default(), turn: Turn::default(), begun: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a push of this replica, if that is known without asking.
    pub fn known(&self, tenant: &TenantId, from: Replica<'_>, ha: &HaSettings) -> Option<Verdict> {
        let mut known = self.lock();
        let watched = known.tenants.get_mut(tenant)?.get_mut(from.cluster)?;
        if watched.elected.replica == from.replica {
            (watched.heard, watched.here) = (Instant::now(), true);
            return Some(Verdict::Store);
        }
        let is_alive = watched.heard.elapsed() < ha.failover;
        is_alive.then(|| Verdict::Leave { elected: watched.elected.replica.clone() })
    }

    /// What becomes of a push of this replica; the control group is asked when it is not known.
    pub async fn decide(&self, tenant: &TenantId, from: Replica<'_>, ha: &HaSettings) -> Result<Verdict, PushError> {
        if let Some(verdict) = self.known(tenant, from, ha) {
            return Ok(verdict);
        }
        if from.cluster.len() > MAX_NAME || from.replica.len() > MAX_NAME {
            return Err(PushError::ReplicaName { limit: MAX_NAME });
        }
        self.begun.notify_one();
        let mut turn = self.turn.lock().await;
        if let Some(verdict) = self.known(tenant, from, ha) {
            return Ok(verdict);
        }
        if let Some(failed) = turn.as_ref().filter(|failed| failed.at.elapsed() < PAUSE) {
            return Err(PushError::NotElected { why: failed.why.clone() });
        }
        let seen = self.seen(tenant, from.cluster, ha)?;
        let command = Command::Elect {
            tenant: tenant.clone(),
            cluster: from.cluster.into(),
            replica: from.replica.into(),
            seen,
            most: ha.max_clusters,
        };
        let reply = self.commit(&command).await;
        *turn = reply.as_ref().err().map(|why| Failed { at: Instant::now(), why: why.clone() });
        match reply {
            Ok(Reply::Elected { elected }) => {
                if elected.replica != from.replica || seen != 0 {
                    tracing::info!(%tenant, cluster = from.cluster, replica = %elected.replica, "elected");
                }
                self.lock().take(tenant, from.cluster, elected);
                // By what is known now, which may be newer than the answer.
                self.known(tenant, from, ha).ok_or(PushError::NotElected { why: "the answer came late".into() })
            }
            Ok(Reply::Full { clusters, limit }) => Err(too_many(tenant, clusters, limit)),
            Ok(Reply::Refused { why }) | Err(why) => Err(PushError::NotElected { why }),
            Ok(Reply::Done) => Err(PushError::NotElected { why: "it answered something else".into() }),
        }
    }

    /// The last sign of the elected replica; an error when this would be one cluster too many, which needs no asking.
    fn seen(&self, tenant: &TenantId, cluster: &str, ha: &HaSettings) -> Result<u64, PushError> {
        let known = self.lock();
        let own = known.tenants.get(tenant);
        let clusters = own.map_or(0, HashMap::len);
        match own.and_then(|own| own.get(cluster)) {
            Some(watched) => Ok(watched.elected.sign),
            None if clusters >= ha.max_clusters as usize => {
                Err(too_many(tenant, clusters as u64, u64::from(ha.max_clusters)))
            }
            None => Ok(0),
        }
    }

    async fn commit(&self, command: &Command) -> Result<Reply, String> {
        let mut client = self.control.clone();
        let request = ElectRequest { command: command.encode().into(), forwarded: false };
        match timeout(COMMIT, client.elect(request)).await {
            Ok(Ok(reply)) => Ok(Reply::decode(&reply.into_inner().reply)),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("no answer within {} s", COMMIT.as_secs())),
        }
    }

    /// Keeps the copy fresh and tells what is heard here, from the first push of a replica on.
    pub async fn follow(&self, limits: &LimitTable, stopping: impl Future<Output = ()>) {
        let work = async {
            self.begun.notified().await;
            tokio::join!(self.follow_changes(), self.give_signs(limits))
        };
        tokio::select! {
            () = stopping => {}
            _ = work => {}
        }
    }

    async fn follow_changes(&self) {
        loop {
            let request = ElectedRequest { known: self.lock().version };
            let mut client = self.control.clone();
            let changes = match timeout(PATIENCE, client.elected(request)).await {
                Ok(Ok(reply)) => serde_json::from_slice::<Changes>(&reply.into_inner().changes).ok(),
                _ => None,
            };
            match changes {
                Some(changes) => self.lock().follow(changes),
                None => sleep(PAUSE).await,
            }
        }
    }

    async fn give_signs(&self, limits: &LimitTable) {
        let mut tick = interval(TICK);
        loop {
            tick.tick().await;
            let Due { heard, silent } = self.lock().due(limits);
            if !heard.is_empty() {
                let told = self.commit(&Command::Hear { heard: heard.clone() }).await;
                if !matches!(told, Ok(Reply::Done)) {
                    sleep(PAUSE).await;
                    continue;
                }
                let mut known = self.lock();
                for (tenant, cluster, replica) in &heard {
                    let watched = known.tenants.get_mut(tenant).and_then(|own| own.get_mut(cluster));
                    if let Some(watched) = watched.filter(|watched| watched.elected.replica == *replica) {
                        (watched.signed, watched.here) = (Instant::now(), false);
                    }
                }
            }
            if !silent.is_empty() && self.commit(&Command::Forget { silent }).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    }
}

fn too_many(tenant: &TenantId, clusters: u64, limit: u64) -> PushError {
    PushError::TooManyClusters { tenant: tenant.clone(), clusters, limit }
}

#[cfg(test)]
mod tests;
