//! What Grafana's data sources and Logs Drilldown ask beside queries: volumes, fields, patterns, cardinality, status.

use crate::home;
use ouro_tests::client::Client;
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::remote_write::{Series, v1};
use serde_json::{Value, json};

const API: &str = "/loki/api/v1";
const PROMETHEUS: &str = "/prometheus/api/v1";

async fn lines(client: &Client, app: &str, time: i64, lines: &[&str]) {
    let values: Vec<Value> =
        lines.iter().enumerate().map(|(at, line)| json!([format!("{}000000", time + at as i64), line])).collect();
    let body = json!({ "streams": [{ "stream": { "app": app, "env": "test" }, "values": values }] });
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "t")];
    client.send("POST", LOKI, &headers, body.to_string()).await.expect("an answer").is(app, 204, &[]);
}

#[tokio::test]
async fn drilldown_is_answered_from_heads_and_segments() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let time = now_ms() - 60_000;
    // Ten bytes each, so that the estimate by means is exact.
    lines(&client, "web", time, &["took=100ms", "took=200ms", "took=300ms"]).await;
    lines(&client, "api", time, &[r#"{"code":1}"#]).await;
    let (start, end) = (format!("{}000000", time - 60_000), format!("{}000000", time + 60_000));
    for when in ["in heads", "in segments"] {
        let ask = async |path: &str, more: &[(&str, &str)]| {
            let asked = [&[("start", &*start), ("end", &*end)][..], more].concat();
            client.json("t", &format!("{API}/{path}"), &asked).await
        };
        let all = ("query", "{app=~\".+\"}");
        let stats = ask("index/stats", &[all]).await;
        assert_eq!(
            (&stats["streams"], &stats["entries"], &stats["bytes"]),
            (&json!(2), &json!(4), &json!(40)),
            "{when}"
        );
        let volume = ask("index/volume", &[all]).await;
        assert_eq!(volume["data"]["resultType"], "vector", "{when}");
        let group = |at: usize| {
            (volume["data"]["result"][at]["metric"].clone(), volume["data"]["result"][at]["value"][1].clone())
        };
        assert_eq!(group(0), (json!({"app": "web"}), json!("30")), "{when}");
        assert_eq!(group(1), (json!({"app": "api"}), json!("10")), "{when}");
        let one = ask("index/volume", &[all, ("limit", "1")]).await;
        assert_eq!(one["data"]["result"].as_array().map(Vec::len), Some(1), "{when}");
        let named = ask("index/volume", &[all, ("targetLabels", "env"), ("aggregateBy", "labels")]).await;
        assert_eq!(named["data"]["result"][0]["metric"], json!({"env": ""}), "{when}");
        assert_eq!(named["data"]["result"][0]["value"][1], "40", "{when}");
        let range = ask("index/volume_range", &[all, ("step", "120")]).await;
        assert_eq!(range["data"]["resultType"], "matrix", "{when}");
        assert_eq!(range["data"]["result"][0]["values"][0][1], "30", "{when}");
        let labels = ask("detected_labels", &[]).await;
        let want = json!([
            {"label": "app", "cardinality": 2},
            {"label": "env", "cardinality": 1},
            {"label": "service_name", "cardinality": 2},
        ]);
        assert_eq!(labels["detectedLabels"], want, "{when}");
        let fields = ask("detected_fields", &[all]).await;
        let want = json!([
            {"label": "code", "type": "int", "cardinality": 1, "parsers": ["json"], "jsonPath": ["code"]},
            {"label": "detected_level", "type": "string", "cardinality": 1, "parsers": null},
            {"label": "took", "type": "duration", "cardinality": 3, "parsers": ["logfmt"]},
        ]);
        assert_eq!(fields["fields"], want, "{when}");
        let values = ask("detected_field/took/values", &[all, ("limit", "2")]).await;
        assert_eq!(values["values"], json!(["100ms", "200ms"]), "{when}");
        let patterns = ask("patterns", &[("query", "{app=\"web\"}"), ("step", "3600")]).await;
        assert_eq!(patterns["data"][0]["pattern"], "<_>", "{when}");
        let counted: u64 = patterns["data"][0]["samples"]
            .as_array()
            .expect("samples")
            .iter()
            .filter_map(|sample| sample[1].as_u64())
            .sum();
        assert_eq!(counted, 3, "{when}");
        // Levels that nothing has stored are found where they are asked for.
        let patterns =
            ask("patterns", &[("query", "{app=\"web\"} | detected_level=\"unknown\""), ("step", "3600")]).await;
        assert_eq!(patterns["data"][0]["pattern"], "<_>", "{when}");
        let everything = ("query", "{}");
        assert_eq!(ask("label/app/values", &[everything]).await["data"], json!(["api", "web"]), "{when}");
        assert_eq!(ask("detected_labels", &[everything]).await["detectedLabels"], labels["detectedLabels"], "{when}");
        let volume = ask("index/volume", &[everything, ("targetLabels", "env")]).await;
        assert_eq!(volume["data"]["result"][0]["metric"], json!({"env": "test"}), "{when}");
        let found = ask("query_range", &[all]).await;
        let summary = &found["data"]["stats"]["summary"];
        assert_eq!(
            (&summary["totalLinesProcessed"], &summary["totalBytesProcessed"]),
            (&json!(4), &json!(40)),
            "{when}"
        );
        client.flush().await;
    }
    let limits = client.json("t", &format!("{API}/drilldown-limits"), &[]).await;
    assert_eq!(
        (&limits["limits"]["volume_enabled"], &limits["pattern_ingester_enabled"]),
        (&json!(true), &json!(true))
    );
    let yaml = client.text("/config/tenant/v1/limits").await;
    assert!(yaml.contains("max_entries_limit_per_query: 5000\n"), "{yaml}");
    for (path, parameters, words) in [
        ("index/stats", vec![("query", "{a=")], "parse error"),
        ("index/stats", vec![("query", "{a=\"b\"} |= \"c\"")], "only label matchers"),
        ("index/volume", vec![("query", "{a=\"b\"}"), ("limit", "0")], "limit must be a positive value"),
        ("index/volume", vec![("query", "{a=\"b\"}"), ("aggregateBy", "x")], "aggregation"),
        ("index/volume_range", vec![("query", "{a=\"b\"}"), ("step", "0")], "step"),
        ("detected_labels", vec![("query", "{a=")], "parse error"),
        ("detected_labels", vec![("end", "x")], "end"),
        ("detected_fields", vec![("query", "rate({a=\"b\"}[1m])")], "only log queries"),
        ("detected_fields", vec![("query", "{a=\"b\"}"), ("line_limit", "x")], "line_limit"),
        ("detected_field/a/values", vec![("query", "")], ""),
        ("patterns", vec![("query", "rate({a=\"b\"}[1m])")], "only log queries"),
    ] {
        let answer = client.ask("t", &format!("{API}/{path}"), &parameters).await.expect("an answer");
        answer.is(&format!("{path} {parameters:?}"), 400, &[words]);
    }
}

/// `prometheus.ReadRequest` of one selector by name.
fn read_request(start: i64, end: i64, name: &str) -> Vec<u8> {
    use wire::protobuf::{put_bytes, put_uint};
    let (mut matcher, mut query, mut out) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut matcher, 2, b"__name__");
    put_bytes(&mut matcher, 3, name.as_bytes());
    put_uint(&mut query, 1, start as u64);
    put_uint(&mut query, 2, end as u64);
    put_bytes(&mut query, 3, &matcher);
    put_bytes(&mut out, 1, &query);
    wire::snappy::compress(&out)
}

