//! Rows that a tenant has deleted are hidden at once, by every querier, and gone in the end, whoever dies meanwhile.

use crate::compact::{COMPACTOR_SETTINGS, files};
use model::Role;
use ouro_tests::client::{Answer, Client, until};
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::members::{Members, Shape};
use ouro_tests::remote_write::{Series, v1};
use serde_json::Value;

const LOGS: &str = "/loki/api/v1/delete";
const SERIES: &str = "/prometheus/api/v1/admin/tsdb/delete_series";
const TENANT: &str = "forgets";
const DELETION: &str = "[tenants.forgets]\ndeletion = true\n";

async fn push_lines(client: &Client, time: i64) {
    let lines =
        ["keep", "secret one", "secret two"].map(|line| serde_json::json!([(time * 1_000_000).to_string(), line]));
    let body = serde_json::json!({"streams": [{"stream": {"app": "a"}, "values": lines}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-scope-orgid", TENANT)];
    client.send("POST", LOKI, &headers, body).await.expect("an answer").is("lines", 204, &[]);
}

async fn push_samples(client: &Client, time: i64) {
    let series = ["a", "b"].map(|job| Series::new(&[("__name__", "up"), ("job", job)], &[(time, 1.0)]));
    let body = wire::snappy::compress(&v1(&series));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", TENANT)];
    client.send("POST", WRITE, &headers, body).await.expect("an answer").is("samples", 204, &[]);
}

async fn ask(client: &Client, method: &str, path: &str, query: &str) -> Answer {
    let headers = [("x-scope-orgid", TENANT)];
    client.send(method, &format!("{path}?{query}"), &headers, "").await.expect("an answer")
}

async fn lines(client: &Client) -> Vec<String> {
    let found = client.whole(TENANT, "/loki/api/v1/query_range", &[("query", r#"{app="a"}"#)]).await;
    let streams = found["data"]["result"].as_array().expect("streams").clone();
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().expect("values").clone());
    let mut lines: Vec<String> = values.map(|value| value[1].as_str().expect("a line").to_owned()).collect();
    lines.sort();
    lines
}

async fn jobs(client: &Client) -> Vec<Value> {
    let found = client.whole(TENANT, "/prometheus/api/v1/label/job/values", &[]).await;
    found["data"].as_array().expect("a list").clone()
}

async fn listed(client: &Client, path: &str) -> Vec<Value> {
    let answer = ask(client, "GET", path, "").await;
    answer.is("a list", 200, &[]);
    serde_json::from_str::<Vec<Value>>(&answer.text).expect("JSON")
}

fn is_processed(all: &[Value]) -> bool {
    all.iter().all(|request| request["status"] == "processed")
}

fn cluster() -> Members {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 2), (Role::Compactor, 1)];
    let mut members = crate::cluster(Shape { seats, ..Shape::default() });
    for name in ["querier-0", "querier-1"] {
        let at = members.seat_at(name);
        members.write(at, "", DELETION);
    }
    let at = members.seat_at("compactor-0");
    members.write(at, "", &format!("{COMPACTOR_SETTINGS}delete_delay = \"2s\"\n"));
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_rows_are_hidden_at_once_and_gone_in_the_end() {
    let members = cluster();
    let mut running = members.start_all().await;
    members.settled(3).await;
    let (push, queriers) = (members.push(), ["querier-0", "querier-1"].map(|name| members.client(name)));
    let time = now_ms() - 60_000;
    push_lines(&push, time).await;
    push_samples(&push, time).await;
    for querier in &queriers {
        assert_eq!(lines(querier).await, ["keep", "secret one", "secret two"]);
        assert_eq!(jobs(querier).await, ["a", "b"]);
    }
    let start = time / 1000 - 10;
    let query = format!("query=%7Bapp%3D%22a%22%7D%20%7C%3D%20%22secret%22&start={start}");
    ask(&queriers[0], "POST", LOGS, &query).await.is("lines", 204, &[]);
    let query = format!("match[]=up%7Bjob%3D%22a%22%7D&start={start}");
    ask(&queriers[0], "POST", SERIES, &query).await.is("series", 204, &[]);
    assert_eq!(lines(&queriers[0]).await, ["keep"], "hidden at once where it was asked for");
    assert_eq!(jobs(&queriers[0]).await, ["b"]);
    // … and by others once the ingesters that they ask have applied it.
    until("hidden by every querier", async || {
        lines(&queriers[1]).await == ["keep"] && jobs(&queriers[1]).await == ["b"]
    })
    .await;
    let leader = members.leaders().await.into_iter().max_by_key(|(_, led)| *led).expect("one leads").0;
    running.remove(&leader).expect("it runs").kill();
    for querier in &queriers {
        assert_eq!(lines(querier).await, ["keep"], "while an ingester is away");
    }
    members.start(&mut running, &leader);
    members.ready(&leader).await;
    until("both requests are processed", async || {
        assert_eq!(lines(&queriers[1]).await, ["keep"], "while it is rewritten");
        let all = [listed(&queriers[1], LOGS).await, listed(&queriers[1], SERIES).await];
        all.iter().all(|all| all.len() == 1 && is_processed(all))
    })
    .await;
    for querier in &queriers {
        assert_eq!(lines(querier).await, ["keep"], "gone");
        assert_eq!(jobs(querier).await, ["b"]);
    }
    until("no object has a line of them", async || {
        let has = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "seg");
        !files(&members.objects()).iter().any(has)
    })
    .await;
    // What comes when a request is processed is shown, whatever its time.
    push_lines(&push, time + 1).await;
    until("new rows are shown", async || lines(&queriers[0]).await.len() == 4).await;
}

#[tokio::test]
async fn requests_are_taken_listed_and_taken_back() {
    let home = crate::home(DELETION);
    let process = home.start();
    let client = process.client();
    let time = now_ms() - 60_000;
    push_lines(&client, time).await;
    let all = ["keep", "secret one", "secret two"];
    let start = time / 1000 - 10;
    for (method, path, query, status, word) in [
        ("POST", LOGS, "start=1".to_owned(), 400, "query is not set"),
        ("POST", LOGS, "query=%7Bapp%3D%22a%22%7D".into(), 400, "start time not set"),
        ("POST", LOGS, "query=%7Bapp%3D%22a%22%7D&start=5&end=4".into(), 400, "greater"),
        ("POST", LOGS, "query=%7Bapp%3D%22a%22%7D&start=5&end=5000000000".into(), 400, "future"),
        ("POST", LOGS, "query=%7Bapp%3D%22a%22%7D&start=yesterday".into(), 400, "start"),
        ("POST", LOGS, "query=%7B%7D&start=1".into(), 400, "at least one"),
        ("POST", LOGS, "query=%7Bapp%3D%22a%22%7D%20%7C%20json&start=1".into(), 400, "nothing else"),
        ("POST", LOGS, format!("query=%7Bapp%3D%22{}%22%7D&start=1", "x".repeat(3000)), 422, "2048"),
        ("DELETE", LOGS, String::new(), 400, "request_id"),
        ("DELETE", LOGS, "request_id=nobody".into(), 404, "could not find"),
        ("DELETE", LOGS, "request_id=00000001".into(), 404, "could not find"),
        ("POST", SERIES, String::new(), 400, "match[] is not set"),
        ("PUT", SERIES, "match[]=rate(up[1m])".into(), 400, "series selector"),
        ("PUT", SERIES, "match[]=up&end=5000000000".into(), 400, "future"),
    ] {
        ask(&client, method, path, &query).await.is(&query, status, &[word]);
    }
    assert!(listed(&client, LOGS).await.is_empty());
    let headers = [("x-scope-orgid", "other")];
    let off = client.send("POST", &format!("{LOGS}?query=%7Ba%3D%22b%22%7D&start=1"), &headers, "").await;
    off.expect("an answer").is("off", 403, &["limits.deletion"]);
    let headers = [("x-scope-orgid", "forgets|other")];
    client.send("GET", LOGS, &headers, "").await.expect("an answer").is("two", 400, &["one tenant"]);

    let query = format!("query=%7Bapp%3D%22a%22%7D%20%7C%3D%20%22secret%22&start={start}&end={}", time / 1000 + 10);
    ask(&client, "POST", LOGS, &query).await.is("a request", 204, &[]);
    ask(&client, "POST", LOGS, &query).await.is("the same", 204, &[]);
    let found = listed(&client, LOGS).await;
    let [request] = &found[..] else { panic!("{found:?}") };
    assert_eq!(request["query"], r#"{app="a"} |= "secret""#);
    assert_eq!((request["status"].as_str(), request["start_time"].as_f64()), (Some("received"), Some(start as f64)));
    assert!(listed(&client, SERIES).await.is_empty(), "those of the other signal");
    assert_eq!(lines(&client).await, ["keep"]);
    client.flush().await;
    assert_eq!(lines(&client).await, ["keep"], "in a segment");
    let id = request["request_id"].as_str().expect("a name");
    drop(process);
    let process = home.start();
    let client = process.client();
    assert_eq!(lines(&client).await, ["keep"], "after a start");
    ask(&client, "DELETE", LOGS, &format!("request_id={id}")).await.is("taken back", 204, &[]);
    assert_eq!(lines(&client).await, all);
    assert!(listed(&client, LOGS).await.is_empty());
}
