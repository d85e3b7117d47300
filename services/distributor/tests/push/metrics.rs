//! Remote writes.

use crate::agent::{Agent, Answer, PROTOBUF, SNAPPY, V1, V2, WRITE, now, write_v1, write_v2};
use model::{Signal, TimeRange};
use ouro_distributor::{Appended, Refusal};
use wire::batch::{Batch, Format};
use wire::prometheus::{Version, series};
use wire::protobuf::{put_bytes, put_double, put_uint};
use wire::snappy;

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "web")];
const DOWN: &[(&str, &str)] = &[("__name__", "down")];

/// Metric names with the times of their float samples, and how many histograms they have.
fn stored(batch: &Batch) -> Vec<(String, Vec<i64>, usize)> {
    let version = Version::of(batch.header.format).expect("metrics");
    let body = batch.body().expect("reads");
    series(&body, version)
        .map(|series| {
            let series = series.expect("reads");
            let name = series.labels().map(|l| l.expect("reads")).find(|(name, _)| *name == "__name__");
            let times = series.samples().map(|sample| sample.expect("reads").time).collect();
            (name.map_or(String::new(), |(_, name)| name.to_owned()), times, series.histograms().count())
        })
        .collect()
}

/// The counts of samples, histograms and exemplars that 2.0 answers with.
fn written(answer: &Answer) -> Option<[u64; 3]> {
    let count = |kind: &str| answer.header(&format!("x-prometheus-remote-write-{kind}-written"))?.parse().ok();
    Some([count("samples")?, count("histograms")?, count("exemplars")?])
}

/// One positive bucket of schema 0.
fn histogram(time: i64, schema: u64) -> Vec<u8> {
    let mut message = Vec::new();
    put_uint(&mut message, 1, 3);
    put_uint(&mut message, 4, schema);
    put_bytes(&mut message, 11, b"\x10\x01");
    put_bytes(&mut message, 12, &[6]);
    put_uint(&mut message, 15, time as u64);
    message
}

#[tokio::test]
async fn both_versions_reach_their_shard_as_they_came() {
    let v1 = write_v1(&[(UP, &[(1, 1.0), (7, 2.0)]), (DOWN, &[(5, 0.0)])]);
    let v2 = write_v2(&[(UP, &[(1, 1.0), (7, 2.0)]), (DOWN, &[(5, 0.0)])], &[]);
    for (headers, body, format) in [
        (&[V1, SNAPPY][..], &v1, Format::PromV1),
        (&[PROTOBUF, SNAPPY], &v1, Format::PromV1),
        (&[], &v1, Format::PromV1),
        (&[V2, SNAPPY], &v2, Format::PromV2),
        (&[("content-type", "application/x-protobuf; proto=\"io.prometheus.write.v2.Request\"")], &v2, Format::PromV2),
    ] {
        for path in [WRITE, "/api/v1/push"] {
            let agent = Agent::new();
            let payload = snappy::compress(body);
            let answer = agent.post(path, headers, payload.clone()).await;
            answer.is(204, &[]);
            assert_eq!(written(&answer), (format == Format::PromV2).then_some([3, 0, 0]));
            let batch = agent.shards.only();
            assert_eq!((batch.header.format, batch.header.rows), (format, 3));
            assert_eq!((batch.header.times, batch.header.streams.len()), (TimeRange::new(1, 7), 0));
            assert_eq!(batch.payload, payload);
            assert_eq!(agent.shards.batches()[0].0.signal, Signal::Metrics);
        }
    }
}

#[tokio::test]
async fn what_is_no_remote_write_is_refused_whole() {
    let v1 = snappy::compress(&write_v1(&[(UP, &[(1, 1.0)])]));
    let check = async |headers: &[(&str, &str)], body: &[u8], status: u16, words: &[&str]| {
        let agent = Agent::new();
        agent.post(WRITE, headers, body.to_vec()).await.is(status, words);
        assert_eq!(agent.shards.batches(), []);
    };
    check(&[("content-type", "application/json")], &v1, 415, &["application/json", "prometheus.WriteRequest"]).await;
    check(
        &[("content-type", "application/x-protobuf;proto=x.Y")],
        &v1,
        415,
        &["x.Y", "io.prometheus.write.v2.Request"],
    )
    .await;
    check(&[V1, ("content-encoding", "gzip")], &v1, 415, &["gzip", "snappy"]).await;
    check(&[V1, SNAPPY], b"garbage", 400, &["snappy"]).await;
    check(&[V1, SNAPPY], &snappy::compress(b"\x0a\x05"), 400, &["protobuf", "too early"][1..]).await;
    check(&[("x-scope-orgid", "a|b")], &v1, 400, &["2 tenants"]).await;
    let body = |symbols: &[&[u8]], refs: &[u8]| {
        let (mut body, mut message) = (Vec::new(), Vec::new());
        symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol));
        put_bytes(&mut message, 1, refs);
        put_bytes(&mut body, 5, &message);
        snappy::compress(&body)
    };
    check(&[V2, SNAPPY], &body(&[b"x"], &[0, 0]), 400, &["first symbol"]).await;
    check(&[V2, SNAPPY], &body(&[b"", b"__name__"], &[1, 9]), 400, &["symbol table"]).await;
    check(&[V2, SNAPPY], &body(&[b"", b"__name__"], &[1]), 400, &["odd"]).await;
}

