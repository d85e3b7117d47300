//! Two rulers and the slots between them, with the clock stopped.

use super::*;
use tonic::{Request, Response, Status};
use transport::v1::rules_server::{Rules, RulesServer};
use transport::v1::{CommitReply, CommitRequest};

/// A control group that forgets nothing and never fails.
#[derive(Clone, Default)]
struct Group(Arc<Mutex<leases::Leases>>);

#[tonic::async_trait]
impl Rules for Group {
    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitReply>, Status> {
        let reply = self.0.lock().expect("not poisoned").apply(&request.into_inner().command).encode();
        Ok(Response::new(CommitReply { reply: reply.into() }))
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn ruler(group: &Group, name: &str, alone: bool) -> Leases {
    let routes = tonic::service::Routes::new(RulesServer::new(group.clone())).prepare();
    let link = transport::link::in_memory(tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let routes = routes.clone();
        async move { tower::ServiceExt::oneshot(routes, request).await.map(|r| r.map(tonic::body::Body::new)) }
    }));
    Leases::new(Control::new(link), name.into(), PATIENCE, alone)
}

fn slots(leases: &Leases) -> Vec<u32> {
    leases.held().into_keys().collect()
}

#[tokio::test(start_paused = true)]
async fn a_ruler_that_stops_is_followed_by_another_and_knows_it() {
    let group = Group::default();
    let (mut one, mut other) = (ruler(&group, "one", false), ruler(&group, "other", false));
    let (all, none) = (BTreeSet::from([0, 1]), BTreeSet::new());
    one.beat(&all, &[]).await.expect("beats");
    other.beat(&all, &[]).await.expect("beats");
    assert_eq!((slots(&one), slots(&other)), (vec![0, 1], vec![]));
    let lease = one.held()[&0].clone();
    lease.note((TenantId::anonymous(), "g".into()), Some("firing".into())).await.expect("noted");
    // It lives on: nobody follows.
    for _ in 0..6 {
        tokio::time::advance(PATIENCE / 3).await;
        one.beat(&all, &[]).await.expect("beats");
        other.beat(&all, &[]).await.expect("beats");
    }
    assert_eq!((slots(&one), slots(&other)), (vec![0, 1], vec![]));
    // It stops: it is over for itself before it is another's.
    tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
    assert!(lease.check().is_ok());
    other.beat(&all, &[]).await.expect("beats");
    assert_eq!(slots(&other), [0u32; 0], "not yet");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(matches!(lease.check(), Err(Error::Lost)));
    other.beat(&all, &[]).await.expect("beats");
    assert_eq!(slots(&other), [0, 1]);
    let notes = other.held()[&0].notes().await.expect("notes");
    assert_eq!(notes[&(TenantId::anonymous(), "g".to_owned())].as_ref(), "firing");
    // It goes on, and neither has the slots nor can it note anything.
    let noted = lease.note((TenantId::anonymous(), "g".into()), None).await;
    assert!(matches!(noted, Err(Error::Lost)));
    one.beat(&none, &[]).await.expect("beats");
    assert_eq!(slots(&one), [0u32; 0]);
    assert!(lease.check().is_err());
}

#[tokio::test(start_paused = true)]
async fn slots_are_handed_over_at_once() {
    let group = Group::default();
    let (mut one, mut other) = (ruler(&group, "one", false), ruler(&group, "other", false));
    one.beat(&BTreeSet::from([0, 1]), &[]).await.expect("beats");
    one.beat(&BTreeSet::from([0]), &[1]).await.expect("beats");
    other.beat(&BTreeSet::from([1]), &[]).await.expect("beats");
    assert_eq!((slots(&one), slots(&other)), (vec![0], vec![1]));
    one.leave().await;
    other.beat(&BTreeSet::from([0, 1]), &[]).await.expect("beats");
    assert_eq!((slots(&one), slots(&other)), (vec![], vec![0, 1]));
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_does_not_wait_for_itself() {
    let group = Group::default();
    let all = BTreeSet::from([0]);
    let mut before = ruler(&group, "before", true);
    before.beat(&all, &[]).await.expect("beats");
    let mut after = ruler(&group, "after", true);
    after.beat(&all, &[]).await.expect("beats");
    after.beat(&all, &[]).await.expect("beats");
    assert_eq!(slots(&after), [0]);
    assert!(before.held()[&0].note((TenantId::anonymous(), "g".into()), None).await.is_err());
}
