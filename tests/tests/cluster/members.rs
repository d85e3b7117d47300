//! A cluster of processes whose ingesters die, stop, lose their disks and are replaced, while it is written and read.

use crate::long::Heavy;
use crate::{FOLDER, PROGRAM, cluster};
use model::Role;
use ouro_tests::client::until;
use ouro_tests::doors::Doors;
use ouro_tests::ledger::{Ledger, Sender};
use ouro_tests::members::{Members, Shape};
use ouro_tests::story::Story;
use std::time::Duration;

#[tokio::test]
async fn a_cluster_begins_and_ends() {
    let members = cluster(Shape::default());
    let mut running = members.start_all().await;
    let (sender, mut ledger) = (Sender::new("begin"), Ledger::default());
    for round in 0..3 {
        ledger.send_some(&members.push(), &sender, 10).await;
        ledger.check(&members.read(), &format!("round {round}")).await;
    }
    members.settled(3).await;
    until("leads are even", async || {
        let leads = members.leaders().await;
        leads.len() == 3 && leads.values().all(|count| (2..=4).contains(count))
    })
    .await;
    until("heads are flushed", async || members.objects().join("segments").is_dir()).await;
    ledger.check(&members.read(), "once some is flushed").await;
    for name in ["querier-0", "distributor-0", "ingester-0", "ingester-1", "ingester-2"] {
        let end = running.remove(name).expect("it runs").terminate();
        assert_eq!(end.status.code(), Some(0), "{name}: {}", end.stderr);
    }
    let _running = members.start_all().await;
    ledger.check(&members.read(), "started again").await;
}

/// Any ingester has all shards flushed, whoever leads them, also when one has died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_flushed_by_any_ingester() {
    let members = cluster(Shape::default());
    let mut running = members.start_all().await;
    members.settled(3).await;
    let (sender, mut ledger) = (Sender::new("flush"), Ledger::default());
    for (dies, asked) in [(None, "ingester-1"), (Some("ingester-0"), "ingester-2")] {
        if let Some(name) = dies {
            running.remove(name).expect("it runs").kill();
        }
        ledger.send_some(&members.push(), &sender, 40).await;
        members.client(asked).flush().await;
        let mut rows = 0.0;
        for name in running.keys().filter(|name| name.starts_with("ingester")) {
            rows += members.client(name).meter("ouro_head_rows").await;
        }
        assert_eq!(rows, 0.0, "rows that are still in heads");
        ledger.check(&members.read(), &format!("flushed by {asked}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_ingester_may_die_under_load() {
    let members = cluster(Shape::default());
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "ingesters-die", &members).await;
    for name in members.ingesters() {
        story.fault(&format!("{name} is killed"));
        running.remove(&name).expect("it runs").kill();
        story.recovered().await;
        members.start(&mut running, &name);
        members.settled(3).await;
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_leader_is_fenced() {
    zombie("zombie", Duration::from_secs(1), |_| Heavy::none()).await;
}

/// A leader that stops and goes on again finds that others lead, and what it believes harms nobody: not even who slept as
/// long as it did, and asks it first.
pub async fn zombie(name: &str, stop: Duration, heavy: impl FnOnce(&Members) -> Heavy) {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 2)];
    let members = cluster(Shape { seats, ..Shape::default() });
    let running = members.start_all().await;
    members.settled(3).await;
    let heavy = heavy(&members);
    let mut story = Story::begin(FOLDER, name, &members).await;
    story.queriers.withdraw("querier-1").await;
    story.witness(Doors::new(vec![members.seat("querier-1").named()]));
    for name in members.ingesters() {
        story.fault(&format!("{name} stops for {} s", stop.as_secs()));
        running[&name].pause();
        running["querier-1"].pause();
        story.recovered().await;
        tokio::time::sleep(stop).await;
        story.fault(&format!("{name} goes on"));
        running["querier-1"].resume();
        running[&name].resume();
        members.settled(3).await;
        story.recovered().await;
    }
    heavy.end().await;
    story.end().await;
}

/// An ingester that lost its disk comes back as another member, and is filled again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_filled_again_under_load() {
    let members = cluster(Shape::default());
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "disk-lost", &members).await;
    let before = id(&members, "ingester-1").await;
    story.fault("ingester-1 loses its disk");
    running.remove("ingester-1").expect("it runs").kill();
    std::fs::remove_dir_all(members.data("ingester-1")).expect("removed");
    story.recovered().await;
    story.fault("ingester-1 comes back, empty");
    members.start(&mut running, "ingester-1");
    members.settled(3).await;
    story.recovered().await;
    assert_ne!(id(&members, "ingester-1").await, before, "it votes as the one that forgot");
    // The new one carries its part: now another may go.
    story.fault("ingester-0 is killed then");
    running.remove("ingester-0").expect("it runs").kill();
    story.recovered().await;
    story.end().await;
}

/// Shards move to new ingesters, and back when those go, one at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_shrinks_under_load() {
    const PLACEMENT: &str = "replicas = 3\nreplace_after = \"2s\"\ninterval = \"200ms\"";
    let mut members = cluster(Shape { placement: PLACEMENT, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "grow-and-shrink", &members).await;
    story.fault("3 ingesters become 5");
    for _ in 0..2 {
        let name = members.grow(PROGRAM, Role::Ingester, PLACEMENT);
        members.start(&mut running, &name);
    }
    for name in ["ingester-3", "ingester-4"] {
        until(&format!("{name} holds shards"), async || held(&members, name).await > 0).await;
    }
    members.settled(3).await;
    story.recovered().await;
    story.fault("5 ingesters become 3");
    for name in ["ingester-4", "ingester-3"] {
        let end = running.remove(name).expect("it runs").terminate();
        assert_eq!(end.status.code(), Some(0), "{name}: {}", end.stderr);
        until(&format!("{name} holds no shard"), async || held(&members, name).await == 0).await;
        members.settled(3).await;
    }
    story.recovered().await;
    story.end().await;
}

/// How many shards a member holds.
async fn held(members: &Members, name: &str) -> usize {
    let ring = members.ring().await;
    let groups = ring["groups"].as_array().expect("groups");
    groups.iter().filter(|g| g["name"] != "control" && g["replicas"].to_string().contains(name)).count()
}

/// Which node a member is in Raft.
async fn id(members: &Members, name: &str) -> String {
    let ring = members.ring().await;
    let mut live = ring["members"]["live"].as_array().expect("members").iter();
    let member = live.find(|member| member["name"] == name).expect("a member");
    member["id"].as_str().expect("an id").to_owned()
}
