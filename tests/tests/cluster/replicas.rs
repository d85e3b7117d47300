//! Two Prometheus servers that send the same, each through a distributor of its own: every sample is stored once, and
//! when the one that is stored falls silent, the other one is.

use model::Role;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{WRITE, now_ms};
use ouro_tests::members::{Members, Shape};
use ouro_tests::remote_write::{Series, v1};
use std::time::Duration;

const SETTINGS: &str = "[limits.ha]\nenabled = true\nfailover = \"5s\"\n";
const DISTRIBUTORS: [&str; 2] = ["distributor-0", "distributor-1"];

fn cluster() -> Members {
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 2), (Role::Querier, 1)];
    let mut members = crate::cluster(Shape { seats, placement: "replicas = 1", ..Shape::default() });
    for name in DISTRIBUTORS {
        let at = members.seat_at(name);
        members.write(at, "", SETTINGS);
    }
    members
}

/// The replica's value says who it was; says whether it is stored.
async fn send(client: &Client, replica: &str, value: f64, time: i64) -> bool {
    let labels = [("__name__", "up"), ("cluster", "pair"), ("__replica__", replica)];
    let body = wire::snappy::compress(&v1(&[Series::new(&labels, &[(time, value)])]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "ha")];
    let answer = client.send("POST", WRITE, &headers, body).await.expect("an answer");
    match answer.status {
        202 => answer.is(replica, 202, &["replica_not_elected"]),
        _ => answer.is(replica, 204, &[]),
    }
    answer.status == 204
}

/// Whose samples are stored, in the order of their times.
async fn stored(read: &Client) -> Vec<f64> {
    let found = read.whole("ha", "/prometheus/api/v1/query", &[("query", "{__name__=~\".+\"}[10m]")]).await;
    let series = found["data"]["result"].as_array().expect("series");
    assert_eq!(series.len(), 1, "the label of the replica is not stored: {found}");
    assert_eq!(series[0]["metric"], serde_json::json!({"__name__": "up", "cluster": "pair"}));
    let values = series[0]["values"].as_array().expect("values").iter();
    values.map(|point| point[1].as_str().expect("a value").parse().expect("a number")).collect()
}

#[tokio::test]
async fn of_two_replicas_one_is_stored_and_the_other_follows() {
    let members = cluster();
    let mut running = members.start_all().await;
    let doors = DISTRIBUTORS.map(|name| members.client(name));
    let mut sent = Vec::new();
    // Longer than the failover, while each distributor hears one of them only.
    for _ in 0..16 {
        let time = now_ms();
        assert!(send(&doors[0], "a", 1.0, time).await);
        assert!(!send(&doors[1], "b", 2.0, time).await, "a is elected");
        sent.push(1.0);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(stored(&members.read()).await, sent);
    until("the other replica is elected", async || {
        let is_stored = send(&doors[1], "b", 2.0, now_ms()).await;
        sent.extend(is_stored.then_some(2.0));
        is_stored
    })
    .await;
    members.end(&mut running, DISTRIBUTORS[0]);
    members.start(&mut running, DISTRIBUTORS[0]);
    members.ready(DISTRIBUTORS[0]).await;
    assert!(!send(&doors[0], "a", 1.0, now_ms()).await, "a distributor that starts again learns who is elected");
    assert!(send(&doors[0], "b", 2.0, now_ms()).await);
    sent.push(2.0);
    assert_eq!(stored(&members.read()).await, sent);
}

#[tokio::test]
async fn one_process_elects_by_itself() {
    let home = crate::home(SETTINGS);
    let process = home.start();
    let client = process.client();
    let time = now_ms();
    assert!(send(&client, "a", 1.0, time).await);
    assert!(!send(&client, "b", 2.0, time).await);
    drop(process);
    let process = home.start();
    let client = process.client();
    assert!(!send(&client, "b", 2.0, time + 1).await, "elections are kept");
    assert!(send(&client, "a", 1.0, time + 2).await);
    assert_eq!(stored(&client).await, [1.0, 1.0]);
}
