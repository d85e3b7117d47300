//! Where shards are: a copy of the placement, who led last, and asking until the leader answers.

use crate::leads;
use crate::mesh::Mesh;
use model::{Role, ShardId};
use placement::Table;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::Status;
use transport::Link;
use transport::link::{self, MAX_MESSAGE};
use transport::status::{self, Advice};
use transport::v1::{PlacementRequest, control_client::ControlClient};

/// Pauses between rounds over all replicas.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// Longer than an ingester waits for a newer placement.
const PLACEMENT_PATIENCE: Duration = Duration::from_secs(15);
/// Questions who leads that are under way at once: when everything is slow, they must not make it slower.
const QUESTIONS: usize = 16;

/// Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    way: Way,
    table: watch::Sender<Arc<Table>>,
    leaders: Mutex<HashMap<ShardId, u64>>,
    questions: Semaphore,
}

enum Way {
    /// All shards are led by whom this link is to.
    One(Link),
    Cluster(Mesh),
}

impl Directory {
    /// Of a cluster. `follow` has to run for it to know anything.
    pub fn of(mesh: Mesh) -> Directory {
        Directory::new(Way::Cluster(mesh), watch::Sender::default())
    }

    /// Of one ingester that leads all shards; its placement does not change while it runs.
    pub fn one(link: Link, table: Arc<Table>) -> Directory {
        Directory::new(Way::One(link), watch::Sender::new(table))
    }

    fn new(way: Way, table: watch::Sender<Arc<Table>>) -> Directory {
        let questions = Semaphore::new(QUESTIONS);
        Directory { inner: Arc::new(Inner { way, table, leaders: Mutex::default(), questions }) }
    }

