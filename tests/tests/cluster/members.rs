//! A cluster of processes whose members die, stop, lose their disks and are replaced, while it is written and read.

use model::Role;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{Ledger, Push, Sender};
use ouro_tests::members::{Members, Running, Shape};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ouro-under-test");

fn cluster(shape: Shape<'_>) -> Members {
    Members::new(PROGRAM, shape)
}

/// Pushes without a pause; what fails is sent again, as agents do. At the end: the book, and how many pushes failed.
struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(Ledger, Vec<String>)>,
}

impl Load {
    fn begin(to: Client, tenant: &str) -> Load {
        let (stop, sender) = (Arc::new(AtomicBool::new(false)), Sender::new(tenant));
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut ledger, mut failed) = (Ledger::default(), Vec::new());
            while !told.load(Ordering::Relaxed) {
                let push = sender.push();
                while !send(&to, &push, &mut ledger, &mut failed).await {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (ledger, failed)
        });
        Load { stop, task }
    }

    async fn end(self) -> (Ledger, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the load ends")
    }
}

async fn send(to: &Client, push: &Push, ledger: &mut Ledger, failed: &mut Vec<String>) -> bool {
    match push.send(to).await {
        Ok(answer) if answer.status == 204 => {
            ledger.acked(push);
            true
        }
        other => {
            ledger.unsure(push);
            failed.push(format!("{other:?}"));
            false
        }
    }
}

/// Waits until a push goes through, and says how long that took.
async fn written_again(members: &Members, ledger: &mut Ledger, sender: &Sender) -> Duration {
    let begun = Instant::now();
    let (push, client) = (sender.push(), members.push());
    until("the cluster can be written", async || ledger.try_send(&client, &push).await).await;
    begun.elapsed()
}

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

#[tokio::test]
async fn any_ingester_may_die_under_load() {
    let members = cluster(Shape::default());
    let mut running = members.start_all().await;
    members.settled(3).await;
    let load = Load::begin(members.push(), "die");
    let (sender, mut ledger) = (Sender::new("between"), Ledger::default());
    for name in members.ingesters() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        running.remove(&name).expect("it runs").kill();
        let took = written_again(&members, &mut ledger, &sender).await;
        println!("{name} died: written again after {} ms", took.as_millis());
        ledger.check(&members.read(), &format!("without {name}")).await;
        members.start(&mut running, &name);
        members.settled(3).await;
    }
    let (loaded, failed) = load.end().await;
    println!("{} pushes had to be sent again", failed.len());
    loaded.check(&members.read(), "after all deaths").await;
    ledger.check(&members.read(), "after all deaths").await;
}

/// A leader that stops and goes on again finds that others lead, and what it believes harms nobody.
#[tokio::test]
async fn a_zombie_leader_is_fenced() {
    let members = cluster(Shape::default());
    let running = members.start_all().await;
    members.settled(3).await;
    let load = Load::begin(members.push(), "zombie");
    let (sender, mut ledger) = (Sender::new("meanwhile"), Ledger::default());
    for name in members.ingesters() {
        running[&name].pause();
        let took = written_again(&members, &mut ledger, &sender).await;
        println!("{name} stopped: written again after {} ms", took.as_millis());
        tokio::time::sleep(Duration::from_secs(4)).await;
        running[&name].resume();
        members.settled(3).await;
        ledger.check(&members.read(), &format!("{name} goes on")).await;
    }
    let (loaded, _) = load.end().await;
    loaded.check(&members.read(), "after all stops").await;
}

/// An ingester that lost its disk comes back as another member, and is filled again.
#[tokio::test]
async fn a_lost_disk_is_filled_again() {
    let members = cluster(Shape::default());
    let mut running = members.start_all().await;
    members.settled(3).await;
    let (sender, mut ledger) = (Sender::new("disk"), Ledger::default());
    ledger.send_some(&members.push(), &sender, 40).await;
    running.remove("ingester-1").expect("it runs").kill();
    std::fs::remove_dir_all(members.data("ingester-1")).expect("removed");
    ledger.check(&members.read(), "without the disk").await;
    members.start(&mut running, "ingester-1");
    members.settled(3).await;
    ledger.send_some(&members.push(), &sender, 10).await;
    // The new one carries its part: now another may go.
    running.remove("ingester-0").expect("it runs").kill();
    written_again(&members, &mut ledger, &sender).await;
    ledger.check(&members.read(), "after another's death").await;
}

