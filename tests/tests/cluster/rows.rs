//! Everything that remote write and Loki pushes carry beside floats and lines survives the head, a flush and a start.

use crate::home;
use ouro_tests::client::Client;
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::remote_write::{Native, Series, labels, v1, v2};
use serde_json::{Value, json};

/// Prometheus's marker of a series that has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;
const V2: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

fn histogram(time: i64, first: i64) -> Native {
    Native { time, sum: 12.5, offset: 1, buckets: vec![first, 3, 1] }
}

/// One body of each kind; `version` is a label's value.
fn body(version: &str, base: i64) -> Vec<Series> {
    let with = |name: &str, samples: &[(i64, f64)]| Series::new(&[("__name__", name), ("version", version)], samples);
    let ended = f64::from_bits(STALE);
    let other_nan = f64::from_bits(0x7ff8_0000_dead_beef);
    vec![
        Series { histograms: vec![histogram(base, 2), histogram(base + 15_000, 4)], ..with("native", &[]) },
        with("ends", &[(base, 1.0), (base + 15_000, ended)]),
        with("no_number", &[(base, 1.0), (base + 15_000, f64::NAN)]),
        with("odd_number", &[(base, -0.0), (base + 15_000, other_nan)]),
        with("infinite", &[(base, f64::INFINITY), (base + 15_000, f64::NEG_INFINITY)]),
        with("small", &[(base, 5e-324), (base + 15_000, f64::MAX)]),
        Series {
            exemplars: vec![(labels(&[("trace_id", "abc")]), 0.5, base + 1)],
            metadata: Some((1, "What it counts.".into(), "seconds".into())),
            ..with(&format!("counted_{version}"), &[(base, 3.0)])
        },
    ]
}

async fn check(client: &Client, version: &str, base: i64, when: &str) {
    let tenant = "rows";
    let at = |offset: i64| format!("{:.3}", (base + offset) as f64 / 1000.0);
    let ask = async |query: &str, time: &str| {
        let query = query.replace("V", &format!("version=\"{version}\""));
        client.json(tenant, "/prometheus/api/v1/query", &[("query", &*query), ("time", time)]).await["data"].take()
    };
    let value = |data: &Value| data["result"][0]["value"][1].clone();
    let what = |query: &str| format!("{when}: {version}: {query}");

    let found = ask("native{V}", &at(15_000)).await;
    let native = &found["result"][0]["histogram"][1];
    assert_eq!((&native["count"], &native["sum"]), (&json!("8"), &json!("12.5")), "{}: {found}", what("native"));
    let want = json!([[0, "1", "2", "4"], [0, "2", "4", "3"], [0, "4", "8", "1"]]);
    assert_eq!(native["buckets"], want, "{}", what("native"));
    let found = ask("native{V}[1m]", &at(15_000)).await;
    assert_eq!(found["result"][0]["histograms"].as_array().map(Vec::len), Some(2), "{}: {found}", what("native[1m]"));

    assert_eq!(value(&ask("ends{V}", &at(1000)).await), "1", "{}", what("ends"));
    assert_eq!(ask("ends{V}", &at(15_000)).await["result"], json!([]), "{}", what("ends, ended"));
    assert_eq!(value(&ask("count_over_time(ends{V}[1m])", &at(15_000)).await), "1", "{}", what("ends[1m]"));
    for (query, first, second) in [
        ("no_number{V}", "1", "NaN"),
        ("odd_number{V}", "-0", "NaN"),
        ("infinite{V}", "+Inf", "-Inf"),
        ("1 / infinite{V}", "0", "-0"),
    ] {
        assert_eq!(value(&ask(query, &at(0)).await), first, "{}", what(query));
        assert_eq!(value(&ask(query, &at(15_000)).await), second, "{}", what(query));
    }
    let small = ask("small{V} > 0 < 1e-300", &at(0)).await;
    assert_eq!(small["result"].as_array().map(Vec::len), Some(1), "{}: {small}", what("small"));

    let family = format!("counted_{version}");
    let range = [("query", &*family), ("start", &at(-60_000)), ("end", &at(60_000))];
    let found = client.json(tenant, "/prometheus/api/v1/query_exemplars", &range).await;
    let exemplar = &found["data"][0]["exemplars"][0];
    assert_eq!(
        (&exemplar["labels"], &exemplar["value"]),
        (&json!({ "trace_id": "abc" }), &json!("0.5")),
        "{}: {found}",
        what("exemplar")
    );
    let found = client.json(tenant, "/prometheus/api/v1/metadata", &[("metric", &*family)]).await;
    let want = json!([{ "type": "counter", "help": "What it counts.", "unit": "seconds" }]);
    assert_eq!(found["data"][&family], want, "{}", what("metadata"));
}

