//! What agents send, over a real socket: the statuses that they act on, and bodies that are bombs or come twice.

use crate::home;
use ouro_tests::client::Client;
use ouro_tests::ledger::{LOKI, Ledger, Sender, WRITE, now_ms};
use ouro_tests::process::Home;
use ouro_tests::remote_write::{Series, v1, v2};
use std::io::Write;
use wire::loki::Builder;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const V2: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written to memory");
    encoder.finish().expect("written to memory")
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    wire::snappy::compress(bytes)
}

fn json(labels: &str, time: i64, line: &str) -> Vec<u8> {
    format!("{{\"streams\":[{{\"stream\":{labels},\"values\":[[\"{time}000000\",\"{line}\"]]}}]}}").into_bytes()
}

fn protobuf(labels: &str, time: i64, line: &str) -> Vec<u8> {
    let mut builder = Builder::new();
    builder.stream(labels).entry(time * 1_000_000, line, []);
    builder.finish()
}

fn samples(name: &str, time: i64) -> Vec<Series> {
    vec![Series::new(&[("__name__", name), ("job", "push")], &[(time, 1.0)])]
}

async fn check(client: &Client, what: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>, want: (u16, &[&str])) {
    let answer = client.send("POST", path, headers, body).await.unwrap_or_else(|gone| panic!("{what}: {gone:?}"));
    answer.is(what, want.0, want.1);
    assert_eq!(answer.text.is_empty(), want.0 == 204, "{what}: {:?}", answer.text);
}

fn limited() -> Home {
    home("[limits]\nmax_push_body = \"1MiB\"\nmax_push_inflated = \"4MiB\"\nmax_line_size = \"1KiB\"\n")
}

#[tokio::test]
async fn logs_are_answered_as_loki_answers() {
    let process = limited().start();
    let (client, now) = (process.client(), now_ms());
    let good = "{\"job\":\"push\"}";
    let line = protobuf("{job=\"push\"}", now, "x");
    let long = "x".repeat(2000);
    let (whole, empty): (u16, &[&str]) = (204, &[]);
    for (what, headers, body, want) in [
        ("JSON", vec![JSON], json(good, now, "x"), (whole, empty)),
        (
            "JSON with a charset",
            vec![("content-type", "application/json; charset=utf-8")],
            json(good, now, "y"),
            (whole, empty),
        ),
        ("gzip JSON", vec![JSON, GZIP], gzip(&json(good, now, "z")), (whole, empty)),
        ("protobuf", vec![PROTOBUF, SNAPPY], snappy(&line), (whole, empty)),
        ("protobuf that says nothing", vec![], snappy(&line), (whole, empty)),
        ("gzip protobuf", vec![PROTOBUF, GZIP], gzip(&line), (whole, empty)),
        ("no JSON", vec![JSON], b"{".to_vec(), (400, &[])),
        ("no snappy", vec![PROTOBUF, SNAPPY], b"garbage".to_vec(), (400, &["snappy"])),
        ("no gzip", vec![JSON, GZIP], b"garbage".to_vec(), (400, &["gzip"])),
        ("no protobuf", vec![PROTOBUF, SNAPPY], snappy(b"\xff\xff\xff"), (400, &[])),
        (
            "labels that are none",
            vec![PROTOBUF, SNAPPY],
            snappy(&protobuf("{a=", now, "x")),
            (400, &["error parsing labels"]),
        ),
        ("no labels", vec![JSON], json("{}", now, "x"), (400, &["at least one label pair is required per stream"])),
        ("a long line", vec![JSON], json(good, now, &long), (400, &["1 KiB", "limits.max_line_size"])),
        ("a line from the future", vec![JSON], json(good, now + 3_600_000, "x"), (400, &["limits.creation_grace"])),
        ("no streams", vec![JSON], b"{\"streams\":[]}".to_vec(), (422, &["at least one valid stream"])),
        ("another type", vec![("content-type", "text/plain")], b"x".to_vec(), (415, &["text/plain"])),
        ("another encoding", vec![JSON, ("content-encoding", "br")], b"x".to_vec(), (415, &["br"])),
        (
            "a snappy bomb",
            vec![PROTOBUF, SNAPPY],
            snappy(&vec![0; 8 << 20]),
            (413, &["8 MiB", "limits.max_push_inflated"]),
        ),
        ("a gzip bomb", vec![JSON, GZIP], gzip(&vec![b' '; 64 << 20]), (413, &["4 MiB", "limits.max_push_inflated"])),
        (
            "a body that lies about its length",
            vec![PROTOBUF, SNAPPY],
            vec![0xff, 0xff, 0xff, 0x7f, 0],
            (413, &["limits.max_push_inflated"]),
        ),
    ] {
        check(&client, what, LOKI, &headers, body, want).await;
    }
    // What was good in a push of which some is refused is stored.
    let body = format!(
        "{{\"streams\":[{{\"stream\":{good},\"values\":[[\"{now}000001\",\"kept\"],[\"{now}000002\",\"{long}\"]]}}]}}"
    );
    check(&client, "a part", LOKI, &[JSON], body.into_bytes(), (400, &["1 of 2 rows refused"])).await;
    let query = [("query", "sum(count_over_time({job=\"push\"} |= `kept` [1h]))")];
    let count = client.json("", "/loki/api/v1/query", &query).await;
    assert_eq!(count["data"]["result"][0]["value"][1], "1");
    for path in ["/loki/api/v1/push", "/api/v1/push", "/api/v1/write", "/flush"] {
        client.send("GET", path, &[], "").await.expect("an answer").is(path, 405, &[]);
    }
    client.send("POST", "/nowhere", &[], "").await.expect("an answer").is("/nowhere", 404, &[]);
    assert!(client.meter("process_resident_memory_bytes").await < 500e6);
}

