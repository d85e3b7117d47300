//! Several candidates, a control group that does not answer, holders that die, hang, or give the lease back.

use super::*;
use catalog::Catalog;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::{Request, Response, Status};
use transport::v1::{self, control_server::ControlServer};

const TTL: Duration = Duration::from_secs(30);

/// A control group that is a catalog in memory.
#[derive(Clone, Default)]
struct Group {
    catalog: Arc<Mutex<Catalog>>,
    is_away: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl v1::control_server::Control for Group {
    async fn catalog(&self, _: Request<v1::CatalogRequest>) -> Result<Response<v1::CatalogReply>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteReply>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn placement(&self, _: Request<v1::PlacementRequest>) -> Result<Response<v1::PlacementReply>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn propose(&self, request: Request<v1::ProposeRequest>) -> Result<Response<v1::ProposeReply>, Status> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("away"));
        }
        let reply = self.catalog.lock().expect("no panic").apply(&request.into_inner().command);
        Ok(Response::new(v1::ProposeReply { reply: reply.encode().into() }))
    }
}

impl Group {
    async fn wait(&self) -> Held {
        let control = Control::new(transport::link::in_memory(ControlServer::new(self.clone())));
        super::wait(&control, TTL).await
    }

    fn epoch(&self) -> u64 {
        self.catalog.lock().expect("no panic").lease().epoch
    }
}

#[tokio::test(start_paused = true)]
async fn another_one_has_it_once_it_was_not_renewed() {
    let group = Group::default();
    let begun = Instant::now();
    let first = group.wait().await;
    assert_eq!((first.epoch, begun.elapsed()), (1, Duration::ZERO), "nobody has it: no need to wait");
    // As long as the first one renews, the other waits.
    tokio::select! {
        () = first.keep() => panic!("lost"),
        _ = group.wait() => panic!("two have it"),
        () = tokio::time::sleep(TTL * 20) => {}
    }
    first.check().expect("is held");
    let second = group.wait().await;
    assert!(first.check().is_err(), "when the second one has it, the first one knows already");
    assert!(matches!(first.renew().await, Err(Error::Lost { epoch: 1 })));
    second.check().expect("is held");
    assert_eq!((second.epoch, group.epoch()), (2, 2));
    first.keep().await; // returns, since it is lost
}

#[tokio::test(start_paused = true)]
async fn without_the_control_group_a_holder_stops_in_time() {
    let group = Group::default();
    let held = group.wait().await;
    group.is_away.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    held.keep().await;
    assert!(held.check().is_err() && begun.elapsed() <= TTL * 2, "{:?}", begun.elapsed());
    // It was nobody else's meanwhile, so it can be had again, under a new epoch.
    group.is_away.store(false, Ordering::Relaxed);
    assert_eq!(group.wait().await.epoch, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_had_at_once() {
    let group = Group::default();
    let held = group.wait().await;
    held.renew().await.expect("is held");
    held.give_back().await;
    let begun = Instant::now();
    assert_eq!(group.wait().await.epoch, 3);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    held.give_back().await;
    assert_eq!(group.epoch(), 3, "only its own is given back");
}