#[tokio::test]
async fn all_kinds_of_samples_survive() {
    let home = home("");
    let mut process = home.start();
    let base = (now_ms() - 600_000) / 1000 * 1000;
    for (version, kind) in [("one", ("content-type", "application/x-protobuf")), ("two", V2)] {
        let series = body(version, base);
        let bytes = if version == "one" { v1(&series) } else { v2(&series) };
        let headers = [kind, SNAPPY, ("x-scope-orgid", "rows")];
        let sent = process.client().send("POST", WRITE, &headers, wire::snappy::compress(&bytes)).await;
        let answer = sent.expect("an answer");
        answer.is(version, 204, &[]);
        let written =
            |name: &str| answer.header(&format!("x-prometheus-remote-write-{name}-written")).map(str::to_owned);
        let counts = ["samples", "histograms", "exemplars"].map(written);
        let want = if version == "two" { ["11", "2", "1"].map(|n| Some(n.to_owned())) } else { [None, None, None] };
        assert_eq!(counts, want, "{version}");
    }
    for when in ["in the head", "replayed", "in segments", "in segments, started again"] {
        match when {
            "replayed" | "in segments, started again" => {
                process.kill();
                process = home.start();
            }
            "in segments" => process.client().flush().await,
            _ => {}
        }
        for version in ["one", "two"] {
            check(&process.client(), version, base, when).await;
        }
    }
}

/// What is good of a request is written and counted, what is not is named.
#[tokio::test]
async fn a_request_of_which_a_part_is_good() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let now = now_ms();
    let send = async |series: Vec<Series>| {
        let headers = [V2, SNAPPY, ("x-scope-orgid", "part")];
        client.send("POST", WRITE, &headers, wire::snappy::compress(&v2(&series))).await.expect("an answer")
    };
    let series = |name: &str, time: i64| Series::new(&[("__name__", name)], &[(time, 1.0)]);
    let native = Series { histograms: vec![histogram(now, 1)], ..Series::new(&[("__name__", "native")], &[]) };
    let both = Series { histograms: vec![histogram(now, 1)], ..series("both", now) };
    for (what, all, words, counts) in [
        (
            "one from the future",
            vec![series("a", now), series("late", now + 3_600_000), native.clone()],
            "late",
            ["1", "1", "0"],
        ),
        ("one of two kinds", vec![series("b", now), both], "both", ["1", "0", "0"]),
        (
            "one without a name",
            vec![series("c", now), Series::new(&[("x", "y")], &[(now, 1.0)])],
            "metric name",
            ["1", "0", "0"],
        ),
        (
            "one that is older than its series' window",
            vec![series("a", now - 7_200_000), series("d", now)],
            "older than its newest sample",
            ["1", "0", "0"],
        ),
        (
            "another value at the same time",
            vec![Series::new(&[("__name__", "a")], &[(now, 2.0)]), series("e", now)],
            "",
            ["1", "0", "0"],
        ),
    ] {
        let answer = send(all).await;
        answer.is(what, 400, &[words]);
        for (name, want) in ["samples", "histograms", "exemplars"].iter().zip(counts) {
            let header = format!("x-prometheus-remote-write-{name}-written");
            assert_eq!(answer.header(&header), Some(want), "{what}: {name}: {}", answer.text);
        }
    }
    for when in ["in the head", "in segments"] {
        let found = client.json("part", "/prometheus/api/v1/label/__name__/values", &[]).await;
        assert_eq!(found["data"], json!(["a", "b", "c", "d", "e", "native"]), "{when}");
        let found = client.json("part", "/prometheus/api/v1/query", &[("query", "a")]).await;
        assert_eq!(found["data"]["result"][0]["value"][1], "1", "{when}: the first value stays");
        client.flush().await;
    }
}