#[tokio::test]
async fn samples_are_answered_as_prometheus_expects() {
    let process = limited().start();
    let (client, now) = (process.client(), now_ms());
    let (whole, empty): (u16, &[&str]) = (204, &[]);
    let future = samples("up", now + 3_600_000);
    let nameless = vec![Series::new(&[("job", "push")], &[(now, 1.0)])];
    let old = vec![Series::new(&[("__name__", "up"), ("job", "push")], &[(now - 7_200_000, 1.0)])];
    let other = vec![Series::new(&[("__name__", "up"), ("job", "push")], &[(now, 2.0)])];
    for (what, headers, body, want) in [
        ("1.0", vec![PROTOBUF, SNAPPY], snappy(&v1(&samples("up", now))), (whole, empty)),
        ("1.0 that says nothing", vec![], snappy(&v1(&samples("up1", now))), (whole, empty)),
        ("2.0", vec![V2, SNAPPY], snappy(&v2(&samples("up2", now))), (whole, empty)),
        ("the same again", vec![PROTOBUF, SNAPPY], snappy(&v1(&samples("up", now))), (whole, empty)),
        ("another value", vec![PROTOBUF, SNAPPY], snappy(&v1(&other)), (400, &["up"])),
        (
            "too old",
            vec![PROTOBUF, SNAPPY],
            snappy(&v1(&old)),
            (400, &["up", "older than its newest sample", "3600s", "limits.out_of_order_window"]),
        ),
        ("from the future", vec![PROTOBUF, SNAPPY], snappy(&v1(&future)), (400, &["up", "limits.creation_grace"])),
        ("without a name", vec![PROTOBUF, SNAPPY], snappy(&v1(&nameless)), (400, &["metric name"])),
        ("nothing", vec![PROTOBUF, SNAPPY], snappy(&[]), (whole, empty)),
        ("no snappy", vec![PROTOBUF, SNAPPY], b"garbage".to_vec(), (400, &["snappy"])),
        ("no protobuf", vec![PROTOBUF, SNAPPY], snappy(b"\xff\xff\xff"), (400, &[])),
        ("JSON", vec![JSON], b"{}".to_vec(), (415, &["application/json"])),
        (
            "an unknown proto",
            vec![("content-type", "application/x-protobuf;proto=x.Y"), SNAPPY],
            vec![],
            (415, &["x.Y"]),
        ),
        ("gzip", vec![PROTOBUF, GZIP], gzip(&[]), (415, &["gzip"])),
        ("a bomb", vec![PROTOBUF, SNAPPY], snappy(&vec![0; 8 << 20]), (413, &["limits.max_push_inflated"])),
    ] {
        for path in [WRITE, "/api/v1/write"] {
            check(&client, &format!("{what} to {path}"), path, &headers, body.clone(), want).await;
        }
    }
}