#[tokio::test]
async fn prometheus_answers_what_is_beside_queries() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let time = now_ms() - 60_000;
    let series = [
        Series::new(&[("__name__", "up"), ("job", "a"), ("http.status", "200")], &[(time, 1.0), (time + 1000, 2.0)]),
        Series::new(&[("__name__", "up"), ("job", "b")], &[(time, 1.0)]),
    ];
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "t")];
    let body = wire::snappy::compress(&v1(&series));
    client.send("POST", WRITE, &headers, body).await.expect("an answer").is("samples", 204, &[]);
    for when in ["in heads", "in segments"] {
        let ask =
            async |path: &str, more: &[(&str, &str)]| client.json("t", &format!("{PROMETHEUS}/{path}"), more).await;
        assert_eq!(ask("label/U__http_2e_status/values", &[]).await["data"], json!(["200"]), "{when}");
        let tsdb = ask("status/tsdb", &[]).await;
        assert_eq!(tsdb["data"]["headStats"]["numSeries"], 2, "{when}");
        assert_eq!(tsdb["data"]["seriesCountByMetricName"], json!([{"name": "up", "value": 2}]), "{when}");
        let names = ask("cardinality/label_names", &[("limit", "1")]).await;
        assert_eq!((&names["label_names_count"], &names["label_values_count_total"]), (&json!(3), &json!(4)), "{when}");
        assert_eq!(names["cardinality"], json!([{"label_name": "job", "label_values_count": 2}]), "{when}");
        let values = ask("cardinality/label_values", &[("label_names[]", "job"), ("selector", "up{job=\"a\"}")]).await;
        let want = json!([{"label_name": "job", "label_values_count": 1, "series_count": 1,
            "cardinality": [{"label_value": "a", "series_count": 1}]}]);
        assert_eq!((&values["series_count_total"], &values["labels"]), (&json!(1), &want), "{when}");
        let active = ask("cardinality/active_series", &[("selector", "up")]).await;
        assert_eq!(active["data"].as_array().map(Vec::len), Some(2), "{when}");
        let at = (time / 1000 + 30).to_string();
        let stats = ask("query", &[("query", "up"), ("time", &at), ("stats", "all")]).await;
        let samples = &stats["data"]["stats"]["samples"];
        assert_eq!((&samples["totalQueryableSamples"], &samples["samplesRead"]), (&json!(2), &json!(3)), "{when}");
        let headers =
            [("content-encoding", "snappy"), ("content-type", "application/x-protobuf"), ("x-scope-orgid", "t")];
        let read = read_request(time, time, "up");
        let answer = client.send("POST", &format!("{PROMETHEUS}/read"), &headers, read).await.expect("an answer");
        answer.is("remote read", 200, &[]);
        assert_eq!(answer.header("content-type"), Some("application/x-protobuf"), "{when}");
        client.flush().await;
    }
    assert!(client.json("t", &format!("{PROMETHEUS}/status/flags"), &[]).await["data"]["query.timeout"].is_string());
    assert!(client.json("t", &format!("{PROMETHEUS}/status/config"), &[]).await["data"]["yaml"].is_string());
    for (path, parameters, words) in [
        ("query", vec![("query", "up"), ("timeout", "x")], "timeout"),
        ("status/tsdb", vec![("limit", "0")], "limit"),
        ("cardinality/label_names", vec![("limit", "501")], "cannot be greater than 500"),
        ("cardinality/label_names", vec![("count_method", "x")], "count_method"),
        ("cardinality/label_values", vec![], "label_names[]"),
        ("cardinality/active_series", vec![], "selector"),
        ("cardinality/active_series", vec![("selector", "{")], "selector"),
    ] {
        let answer = client.ask("t", &format!("{PROMETHEUS}/{path}"), &parameters).await.expect("an answer");
        answer.is(&format!("{path} {parameters:?}"), 400, &[words]);
    }
    let bad = client.send("POST", &format!("{PROMETHEUS}/read"), &[], "not snappy").await.expect("an answer");
    bad.is("remote read", 400, &["remote read"]);
}

