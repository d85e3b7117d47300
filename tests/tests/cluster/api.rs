//! The shapes of answers and errors that clients of Loki and Prometheus read.

use crate::home;
use ouro_tests::ledger::{Ledger, Sender};
use serde_json::{Value, json};

const LOKI: &str = "/loki/api/v1";
const PROMETHEUS: &str = "/prometheus/api/v1";

#[tokio::test]
async fn errors_have_the_shapes_that_clients_read() {
    let process = home("[limits]\nmax_query_range = \"1d\"\nmax_log_rows = 100\n").start();
    let client = process.client();
    let bad = "bad_data";
    for (path, parameters, status, kind, words) in [
        ("query", vec![("query", "up{")], 400, bad, "parse error"),
        ("query", vec![("query", "")], 400, bad, "query"),
        ("query", vec![("query", "up"), ("time", "yesterday")], 400, bad, "invalid parameter \\\"time\\\""),
        ("query", vec![("query", "sum(up"), ("time", "1")], 400, bad, "parse error"),
        ("query", vec![("query", "label_replace(up, \"a\", \"$1\", \"b\", \"(\")")], 422, "execution", ""),
        ("query_range", vec![("query", "up")], 400, bad, "start"),
        ("query_range", vec![("query", "up"), ("start", "2"), ("end", "1"), ("step", "1")], 400, bad, "end timestamp"),
        ("query_range", vec![("query", "up"), ("start", "1"), ("end", "2"), ("step", "0")], 400, bad, "step"),
        ("query_range", vec![("query", "up"), ("start", "1"), ("end", "20000"), ("step", "1")], 400, bad, "11,000"),
        (
            "query_range",
            vec![("query", "up"), ("start", "1"), ("end", "200000"), ("step", "60")],
            422,
            "execution",
            "limits.max_query_range",
        ),
        ("series", vec![], 400, bad, "match[]"),
        ("series", vec![("match[]", "{")], 400, bad, "match[]"),
        ("labels", vec![("start", "x")], 400, bad, "start"),
    ] {
        let answer = client.ask("t", &format!("{PROMETHEUS}/{path}"), &parameters).await.expect("an answer");
        let what = format!("{path} {parameters:?}");
        answer.is(&what, status, &[words]);
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!(kind)), "{what}: {body}");
        assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {body}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    }
    for (path, parameters, status, words) in [
        ("query_range", vec![("query", "{job=")], 400, "parse error"),
        ("query_range", vec![("query", "")], 400, ""),
        ("query_range", vec![("query", "{}")], 400, "at least one"),
        ("query_range", vec![("query", "{a=\"b\"}"), ("limit", "0")], 400, "limit must be a positive value"),
        (
            "query_range",
            vec![("query", "{a=\"b\"}"), ("limit", "101")],
            400,
            "max entries limit per query exceeded, limit > max_entries_limit (101 > 100)",
        ),
        ("query_range", vec![("query", "{a=\"b\"}"), ("direction", "up")], 400, "direction"),
        ("query_range", vec![("query", "{a=\"b\"}"), ("start", "2"), ("end", "1")], 400, "end timestamp"),
        ("query_range", vec![("query", "rate({a=\"b\"}[1m])"), ("step", "0")], 400, "step"),
        ("query_range", vec![("query", "{a=\"b\"}"), ("since", "2d")], 400, "the query time range exceeds the limit"),
        ("query", vec![("query", "{a=\"b\"}")], 400, "log queries are not supported as an instant query type"),
        ("series", vec![("match[]", "{a=")], 400, ""),
        ("labels", vec![("start", "x")], 400, "start"),
    ] {
        let answer = client.ask("t", &format!("{LOKI}/{path}"), &parameters).await.expect("an answer");
        let what = format!("{path} {parameters:?}");
        answer.is(&what, status, &[words]);
        assert!(!answer.text.trim().is_empty() && !answer.text.starts_with('{'), "{what}: plain text: {}", answer.text);
    }
}

#[tokio::test]
async fn answers_have_the_shapes_that_clients_read() {
    let (home, sender, mut ledger) = (home(""), Sender::new("shape"), Ledger::default());
    let process = home.start();
    let client = process.client();
    ledger.send_some(&client, &sender, 4).await;
    let time = format!("{:.3}", sender.base as f64 / 1000.0 + 30.0);
    let (start, end) = (format!("{}", sender.base / 1000 - 60), format!("{}", sender.base / 1000 + 60));
    for when in ["in heads", "in segments"] {
        let vector =
            client.json("shape", &format!("{PROMETHEUS}/query"), &[("query", "story_value"), ("time", &time)]).await;
        assert_eq!(vector["status"], "success");
        assert_eq!(vector["data"]["resultType"], "vector");
        assert_eq!(vector["data"]["result"].as_array().map(Vec::len), Some(5), "{when}");
        let first = &vector["data"]["result"][0];
        assert!(first["metric"]["__name__"] == "story_value" && first["value"][1].is_string(), "{when}: {first}");
        let range = [("query", "sum(story_value)"), ("start", &*start), ("end", &end), ("step", "15")];
        let matrix = client.json("shape", &format!("{PROMETHEUS}/query_range"), &range).await;
        assert_eq!(matrix["data"]["resultType"], "matrix", "{when}");
        let scalar = client.json("shape", &format!("{PROMETHEUS}/query"), &[("query", "1+1")]).await;
        assert_eq!((&scalar["data"]["resultType"], &scalar["data"]["result"][1]), (&json!("scalar"), &json!("2")));
        let range = [("query", "{job=\"story\"} |= `line`"), ("start", &*start), ("end", &end)];
        let streams = client.json("shape", &format!("{LOKI}/query_range"), &range).await;
        assert_eq!(streams["data"]["resultType"], "streams", "{when}");
        assert_eq!(streams["data"]["result"].as_array().map(Vec::len), Some(3), "{when}");
        assert!(streams["data"]["stats"]["summary"].is_object(), "{when}");
        let range = [
            ("query", "sum by (stream) (count_over_time({job=\"story\"}[1m]))"),
            ("start", &*start),
            ("end", &end),
            ("step", "15"),
        ];
        let matrix = client.json("shape", &format!("{LOKI}/query_range"), &range).await;
        assert_eq!(matrix["data"]["resultType"], "matrix", "{when}");
        assert_eq!(matrix["data"]["result"].as_array().map(Vec::len), Some(3), "{when}");
        // A form says the same as a query string.
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-scope-orgid", "shape")];
        let form = format!("query=story_value&time={time}");
        let posted = client.send("POST", &format!("{PROMETHEUS}/query"), &headers, form).await.expect("an answer");
        posted.is("a form", 200, &[]);
        assert_eq!(serde_json::from_str::<Value>(&posted.text).expect("JSON"), vector, "{when}");
        client.flush().await;
    }
    for path in [format!("{LOKI}/status/buildinfo"), format!("{PROMETHEUS}/status/buildinfo")] {
        let answer = client.json("", &path, &[]).await;
        assert!(answer["version"].is_string() || answer["data"]["version"].is_string(), "{path}: {answer}");
    }
}
