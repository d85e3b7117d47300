//! Pushes of logs.

use crate::agent::{Agent, JSON, LOKI, PROTOBUF, lines, logs, now};
use crate::shards::Shards;
use axum::body::{Body, Bytes};
use model::{ByteSize, Reason, Signal, TimeRange};
use ouro_distributor::{AppendError, Appended, Refusal, Settings};
use std::time::Duration;
use wire::batch::Format;
use wire::{gzip, snappy};

const STREAM: &str = r#"{app="web"}"#;

#[tokio::test]
async fn a_push_reaches_its_shard_as_it_came() {
    let agent = Agent::new();
    let body = logs(&[(STREAM, &[(5, "one"), (3, "two")]), (r#"{app="db"}"#, &[(9, "three")])]);
    let payload = snappy::compress(&body);
    for (path, tenant) in [(LOKI, None), ("/api/prom/push", Some(("x-scope-orgid", "org-env")))] {
        let agent = Agent::new();
        let headers: Vec<(&str, &str)> = [PROTOBUF].into_iter().chain(tenant).collect();
        agent.post(path, &headers, payload.clone()).await.is(204, &[]);
        let batch = agent.shards.only();
        assert_eq!(batch.payload, payload, "not compressed again");
        assert_eq!(batch.body().as_deref(), Ok(body.as_slice()));
        let header = &batch.header;
        assert_eq!(header.tenant.as_str(), tenant.map_or("anonymous", |(_, name)| name));
        assert_eq!((header.format, header.rows, header.times), (Format::LokiPush, 3, TimeRange::new(3, 9)));
        let streams: Vec<_> = header.streams.iter().map(|s| (s.key, s.rows, s.times)).collect();
        let key = wire::loki::key;
        assert_eq!(streams, [(key(STREAM), 2, TimeRange::new(3, 5)), (key(r#"{app="db"}"#), 1, TimeRange::new(9, 9))]);
    }
    agent.push_logs(&body).await.is(204, &[]);
    agent.push_logs(&body).await.is(204, &[]);
    let batches = agent.shards.batches();
    assert_eq!(batches[0].1.header.id, batches[1].1.header.id, "the same push sent again has the same id");
    assert_eq!(batches[0].0.signal, Signal::Logs);
}

#[tokio::test]
async fn all_of_lokis_encodings_are_read() {
    let body = logs(&[(STREAM, &[(1, "x")])]);
    let json = br#"{"streams":[{"stream":{"app":"web"},"values":[["1","x"]]}]}"#.to_vec();
    let packed = snappy::compress(&body);
    let deflated = {
        // Raw deflate of stored bytes: a final block that is not compressed.
        let len = (json.len() as u16).to_le_bytes();
        let not = (!(json.len() as u16)).to_le_bytes();
        [&[1u8][..], &len, &not, &json].concat()
    };
    for (headers, sent) in [
        (&[PROTOBUF][..], packed.clone()),
        (&[], packed.clone()),
        (&[PROTOBUF, ("content-encoding", "snappy")], packed.clone()),
        (&[PROTOBUF, ("content-encoding", "gzip")], gzip::compress(&packed)),
        (&[PROTOBUF, ("content-encoding", "gzip")], gzip::compress(&body)),
        (&[JSON], json.clone()),
        (&[("content-type", "Application/JSON; charset=utf-8")], json.clone()),
        (&[JSON, ("content-encoding", "gzip")], gzip::compress(&json)),
        (&[JSON, ("content-encoding", "deflate")], deflated),
        (&[JSON, ("content-encoding", "snappy")], snappy::compress(&json)),
    ] {
        let agent = Agent::new();
        agent.post(LOKI, headers, sent).await.is(204, &[]);
        let stored = agent.shards.only();
        assert_eq!(lines(&stored.body().expect("reads")), [(STREAM.to_owned(), vec!["x".to_owned()])], "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_no_push_is_refused_whole() {
    let good = snappy::compress(&logs(&[(STREAM, &[(1, "x")])]));
    let limits = r#"{"max_push_body": "200B", "max_push_inflated": 2000}"#;
    let check = async |headers: &[(&str, &str)], body: &[u8], status: u16, words: &[&str]| {
        let agent = Agent::limited(limits);
        agent.post(LOKI, headers, body.to_vec()).await.is(status, words);
        assert_eq!(agent.shards.batches(), []);
        assert_eq!(agent.distributor.inflight(), ByteSize(0), "all room is given back");
    };
    check(&[("content-type", "text/plain")], &good, 415, &["text/plain", "application/json"]).await;
    check(&[PROTOBUF, ("content-encoding", "zstd")], &good, 415, &["zstd", "gzip"]).await;
    check(&[("x-scope-orgid", "a|b")], &good, 400, &["2 tenants"]).await;
    check(&[("x-scope-orgid", "a/b")], &good, 400, &["'/'"]).await;
    check(&[("x-scope-orgid", "")], &good, 400, &["empty"]).await;
    check(&[PROTOBUF], b"garbage", 400, &["snappy"]).await;
    check(&[PROTOBUF], &snappy::compress(b"\x0a\xff"), 400, &["ends too early"]).await;
    check(&[PROTOBUF], b"", 400, &["snappy"]).await;
    check(&[PROTOBUF], &snappy::compress(b""), 422, &["at least one valid stream is required"]).await;
    check(&[JSON], b"{}", 422, &["at least one valid stream is required"]).await;
    check(&[JSON], br#"{"streams":[{"stream":{"a":"b"},"values":[[1,"x"]]}]}"#, 400, &["streams[0].values[0][0]"])
        .await;
    check(&[JSON, ("content-encoding", "gzip")], b"{}", 400, &["gzip"]).await;
    check(&[PROTOBUF], &[0; 201], 413, &["201 B", "200 B (limits.max_push_body)", "anonymous"]).await;
    let large = logs(&[(STREAM, &[(1, &"x".repeat(3000))])]);
    check(&[PROTOBUF], &snappy::compress(&large), 413, &["(limits.max_push_inflated)", "3.0 KiB"]).await;
    check(
        &[PROTOBUF, ("content-encoding", "gzip")],
        &gzip::compress(&[0; 3000]),
        413,
        &["limits.max_push_inflated", "over"],
    )
    .await;
    let agent = Agent::limited(limits);
    let frames = (0..30).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[7; 10])));
    let endless = Body::from_stream(futures::stream::iter(frames));
    agent.post(LOKI, &[PROTOBUF], endless).await.is(413, &["limits.max_push_body"]);
    assert_eq!(agent.post("/loki/api/v1/pull", &[], "").await.status, 404);
}

#[tokio::test]
async fn bad_streams_and_lines_are_left_out_and_named() {
    let limits = r#"{"max_line_size": 10, "max_label_names": 2, "creation_grace": "1h", "reject_old": "7d",
                     "max_metadata_size": "8B"}"#;
    let t = now();
    let check = async |body: Vec<u8>, words: &[&str], left: &[(&str, &[&str])]| {
        let agent = Agent::limited(limits);
        agent.push_logs(&body).await.is(if words.is_empty() { 204 } else { 400 }, words);
        let stored: Vec<_> =
            agent.shards.batches().iter().flat_map(|(_, b)| lines(&b.body().expect("reads"))).collect();
        let left: Vec<(String, Vec<String>)> =
            left.iter().map(|(s, l)| (s.to_string(), l.iter().map(|l| l.to_string()).collect())).collect();
        assert_eq!(stored, left, "{words:?}");
        for (_, batch) in agent.shards.batches() {
            let rows: Vec<u32> = batch.header.streams.iter().map(|stream| stream.rows).collect();
            assert_eq!(rows, left.iter().map(|(_, lines)| lines.len() as u32).collect::<Vec<_>>());
            assert_eq!(batch.header.rows, rows.iter().sum::<u32>());
        }
    };
    let other = r#"{app="db"}"#;
    check(
        logs(&[(STREAM, &[(t, "a"), (t, "much too long"), (t, "b")]), (other, &[(t, "c")])]),
        &["stream {app=\"web\"}", "13 bytes", "10 B (limits.max_line_size)", "1 of 4 rows"],
        &[(STREAM, &["a", "b"]), (other, &["c"])],
    )
    .await;
    let hour = 3_600_000_000_000;
    check(
        logs(&[(STREAM, &[(t + 2 * hour, "a"), (t, "b"), (t - 200 * hour, "c")])]),
        &["too new", "3600 s", "limits.creation_grace", "2 of 3"],
        &[(STREAM, &["b"])],
    )
    .await;
    check(logs(&[(STREAM, &[(t - 200 * hour, "c")])]), &["too old", "604800 s", "limits.reject_old"], &[]).await;
    check(
        logs(&[("{}", &[(t, "a"), (t, "much too long")]), (other, &[(t, "c")]), ("{a=", &[(t, "x")])]),
        &["at least one label pair is required per stream", "3 of 4"],
        &[(other, &["c"])],
    )
    .await;
    check(logs(&[(r#"{a="1",b="2",c="3"}"#, &[(t, "a")])]), &["3 labels", "2 (limits.max_label_names)"], &[]).await;
    let mut builder = wire::loki::Builder::new();
    builder.stream(STREAM).entry(t, "a", [("trace", "1234")]).entry(t, "b", [("a", "b")]);
    check(builder.finish(), &["metadata", "8 B (limits.max_metadata_size)"], &[(STREAM, &["b"])]).await;
    check(logs(&[(STREAM, &[])]), &[], &[]).await;
}

#[tokio::test]
async fn reasons_have_words_and_meters() {
    let limits = r#"{"max_line_size": "20B", "max_label_names": 2, "max_label_name_length": 5, "max_label_value_length": 6,
                     "max_metadata_size": "8B", "creation_grace": "1h", "reject_old": "7d"}"#;
    let (t, hour) = (now(), 3_600_000_000_000);
    let mut metadata = wire::loki::Builder::new();
    metadata.stream(STREAM).entry(t, "a", [("trace", "1234")]);
    // Loki's words for the reasons, and what its senders look for in the texts.
    for (body, reason, words) in [
        (logs(&[(STREAM, &[(t, "a line of over 20 bytes")])]), "line_too_long", "max entry size exceeded"),
        (metadata.finish(), "structured_metadata_too_large", "structured metadata of a line"),
        (logs(&[(STREAM, &[(t - 200 * hour, "a")])]), "greater_than_max_sample_age", "timestamp too old"),
        (logs(&[(STREAM, &[(t + 2 * hour, "a")])]), "too_far_in_future", "timestamp too new"),
        (logs(&[("{}", &[(t, "a")])]), "missing_labels", "at least one label pair is required per stream"),
        (logs(&[("", &[(t, "a")])]), "invalid_labels", "error parsing labels"),
        (logs(&[("{a=", &[(t, "a")])]), "invalid_labels", "error parsing labels"),
        (logs(&[(r#"{a="1", a="2"}"#, &[(t, "a")])]), "duplicate_label_names", "\"a\" occurs twice"),
        (logs(&[(r#"{a="1", b="2", c="3"}"#, &[(t, "a")])]), "max_label_names_per_series", "has 3 labels"),
        (logs(&[(r#"{a_name="1"}"#, &[(t, "a")])]), "label_name_too_long", "label name \"a_name\""),
        (logs(&[(r#"{a="1234567"}"#, &[(t, "a")])]), "label_value_too_long", "label \"a\""),
    ] {
        let agent = Agent::limited(limits);
        for turn in 1..=2 {
            agent.push_logs(&body).await.is(400, &[words, &format!("[{reason}]")]);
            let mut meters = telemetry::Exposition::default();
            agent.distributor.write_meters(&mut meters);
            let text = meters.text();
            let counted = text.lines().filter(|line| line.contains("discarded_rows_total{") && !line.ends_with(" 0"));
            let want = format!("ouro_distributor_discarded_rows_total{{reason=\"{reason}\"}} {turn}");
            assert_eq!(counted.collect::<Vec<_>>(), [want]);
        }
    }
}

#[tokio::test]
async fn known_labels_are_checked_again_under_other_limits() {
    let agent = Agent::new();
    let body = logs(&[(r#"{a="1",b="2"}"#, &[(1, "x")])]);
    let checked = || agent.distributor.meters().labels_checked.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3 {
        agent.push_logs(&body).await.is(204, &[]);
    }
    assert_eq!(checked(), 1);
    agent.limits.replace(&serde_json::from_str(r#"{"defaults": {"max_label_names": 1}}"#).expect("limits"));
    agent.push_logs(&body).await.is(400, &["limits.max_label_names"]);
    agent.push_logs(&body).await.is(400, &["limits.max_label_names"]);
    assert_eq!(checked(), 3, "bad ones each time");
}

#[tokio::test]
async fn lines_that_are_no_text_are_stored_as_far_as_they_are() {
    let agent = Agent::new();
    let mut body = logs(&[(STREAM, &[(1, "a?b"), (1, "good")])]);
    let at = body.windows(3).position(|bytes| bytes == b"a?b").expect("there");
    body[at + 1] = 0xff;
    agent.push_logs(&body).await.is(204, &[]);
    let stored = lines(&agent.shards.only().body().expect("reads"));
    assert_eq!(stored, [(STREAM.to_owned(), vec!["a\u{fffd}b".to_owned(), "good".to_owned()])]);
}

#[tokio::test]
async fn a_tenant_is_spread_over_its_shards() {
    let agent = Agent::with(Settings::default(), r#"{"tenants": {"big": {"shards": 3}}}"#, Shards::new());
    let labels: Vec<String> = (0..100).map(|n| format!("{{n=\"{n}\"}}")).collect();
    let rows: Vec<(i64, &str)> = vec![(1, "x"), (2, "y")];
    let streams: Vec<(&str, &[(i64, &str)])> = labels.iter().map(|l| (l.as_str(), rows.as_slice())).collect();
    let body = snappy::compress(&logs(&streams));
    agent.post(LOKI, &[PROTOBUF, ("x-scope-orgid", "big")], body.clone()).await.is(204, &[]);
    let batches = agent.shards.batches();
    assert_eq!(batches.len(), 3);
    let mut found: Vec<String> = Vec::new();
    for (_, batch) in &batches {
        let stored = lines(&batch.body().expect("reads"));
        let keys: Vec<u128> = stored.iter().map(|(labels, _)| wire::loki::key(labels)).collect();
        assert_eq!(keys, batch.header.streams.iter().map(|s| s.key).collect::<Vec<_>>());
        assert_eq!((batch.header.rows as usize, batch.header.times), (2 * stored.len(), TimeRange::new(1, 2)));
        assert!(stored.len() > 15, "{} of 100", stored.len());
        found.extend(stored.into_iter().map(|(labels, _)| labels));
    }
    found.sort();
    let mut labels = labels.clone();
    labels.sort();
    assert_eq!(found, labels);
    agent.post(LOKI, &[PROTOBUF, ("x-scope-orgid", "big")], body.clone()).await.is(204, &[]);
    let again = agent.shards.batches().split_off(3);
    assert!(batches.iter().all(|batch| again.contains(batch)), "the same parts to the same shards");
    agent.post(LOKI, &[PROTOBUF], body).await.is(204, &[]);
    assert_eq!(agent.shards.batches().len(), 7, "another tenant uses one shard");
}

#[tokio::test]
async fn what_the_leader_says_is_told() {
    let body = logs(&[(STREAM, &[(1, "x"), (2, "y"), (3, "z")])]);
    let agent = Agent::new();
    agent.shards.answer(Ok(vec![Appended {
        refused: vec![Refusal { text: "no room in {a}".into(), count: 2, reason: String::new() }],
    }]));
    agent.push_logs(&body).await.is(400, &["no room in {a}", "2 of 3 rows"]);
    let error =
        |reason, retry_after| Err(AppendError { reason, text: "shard logs-1 has no leader".into(), retry_after });
    agent.shards.answer(error(Reason::Unavailable, Some(Duration::from_millis(2500))));
    let answer = agent.push_logs(&body).await;
    answer.is(503, &["no leader"]);
    assert_eq!(answer.header("retry-after"), Some("3"));
    agent.shards.answer(error(Reason::Unavailable, None));
    assert_eq!(agent.push_logs(&body).await.header("retry-after"), Some("1"));
    agent.shards.answer(error(Reason::OverLimit, None));
    agent.push_logs(&body).await.is(429, &[]);
    agent.shards.answer(Ok(vec![]));
    agent.push_logs(&body).await.is(500, &["0 of 1 batches"]);
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_a_tenant_is_held() {
    let limits = r#"{"tenants": {"fast": {"ingestion_rate": "100B", "ingestion_burst": "150B"}}}"#;
    let agent = Agent::with(Settings::default(), limits, Shards::new());
    let body = logs(&[(STREAM, &[(1, &"x".repeat(70))])]);
    assert!((90..100).contains(&body.len()), "{}", body.len());
    let push = || agent.post(LOKI, &[PROTOBUF, ("x-scope-orgid", "fast")], snappy::compress(&body));
    push().await.is(204, &[]);
    let answer = push().await;
    answer.is(429, &["tenant fast", "100 B a second (limits.ingestion_rate)", "150 B"]);
    assert_eq!(answer.header("retry-after"), Some("1"));
    agent.push_logs(&body).await.is(204, &[]);
    tokio::time::advance(Duration::from_secs(1)).await;
    push().await.is(204, &[]);
}

#[tokio::test]
async fn long_lines_are_cut_where_the_tenant_wants_that() {
    let agent = Agent::limited(r#"{"max_line_size": "5B", "line_truncate": true, "creation_grace": "1m"}"#);
    let mut builder = wire::loki::Builder::new();
    builder.stream(STREAM).entry(1, "12345", []).entry(2, "1234ä", [("k", "v")]).entry(3, "123456", []);
    builder.entry(now() + 600_000_000_000, "1234567", []).stream("{b=\"1\"}").entry(4, "ok", []);
    let answer = agent.push_logs(&builder.finish()).await;
    answer.is(400, &["[too_far_in_future]", "1 of 5 rows"]);
    let batch = agent.shards.only();
    assert_eq!(batch.header.rows, 4);
    let body = batch.body().expect("reads");
    let stored: Vec<String> = wire::loki::streams(&body)
        .flat_map(|stream| {
            stream
                .expect("reads")
                .entries()
                .map(|entry| {
                    let entry = entry.expect("reads");
                    let metadata: Vec<_> = entry.metadata().map(|pair| pair.expect("reads")).collect();
                    format!("{} {} {metadata:?}", entry.time, entry.line)
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        stored,
        [
            "1 12345 []",
            r#"2 1234 [("k", "v"), ("truncated_from", "6")]"#,
            r#"3 12345 [("truncated_from", "6")]"#,
            "4 ok []",
        ]
    );
    assert_eq!(agent.distributor.meters().lines_truncated.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn lines_of_container_runtimes_are_taken_apart_where_the_tenant_wants_that() {
    let raw = [
        "2200-01-01T00:00:00Z stdout F new",
        "2026-01-01T00:00:00Z stdout P one and ",
        "2026-01-01T00:00:00Z stderr F oh",
        "plain",
        "2026-01-01T00:00:00Z stdout F a half",
    ];
    let time = 1_767_225_600_000_000_000;
    let (out, err) = (r#"{app="web", stream="stdout"}"#, r#"{app="web", stream="stderr"}"#);
    let want = [(out, "one and a half"), (err, "oh"), (STREAM, "plain")]
        .map(|(labels, line)| (labels.to_owned(), vec![line.to_owned()]));
    let rows: Vec<(i64, &str)> = raw.iter().map(|line| (now(), *line)).collect();
    let protobuf = logs(&[(STREAM, &rows)]);
    let values: Vec<[String; 2]> = raw.iter().map(|line| [now().to_string(), (*line).to_owned()]).collect();
    let json = serde_json::json!({"streams": [{"stream": {"app": "web"}, "values": values}]}).to_string().into_bytes();
    for (headers, body) in [(PROTOBUF, snappy::compress(&protobuf)), (JSON, json)] {
        let agent = Agent::limited(r#"{"discover": {"cri": true}}"#);
        let answer = agent.post(LOKI, &[headers], body).await;
        // The time that counts is the line's own.
        answer.is(400, &["too new", "stream=\"stdout\"", "1 of 4 rows"]);
        let batch = agent.shards.only();
        assert_eq!(lines(&batch.body().expect("reads")), want);
        assert_eq!(batch.header.streams[0].times, TimeRange::new(time, time));
    }
    // What has none of them, and what is of a tenant that does not want it, goes on as it came.
    let others = logs(&[(STREAM, &[(now(), "plain"), (now(), "2026-01-01T00:00:00Z stdout X")])]);
    let plain = Agent::new();
    let agent = Agent::limited(r#"{"discover": {"cri": true}}"#);
    for (agent, body) in [(&agent, &others), (&plain, &protobuf)] {
        let payload = snappy::compress(body);
        agent.post(LOKI, &[PROTOBUF], payload.clone()).await.is(204, &[]);
        assert_eq!(agent.shards.only().payload, payload);
    }
}

#[tokio::test]
async fn lines_of_container_runtimes_may_be_no_text() {
    let agent = Agent::limited(r#"{"discover": {"cri": true, "pushes": true}}"#);
    let mut body = logs(&[(STREAM, &[(5, "2026-01-01T00:00:00Z stdout F an ERROR?")])]);
    let at = body.iter().position(|byte| *byte == b'?').expect("there");
    body[at] = 0xff;
    agent.push_logs(&body).await.is(204, &[]);
    let batch = agent.shards.only();
    let stored = batch.body().expect("reads");
    let stream = wire::loki::streams(&stored).next().expect("one").expect("reads");
    assert_eq!(stream.labels, r#"{app="web", service_name="web", stream="stdout"}"#);
    let entry = stream.entries().next().expect("one").expect("reads");
    assert_eq!(entry.line, "an ERROR\u{fffd}");
    assert_eq!(entry.metadata().collect::<Vec<_>>(), [Ok(("detected_level", "error"))]);
    assert_eq!(agent.push_logs(&body[..body.len() - 2]).await.status, 400);
}