#[tokio::test]
async fn bad_series_and_samples_are_left_out_and_named() {
    let limits = r#"{"max_label_names": 3, "max_label_value_length": 8, "creation_grace": "10m", "reject_old": "30d"}"#;
    let t = now() / 1_000_000;
    let nameless: &[(&str, &str)] = &[("job", "web")];
    let twice: &[(&str, &str)] = &[("__name__", "up"), ("a", "1"), ("a", "2")];
    let many: &[(&str, &str)] = &[("__name__", "up"), ("a", "1"), ("b", "2"), ("c", "2")];
    let long: &[(&str, &str)] = &[("__name__", "up"), ("a", "123456789")];
    let unsorted: &[(&str, &str)] = &[("job", "web"), ("__name__", "up")];
    let now = &[(t, 1.0)][..];
    for (series, words, left) in [
        (&[(unsorted, now)][..], &[][..], &[("up", 1)][..]),
        (&[(nameless, now), (UP, now)], &["{job=\"web\"}", "no metric name", "1 of 2"], &[("up", 1)]),
        (&[(UP, now), (twice, &[(t, 1.0), (t + 1, 1.0)])], &["label \"a\" twice", "2 of 3"], &[("up", 1)]),
        (&[(many, now)], &["4 labels", "3 (limits.max_label_names)"], &[]),
        (&[(long, now), (DOWN, now)], &["9 bytes", "8 (limits.max_label_value_length)"], &[("down", 1)]),
        (&[(UP, &[(t, 1.0), (t + 700_000, 2.0)])], &["600 s", "limits.creation_grace", "1 of 2"], &[("up", 1)]),
        (
            &[(UP, &[(t - 31 * 86_400_000, 1.0), (t, 2.0)]), (DOWN, now)],
            &["limits.reject_old"],
            &[("up", 1), ("down", 1)],
        ),
    ] {
        for (version, body) in [(V1, write_v1(series)), (V2, write_v2(series, &[]))] {
            let agent = Agent::limited(limits);
            let answer = agent.write(version, &body).await;
            answer.is(if words.is_empty() { 204 } else { 400 }, words);
            let found: Vec<_> = agent.shards.batches().iter().flat_map(|(_, batch)| stored(batch)).collect();
            let found: Vec<_> = found.iter().map(|(name, times, _)| (name.as_str(), times.len())).collect();
            assert_eq!(found, left, "{words:?}");
            let samples = left.iter().map(|(_, samples)| *samples as u64).sum();
            assert_eq!(written(&answer), (version == V2).then_some([samples, 0, 0]), "{words:?}");
            if !left.is_empty() {
                assert_eq!(agent.shards.only().header.rows as u64, samples);
            }
        }
    }
}

#[tokio::test]
async fn a_label_that_is_no_text_costs_its_series_alone() {
    let agent = Agent::new();
    let mut body = write_v1(&[(&[("__name__", "up"), ("job", "???")], &[(1, 1.0)]), (DOWN, &[(1, 1.0)])]);
    let at = body.windows(3).position(|bytes| bytes == b"???").expect("there");
    body[at] = 0xff;
    agent.write(V1, &body).await.is(400, &["UTF-8", "__name__=\"up\"", "1 of 2"]);
    assert_eq!(stored(&agent.shards.only()), [("down".to_owned(), vec![1], 0)]);
}

