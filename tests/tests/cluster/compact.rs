//! Segments become blocks under the readers' eyes, compactors die in the midst of it, and every acked row is there once.

use model::Role;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{LOKI, Ledger, Sender, now_ms, read_lines, read_samples};
use ouro_tests::members::{Members, Shape};
use ouro_tests::process::{Home, Process};
use std::path::{Path, PathBuf};

/// Merges what was just flushed, and deletes what was replaced after some seconds: only rules keep readers whole, no
/// long graces.
pub const COMPACTOR_SETTINGS: &str = r#"
[compactor]
interval = "200ms"
segment_age = "0s"
window = "4s"
fan_in = 3
grace = "6s"
lease = "1s"
"#;
const QUERIER_SETTINGS: &str = "[querier]\ncatalog_age = \"200ms\"\n";

fn home() -> Home {
    crate::home(&format!("{COMPACTOR_SETTINGS}{QUERIER_SETTINGS}"))
}

/// All objects in a folder and its folders. What a process was writing when it died has a `#` in its name.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let all = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| !path.to_string_lossy().contains('#')).collect()
}

/// Waits until only blocks are left, and as many objects as the catalog names.
async fn all_merged(client: &Client, objects: &Path) {
    until("all is merged and swept", async || {
        let segments = client.meter("ouro_compactor_objects{kind=\"segment\"}").await;
        let blocks = client.meter("ouro_compactor_objects{kind=\"block\"}").await;
        let found = files(objects);
        println!("{segments} segments and {blocks} blocks are named, {} objects are there", found.len());
        segments == 0.0 && blocks > 0.0 && found.len() as f64 == blocks
    })
    .await;
}

/// Some pushes of three tenants, flushed.
async fn write(ledger: &mut Ledger, senders: &[Sender; 3], client: &Client) {
    for sender in senders {
        ledger.send_some(client, sender, 2).await;
    }
    client.flush().await;
}

fn senders(name: &str) -> [Sender; 3] {
    ["a", "b*(c)", "d"].map(|tenant| Sender::new(&format!("{name}-{tenant}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_there_once_while_they_are_merged() {
    let settings = format!("{COMPACTOR_SETTINGS}{QUERIER_SETTINGS}").replace("\"200ms\"", "\"10ms\"");
    let (home, senders, mut ledger) = (crate::home(&settings), senders("merge"), Ledger::default());
    let process = home.start();
    let client = process.client();
    // Heads are flushed, and what they were is merged, while a query is on its way from the ones to the others.
    let flushes = {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                client.flush().await;
            }
        })
    };
    for round in 0..30 {
        for sender in &senders {
            ledger.send_some(&client, sender, 2).await;
        }
        ledger.check(&client, &format!("round {round}")).await;
    }
    flushes.abort();
    client.flush().await;
    let jobs = client.meter("ouro_compactor_jobs_total").await;
    assert!(jobs >= 4.0, "only {jobs} merges ran under the readers' eyes");
    until("the last window is over", async || {
        ledger.check(&client, "while the rest is merged").await;
        client.meter("ouro_compactor_objects{kind=\"segment\"}").await == 0.0
    })
    .await;
    all_merged(&client, &home.data().join("objects")).await;
    ledger.check(&client, "all merged").await;
    let rewritten = client.meter("ouro_compactor_rows_total").await;
    let (lines, samples) = ledger.acked_rows();
    assert!(rewritten <= 3.0 * (lines + samples) as f64, "{rewritten} rows were written again");
    process.kill();

    let process = home.start();
    ledger.check(&process.client(), "all merged, and started again").await;
    write(&mut ledger, &senders, &process.client()).await;
    ledger.check(&process.client(), "with new segments beside blocks").await;
}

/// A flush hangs between the catalog and the log, and what it wrote is merged meanwhile: the head still has the rows that
/// a block has, too. Readers wait for the flush rather than see them twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_overtakes_a_flush_shows_no_row_twice() {
    let settings = format!("{COMPACTOR_SETTINGS}{QUERIER_SETTINGS}").replace("\"200ms\"", "\"10ms\"");
    let home = crate::home(&settings.replace("\"4s\"", "\"20ms\""));
    let (sender, mut ledger) = (Sender::new("overtake"), Ledger::default());
    let process = home.start_with("flush::after_catalog=1*sleep(1200)");
    let client = process.client();
    ledger.send_some(&client, &sender, 4).await;
    client.begin_flush().await;
    until("both signals are flushed and merged", async || {
        ledger.check(&client, "while a flush hangs").await;
        client.meter("ouro_flush_segments_total").await >= 2.0
            && client.meter("ouro_compactor_objects{kind=\"block\"}").await >= 2.0
    })
    .await;
    ledger.check(&client, "once it went on").await;
}