/// Structured metadata, odd lines and odd labels.
#[tokio::test]
async fn all_kinds_of_lines_survive() {
    let home = home("");
    let mut process = home.start();
    let time = now_ms() - 60_000;
    let lines = ["", " ", "two\nlines\n", "\u{0}\u{1f}", "ünï→😀", "{\"json\": \"\\\"quoted\\\"\"}", "\\"];
    let long = "long ".repeat(20_000);
    let all: Vec<&str> = lines.into_iter().chain([&*long]).collect();
    let values: Vec<Value> = all
        .iter()
        .enumerate()
        .map(|(n, line)| json!([format!("{}", time * 1_000_000 + n as i64), line, { "trace_id": format!("t{n}"), "odd": "a\"b\\c\nd" }]))
        .collect();
    let body = json!({ "streams": [{ "stream": { "job": "odd", "quoted": "a\"b\\c\nd" }, "values": values }] });
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "odd")];
    let answer = process.client().send("POST", LOKI, &headers, body.to_string()).await.expect("an answer");
    answer.is("odd lines", 204, &[]);
    for when in ["in the head", "replayed", "in segments", "in segments, started again"] {
        match when {
            "replayed" | "in segments, started again" => {
                process.kill();
                process = home.start();
            }
            "in segments" => process.client().flush().await,
            _ => {}
        }
        let client = process.client();
        let (start, end) = (format!("{}000000", time - 1000), format!("{}000000", time + 1000));
        let range = [("query", "{job=\"odd\"}"), ("start", &*start), ("end", &end), ("direction", "forward")];
        let headers = [("x-scope-orgid", "odd"), ("x-loki-response-encoding-flags", "categorize-labels")];
        let query: String = range.iter().map(|(name, value)| format!("{name}={}&", escape(value))).collect();
        let path = format!("/loki/api/v1/query_range?{query}");
        let answer = client.send("GET", &path, &headers, "").await.expect("an answer");
        answer.is(when, 200, &[]);
        let found: Value = serde_json::from_str(&answer.text).expect("JSON");
        let result = found["data"]["result"].as_array().expect("streams");
        assert_eq!(result.len(), 1, "{when}");
        assert_eq!(
            result[0]["stream"],
            json!({ "job": "odd", "service_name": "odd", "quoted": "a\"b\\c\nd" }),
            "{when}"
        );
        let found: Vec<(&str, &Value)> = result[0]["values"]
            .as_array()
            .expect("values")
            .iter()
            .map(|value| (value[1].as_str().expect("a line"), &value[2]["structuredMetadata"]))
            .collect();
        assert_eq!(found.len(), all.len(), "{when}");
        for (n, (line, metadata)) in found.into_iter().enumerate() {
            assert_eq!(line, all[n], "{when}: line {n}");
            let mut metadata = metadata.as_object().expect("metadata").clone();
            // Found in the line when it is read.
            assert!(metadata.remove("detected_level").is_some(), "{when}: line {n}");
            let stored = json!({ "trace_id": format!("t{n}"), "odd": "a\"b\\c\nd" });
            assert_eq!(Value::Object(metadata), stored, "{when}: line {n}");
        }
        let query = [("query", "sum(count_over_time({job=\"odd\"} | trace_id=`t3` [1h]))")];
        let count = client.json("odd", "/loki/api/v1/query", &query).await;
        assert_eq!(count["data"]["result"][0]["value"][1], "1", "{when}");
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
