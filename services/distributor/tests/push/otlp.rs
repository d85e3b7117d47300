//! Pushes as senders of OTLP make them.

use crate::agent::{Agent, JSON, LOKI, PROTOBUF, lines, logs, now};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use ouro_distributor::router;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;
use wire::batch::{Batch, Format};
use wire::otlp::{self, from_json};
use wire::prometheus::{Version, series};
use wire::{gzip, snappy};

const LOGS: &str = "/otlp/v1/logs";
const METRICS: &str = "/otlp/v1/metrics";
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const CALL: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn log(lines: &[&str]) -> Value {
    let records: Vec<Value> =
        lines.iter().map(|line| json!({"timeUnixNano": now().to_string(), "body": {"stringValue": line}})).collect();
    let service = json!({"key": "service.name", "value": {"stringValue": "shop"}});
    json!({"resourceLogs": [{"resource": {"attributes": [service]}, "scopeLogs": [{"logRecords": records}]}]})
}

fn counter(temporality: u32, time: i64) -> Value {
    let points = json!([{"timeUnixNano": time.to_string(), "asInt": "5"}]);
    let sum = json!({"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points});
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "a.b", "unit": "By", "sum": sum}]}]}]})
}

fn protobuf(body: &Value, what: otlp::Request) -> Vec<u8> {
    from_json(body.to_string().as_bytes(), what).expect("reads")
}

fn body(batch: &Batch) -> Vec<u8> {
    snappy::decompress(&batch.payload, 1 << 20).expect("snappy")
}

/// Headers, a body, and what it is answered.
type Form<'f> = (&'f [(&'f str, &'f str)], Vec<u8>, &'f [u8]);

#[tokio::test]
async fn logs_arrive_in_every_form() {
    let want = [("{service_name=\"shop\"}".to_owned(), vec!["one".to_owned(), "two".to_owned()])];
    let body_of = log(&["one", "two"]);
    let bytes = protobuf(&body_of, otlp::Request::Logs);
    let forms: [Form<'_>; 4] = [
        (&[JSON], body_of.to_string().into_bytes(), b"{}"),
        (
            &[("content-type", "application/json; charset=utf-8"), GZIP],
            gzip::compress(body_of.to_string().as_bytes()),
            b"{}",
        ),
        (&[PROTOBUF], bytes.clone(), b""),
        (&[PROTOBUF, GZIP], gzip::compress(&bytes), b""),
    ];
    for (headers, sent, answer) in forms {
        let agent = Agent::new();
        let found = agent.post(LOGS, headers, sent).await;
        assert_eq!((found.status.as_u16(), found.text.as_bytes()), (200, answer));
        let batch = agent.shards.only();
        assert_eq!((batch.header.format, batch.header.rows), (Format::LokiPush, 2));
        assert_eq!(lines(&body(&batch)), want);
    }
}

