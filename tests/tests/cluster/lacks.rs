//! Answers that lack a shard say so, whatever was asked, or are errors where the request wants all or nothing.

use crate::cluster;
use model::Role;
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::members::Shape;
use ouro_tests::remote_write::{Series, v1};
use serde_json::{Value, json};
use wire::prometheus::write::QUERY_RESULT;

const PATHS: [(&str, &[(&str, &str)]); 8] = [
    ("/loki/api/v1/index/stats", &[("query", "{app=\"a\"}")]),
    ("/loki/api/v1/index/volume", &[("query", "{app=\"a\"}")]),
    ("/loki/api/v1/detected_labels", &[]),
    ("/loki/api/v1/detected_fields", &[("query", "{app=\"a\"}")]),
    ("/loki/api/v1/detected_field/f/values", &[("query", "{app=\"a\"}")]),
    ("/prometheus/api/v1/cardinality/label_names", &[]),
    ("/prometheus/api/v1/cardinality/label_values", &[("label_names[]", "app")]),
    ("/prometheus/api/v1/cardinality/active_series", &[("selector", "{app=\"a\"}")]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_shard_says_so() {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 1)];
    let members = cluster(Shape { seats, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let (push, time) = (members.push(), now_ms() - 1000);
    let body = json!({ "streams": [{ "stream": {"app": "a"}, "values": [[format!("{time}000000"), "f=1"]] }] });
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "t")];
    push.send("POST", LOKI, &headers, body.to_string()).await.expect("an answer").is("a line", 204, &[]);
    let body = wire::snappy::compress(&v1(&[Series::new(&[("__name__", "m"), ("app", "a")], &[(time, 1.0)])]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "t")];
    push.send("POST", WRITE, &headers, body).await.expect("an answer").is("a sample", 204, &[]);
    let read = members.read();
    for (path, parameters) in PATHS {
        let answer = read.whole("t", path, parameters).await;
        assert_eq!(answer["warnings"], Value::Null, "{path}: {answer}");
    }
    // One of three cannot lead.
    for name in ["ingester-1", "ingester-2"] {
        running.remove(name).expect("it runs").kill();
    }
    let asked = PATHS.map(async |(path, parameters)| {
        let all = [parameters, &[("partial_response", "false")]].concat();
        let (some, all) = tokio::join!(read.ask("t", path, parameters), read.ask("t", path, &all));
        let some = some.expect("an answer");
        assert_eq!(some.status, 200, "{path}: {}", some.text);
        let answer: Value = serde_json::from_str(&some.text).expect("JSON");
        let warning = answer["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.starts_with("the answer is partial: rows of shard"), "{path}: {}", some.text);
        all.expect("an answer").is(path, 503, &["shard"]);
    });
    futures::future::join_all(asked).await;
    // One that has no place for a warning is whole, too.
    let (path, headers) = ("/prometheus/api/v1/query?query=m", [("accept", QUERY_RESULT), ("x-scope-orgid", "t")]);
    read.send("GET", path, &headers, "").await.expect("an answer").is(path, 503, &["shard"]);
}