#[tokio::test]
async fn histograms_are_counted_and_checked() {
    let agent = Agent::new();
    let good = histogram(4, 0);
    let bad = histogram(4, 2 * 20);
    let body = write_v2(&[(UP, &[]), (DOWN, &[(9, 1.0)])], &[&good]);
    let answer = agent.write(V2, &body).await;
    answer.is(204, &[]);
    assert_eq!(written(&answer), Some([1, 1, 0]));
    assert_eq!((agent.shards.only().header.rows, agent.shards.only().header.times), (2, TimeRange::new(4, 9)));
    let agent = Agent::new();
    let answer = agent.write(V2, &write_v2(&[(UP, &[]), (DOWN, &[(9, 1.0)])], &[&bad])).await;
    answer.is(400, &["schema", "__name__=\"up\"", "1 of 2"]);
    assert_eq!(written(&answer), Some([1, 0, 0]));
    assert_eq!(stored(&agent.shards.only()), [("up".to_owned(), vec![], 0), ("down".to_owned(), vec![9], 0)]);
    let agent = Agent::new();
    let answer = agent.write(V2, &write_v2(&[(UP, &[(1, 1.0)]), (DOWN, &[(9, 1.0)])], &[&good])).await;
    answer.is(400, &["both samples and histograms", "2 of 3"]);
    assert_eq!(written(&answer), Some([1, 0, 0]));
    assert_eq!(stored(&agent.shards.only()), [("down".to_owned(), vec![9], 0)]);
}

#[tokio::test]
async fn metadata_and_exemplars_are_stored_without_samples() {
    let agent = Agent::new();
    let mut body = Vec::new();
    put_bytes(&mut body, 3, b"\x08\x01\x12\x02up\x22\x04Help");
    agent.write(V1, &body).await.is(204, &[]);
    let batch = agent.shards.only();
    assert_eq!((batch.header.rows, batch.body().as_deref()), (0, Ok(body.as_slice())));
    let (mut exemplar, mut series, mut body) = (Vec::new(), Vec::new(), Vec::new());
    put_double(&mut exemplar, 2, 1.0);
    put_bytes(&mut series, 1, &[1, 2]);
    put_bytes(&mut series, 4, &exemplar);
    [&b""[..], b"__name__", b"up"].iter().for_each(|symbol| put_bytes(&mut body, 4, symbol));
    put_bytes(&mut body, 5, &series);
    let agent = Agent::new();
    let answer = agent.write(V2, &body).await;
    answer.is(204, &[]);
    assert_eq!((written(&answer), agent.shards.batches().len()), (Some([0, 0, 1]), 1));
    let agent = Agent::new();
    agent.write(V1, b"").await.is(204, &[]);
    assert_eq!(agent.shards.batches(), [], "nothing is not stored");
}

#[tokio::test]
async fn what_the_leader_refuses_is_not_counted_as_written() {
    let agent = Agent::new();
    let refusal = |reason: &str| Refusal { text: "too old".into(), count: 1, reason: reason.into() };
    agent.shards.answer(Ok(vec![Appended { refused: vec![refusal("sample_too_old")] }]));
    let answer = agent.write(V2, &write_v2(&[(UP, &[(1, 1.0), (2, 1.0)])], &[])).await;
    answer.is(400, &["too old [sample_too_old]", "1 of 2 rows"]);
    assert_eq!(written(&answer), Some([1, 0, 0]));
    agent.shards.answer(Ok(vec![Appended { refused: vec![refusal("new in a later version")] }]));
    agent.write(V2, &write_v2(&[(UP, &[(1, 1.0)])], &[])).await.is(400, &["too old [refused_by_shard]"]);
}

#[tokio::test]
async fn series_are_spread_over_a_tenants_shards() {
    for version in [V1, V2] {
        let agent = Agent::limited(r#"{"shards": 4}"#);
        let names: Vec<String> = (0..100).map(|n| format!("metric_{n}")).collect();
        let labels: Vec<[(&str, &str); 1]> = names.iter().map(|name| [("__name__", name.as_str())]).collect();
        let series: Vec<_> = labels.iter().map(|labels| (labels.as_slice(), &[(1i64, 1.0f64)][..])).collect();
        let mut body = if version == V1 { write_v1(&series) } else { write_v2(&series, &[]) };
        if version == V1 {
            put_bytes(&mut body, 3, b"\x12\x02up");
        }
        agent.write(version, &body).await.is(204, &[]);
        let batches = agent.shards.batches();
        assert_eq!(batches.len(), 4);
        let mut found: Vec<String> = Vec::new();
        for (_, batch) in &batches {
            assert_eq!(batch.header.rows as usize, stored(batch).len());
            assert_eq!(batch.header.times, TimeRange::new(1, 1));
            found.extend(stored(batch).into_iter().map(|(name, _, _)| name));
        }
        found.sort();
        let mut names = names.clone();
        names.sort();
        assert_eq!(found, names);
    }
}
