//! The process dies at the worst moments, and every acked row is there once.

use crate::home;
use ouro_tests::client::Client;
use ouro_tests::ledger::{Ledger, Push, Sender};
use ouro_tests::process::{Home, Process};
use std::time::Duration;

/// Flushes, and waits for the death that this is. A flush is answered when it is logged, so those who die later may
/// have answered.
async fn die_in_a_flush(process: Process, point: &str) {
    drop(process.client().try_flush().await);
    let end = process.wait();
    assert!(!end.status.success() && end.stderr.contains(point), "{point}: {end:?}");
}

async fn crash_and_come_back(point: &str) {
    let (home, sender, mut ledger) = (home(""), Sender::new("crash"), Ledger::default());
    // The first start of all places the shards, and cuts the control group's log.
    home.start().kill();
    let process = home.start_with(&format!("{point}=panic"));
    ledger.send_some(&process.client(), &sender, 12).await;
    ledger.check(&process.client(), "before").await;
    die_in_a_flush(process, point).await;

    let process = home.start();
    ledger.check(&process.client(), &format!("after {point}")).await;
    ledger.send_some(&process.client(), &sender, 4).await;
    process.client().flush().await;
    ledger.check(&process.client(), &format!("flushed after {point}")).await;
    process.kill();

    let process = home.start();
    ledger.check(&process.client(), &format!("flushed after {point}, and started again")).await;
}

macro_rules! crash_in_a_flush {
    ($($name:ident: $point:literal,)*) => { $(
        #[tokio::test]
        async fn $name() {
            crash_and_come_back($point).await;
        }
    )* };
}

crash_in_a_flush! {
    after_the_cut: "flush::after_cut",
    after_the_encoding: "flush::after_encode",
    after_the_upload: "flush::after_upload",
    after_the_catalog: "flush::after_catalog",
    after_the_flush_is_logged: "flush::after_flushed",
    between_snapshot_and_cut: "consensus::compact_after_snapshot",
}

/// The same death twice, then another with new rows in between.
#[tokio::test]
async fn one_crash_after_the_other() {
    let (home, sender, mut ledger) = (home(""), Sender::new("again"), Ledger::default());
    let points = [
        "flush::after_upload",
        "flush::after_upload",
        "flush::after_catalog",
        "flush::after_catalog",
        "consensus::compact_after_snapshot",
        "flush::after_cut",
        "flush::after_flushed",
    ];
    for (at, point) in points.into_iter().enumerate() {
        let process = home.start_with(&format!("{point}=panic"));
        ledger.check(&process.client(), &format!("start {at}, before {point}")).await;
        ledger.send_some(&process.client(), &sender, 4).await;
        die_in_a_flush(process, point).await;
    }
    let process = home.start();
    ledger.check(&process.client(), "at last").await;
    process.client().flush().await;
    ledger.check(&process.client(), "at last, flushed").await;
    assert_eq!(process.terminate().status.code(), Some(0));
    ledger.check(&home.start().client(), "at last, flushed, and started again").await;
}

/// Pushes until the process dies; a push without an answer is sent again to the next one.
async fn push_until_death(process: &mut Process, sender: &Sender, ledger: &mut Ledger, again: &mut Vec<Push>) {
    let client = process.client();
    for push in std::mem::take(again) {
        if !ledger.try_send(&client, &push).await {
            again.push(push);
        }
    }
    for _ in 0..400 {
        let push = sender.push();
        if !ledger.try_send(&client, &push).await {
            again.push(push);
            if !process.is_running() {
                return;
            }
        }
    }
    panic!("400 pushes, and the process lives");
}

/// A round of the log that was never written, one that was written and not acked, and one that was not applied.
async fn die_in_a_round(point: &str, rounds: &[u32]) {
    let (home, sender, mut ledger, mut again) = (home(""), Sender::new("round"), Ledger::default(), Vec::new());
    for skip in rounds {
        // The first rounds belong to the start, so a process may die before it says that it is ready.
        match home.try_start(&format!("{point}={skip}*off->panic")) {
            Ok(mut process) => {
                push_until_death(&mut process, &sender, &mut ledger, &mut again).await;
                let end = process.wait();
                assert!(end.stderr.contains(point), "{point} after {skip}: {end:?}");
            }
            Err(end) => assert!(end.stderr.contains(point), "{point} after {skip}: {end:?}"),
        }
    }
    let process = home.start();
    ledger.check(&process.client(), &format!("after {point}")).await;
    for push in again {
        ledger.send(&process.client(), &push).await;
    }
    ledger.check(&process.client(), &format!("after {point}, and what was not acked sent again")).await;
    process.client().flush().await;
    ledger.check(&process.client(), &format!("after {point}, flushed")).await;
    let (lines, samples) = ledger.acked_rows();
    assert!(lines > 0 && samples > 0, "{point}: nothing was acked");
}

#[tokio::test]
async fn before_a_round_is_written() {
    die_in_a_round("consensus::before_append", &[2, 60, 9, 90]).await;
}

#[tokio::test]
async fn after_a_round_is_written() {
    die_in_a_round("consensus::after_append", &[2, 60, 9, 90]).await;
}

#[tokio::test]
async fn before_a_round_is_applied() {
    die_in_a_round("consensus::before_apply", &[2, 60, 9, 90]).await;
}

/// A writer that sends each body until it is acked, wherever the process is at the moment.
async fn write(sender: Sender, bodies: usize, at: tokio::sync::watch::Receiver<Client>) -> Ledger {
    let mut ledger = Ledger::default();
    for _ in 0..bodies {
        let push = sender.push();
        loop {
            let client = at.borrow().clone();
            if ledger.try_send(&client, &push).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    ledger
}

/// Waits until so many more pushes were stored, and begins flushes meanwhile.
async fn load(client: &Client, pushes: f64) {
    let stored = client.meter("ouro_pushes_total{outcome=\"stored\"}").await;
    ouro_tests::client::until("writers go on", async || {
        client.begin_flush().await;
        client.meter("ouro_pushes_total{outcome=\"stored\"}").await >= stored + pushes
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_three_times() {
    let home: Home = home("");
    let mut process = home.start();
    let (at, watched) = tokio::sync::watch::channel(process.client());
    let writers: Vec<_> =
        (0..4).map(|n| tokio::spawn(write(Sender::new(&format!("load-{n}")), 150, watched.clone()))).collect();
    for _ in 0..3 {
        load(&process.client(), 60.0).await;
        process.kill();
        process = home.start();
        at.send_replace(process.client());
    }
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger.merge(writer.await.expect("no panic"));
    }
    ledger.check(&process.client(), "after three kills").await;
    process.client().flush().await;
    process.kill();
    let process = home.start();
    ledger.check(&process.client(), "after three kills, flushed and killed again").await;
}
