//! The life of a process that nobody hurts: it starts without settings, answers what was just written, and ends when it
//! is asked to.

use crate::home;
use ouro_tests::client::until;
use ouro_tests::ledger::{Ledger, Sender, now_ms};
use ouro_tests::process::Home;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn asked_to_end_it_keeps_everything() {
    let (home, sender, mut ledger) = (home(""), Sender::new("term"), Ledger::default());
    for round in 0..3 {
        let process = home.start();
        println!("start {round} took {:?}: {}", process.took, process.banner.lines().next().unwrap_or_default());
        ledger.check(&process.client(), &format!("start {round}")).await;
        ledger.send_some(&process.client(), &sender, 10).await;
        if round == 1 {
            process.client().flush().await;
        }
        let end = process.terminate();
        assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
        assert!(!end.stderr.contains("ERROR") && !end.stderr.contains("did not end in time"), "{}", end.stderr);
    }
    ledger.check(&home.start().client(), "at last").await;
}

/// A push that is on its way when the process is asked to end is acked and kept, or not acked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_end_under_load() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let (client, sender) = (client.clone(), Sender::new(&format!("end-{n}")));
            tokio::spawn(async move {
                let mut ledger = Ledger::default();
                while ledger.try_send(&client, &sender.push()).await {}
                ledger
            })
        })
        .collect();
    until("writers write", async || client.meter("ouro_pushes_total{outcome=\"stored\"}").await > 80.0).await;
    let end = tokio::task::spawn_blocking(move || process.terminate()).await.expect("no panic");
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger.merge(writer.await.expect("no panic"));
    }
    ledger.check(&home.start().client(), "after the end").await;
}

/// What was acked is in the next answer, whether its rows are in the head, in a flush, or in a segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acked_can_be_read_at_once() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let done = Arc::new(AtomicBool::new(false));
    let flushes = {
        let (client, done) = (client.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                client.flush().await;
            }
        })
    };
    let (sender, tenant) = (Sender::new("now"), "now");
    for n in 0..200 {
        let push = sender.push();
        let answer = push.send(&client).await.expect("the process lives");
        assert_eq!(answer.status, 204, "{}", answer.text);
        let times = || push.rows.iter().map(|row| row.2);
        let span = (times().min().expect("rows"), times().max().expect("rows"));
        let found = match push.is_logs() {
            true => ouro_tests::ledger::read_lines(&client, tenant, span).await,
            false => ouro_tests::ledger::read_samples(&client, tenant, span).await,
        };
        let (mut found, mut want) = (found, push.rows.clone());
        found.sort();
        want.sort();
        assert_eq!(found, want, "push {n}");
    }
    done.store(true, Ordering::Relaxed);
    flushes.await.expect("no panic");
    let flushed = client.meter("ouro_flush_segments_total").await;
    assert!(flushed > 20.0, "only {flushed} segments were flushed meanwhile");
}

/// Without any settings it is up, and soon knows about itself.
#[tokio::test]
async fn it_watches_itself() {
    let home = Home::plain(env!("CARGO_BIN_EXE_ouro-under-test"));
    let process = home.start();
    for line in ["is ready after", "/loki/api/v1/push", "/api/v1/push", "in Grafana"] {
        until_said(&process.banner, line);
    }
    let client = process.client();
    let lines = async || {
        let (start, end) = (format!("{}000000", now_ms() - 3_600_000), format!("{}000000", now_ms() + 60_000));
        let parameters = [("query", "{service=\"ouro\"}"), ("start", &*start), ("end", &end)];
        let answer = client.json("ouro", "/loki/api/v1/query_range", &parameters).await;
        answer["data"]["result"].as_array().is_some_and(|streams| !streams.is_empty())
    };
    let samples = async || {
        let answer = client.json("ouro", "/prometheus/api/v1/query", &[("query", "ouro_build_info")]).await;
        answer["data"]["result"][0]["metric"]["job"] == "ouro"
    };
    until("its own meters are there", samples).await;
    until("its own lines are there", lines).await;
    let found = client.json("anonymous", "/prometheus/api/v1/labels", &[]).await;
    assert_eq!(found["data"], serde_json::json!([]), "nobody else sees them");
}

/// The rest of the banner comes after the line that has the address, so only what is before it is certain.
fn until_said(banner: &str, line: &str) {
    if banner.lines().count() > 2 || line == "is ready after" || line == "/loki/api/v1/push" {
        assert!(banner.contains(line), "{line:?} is not in {banner}");
    }
}

/// Settings that cannot be used end it before anything is bound, and name the key.
#[tokio::test]
async fn bad_settings_are_named() {
    for (settings, words) in [
        ("[ingester.flush]\nage = \"soon\"\n", &["ingester.flush.age", "soon", "settings.toml"][..]),
        ("[ingester]\nmemroy = 1\n", &["memroy", "settings.toml"]),
        ("[shards]\nlogs = 0\n", &["shards.logs"]),
        ("[ingester.consensus.journal]\nsegment_size = \"1KiB\"\n", &["segment_size", "1 KiB"]),
        ("[objects]\nurl = \"ftp://x\"\n", &["ftp://x"]),
    ] {
        let home = Home::plain(env!("CARGO_BIN_EXE_ouro-under-test")).set(settings);
        let Err(end) = home.try_start("") else { panic!("it started with {settings}") };
        let words = words.iter().filter(|word| !end.stderr.contains(**word)).collect::<Vec<_>>();
        assert!(words.is_empty(), "{settings}: {words:?} not in {}", end.stderr);
        let code = if settings.contains("ftp") { 1 } else { 64 };
        assert_eq!(end.status.code(), Some(code), "{settings}: {}", end.stderr);
    }
}

/// Two processes on one data folder: the second refuses, and the first goes on.
#[tokio::test]
async fn a_data_folder_is_one_processes() {
    let (home, sender, mut ledger) = (home(""), Sender::new("two"), Ledger::default());
    let process = home.start();
    ledger.send_some(&process.client(), &sender, 4).await;
    let Err(end) = home.try_start("") else { panic!("two processes on one folder") };
    assert!(end.status.code() == Some(1) && end.stderr.contains("in use by another process"), "{end:?}");
    ledger.send_some(&process.client(), &sender, 4).await;
    ledger.check(&process.client(), "the first goes on").await;
}
