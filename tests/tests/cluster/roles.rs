//! The services that work by themselves, as members of a cluster: the ruler and the compactor.

use crate::FOLDER;
use model::Role;
use model::rows::STALE_NAN_BITS;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{Ledger, Sender, now_ms};
use ouro_tests::members::{Members, Shape};
use ouro_tests::remote_write::{Native, Series};
use ouro_tests::story::Story;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

fn cluster(with: (Role, usize)) -> Members {
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1), with];
    crate::cluster(Shape { seats, placement: "replicas = 1", ..Shape::default() })
}

/// A cluster whose ruler records series of tenant `ruled` every second.
fn ruled() -> Members {
    let mut members = cluster((Role::Ruler, 1));
    let folder = members.data("rules");
    std::fs::create_dir_all(folder.join("ruled")).expect("a folder");
    let rules = "groups:\n- name: doubled\n  interval: 1s\n  rules:\n  - record: doubled\n    expr: 2 * sum(base)\n  \
                 - record: merged\n    expr: 2 * sum(native)\n";
    std::fs::write(folder.join("ruled/rules.yaml"), rules).expect("written");
    let at = members.seat_at("ruler-0");
    members.write(at, "", &format!("[ruler]\nfolder = {folder:?}\ninterval = \"1s\"\n"));
    members
}

/// Writes a series of tenant `ruled`.
async fn write(client: &Client, series: Series) {
    let body = wire::snappy::compress(&ouro_tests::remote_write::v1(&[series]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "ruled")];
    let sent = client.send("POST", "/api/v1/push", &headers, body).await;
    sent.expect("an answer").is("a sample", 204, &[]);
}

/// Writes what the rule is about.
async fn write_base(client: &Client) {
    write(client, Series::new(&[("__name__", "base")], &[(now_ms(), 21.0)])).await;
}

/// A rule's series is recorded by one process from what another answers and a third stores.
#[tokio::test]
async fn a_rule_is_recorded_by_a_ruler() {
    let members = ruled();
    let mut running = members.start_all().await;
    write_base(&members.push()).await;
    let read = members.read();
    until("the rule is recorded", async || {
        let found = read.json("ruled", "/prometheus/api/v1/query", &[("query", "doubled")]).await;
        found["data"]["result"][0]["value"][1] == "42"
    })
    .await;
    assert_eq!(running.remove("ruler-0").expect("it runs").terminate().status.code(), Some(0));
}

/// A rule whose answer is a native histogram records it whole, and ends its series with what it was made of.
#[tokio::test]
async fn a_histogram_is_recorded_by_a_ruler() {
    let members = ruled();
    let _running = members.start_all().await;
    let (push, read) = (members.push(), members.read());
    let native = |samples: &[(i64, f64)]| Series::new(&[("__name__", "native")], samples);
    let histogram = Native { time: now_ms(), sum: 12.5, offset: 1, buckets: vec![2, 0, 4] };
    write(&push, Series { histograms: vec![histogram], ..native(&[]) }).await;
    let found = async || {
        let found = read.json("ruled", "/prometheus/api/v1/query", &[("query", "merged")]).await;
        found["data"]["result"].as_array().expect("a result").clone()
    };
    until("the rule is recorded", async || !found().await.is_empty()).await;
    let want = json!({"count": "12", "sum": "25", "buckets": [[0, "1", "2", "4"], [0, "4", "8", "8"]]});
    assert_eq!(found().await[0]["histogram"][1], want);
    members.client("ingester-0").flush().await;
    assert_eq!(found().await[0]["histogram"][1], want, "in a segment");
    // Long before anything is too old to be seen.
    write(&push, native(&[(now_ms(), f64::from_bits(STALE_NAN_BITS))])).await;
    until("the series has ended", async || found().await.is_empty()).await;
}

