//! Pushes of plain lines.

use crate::agent::{Agent, lines, now};
use crate::shards::Shards;
use axum::body::Body;
use axum::http::Request;
use ouro_distributor::Settings;
use proptest::prelude::*;
use wire::gzip;

const PATH: &str = "/ingest/lines?label=job=cdn";
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const ZSTD: (&str, &str) = ("content-encoding", "zstd");

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).expect("compresses")
}

#[tokio::test]
async fn lines_become_a_stream() {
    let body = b"one\ntwo level=warn\n";
    for (headers, body) in [
        (&[][..], body.to_vec()),
        (&[("content-type", "text/plain")], body.to_vec()),
        (&[GZIP], gzip::compress(body)),
        (&[ZSTD], zstd(body)),
    ] {
        let agent = Agent::new();
        let before = now();
        agent.post(PATH, &[headers, &[("x-scope-orgid", "team")]].concat(), body).await.is(204, &[]);
        let batch = agent.shards.only();
        assert_eq!((batch.header.tenant.as_str(), batch.header.rows), ("team", 2));
        assert!(batch.header.times.min >= before && batch.header.times.max <= now() + 1);
        let stored = lines(&batch.body().expect("reads"));
        let want =
            (r#"{job="cdn", service_name="cdn"}"#.to_owned(), vec!["one".to_owned(), "two level=warn".to_owned()]);
        assert_eq!(stored, [want]);
    }
    let agent = Agent::new();
    agent.post(PATH, &[], "\n\n").await.is(204, &[]);
    assert_eq!(agent.shards.batches(), []);
}

#[tokio::test]
async fn json_lines_tell_their_times() {
    let agent = Agent::limited(r#"{"reject_old": "7d"}"#);
    let (time, old) = (now() / 1_000_000 - 60_000, 1_000_000_000);
    let body = format!("{{\"at\":{time},\"status\":200}}\n{{\"at\":{old}}}\n");
    let answer = agent.post(&format!("{PATH}&time_field=at"), &[], body).await;
    answer.is(400, &["limits.reject_old", "[greater_than_max_sample_age]", "1 of 2 rows"]);
    let times = agent.shards.only().header.times;
    assert_eq!((times.min, times.max), (time * 1_000_000, time * 1_000_000));
}

#[tokio::test]
async fn lines_of_container_runtimes_are_taken_apart_where_the_tenant_wants_that() {
    let agent = Agent::limited(r#"{"discover": {"cri": true}}"#);
    let body = "2026-01-01T00:00:00Z stdout P one \n2026-01-01T00:00:01Z stdout F line\nplain\n";
    agent.post(PATH, &[], body).await.is(204, &[]);
    let batch = agent.shards.only();
    let stored = lines(&batch.body().expect("reads"));
    let want = [
        (r#"{job="cdn", service_name="cdn", stream="stdout"}"#, "one line"),
        (r#"{job="cdn", service_name="cdn"}"#, "plain"),
    ];
    assert_eq!(stored, want.map(|(labels, line)| (labels.to_owned(), vec![line.to_owned()])));
    assert_eq!(batch.header.times.min, 1_767_225_600_000_000_000);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let agent = Agent::limited(
        r#"{"max_push_body": "1KiB", "max_push_inflated": "4KiB", "max_line_size": "8B", "max_label_names": 2}"#,
    );
    let bomb = "x".repeat(100_000);
    let check = async |path: &str, headers: &[(&str, &str)], body: Vec<u8>, status: u16, words: &[&str]| {
        agent.post(path, headers, body).await.is(status, words);
        assert_eq!(agent.shards.batches(), []);
    };
    check("/ingest/lines", &[], b"x".to_vec(), 400, &["need a label", "?label=NAME=VALUE"]).await;
    check(PATH, &[("content-encoding", "br")], b"x".to_vec(), 415, &["br", "gzip, zstd"]).await;
    check(PATH, &[("x-scope-orgid", "a/b")], b"x".to_vec(), 400, &["X-Scope-OrgID"]).await;
    check(PATH, &[], vec![b'x'; 2000], 413, &["1 KiB (limits.max_push_body)"]).await;
    check(PATH, &[GZIP], gzip::compress(bomb.as_bytes()), 413, &["4 KiB (limits.max_push_inflated)"]).await;
    check(PATH, &[ZSTD], zstd(bomb.as_bytes()), 413, &["4 KiB (limits.max_push_inflated)"]).await;
    check(PATH, &[GZIP], b"x".to_vec(), 400, &["gzip"]).await;
    check(PATH, &[ZSTD], b"x".to_vec(), 400, &["zstd"]).await;
    check(PATH, &[], b"x\n".repeat(400), 413, &["what the push", "limits.max_push_inflated"]).await;
    check(PATH, &[], b"too long a line".to_vec(), 400, &["8 B (limits.max_line_size)", "[line_too_long]"]).await;
    let labels = format!("{PATH}&label=a=b&label=c=d");
    check(&labels, &[], b"x".to_vec(), 400, &["limits.max_label_names"]).await;
}

#[tokio::test]
async fn fastly_is_told_whether_its_logs_are_wanted() {
    let ask = async |services: &[&str]| {
        let services = services.iter().map(|service| (*service).to_owned()).collect();
        let settings = Settings { fastly_challenge: services, ..Settings::default() };
        assert!(settings.check().is_ok());
        let agent = Agent::with(settings, "{}", Shards::new());
        let request = Request::get("/.well-known/fastly/logging/challenge").body(Body::empty()).expect("a request");
        let answer = agent.send(request).await;
        (answer.status.as_u16(), answer.text)
    };
    assert_eq!(ask(&["*"]).await, (200, "*\n".into()));
    let hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    assert_eq!(ask(&[hash, "*"]).await, (200, format!("{hash}\n*\n")));
    assert_eq!(ask(&[]).await.0, 404);
    let wrong = Settings { fastly_challenge: vec!["my-service".into()], ..Settings::default() };
    assert!(wrong.check().is_err_and(|error| error.contains("distributor.fastly_challenge has \"my-service\"")));
}

proptest! {
    /// Whatever comes is stored or refused, and never fails.
    #[test]
    fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..3) {
        let encoding = [&[][..], &[GZIP], &[ZSTD]][which];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let status = runtime.block_on(async { Agent::new().post(&format!("{PATH}&time_field=t"), encoding, body).await.status });
        prop_assert!(matches!(status.as_u16(), 204 | 400 | 413), "{status}");
    }
}