    /// The placement as it is known here.
    pub fn table(&self) -> Arc<Table> {
        self.inner.table.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Arc<Table>> {
        self.inner.table.subscribe()
    }

    /// Keeps the copy of the placement fresh, from any ingester. The last one is used while none answers.
    pub async fn follow(self, stopping: impl Future<Output = ()>) {
        let Way::Cluster(mesh) = &self.inner.way else { return };
        let mut stopping = std::pin::pin!(stopping);
        for turn in 0usize.. {
            let members = mesh.members().borrow().clone();
            let ingesters: Vec<_> = members.of_role(Role::Ingester).collect();
            let asked = async {
                let member = ingesters.get(turn % ingesters.len().max(1))?;
                self.fetch(mesh.link(member)).await
            };
            let pause = tokio::select! {
                () = stopping.as_mut() => return,
                fetched = asked => if fetched.is_some() { Duration::ZERO } else { LAST_PAUSE },
            };
            tokio::select! {
                () = stopping.as_mut() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// None if it failed.
    async fn fetch(&self, link: Link) -> Option<()> {
        let known = self.table().version();
        let mut client = ControlClient::new(link).max_decoding_message_size(MAX_MESSAGE);
        let asked = timeout(PLACEMENT_PATIENCE, client.placement(PlacementRequest { known })).await;
        let reply =
            asked.ok()?.inspect_err(|e| tracing::debug!(error = e.message(), "no placement")).ok()?.into_inner();
        if reply.version <= known {
            // An ingester that is behind, or nothing new.
            return (reply.version == known).then_some(());
        }
        match Table::decode(&reply.table) {
            Ok(table) => self.inner.table.send_replace(Arc::new(table)),
            Err(error) => {
                tracing::error!(%error, "the placement that an ingester sent");
                return None;
            }
        };
        Some(())
    }

    /// The way to any ingester, another one for each request.
    pub fn control(&self) -> Link {
        let directory = self.clone();
        link::picked(move || directory.any())
    }

    /// Any ingester: each can answer for the control group.
    pub fn any(&self) -> Option<Link> {
        match &self.inner.way {
            Way::One(link) => Some(link.clone()),
            Way::Cluster(mesh) => mesh.any(Role::Ingester),
        }
    }

    /// Asks the replicas of a shard until its leader answers, at most until the deadline. One that takes long is left
    /// when another leads by now. Only for requests that may be done twice. The error names the shard.
    pub async fn ask<T, F, Fut>(&self, shard: ShardId, deadline: Instant, call: F) -> Result<T, Status>
    where
        F: Fn(Link) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let mesh = match &self.inner.way {
            Way::Cluster(mesh) => mesh,
            Way::One(link) => {
                let answered = timeout_at(deadline, call(link.clone())).await;
                return answered.unwrap_or_else(|_| Err(no_answer(shard, None)));
            }
        };
        let (mut pause, mut last) = (FIRST_PAUSE, None);
        let mut hint = self.leader(shard);
        loop {
            let mut asked = Vec::new();
            while let Some(node) = self.next(mesh, shard, hint.take(), &asked) {
                asked.push(node);
                let Some(link) = mesh.link_to(node) else { continue };
                let known = self.leader(shard);
                let replaced = || self.replaced(mesh, shard, node, known);
                match timeout_at(deadline, leads::unless_replaced(call(link), replaced)).await {
                    Ok(Ok(Ok(answer))) => {
                        self.leaders().insert(shard, node);
                        return Ok(answer);
                    }
                    Ok(Ok(Err(error))) => match status::advice(&error) {
                        Advice::Final => return Err(error),
                        Advice::Elsewhere(node) => (hint, last) = (node, Some(error)),
                        Advice::Unreached => last = Some(error),
                    },
                    Ok(Err(leader)) => {
                        tracing::debug!(%shard, node, leader, "a node does not answer, and another one leads");
                        (hint, last) = (Some(leader), Some(Status::unavailable("the node that led does not answer")));
                    }
                    Err(_) => return Err(no_answer(shard, last)),
                }
            }
            self.leaders().remove(&shard);
            if timeout_at(deadline, sleep(pause)).await.is_err() {
                return Err(no_answer(shard, last));
            }
            pause = (2 * pause).min(LAST_PAUSE);
        }
    }

    /// Who is asked next: whom the last one named, else a live replica that was not asked in this round.
    fn next(&self, mesh: &Mesh, shard: ShardId, hint: Option<u64>, asked: &[u64]) -> Option<u64> {
        // Two that name each other are left alone.
        if let Some(node) = hint.filter(|node| asked.iter().filter(|other| *other == node).count() < 2) {
            return Some(node);
        }
        let members = mesh.members().borrow().clone();
        let table = self.table();
        let replicas = table.shard(shard)?.nodes.iter();
        replicas.copied().find(|node| !asked.contains(node) && members.by_id(*node).is_some())
    }

    /// Who leads by now instead of the node that does not answer. `known`: who was known to lead when it was asked.
    async fn replaced(&self, mesh: &Mesh, shard: ShardId, silent: u64, known: Option<u64>) -> Option<u64> {
        // Another request may have found out.
        let learned = self.leader(shard).filter(|node| *node != silent);
        if learned.is_some() && learned != known {
            return learned;
        }
        let _permit = self.inner.questions.try_acquire().ok()?;
        let table = self.table();
        let others = table.shard(shard)?.nodes.iter().filter(|node| **node != silent);
        let links = others.filter_map(|node| mesh.link_to(*node));
        let leader = leads::leader(links, shard.group().0, silent).await?;
        self.leaders().insert(shard, leader);
        Some(leader)
    }

    fn leader(&self, shard: ShardId) -> Option<u64> {
        self.leaders().get(&shard).copied()
    }

    fn leaders(&self) -> MutexGuard<'_, HashMap<ShardId, u64>> {
        self.inner.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer(shard: ShardId, last: Option<Status>) -> Status {
    let why = last.map_or_else(|| "no replica is known".to_owned(), |last| last.message().to_owned());
    status::grpc(model::Reason::Unavailable, format!("shard {shard} has no leader that answers: {why}"))
}
