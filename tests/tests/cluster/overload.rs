//! Too much is refused with words for whoever sent it, and only for as long as it is too much.

use crate::home;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{Ledger, Push, Sender};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pushes one signal until it is refused with 503; gives the refused one.
async fn until_refused(client: &Client, ledger: &mut Ledger, next: impl Fn() -> Push, words: &[&str]) -> Push {
    for _ in 0..4000 {
        let push = next();
        let answer = push.send(client).await.expect("the process lives");
        if answer.status == 204 {
            ledger.acked(&push);
            continue;
        }
        answer.is("over the limit", 503, words);
        assert!(answer.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait >= 1)));
        ledger.unsure(&push);
        return push;
    }
    panic!("never refused");
}

async fn heads_are_bounded(limit: &str, next: impl Fn() -> Push) {
    let home = home(&format!("[ingester.memory]\nheads = \"{limit}\"\n"));
    let mut ledger = Ledger::default();
    let process = home.start();
    let client = process.client();
    for _ in 0..3 {
        let refused = until_refused(&client, &mut ledger, &next, &[limit_text(limit), "ingester.memory.heads"]).await;
        // Nobody asks for a flush: who is refused must not have to.
        until("heads have room again", async || refused.send(&client).await.is_ok_and(|a| a.status == 204)).await;
        ledger.acked(&refused);
        ledger.check(&client, "after a refusal").await;
    }
    process.kill();
    ledger.check(&home.start().client(), "started again").await;
}

/// As errors show it.
fn limit_text(limit: &str) -> &str {
    if limit == "64KiB" { "64 KiB" } else { "16 KiB" }
}

#[tokio::test]
async fn heads_of_logs_are_bounded() {
    let sender = Sender::padded("heads", 1000);
    heads_are_bounded("16KiB", || sender.logs()).await;
}

/// The series of many tenants take more than their samples.
#[tokio::test]
async fn heads_of_metrics_are_bounded() {
    let senders: Vec<Sender> = (0..100).map(|n| Sender::new(&format!("heads-{n}"))).collect();
    let turn = AtomicUsize::new(0);
    heads_are_bounded("64KiB", || senders[turn.fetch_add(1, Ordering::Relaxed) % senders.len()].samples()).await;
}

/// Many at once go over a budget of bytes on their way; each is stored or refused in words, and goes in later.
async fn at_once(settings: &str, words: &[&str]) {
    let home = home(settings);
    let (sender, mut ledger) = (Sender::padded("once", 20_000), Ledger::default());
    let process = home.start();
    let client = process.client();
    let pushes: Vec<Push> = (0..40).map(|_| sender.logs()).collect();
    let sent = pushes.into_iter().map(|push| {
        let client = client.clone();
        tokio::spawn(async move { (push.send(&client).await.expect("the process lives"), push) })
    });
    let (mut refused, mut stored) = (Vec::new(), 0);
    for done in sent.collect::<Vec<_>>() {
        let (answer, push) = done.await.expect("no panic");
        if answer.status == 204 {
            ledger.acked(&push);
            stored += 1;
            continue;
        }
        answer.is("over the budget", 503, words);
        assert!(answer.header("retry-after").is_some());
        refused.push(push);
    }
    assert!(stored > 0 && !refused.is_empty(), "{stored} stored, {} refused", refused.len());
    for push in refused {
        ledger.send(&client, &push).await;
    }
    ledger.check(&client, "all sent").await;
}

#[tokio::test]
async fn pushes_on_their_way_are_bounded() {
    at_once("[distributor]\ninflight = \"1MiB\"\n", &["distributor.inflight", "1 MiB"]).await;
}

#[tokio::test]
async fn batches_on_their_way_are_bounded() {
    at_once("[ingester.memory]\nin_flight = \"64KiB\"\n", &["ingester.memory.in_flight", "64 KiB"]).await;
}

/// A tenant that is held to its rate leaves the others alone.
#[tokio::test]
async fn a_rate_is_a_tenants_own() {
    let home = home("[tenants.slow]\ningestion_rate = \"2KiB\"\ningestion_burst = \"20KiB\"\n");
    let (slow, fast) = (Sender::padded("slow", 500), Sender::padded("fast", 500));
    let mut ledger = Ledger::default();
    let process = home.start();
    let client = process.client();
    let mut limited = None;
    for _ in 0..40 {
        let push = slow.logs();
        let answer = push.send(&client).await.expect("the process lives");
        if answer.status == 204 {
            ledger.acked(&push);
        } else {
            answer.is("over the rate", 429, &["slow", "2 KiB", "limits.ingestion_rate", "limits.ingestion_burst"]);
            assert!(answer.header("retry-after").is_some());
            limited.get_or_insert(push);
        }
        ledger.send(&client, &fast.push()).await;
    }
    let limited = limited.expect("40 pushes of 6 KB are over the rate");
    until("the rate lets it in", async || limited.send(&client).await.is_ok_and(|a| a.status == 204)).await;
    ledger.acked(&limited);
    ledger.check(&client, "two tenants").await;
}