async fn die_in_a_merge(point: &str) {
    let (home, senders, mut ledger) = (home(), senders("die"), Ledger::default());
    for skip in [0, 2] {
        let mut process = home.start_with(&format!("{point}={skip}*off->panic"));
        // The process may die while it is written to, and what was not answered may be there or not.
        for _ in 0..400 {
            for sender in &senders {
                let push = sender.push();
                ledger.try_send(&process.client(), &push).await;
            }
            drop(process.client().try_flush().await);
            if !process.is_running() {
                break;
            }
        }
        let end = process.wait();
        assert!(!end.status.success() && end.stderr.contains(point), "{point}: {end:?}");
    }
    let process = home.start();
    ledger.check(&process.client(), &format!("after {point}")).await;
    write(&mut ledger, &senders, &process.client()).await;
    all_merged(&process.client(), &home.data().join("objects")).await;
    ledger.check(&process.client(), &format!("after {point}, all merged")).await;
}

macro_rules! die {
    ($($name:ident: $point:literal,)*) => { $(
        #[tokio::test]
        async fn $name() {
            die_in_a_merge($point).await;
        }
    )* };
}

die! {
    before_a_block_is_uploaded: "compact::before_upload",
    after_a_block_is_uploaded: "compact::after_upload",
    before_the_catalog_replaces: "compact::before_replace",
    after_the_catalog_has_replaced: "compact::after_replace",
    after_an_object_is_deleted: "compact::after_delete",
}

/// Retention that changes while the process runs: rows go at once for readers, and then from the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_changes_while_it_runs() {
    let (mut home, mut kept) = (home(), Ledger::default());
    let (short, long) = (Sender::new("short"), Sender::new("long"));
    let process = home.start();
    let client = process.client();
    for _ in 0..4 {
        for _ in 0..4 {
            let push = short.push();
            assert_eq!(push.send(&client).await.expect("an answer").status, 204);
            if !push.is_logs() {
                kept.acked(&push);
            }
        }
        kept.send_some(&client, &long, 4).await;
        client.flush().await;
    }
    let span = (short.base, short.base + 1000);
    let lines = async || read_lines(&client, "short", (span.0 * 1_000_000, span.1 * 1_000_000)).await.len();
    assert_eq!(lines().await, 8 * 12);
    let both = format!("{COMPACTOR_SETTINGS}{QUERIER_SETTINGS}");
    // A file that cannot be used changes nothing, and is named.
    home.change_with(&format!("{both}[tenants.short]\nretention = {{ logs = \"soon\" }}\n"));
    until("the mistake is named", async || process.stderr().contains("the limits stay as they are")).await;
    assert!(process.stderr().contains("soon"), "{}", process.stderr());
    assert_eq!(lines().await, 8 * 12);

    home.change_with(&format!("{both}[tenants.short]\nretention = {{ logs = \"10m\" }}\n"));
    until("old lines are not shown any more", async || lines().await == 0).await;
    kept.check(&client, "with a shorter retention").await;
    let objects = home.data().join("objects");
    all_merged(&client, &objects).await;
    kept.check(&client, "with a shorter retention, all merged").await;
    let left = |folder: &str| files(&objects.join("blocks").join(folder)).len();
    until("their blocks are gone", async || left("short/logs") == 0).await;
    assert!(left("short/metrics") > 0 && left("long/logs") > 0, "{:?}", files(&objects));

    home.change_with(&both);
    until("the limit is gone", async || process.stderr().contains("tenants.short.retention: nothing")).await;
    assert_eq!(lines().await, 0, "what was deleted does not come back");
    assert_eq!(read_samples(&client, "short", span).await.len(), 8 * 5);
}

fn leads(process: &Process) -> bool {
    let said = process.stderr();
    said.matches("this compactor has the lease").count() > said.matches("the lease is lost").count()
}

