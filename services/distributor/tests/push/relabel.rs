//! Rules that change labels, or leave series out.

use crate::agent::{Agent, V1, V2, write_v1, write_v2};
use model::{Labels, ShardId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use wire::batch::Batch;
use wire::prometheus::{Version, series, verify};

const RULES: &str = r#"{"shards": 4, "relabel": [
    {"source_labels": ["__name__"], "regex": "go_.*", "action": "drop"},
    {"regex": "pod_uid", "action": "labeldrop"},
    {"source_labels": ["path"], "regex": "/user/[0-9]+(/.*)?", "target_label": "path", "replacement": "/user/N$1"}]}"#;

/// Labels of all series that are stored, with their samples' values.
fn stored(batches: &[(ShardId, Batch)]) -> BTreeMap<String, (ShardId, Vec<f64>)> {
    let mut all = BTreeMap::new();
    for (shard, batch) in batches {
        let body = batch.body().expect("reads");
        let version = Version::of(batch.header.format).expect("metrics");
        let mut rows = 0;
        for series in series(&body, version) {
            let series = series.expect("reads");
            let labels = Labels::from_pairs(series.labels().map(|label| label.expect("reads")));
            let values: Vec<f64> = series.samples().map(|sample| sample.expect("reads").value).collect();
            rows += values.len();
            let (_, all) = all.entry(labels.to_string()).or_insert((*shard, Vec::new()));
            all.extend(values);
        }
        assert_eq!(batch.header.rows as usize, rows);
    }
    all
}

fn meter(agent: &Agent, line: &str) -> bool {
    let mut out = telemetry::Exposition::default();
    agent.distributor.write_meters(&mut out);
    out.text().contains(line)
}

#[tokio::test]
async fn labels_are_changed_and_series_left_out() {
    let labels: [&[(&str, &str)]; 4] = [
        &[("__name__", "hits"), ("path", "/user/17/x"), ("pod_uid", "a")],
        &[("__name__", "go_gc"), ("pod_uid", "a")],
        &[("__name__", "hits"), ("path", "/login")],
        &[("__name__", "hits"), ("path", "/user/18")],
    ];
    let all: Vec<_> = (1i64..).zip(labels).map(|(n, labels)| (labels, [(n, n as f64)])).collect();
    let sent: Vec<_> = all.iter().map(|(labels, samples)| (*labels, &samples[..])).collect();
    for version in [V1, V2] {
        let body = if version == V1 { write_v1(&sent) } else { write_v2(&sent, &[]) };
        let agent = Agent::limited(RULES);
        let mut first = None;
        for turn in 1..=3u64 {
            let answer = agent.write(version, &body).await;
            answer.is(204, &[]);
            if version == V2 {
                assert_eq!(answer.header("x-prometheus-remote-write-samples-written"), Some("4"));
            }
            let found = stored(&agent.shards.batches());
            let values: Vec<(&str, Vec<f64>)> =
                found.iter().map(|(l, (_, values))| (l.as_str(), values.clone())).collect();
            let times = |value: f64| vec![value; turn as usize];
            assert_eq!(
                values,
                [
                    (r#"{__name__="hits", path="/login"}"#, times(3.0)),
                    (r#"{__name__="hits", path="/user/N"}"#, times(4.0)),
                    (r#"{__name__="hits", path="/user/N/x"}"#, times(1.0)),
                ]
            );
            let places: Vec<ShardId> = found.values().map(|(shard, _)| *shard).collect();
            assert_eq!(*first.get_or_insert(places.clone()), places, "a series has one shard");
            let line = format!("discarded_rows_total{{reason=\"relabel_configuration\"}} {turn}\n");
            assert!(meter(&agent, &line), "{line}");
        }
        // What stays as it is, or is left out, is looked at once.
        assert_eq!(agent.distributor.meters().labels_checked.load(Ordering::Relaxed), 4 + 2 + 2);
    }
}

#[tokio::test]
async fn a_push_that_rules_do_not_touch_goes_on_as_it_came() {
    let agent = Agent::limited(&RULES.replace("\"shards\": 4", "\"shards\": 1"));
    let body = write_v1(&[(&[("__name__", "up"), ("job", "a")], &[(1, 1.0)])]);
    agent.write(V1, &body).await.is(204, &[]);
    assert_eq!(agent.shards.only().payload, wire::snappy::compress(&body));
}

#[tokio::test]
async fn what_rules_make_is_checked_and_bounded() {
    let up: &[(&str, &str)] = &[("__name__", "up"), ("a", "0123456789")];
    let body = write_v1(&[(up, &[(1, 1.0)])]);
    let check = async |limits: &str, words: &[&str]| {
        let agent = Agent::limited(limits);
        let answer = agent.write(V1, &body).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        words.iter().for_each(|word| assert!(answer.text.contains(word), "{word:?} is not in {:?}", answer.text));
        assert_eq!(agent.shards.batches(), []);
    };
    let doubled = r#""relabel": [{"source_labels": ["a"], "target_label": "a", "replacement": "$1$1$1"}]"#;
    check(&format!(r#"{{"max_label_value_length": 20, {doubled}}}"#), &["30 bytes", "limits.max_label_value_length"])
        .await;
    check(&format!(r#"{{"max_push_inflated": "55B", {doubled}}}"#), &["limits.max_push_inflated"]).await;
    check(r#"{"relabel": [{"regex": "__name__", "action": "labeldrop"}]}"#, &["no metric name"]).await;
    let many: Vec<String> = (0..1001).map(|n| format!("l{n:04}")).collect();
    let mut labels: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    labels.push(("__name__", "up"));
    let rules =
        r#"{"max_label_names": 2000, "relabel": [{"regex": "(l.*)", "replacement": "m$1", "action": "labelmap"}]}"#;
    let answer = Agent::limited(rules).write(V1, &write_v1(&[(&labels, &[(1, 1.0)])])).await;
    answer.is(400, &["1002 labels", "1000 at most (limits.relabel)"]);
}

proptest! {
    /// Whatever a sender makes of a body, it is answered, and what is stored of it can be read.
    #[test]
    fn any_body_is_answered(flips in prop::collection::vec((any::<usize>(), 0u8..8), 0..4), cut in 0usize..300, ha: bool) {
        let labels: &[(&str, &str)] = &[("__name__", "hits"), ("cluster", "c"), ("path", "/user/1"), ("pod_uid", "a")];
        let series = [(labels, &[(1i64, 1.0f64), (2, 2.0)][..]), (&labels[..1], &[(3, 1.0)]), (&[("__name__", "go_x")], &[(1, 1.0)])];
        let limits = RULES.replace("\"shards\": 4", &format!(r#""shards": 2, "ha": {{"enabled": {ha}, "replica_label": "pod_uid"}}"#));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for (header, version) in [(V1, Version::V1), (V2, Version::V2)] {
            let mut body = if header == V1 { write_v1(&series) } else { write_v2(&series, &[]) };
            for (at, bit) in &flips {
                let at = at % body.len();
                body[at] ^= 1 << bit;
            }
            body.truncate(body.len().saturating_sub(cut.saturating_sub(200)));
            let agent = Agent::limited(&limits);
            let status = runtime.block_on(agent.write(header, &body)).status.as_u16();
            // 503: nobody says which replica is elected.
            prop_assert!(matches!(status, 204 | 400) || ha && status == 503, "{status}");
            for (_, batch) in agent.shards.batches() {
                let body = batch.body().expect("reads");
                prop_assert_eq!(verify(&body, version), Ok(()));
            }
        }
    }
}