/// The same body comes again: at once, from the head, after a flush, and after a start.
#[tokio::test]
async fn a_body_that_comes_again_is_stored_once() {
    let (home, sender, mut ledger) = (home(""), Sender::new("twice"), Ledger::default());
    let pushes: Vec<_> = (0..8).map(|_| sender.push()).collect();
    let mut process = home.start();
    for when in ["at once", "again", "after a flush", "after a kill", "after a flush and a kill", "after an end"] {
        match when {
            "after a flush" => process.client().flush().await,
            "after a kill" => {
                process.kill();
                process = home.start();
            }
            "after a flush and a kill" => {
                process.client().flush().await;
                process.kill();
                process = home.start();
            }
            "after an end" => {
                process.terminate();
                process = home.start();
            }
            _ => {}
        }
        for push in &pushes {
            ledger.send(&process.client(), push).await;
        }
        ledger.check(&process.client(), when).await;
    }
    // Not only seen once, but kept once: nothing of the repetitions is left to be flushed.
    let client = process.client();
    assert_eq!((client.meter("ouro_head_rows").await, client.meter("ouro_head_raw_bytes").await), (0.0, 0.0));
    client.flush().await;
    assert_eq!(client.meter("ouro_flush_rows_total").await, 0.0);
    // A push of which only a part comes again is another push.
    let (lines, samples) = ledger.acked_rows();
    assert_eq!((lines, samples), (4 * 12, 4 * 5));
}

/// The same body at the same moment over many connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_many_times_at_once_is_stored_once() {
    let (home, sender, mut ledger) = (home(""), Sender::new("many"), Ledger::default());
    let process = home.start();
    for _ in 0..10 {
        let push = sender.logs();
        let sends: Vec<_> = (0..8)
            .map(|_| {
                let (push, client) = (push.clone(), process.client());
                tokio::spawn(async move { push.send(&client).await.map(|answer| answer.status) })
            })
            .collect();
        for sent in sends {
            assert_eq!(sent.await.expect("no panic").expect("an answer"), 204);
        }
        ledger.acked(&push);
    }
    ledger.check(&process.client(), "at once").await;
    assert_eq!(process.client().meter("ouro_head_rows{signal=\"logs\"}").await, 120.0);
}

/// An agent that is not told 413 takes the broken connection for a passing fault, and sends the same body for ever.
#[tokio::test]
async fn a_body_that_is_too_large_is_answered() {
    let process = limited().start();
    for (path, headers) in [(LOKI, [JSON].as_slice()), (WRITE, &[PROTOBUF, SNAPPY])] {
        let want: (u16, &[&str]) = (413, &["12 MiB", "1 MiB", "limits.max_push_body"]);
        check(&process.client(), "a large body", path, headers, vec![b' '; 12 << 20], want).await;
    }
}

#[tokio::test]
async fn a_tenants_series_are_held_to_its_limit() {
    let process = home("[limits]\nmax_series = 3\nmax_series_per_metric = 2\n").start();
    let (client, now) = (process.client(), now_ms());
    let all = |names: &[(&str, &str)], time: i64| -> Vec<Series> {
        names.iter().map(|(name, n)| Series::new(&[("__name__", name), ("n", n)], &[(time, 1.0)])).collect()
    };
    let check = async |what: &str, series: Vec<Series>, status: u16, words: &[&str]| {
        check(&client, what, WRITE, &[SNAPPY], snappy(&v1(&series)), (status, words)).await;
    };
    check("two of a", all(&[("a", "0"), ("a", "1")], now), 204, &[]).await;
    let words = ["{__name__=\"a\", n=\"2\"} is new", "2 (limits.max_series_per_metric)", "[per_metric_series_limit]"];
    check("a third of a", all(&[("a", "1"), ("a", "2"), ("b", "0")], now + 1), 400, &words).await;
    let words = ["tenant anonymous", "3 (limits.max_series)", "[per_user_series_limit]", "1 of 2 rows"];
    check("a fourth", all(&[("a", "0"), ("c", "0")], now + 2), 400, &words).await;
    check("those that are there", all(&[("a", "0"), ("a", "1"), ("b", "0")], now + 3), 204, &[]).await;
    let count = client.json("anonymous", "/prometheus/api/v1/query", &[("query", "count({__name__=~\".+\"})")]).await;
    assert_eq!(count["data"]["result"][0]["value"][1], "3");
    let text = client.text("/metrics").await;
    for word in ["per_metric_series_limit", "per_user_series_limit"] {
        assert!(text.contains(&format!("ouro_distributor_discarded_rows_total{{reason=\"{word}\"}} 1\n")), "{text}");
    }
}
