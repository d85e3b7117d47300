//! Pushes at the same time: gathered, bounded, and not in each other's way.

use crate::agent::{Agent, LOKI, PROTOBUF, logs};
use crate::shards::Shards;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::future::join_all;
use futures::stream;
use model::{ByteSize, Reason};
use ouro_distributor::{AppendError, Settings};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn body(n: usize) -> Vec<u8> {
    logs(&[(r#"{app="web"}"#, &[(1, &format!("line {n}"))])])
}

async fn settle() {
    sleep(Duration::from_millis(10)).await;
}

fn spawn(agent: &Arc<Agent>, n: usize) -> tokio::task::JoinHandle<crate::agent::Answer> {
    let agent = Arc::clone(agent);
    tokio::spawn(async move { agent.push_logs(&body(n)).await })
}

#[tokio::test(start_paused = true)]
async fn pushes_that_wait_share_an_entry() {
    let agent = Arc::new(Agent::with(Settings { appends: 2, ..Settings::default() }, "{}", Shards::gated(0)));
    let mut pushes = Vec::new();
    for n in 0..2 {
        pushes.push(spawn(&agent, n));
        settle().await;
        assert_eq!(agent.shards.entries().len(), n + 1, "one that comes alone goes at once");
    }
    pushes.extend((2..20).map(|n| spawn(&agent, n)));
    settle().await;
    assert_eq!(agent.shards.entries().len(), 2);
    agent.shards.gate.add_permits(1);
    settle().await;
    let sizes: Vec<usize> = agent.shards.entries().iter().map(|(_, batches)| batches.len()).collect();
    assert_eq!(sizes, [1, 1, 18]);
    agent.shards.gate.add_permits(100);
    for answer in join_all(pushes).await {
        answer.expect("no panic").is(204, &[]);
    }
    agent.push_logs(&body(99)).await.is(204, &[]);
    assert_eq!(agent.distributor.inflight(), ByteSize(0));
}

#[tokio::test(start_paused = true)]
async fn an_entry_has_a_size() {
    let settings = Settings { appends: 1, gather: ByteSize(100), ..Settings::default() };
    let agent = Arc::new(Agent::with(settings, "{}", Shards::gated(0)));
    let pushes: Vec<_> = (0..10).map(|n| spawn(&agent, n)).collect();
    settle().await;
    agent.shards.gate.add_permits(100);
    join_all(pushes).await.into_iter().for_each(|answer| answer.expect("no panic").is(204, &[]));
    let entries = agent.shards.entries();
    assert!((4..10).contains(&entries.len()), "{}", entries.len());
    for (_, batches) in entries {
        assert!(batches.len() == 1 || batches.iter().map(|b| b.payload.len()).sum::<usize>() <= 100);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_fails_its_pushes_and_no_others() {
    let agent = Arc::new(Agent::with(Settings { appends: 1, ..Settings::default() }, "{}", Shards::gated(0)));
    let first = spawn(&agent, 0);
    settle().await;
    let second: Vec<_> = (1..4).map(|n| spawn(&agent, n)).collect();
    settle().await;
    let error = AppendError { reason: Reason::Unavailable, text: "no leader".into(), retry_after: None };
    agent.shards.answer(Err(error));
    agent.shards.gate.add_permits(2);
    first.await.expect("no panic").is(503, &["no leader"]);
    join_all(second).await.into_iter().for_each(|answer| answer.expect("no panic").is(204, &[]));
}

#[tokio::test(start_paused = true)]
async fn a_push_does_not_wait_for_ever() {
    let settings = Settings { appends: 1, append_timeout: Duration::from_secs(5), ..Settings::default() };
    let agent = Arc::new(Agent::with(settings, "{}", Shards::gated(0)));
    let pushes: Vec<_> = (0..3).map(|n| spawn(&agent, n)).collect();
    for answer in join_all(pushes).await {
        answer.expect("no panic").is(504, &["took over 5 s", "distributor.append_timeout"]);
    }
    settle().await;
    agent.shards.gate.add_permits(100);
    agent.push_logs(&body(9)).await.is(204, &[]);
    assert_eq!(agent.shards.entries().len(), 2, "those that nobody waits for any more are not sent");
    assert_eq!(agent.distributor.inflight(), ByteSize(0));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_leaves_nothing_behind() {
    let agent = Arc::new(Agent::with(Settings { appends: 1, ..Settings::default() }, "{}", Shards::gated(0)));
    let pushes: Vec<_> = (0..3).map(|n| spawn(&agent, n)).collect();
    settle().await;
    pushes.iter().for_each(|push| push.abort());
    settle().await;
    agent.shards.gate.add_permits(1);
    settle().await;
    assert_eq!(agent.shards.entries().len(), 1);
    assert_eq!(agent.distributor.inflight(), ByteSize(0));
}

#[tokio::test(start_paused = true)]
async fn pushes_on_their_way_are_bounded() {
    let settings = Settings { inflight: ByteSize(400), ..Settings::default() };
    let agent = Arc::new(Agent::with(settings, "{}", Shards::gated(0)));
    let mut waiting = Vec::new();
    let refused = loop {
        let push = spawn(&agent, waiting.len());
        settle().await;
        if push.is_finished() {
            break push.await.expect("no panic");
        }
        waiting.push(push);
    };
    refused.is(503, &["pushes of tenant anonymous", "half of 400 B", "(distributor.inflight)"]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!((3..8).contains(&waiting.len()), "{}", waiting.len());
    let other = |tenant: &'static str| {
        let agent = Arc::clone(&agent);
        let headers = [PROTOBUF, ("x-scope-orgid", tenant)];
        tokio::spawn(async move { agent.post(LOKI, &headers, wire::snappy::compress(&body(0))).await })
    };
    let push = other("b");
    settle().await;
    assert!(!push.is_finished(), "another tenant has room");
    agent.shards.gate.add_permits(1000);
    push.await.expect("no panic").is(204, &[]);
    join_all(waiting).await.into_iter().for_each(|answer| answer.expect("no panic").is(204, &[]));
    assert_eq!(agent.distributor.inflight(), ByteSize(0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let agent = Agent::new();
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))]);
    let stuck = Body::from_stream(futures::StreamExt::chain(first, stream::pending()));
    agent.post(LOKI, &[PROTOBUF], stuck).await.is(504, &["30 s", "distributor.read_timeout"]);
    let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("reset"))]);
    agent.post(LOKI, &[PROTOBUF], Body::from_stream(broken)).await.is(400, &["reset"]);
    let stated = Request::post(LOKI).header("content-length", "99999999").body(Body::empty()).expect("a request");
    agent.send(stated).await.is(413, &["limits.max_push_body"]);
    assert_eq!(agent.distributor.inflight(), ByteSize(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_push_takes_a_thread_of_its_own() {
    let agent = Agent::new();
    let line = "x".repeat(1000);
    let lines: Vec<(i64, &str)> = (0..2000).map(|n| (n, line.as_str())).collect();
    let body = logs(&[(r#"{app="web"}"#, &lines)]);
    let frames: Vec<_> =
        wire::snappy::compress(&body).chunks(1000).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect();
    agent.post(LOKI, &[PROTOBUF], Body::from_stream(stream::iter(frames))).await.is(204, &[]);
    assert_eq!(agent.shards.only().header.rows, 2000);
    assert_eq!(agent.shards.only().body().as_deref(), Ok(body.as_slice()));
}