/// Everything is restarted, one after the other, and nobody who writes notices.
#[tokio::test]
async fn a_rolling_restart_fails_no_request() {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 2), (Role::Querier, 1)];
    let members = cluster(Shape { seats, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let load = Load::begin(members.client("distributor-1"), "roll");
    for name in ["ingester-0", "ingester-1", "ingester-2", "querier-0", "distributor-0"] {
        let end = running.remove(name).expect("it runs").terminate();
        assert_eq!(end.status.code(), Some(0), "{name}: {}", end.stderr);
        members.start(&mut running, name);
        if name.starts_with("ingester") {
            members.settled(3).await;
        } else {
            members.ready(name).await;
        }
    }
    let (ledger, failed) = load.end().await;
    assert!(failed.is_empty(), "{} pushes failed: {:?}", failed.len(), &failed[..failed.len().min(3)]);
    ledger.check(&members.read(), "after the restart of all").await;
}

/// Shards move to new ingesters, and back when those go, one at a time.
#[tokio::test]
async fn a_cluster_grows_and_shrinks_under_load() {
    const PLACEMENT: &str = "replicas = 3\nreplace_after = \"2s\"\ninterval = \"200ms\"";
    let mut members = cluster(Shape { placement: PLACEMENT, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let load = Load::begin(members.push(), "grow");
    for _ in 0..2 {
        let name = members.grow(PROGRAM, Role::Ingester, PLACEMENT);
        members.start(&mut running, &name);
    }
    let held = async |members: &Members, name: &str| -> usize {
        let ring = members.ring().await;
        let groups = ring["groups"].as_array().expect("groups").clone();
        let holds = |g: &&serde_json::Value| g["name"] != "control" && g["replicas"].to_string().contains(name);
        groups.iter().filter(holds).count()
    };
    for name in ["ingester-3", "ingester-4"] {
        until(&format!("{name} holds shards"), async || held(&members, name).await > 0).await;
    }
    members.settled(3).await;
    for name in ["ingester-4", "ingester-3"] {
        let end = running.remove(name).expect("it runs").terminate();
        assert_eq!(end.status.code(), Some(0), "{name}: {}", end.stderr);
        until(&format!("{name} holds no shard"), async || held(&members, name).await == 0).await;
        members.settled(3).await;
    }
    let (ledger, failed) = load.end().await;
    println!("{} pushes had to be sent again", failed.len());
    ledger.check(&members.read(), "after growing and shrinking").await;
}

/// Two clusters whose members sit at each other's addresses never mix.
#[tokio::test]
async fn two_clusters_never_merge() {
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1)];
    let shape = |name| Shape { name, seats, placement: "replicas = 1" };
    let (one, mut other) = (cluster(shape("one")), cluster(shape("other")));
    let first = one.start_all().await;
    let (sender, mut ledger) = (Sender::new("one"), Ledger::default());
    ledger.send_some(&one.push(), &sender, 4).await;
    // A querier of the other one is sent to the first one's ingester.
    let at = other.seat_at("querier-0");
    other.misdirect(at, &one);
    let mut lost = Running::new();
    other.start(&mut lost, "querier-0");
    until("the foreign member is refused", async || {
        one.client("ingester-0").meter("ouro_tls_refused_total").await > 0.0
    })
    .await;
    let names = one.ring().await["members"].to_string();
    assert_eq!(names.matches("querier-0").count(), 1, "{names}");
    let answer = other.client("querier-0").ask("", "/ready", &[]).await.expect("an answer");
    answer.is("a querier that found nobody", 503, &["no shard is known"]);
    ledger.check(&one.read(), "with a stranger at the door").await;
    drop(first);
}