#[tokio::test]
async fn nothing_is_stored_of_nothing() {
    let agent = Agent::new();
    for (path, text) in [(LOGS, "{}"), (LOGS, r#"{"resourceLogs":[{}]}"#), (METRICS, "{}")] {
        let found = agent.post(path, &[JSON], text).await;
        assert_eq!((found.status.as_u16(), found.text.as_str()), (200, "{}"));
    }
    assert!(agent.shards.batches().is_empty());
}

#[tokio::test]
async fn refused_lines_are_a_partial_success() {
    let agent = Agent::limited(r#"{"max_line_size": 8}"#);
    let found = agent.post(LOGS, &[JSON], log(&["short", "rather long"]).to_string()).await;
    assert_eq!(found.status, StatusCode::OK);
    let partial: Value = serde_json::from_str(&found.text).expect("JSON");
    assert_eq!(partial["partialSuccess"]["rejectedLogRecords"], "1");
    let text = partial["partialSuccess"]["errorMessage"].as_str().expect("text");
    assert!(text.contains("max entry size exceeded") && text.contains("limits.max_line_size"), "{text}");
    assert_eq!(lines(&body(&agent.shards.only()))[0].1, ["short"]);
}

#[tokio::test]
async fn metrics_arrive_and_deltas_are_told() {
    let agent = Agent::new();
    let found = agent.post(METRICS, &[PROTOBUF], protobuf(&counter(2, now()), otlp::Request::Metrics)).await;
    assert_eq!((found.status.as_u16(), found.text.as_str()), (200, ""));
    let batch = agent.shards.only();
    assert_eq!((batch.header.format, batch.header.rows), (Format::PromV2, 1));
    let body = body(&batch);
    let series = series(&body, Version::V2).next().expect("one").expect("reads");
    let name = series.labels().next().expect("a label").expect("reads");
    assert_eq!(name, ("__name__", "a_b_bytes_total"));

    let found = agent.post(METRICS, &[JSON], counter(1, now()).to_string()).await;
    let partial: Value = serde_json::from_str(&found.text).expect("JSON");
    assert_eq!(partial["partialSuccess"]["rejectedDataPoints"], "1");
    let keeps = Agent::limited(r#"{"otlp": {"delta": "keep"}}"#);
    let found = keeps.post(METRICS, &[JSON], counter(1, now()).to_string()).await;
    assert_eq!((found.status.as_u16(), found.text.as_str()), (200, "{}"));
    assert_eq!(keeps.shards.only().header.rows, 1);
    let late = Agent::limited(r#"{"reject_old": "1h"}"#);
    let found = late.post(METRICS, &[JSON], counter(2, 1_000_000_000).to_string()).await;
    let partial: Value = serde_json::from_str(&found.text).expect("JSON");
    let text = partial["partialSuccess"]["errorMessage"].as_str().expect("text");
    assert!(text.contains("limits.reject_old") && late.shards.batches().is_empty(), "{text}");
}

#[tokio::test]
async fn mistakes_are_told_in_the_form_of_the_request() {
    let agent = Agent::limited(r#"{"max_push_body": "1KiB", "max_push_inflated": "4KiB"}"#);
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, words: &str| {
        let found = agent.post(LOGS, headers, body).await;
        assert_eq!(found.status.as_u16(), status, "{}", found.text);
        assert!(found.text.contains(words), "{words:?} is not in {:?}", found.text);
        found
    };
    let found = check(&[JSON], b"{".to_vec(), 400, "\"code\":3").await;
    assert_eq!(found.header("content-type"), Some("application/json"));
    let found = check(&[PROTOBUF], vec![0x0a, 0x7f], 400, "the data ends too early").await;
    assert_eq!(found.header("content-type"), Some("application/x-protobuf"));
    check(&[("content-type", "text/plain")], Vec::new(), 415, "application/x-protobuf or application/json").await;
    check(&[JSON, ("content-encoding", "br")], Vec::new(), 415, "gzip").await;
    check(&[JSON], vec![b' '; 2000], 413, "limits.max_push_body").await;
    check(&[JSON, GZIP], gzip::compress(&vec![b' '; 9000]), 413, "limits.max_push_inflated").await;
    // Each line repeats the resource's metadata: small as it came, too large as it would be stored.
    let mut large = log(&["x"; 8]);
    let attribute = json!({"key": "k", "value": {"stringValue": "y".repeat(700)}});
    large["resourceLogs"][0]["resource"]["attributes"].as_array_mut().expect("an array").push(attribute);
    let bytes = gzip::compress(large.to_string().as_bytes());
    check(&[JSON, GZIP], bytes, 413, "comes to").await;
    assert!(agent.shards.batches().is_empty());
}

/// The answer to a gRPC call: status, message and body.
async fn call(agent: &Agent, encoding: &str, sent: Vec<u8>) -> (String, String, Vec<u8>) {
    let request = Request::post(CALL).header("content-type", "application/grpc").header("grpc-encoding", encoding);
    let request = request.body(Body::from(sent)).expect("a request");
    let response = router(Arc::clone(&agent.distributor)).oneshot(request).await.expect("answers");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/grpc".parse().expect("a value"))
    );
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body");
    let trailers = body.trailers().cloned().unwrap_or(parts.headers);
    let text = |name: &str| trailers.get(name).map_or(String::new(), |v| v.to_str().expect("text").to_owned());
    (text("grpc-status"), text("grpc-message"), body.to_bytes().to_vec())
}

fn framed(packed: u8, message: &[u8]) -> Vec<u8> {
    [&[packed][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

#[tokio::test]
async fn logs_arrive_over_grpc() {
    let bytes = protobuf(&log(&["one"]), otlp::Request::Logs);
    for (encoding, sent) in [("identity", framed(0, &bytes)), ("gzip", framed(1, &gzip::compress(&bytes)))] {
        let agent = Agent::new();
        assert_eq!(call(&agent, encoding, sent).await, ("0".into(), String::new(), vec![0; 5]));
        assert_eq!(lines(&body(&agent.shards.only()))[0].1, ["one"]);
    }
    let agent = Agent::limited(r#"{"max_line_size": 3}"#);
    let sent = framed(0, &protobuf(&log(&["long"]), otlp::Request::Logs));
    let (status, _, answer) = call(&agent, "identity", sent).await;
    assert_eq!(status, "0");
    assert!(String::from_utf8_lossy(&answer).contains("[line_too_long]"), "{answer:?}");
    for (encoding, sent, code, words) in [
        ("identity", Vec::new(), "3", "no gRPC message"),
        ("identity", framed(0, b"abc")[..7].to_vec(), "3", "states 3 bytes, 2 came"),
        ("identity", framed(1, b"abc"), "3", "grpc-encoding does not say"),
        ("gzip", framed(1, b"abc"), "3", "gzip"),
        ("identity", framed(0, b"\xff"), "3", "ends too early"),
    ] {
        let (status, message, answer) = call(&agent, encoding, sent).await;
        assert_eq!((status.as_str(), answer), (code, Vec::new()), "{message}");
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn services_and_levels_are_found_where_a_tenant_wants_them() {
    let body_of = logs(&[("{job=\"web\"}", &[(now(), "an ERROR"), (now(), "fine")])]);
    let plain = Agent::new();
    plain.push_logs(&body_of).await.is(204, &[]);
    assert_eq!(body(&plain.shards.only()), body_of);
    let agent = Agent::limited(r#"{"discover": {"pushes": true}}"#);
    agent.push_logs(&body_of).await.is(204, &[]);
    let found = body(&agent.shards.only());
    let stream = wire::loki::streams(&found).next().expect("one").expect("reads");
    assert_eq!(stream.labels, "{job=\"web\", service_name=\"web\"}");
    let levels: Vec<Vec<(&str, &str)>> = stream
        .entries()
        .map(|entry| entry.expect("reads").metadata().map(|pair| pair.expect("reads")).collect())
        .collect();
    assert_eq!(levels, [[("detected_level", "error")], [("detected_level", "unknown")]]);
    agent.post(LOKI, &[JSON], r#"{"streams": [{"stream": {}, "values": [["1", "x"]]}]}"#).await.is(400, &["no labels"]);
}
