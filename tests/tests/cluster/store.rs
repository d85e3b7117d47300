//! The object store of a cluster fails in every way while it is written: pushes go on, reads of what is in the store wait,
//! and flushes catch up.

use crate::long::Heavy;
use crate::{FOLDER, cluster};
use model::Role;
use ouro_tests::client::until;
use ouro_tests::members::{Members, Shape};
use ouro_tests::s3::{ACCESS_KEY, BUCKET, Fault, Rule, S3, SECRET_KEY};
use ouro_tests::story::Story;
use std::time::Duration;

pub fn objects(s3: &S3) -> String {
    format!(
        "url = \"s3://{BUCKET}/cluster\"\ntimeout = \"2s\"\n[objects.options]\nendpoint = \"{}\"\nallow_http = \"true\"\n\
         region = \"local\"\naccess_key_id = \"{ACCESS_KEY}\"\nsecret_access_key = \"{SECRET_KEY}\"\n",
        s3.url
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_under_load() {
    let ways = [
        ("is away", None),
        ("answers 503", Some(Fault::Unavailable)),
        ("hangs", Some(Fault::Hang)),
        ("times out after success", Some(Fault::DoneThenHang)),
    ];
    failing("store-fails", Duration::from_secs(1), &ways, |_| Heavy::none()).await;
}

/// For each way, the store fails for so long after that has been noticed.
pub async fn failing(
    name: &str,
    length: Duration,
    ways: &[(&str, Option<Fault>)],
    heavy: impl FnOnce(&Members) -> Heavy,
) {
    let s3 = S3::start();
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 1)];
    let members = cluster(Shape { seats, objects: Some(objects(&s3)), ..Shape::default() });
    let _running = members.start_all().await;
    members.settled(3).await;
    let heavy = heavy(&members);
    let mut story = Story::begin(FOLDER, name, &members).await;
    until("heads are flushed", async || segments(&s3) > 0).await;
    for (how, fault) in ways {
        story.fault(&format!("the store {how} for {} s and longer", length.as_secs()));
        match fault {
            None => s3.set_away(true),
            Some(fault) => s3.inject(Rule::always(*fault)),
        }
        until("it is said that the store is away", async || away(&members).await > 0.0).await;
        tokio::time::sleep(length).await;
        s3.heal();
        let before = segments(&s3);
        until("flushes go on", async || segments(&s3) > before && away(&members).await == 0.0).await;
        story.recovered().await;
    }
    heavy.end().await;
    story.end().await.no_push();
}

/// How many segments were written.
fn segments(s3: &S3) -> usize {
    s3.keys(BUCKET).iter().filter(|key| key.ends_with(".seg")).count()
}

/// How many ingesters say that the store is away.
async fn away(members: &Members) -> f64 {
    let mut sum = 0.0;
    for name in members.ingesters() {
        sum += members.client(&name).meter("ouro_object_store_away").await;
    }
    sum
}
