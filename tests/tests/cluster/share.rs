//! Queriers share what they read from the object store.

use crate::cluster;
use crate::store::objects;
use model::Role;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::now_ms;
use ouro_tests::members::{Members, Shape};
use ouro_tests::s3::{BUCKET, S3};
use std::collections::BTreeSet;

const QUERIERS: [&str; 3] = ["querier-0", "querier-1", "querier-2"];

/// Pushes so many lines, and waits until they are in one more segment.
async fn segment(members: &Members, s3: &S3, lines: usize) {
    let segments = || s3.keys(BUCKET).iter().filter(|key| key.ends_with(".seg")).count();
    let before = segments();
    let value = |n: usize| format!("[\"{}\",\"line {n} of some text\"]", now_ms() * 1_000_000 + n as i64);
    let values: Vec<String> = (0..lines).map(value).collect();
    let body = format!("{{\"streams\":[{{\"stream\":{{\"app\":\"a\"}},\"values\":[{}]}}]}}", values.join(","));
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "shared")];
    let sent = members.push().send("POST", "/loki/api/v1/push", &headers, body).await;
    sent.expect("an answer").is("a push", 204, &[]);
    until("the lines are in a segment", async || segments() > before).await;
}

/// How many lines there are, by their texts: `contains` makes each query read other ranges.
async fn count(client: &Client, contains: &str) -> String {
    let query = format!("sum(count_over_time({{app=\"a\"}} |= {contains:?} [1h]))");
    let found = client.whole("shared", "/loki/api/v1/query", &[("query", &query)]).await;
    found["data"]["result"][0]["value"][1].as_str().unwrap_or("none").to_owned()
}

async fn sum(members: &Members, names: &[&str], meter: &str) -> f64 {
    let mut sum = 0.0;
    for name in names {
        sum += members.client(name).meter(meter).await;
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_read_once_by_all_queriers_and_dead_ones_cost_nothing_but_time() {
    let s3 = S3::start();
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 3)];
    let members = cluster(Shape { seats, placement: "replicas = 1", objects: Some(objects(&s3)), ..Shape::default() });
    let mut running = members.start_all().await;
    until("the queriers know each other", async || {
        sum(&members, &QUERIERS, "ouro_members").await == (QUERIERS.len() * members.seats.len()) as f64
    })
    .await;
    for _ in 0..4 {
        segment(&members, &s3, 500).await;
    }
    s3.take_requests();
    for name in QUERIERS {
        assert_eq!(count(&members.client(name), "text").await, "2000", "{name}");
    }
    let reads = s3.take_requests().into_iter().filter(|request| request.method == "GET" && !request.range.is_empty());
    let reads: Vec<(String, String)> = reads.map(|request| (request.path, request.range)).collect();
    let once: BTreeSet<&(String, String)> = reads.iter().collect();
    assert!(!reads.is_empty() && once.len() == reads.len(), "a range was read twice: {reads:?}");
    assert!(sum(&members, &QUERIERS, "ouro_querier_peer_reads_total").await > 0.0, "nobody asked another querier");
    // The last one still thinks that they live, and that they have most of what it needs.
    for _ in 0..5 {
        segment(&members, &s3, 500).await;
    }
    for name in &QUERIERS[1..] {
        running.remove(*name).expect("it runs").kill();
    }
    // Asked once: another try would find them gone.
    let query = [("query", "sum(count_over_time({app=\"a\"} |= \"line\" [1h]))"), ("partial_response", "false")];
    let answer = members.read().ask("shared", "/loki/api/v1/query", &query).await.expect("an answer");
    answer.is("a query beside dead queriers", 200, &["4500"]);
}