/// One of two works. When it dies or stands still the other goes on, and one that stood still notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_compactors_one_works() {
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1), (Role::Compactor, 2)];
    let shape = Shape { seats, placement: "replicas = 1", ..Shape::default() };
    let mut members = Members::new(env!("CARGO_BIN_EXE_ouro-under-test"), shape);
    members.write(members.seat_at("querier-0"), "", QUERIER_SETTINGS);
    let names = ["compactor-0", "compactor-1"];
    names.iter().for_each(|name| members.write(members.seat_at(name), "", COMPACTOR_SETTINGS));
    let mut running = members.start_all().await;
    let (push, read) = (members.push(), members.read());
    let (sender, mut ledger) = (Sender::new("two"), Ledger::default());
    let blocks = members.objects().join("blocks");
    let mut merged = 0;
    for round in 0..3 {
        until("one has the lease", async || names.iter().filter(|name| leads(&running[**name])).count() == 1).await;
        until("rows are merged", async || {
            ledger.send_some(&push, &sender, 4).await;
            ledger.check(&read, &format!("round {round}")).await;
            files(&blocks).len() > merged
        })
        .await;
        let leader = usize::from(leads(&running[names[1]]));
        let (leader, other) = (names[leader], names[1 - leader]);
        assert!(!running[other].stderr().contains("merged"), "the other one works, too");
        if round == 1 {
            running[leader].pause();
            until("the other one goes on", async || leads(&running[other])).await;
            ledger.send_some(&push, &sender, 4).await;
            running[leader].resume();
            until("the first one notices", async || !leads(&running[leader])).await;
            ledger.check(&read, "after one stood still").await;
        }
        running.remove(leader).expect("it runs").kill();
        merged = files(&blocks).len();
        members.start(&mut running, leader);
    }
    ledger.check(&read, "at last").await;
    for name in names {
        let end = running.remove(name).expect("it runs").terminate();
        assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    }
}

/// Lines that a selector names are kept for a shorter time than the others: hidden at once, then gone, and the others stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selector_has_a_shorter_retention() {
    let mut home = home();
    let process = home.start();
    let client = process.client();
    let old = (now_ms() - 600_000) * 1_000_000;
    for batch in 0..4 {
        let of = |app: &str| {
            let lines: Vec<_> =
                (0..5).map(|n| serde_json::json!([(old + batch * 10 + n).to_string(), format!("line {n}")])).collect();
            serde_json::json!({"stream": {"app": app}, "values": lines})
        };
        let body = serde_json::json!({"streams": [of("debug"), of("audit")]}).to_string();
        let headers = [("content-type", "application/json"), ("x-scope-orgid", "short")];
        client.send("POST", LOKI, &headers, body).await.expect("an answer").is("lines", 204, &[]);
        client.flush().await;
    }
    let count = async |app: &str| {
        let query = format!("sum(count_over_time({{app=\"{app}\"}}[1h]))");
        let found = client.whole("short", "/loki/api/v1/query", &[("query", &query)]).await;
        found["data"]["result"][0]["value"][1].as_str().unwrap_or("0").to_owned()
    };
    assert_eq!((count("debug").await, count("audit").await), ("20".into(), "20".into()));
    let both = format!("{COMPACTOR_SETTINGS}{QUERIER_SETTINGS}");
    let shorter = |selector: &str| {
        format!("{both}[tenants.short]\nretention = {{ shorter = [{{ logs = '{selector}', keep = \"5m\" }}] }}\n")
    };
    home.change_with(&shorter("{app=}"));
    until("the mistake is named", async || process.stderr().contains("limits of tenant short: retention.shorter"))
        .await;
    assert_eq!(count("debug").await, "20");

    home.change_with(&shorter("{app=\"debug\"}"));
    until("they are not shown any more", async || count("debug").await == "0").await;
    assert_eq!(count("audit").await, "20");
    let objects = home.data().join("objects");
    all_merged(&client, &objects).await;
    until("they are gone", async || {
        let named: Vec<serde_json::Value> = serde_json::from_str(&client.text("/catalog").await).expect("JSON");
        named.iter().map(|object| object["rows"].as_u64().expect("rows")).sum::<u64>() == 20
    })
    .await;
    home.change_with(&both);
    until("the limit is gone", async || process.stderr().contains("tenants.short.retention: nothing")).await;
    assert_eq!((count("debug").await, count("audit").await), ("0".into(), "20".into()));
}