/// Lines of Loki's push API keep what they came with; their levels are found by queries that look at them.
#[tokio::test]
async fn levels_are_found_when_a_query_looks_at_them() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let time = now_ms() - 60_000;
    lines(&client, "web", time, &["level=error lost", "all is well", "info: found"]).await;
    let (start, end) = (format!("{}000000", time - 60_000), format!("{}000000", time + 60_000));
    for when in ["in heads", "in segments"] {
        let ask = async |path: &str, more: &[(&str, &str)]| {
            let asked = [&[("start", &*start), ("end", &*end)][..], more].concat();
            client.json("t", &format!("{API}/{path}"), &asked).await
        };
        let found = ask("query_range", &[("query", r#"{app="web"} | detected_level="error""#)]).await;
        assert_eq!(found["data"]["result"][0]["values"][0][1], "level=error lost", "{when}: {found}");
        assert_eq!(found["data"]["result"][0]["stream"]["detected_level"], "error", "{when}: {found}");
        let query = r#"sum by (detected_level) (count_over_time({app="web"}[1h]))"#;
        let counts = ask("query", &[("query", query), ("time", &end)]).await;
        let levels = counts["data"]["result"].as_array().expect("a vector").iter();
        let mut levels: Vec<&Value> = levels.map(|sample| &sample["metric"]["detected_level"]).collect();
        levels.sort_by_key(|level| level.to_string());
        assert_eq!(levels, ["error", "info", "unknown"], "{when}: {counts}");
        let fields = ask("detected_fields", &[("query", r#"{app="web"}"#)]).await;
        let level = fields["fields"].as_array().expect("fields").iter().find(|f| f["label"] == "detected_level");
        assert_eq!(level.expect("it is there")["cardinality"], 3, "{when}: {fields}");
        // Who does not ask sees lines as they came.
        let plain = ask("query_range", &[("query", r#"{app="web"}"#)]).await;
        assert_eq!(plain["data"]["result"].as_array().map(Vec::len), Some(1), "{when}: {plain}");
        let headers = [("x-scope-orgid", "t"), ("x-loki-response-encoding-flags", "categorize-labels")];
        let path = format!("{API}/query_range?query=%7Bapp%3D%22web%22%7D&start={start}&end={end}");
        let told = client.send("GET", &path, &headers, "").await.expect("an answer");
        told.is(when, 200, &[r#""info: found",{"structuredMetadata":{"detected_level":"info"}}"#]);
        client.flush().await;
    }
}