/// The times, in Unix seconds, for which the rule was recorded.
async fn recorded(read: &Client) -> Vec<f64> {
    let found = read.whole("ruled", "/prometheus/api/v1/query", &[("query", "doubled[10m]")]).await;
    let values = found["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
    values.iter().map(|value| value[0].as_f64().expect("a time")).collect()
}

/// A ruler that dies leaves a gap as long as it was away, and no second sample for any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ruler_is_killed() {
    let members = ruled();
    let mut running = members.start_all().await;
    let (push, read) = (members.push(), members.read());
    write_base(&push).await;
    let more_than = async |count: usize| {
        until("the rule is recorded", async || {
            write_base(&push).await;
            recorded(&read).await.len() > count
        })
        .await;
    };
    more_than(1).await;
    let (mut away, mut kills) = (Duration::ZERO, 0);
    for _ in 0..3 {
        let (begun, before) = (Instant::now(), recorded(&read).await.len());
        running.remove("ruler-0").expect("it runs").kill();
        members.start(&mut running, "ruler-0");
        more_than(before + 1).await;
        (away, kills) = (away.max(begun.elapsed()), kills + 1);
    }
    let times = recorded(&read).await;
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.fold(0.0, f64::max);
    println!("killed {kills} times: {} samples, the longest gap is {longest:.1} s of at most {away:.1?}", times.len());
    // One evaluation may have been due when it was killed, and one is waited for after the start.
    assert!(longest <= away.as_secs_f64() + 1.0, "{longest} s without a sample: {times:?}");
    let mut seconds: Vec<i64> = times.iter().map(|time| time.floor() as i64).collect();
    seconds.dedup();
    assert_eq!(seconds.len(), times.len(), "an interval has two samples: {times:?}");
}

/// Of two compactors the one that works is killed, again and again, and the other one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compactors_are_killed_under_load() {
    let mut members = cluster((Role::Compactor, 2));
    for name in ["compactor-0", "compactor-1"] {
        let at = members.seat_at(name);
        members.write(at, "", crate::compact::COMPACTOR_SETTINGS);
    }
    let at = members.seat_at("querier-0");
    members.write(at, "", "[querier]\ncatalog_age = \"200ms\"\n");
    let mut running = members.start_all().await;
    let mut story = Story::begin(FOLDER, "compactors-die", &members).await;
    let leads = async |name: &str| members.client(name).meter("ouro_compactor_leads").await == 1.0;
    let blocks = || crate::compact::files(&members.objects().join("blocks")).len();
    for _ in 0..3 {
        let mut leader = String::new();
        until("a compactor leads and writes blocks", async || {
            for name in ["compactor-0", "compactor-1"] {
                if leads(name).await {
                    leader = name.to_owned();
                }
            }
            !leader.is_empty() && blocks() > 0
        })
        .await;
        let other = if leader == "compactor-0" { "compactor-1" } else { "compactor-0" };
        story.fault(&format!("{leader} is killed as it merges"));
        running.remove(&leader).expect("it runs").kill();
        until("the other one leads", async || leads(other).await).await;
        let merged = members.client(other).meter("ouro_compactor_blocks_total").await;
        until("the other one merges", async || {
            members.client(other).meter("ouro_compactor_blocks_total").await > merged
        })
        .await;
        members.start(&mut running, &leader);
        story.recovered().await;
    }
    story.end().await.none();
}

/// Objects that nothing names are swept by a compactor of its own, and no others.
#[tokio::test]
async fn orphans_are_swept_by_a_compactor() {
    let mut members = cluster((Role::Compactor, 1));
    let at = members.seat_at("compactor-0");
    members.write(at, "", "[compactor]\ninterval = \"500ms\"\ngrace = \"1s\"\n");
    let mut running = members.start_all().await;
    let (sender, mut ledger) = (Sender::new("sweep"), Ledger::default());
    ledger.send_some(&members.push(), &sender, 10).await;
    let folder = members.objects().join("segments");
    until("heads are flushed", async || folder.is_dir() && !is_empty(&folder)).await;
    // A flush that came second: the shard has gone on without it.
    let written = folder.read_dir().expect("listed").map(|entry| entry.expect("an entry").path());
    let shard = written.into_iter().find(|shard| !is_empty(shard)).expect("a shard was flushed");
    let orphan = shard.join("0000000000000000-00000000000000ff-9.seg");
    std::fs::create_dir_all(orphan.parent().expect("a parent")).expect("a folder");
    std::fs::write(&orphan, "left by a crash").expect("written");
    until("the orphan is swept", async || !orphan.exists()).await;
    ledger.check(&members.read(), "after the sweep").await;
    assert_eq!(running.remove("compactor-0").expect("it runs").terminate().status.code(), Some(0));
}

/// Whether there is no file yet.
fn is_empty(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.into_iter().all(|path| path.is_dir() && is_empty(&path))
}
