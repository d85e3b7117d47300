//! Replicas, and distributors that hear them, with the clock stopped.

use super::*;
use elections::Elections;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tenancy::{Limits, Overrides};
use tokio::sync::watch;
use tokio::time::advance;
use tonic::{Request, Response, Status};
use transport::v1::elections_server::{Elections as Service, ElectionsServer};
use transport::v1::{ElectReply, ElectedReply};

/// A control group that forgets nothing, and may be away.
#[derive(Clone)]
struct Group {
    state: watch::Sender<(Elections, bool)>,
    commands: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl Service for Group {
    async fn elect(&self, request: Request<ElectRequest>) -> Result<Response<ElectReply>, Status> {
        self.commands.fetch_add(1, Ordering::Relaxed);
        if self.state.borrow().1 {
            return Err(Status::unavailable("nobody leads"));
        }
        let mut reply = Vec::new();
        self.state.send_modify(|(state, _)| reply = state.apply(&request.into_inner().command).encode());
        Ok(Response::new(ElectReply { reply: reply.into() }))
    }

    async fn elected(&self, request: Request<ElectedRequest>) -> Result<Response<ElectedReply>, Status> {
        let known = request.into_inner().known;
        let mut state = self.state.subscribe();
        let _ = timeout(Duration::from_secs(10), state.wait_for(|(state, _)| state.version() > known)).await;
        let changes = serde_json::to_vec(&state.borrow().0.since(known)).expect("writes");
        Ok(Response::new(ElectedReply { changes: changes.into() }))
    }
}

impl Group {
    fn new() -> Group {
        Group { state: watch::Sender::default(), commands: Arc::default() }
    }

    fn away(&self, away: bool) {
        self.state.send_modify(|state| state.1 = away);
    }

    fn commands(&self) -> u32 {
        self.commands.swap(0, Ordering::Relaxed)
    }

    /// A distributor that follows.
    fn distributor(&self) -> Arc<Elector> {
        let routes = tonic::service::Routes::new(ElectionsServer::new(self.clone())).prepare();
        let link = transport::link::in_memory(tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            let routes = routes.clone();
            async move { tower::ServiceExt::oneshot(routes, request).await.map(|r| r.map(tonic::body::Body::new)) }
        }));
        let elector = Arc::new(Elector::new(link));
        let follows = elector.clone();
        tokio::spawn(async move {
            let limits = LimitTable::new(&Overrides::new(Limits { ha: ha(), ..Limits::default() }));
            follows.follow(&limits, std::future::pending()).await;
        });
        elector
    }
}

fn ha() -> HaSettings {
    HaSettings { enabled: true, max_clusters: 2, ..HaSettings::default() }
}

/// Whether a push of this replica is stored.
async fn push(elector: &Elector, cluster: &str, replica: &str) -> Result<bool, String> {
    let verdict = elector.decide(&TenantId::anonymous(), Replica { cluster, replica }, &ha()).await;
    verdict.map(|verdict| verdict == Verdict::Store).map_err(|error| error.to_string())
}

/// Lets time pass in steps in which the tasks work.
async fn wait(time: Duration) {
    for _ in 0..time.as_millis() / 250 {
        advance(Duration::from_millis(250)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_elected_replica_is_stored_until_it_is_silent() {
    let group = Group::new();
    let one = group.distributor();
    assert_eq!(push(&one, "c", "a").await, Ok(true));
    assert_eq!(push(&one, "c", "b").await, Ok(false));
    for _ in 0..10 {
        wait(Duration::from_secs(10)).await;
        assert_eq!((push(&one, "c", "a").await, push(&one, "c", "b").await), (Ok(true), Ok(false)));
    }
    wait(Duration::from_secs(29)).await;
    assert_eq!(push(&one, "c", "b").await, Ok(false), "not yet");
    wait(Duration::from_secs(12)).await; // a sign is given up to a third of the failover late
    assert_eq!((push(&one, "c", "b").await, push(&one, "c", "a").await), (Ok(true), Ok(false)));
    assert!(group.commands() < 20, "no command with each push");
    for _ in 0..1000 {
        assert_eq!(push(&one, "c", "b").await, Ok(true));
    }
    assert_eq!(group.commands(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_one_distributor_hears_all_know() {
    let group = Group::new();
    let (one, other) = (group.distributor(), group.distributor());
    assert_eq!(push(&one, "c", "a").await, Ok(true));
    assert_eq!(push(&other, "c", "b").await, Ok(false), "it asks before it knows");
    for _ in 0..30 {
        wait(Duration::from_secs(5)).await;
        // Each replica keeps a connection to its own distributor.
        assert_eq!((push(&one, "c", "a").await, push(&other, "c", "b").await), (Ok(true), Ok(false)));
    }
    let again = group.distributor();
    assert_eq!(push(&again, "c", "b").await, Ok(false), "a distributor that is new learns who is elected");
    wait(Duration::from_secs(45)).await;
    assert_eq!(push(&other, "c", "b").await, Ok(true));
    wait(Duration::from_secs(1)).await;
    assert_eq!((push(&one, "c", "a").await, push(&again, "c", "b").await), (Ok(false), Ok(true)));
}

#[tokio::test(start_paused = true)]
async fn while_the_control_group_is_away_the_elected_replica_is_stored() {
    let group = Group::new();
    let one = group.distributor();
    assert_eq!(push(&one, "c", "a").await, Ok(true));
    group.away(true);
    wait(Duration::from_secs(20)).await;
    assert_eq!((push(&one, "c", "a").await, push(&one, "c", "b").await), (Ok(true), Ok(false)));
    wait(Duration::from_secs(60)).await;
    group.commands();
    for _ in 0..100 {
        let error = push(&one, "c", "b").await.expect_err("nobody can be elected");
        assert!(error.contains("nobody leads") && error.contains("limits.ha"), "{error}");
    }
    assert!(group.commands() < 3, "it is not asked with each push");
    group.away(false);
    wait(Duration::from_secs(3)).await;
    assert_eq!(push(&one, "c", "b").await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn clusters_are_bounded_and_forgotten() {
    let group = Group::new();
    let one = group.distributor();
    assert_eq!((push(&one, "c", "a").await, push(&one, "d", "a").await), (Ok(true), Ok(true)));
    wait(Duration::from_secs(1)).await;
    group.commands();
    for cluster in 0..100 {
        let error = push(&one, &format!("e{cluster}"), "a").await.expect_err("too many");
        assert!(error.contains("2 clusters") && error.contains("limits.ha.max_clusters"), "{error}");
    }
    assert_eq!(group.commands(), 0);
    let error = push(&one, &"x".repeat(MAX_NAME + 1), "a").await.expect_err("too long");
    assert!(error.contains("512 bytes"), "{error}");
    wait(FORGET + Duration::from_secs(30)).await;
    assert_eq!(push(&one, "e", "a").await, Ok(true));
}
