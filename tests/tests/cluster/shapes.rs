//! Clusters of other shapes: one replica of each shard, five of them, more shards than at the start, and the control group
//! away.

use crate::{FOLDER, cluster};
use model::{Role, ShardCounts};
use ouro_tests::client::until;
use ouro_tests::members::{Members, Running, Shape};
use ouro_tests::story::Story;

/// One replica has no other to go to: its shards wait for it, and it comes back with every row that was acked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_comes_back_with_all_rows() {
    let members = cluster(Shape { placement: "replicas = 1", ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(1).await;
    let mut story = Story::begin(FOLDER, "one-replica", &members).await;
    for name in ["ingester-1", "ingester-2"] {
        story.fault(&format!("{name} is killed, and started"));
        running.remove(name).expect("it runs").kill();
        members.start(&mut running, name);
        story.recovered().await;
    }
    story.end().await;
}

/// Five replicas outlive two. The two are a majority of the control group, so that the catalog, the placement and flushes
/// wait for them, and known tenants do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_replicas_outlive_two_and_the_control_group() {
    let seats = &[(Role::Ingester, 5), (Role::Distributor, 1), (Role::Querier, 2)];
    let members = cluster(Shape { seats, placement: "replicas = 5\ninterval = \"200ms\"", ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(5).await;
    let mut story = Story::begin(FOLDER, "control-group-down", &members).await;
    story.fault("2 of 5 replicas, of 3 that vote in control");
    for name in ["ingester-0", "ingester-1"] {
        running.remove(name).expect("it runs").kill();
    }
    story.recovered().await;
    let control = async || {
        let ring = members.ring().await;
        let groups = ring["groups"].as_array().expect("groups").clone();
        groups.into_iter().find(|group| group["name"] == "control").expect("the control group")
    };
    until("the control group has no leader", async || control().await["leader"].is_null()).await;
    // A door that is started now finds shards and rows as well.
    story.fault("a querier is restarted meanwhile");
    story.queriers.withdraw("querier-1").await;
    members.end(&mut running, "querier-1");
    members.start(&mut running, "querier-1");
    story.queriers.restore("querier-1").await;
    story.recovered().await;
    assert!(control().await["leader"].is_null(), "it was away all the time");
    story.fault("the two come back");
    for name in ["ingester-0", "ingester-1"] {
        members.start(&mut running, name);
    }
    members.settled(5).await;
    until("the control group leads", async || control().await["leader"].is_string()).await;
    story.recovered().await;
    story.end().await;
}

/// The counts are raised in the settings, ingesters are restarted one by one, and no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_raised_under_load() {
    const PLACEMENT: &str = "replicas = 3\nreaders_grace = \"2s\"\ninterval = \"200ms\"";
    let few = (Role::Ingester, "shards = {logs = 2, metrics = 2}\n");
    let mut members = cluster(Shape { placement: PLACEMENT, first: &[few], ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "shards-raised", &members).await;
    assert_eq!(written(&members).await, ShardCounts { logs: 2, metrics: 2 });
    story.fault("2 shards of each signal become 5");
    members.change_first(Role::Ingester, "shards = {logs = 5, metrics = 5}\n");
    for name in members.ingesters() {
        restart(&mut members, &mut running, &name, PLACEMENT).await;
    }
    until("new shards are written", async || written(&members).await == ShardCounts { logs: 5, metrics: 5 }).await;
    members.settled(3).await;
    story.recovered().await;
    // They take rows: what is restarted now has them in its log.
    until("rows are in new shards", async || {
        let ring = members.ring().await;
        let groups = ring["groups"].as_array().expect("groups");
        groups.iter().any(|g| g["name"] == "logs-4" && g["entries"].as_u64() > Some(2))
    })
    .await;
    story.end().await.none();
}

async fn restart(members: &mut Members, running: &mut Running, name: &str, placement: &str) {
    let at = members.seat_at(name);
    members.write(at, placement, "");
    members.end(running, name);
    members.start(running, name);
    members.settled(3).await;
}

async fn written(members: &Members) -> ShardCounts {
    serde_json::from_value(members.ring().await["shards"].clone()).expect("counts")
}
