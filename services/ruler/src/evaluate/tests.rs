//! A group's evaluations against a querier and a distributor of the test's own.

use super::*;
use crate::lease::Leases;
use crate::notify::Notifier;
use axum::Router;
use axum::extract::Form;
use axum::routing::post;
use std::collections::HashMap;
use std::sync::Mutex;
use transport::v1::rules_server::{Rules, RulesServer};
use transport::v1::{CommitReply, CommitRequest};
use wire::prometheus::write::{QUERY_RESULT, put_histogram, put_labels, put_sample};
use wire::prometheus::{HistogramSample, Sample, Version, series};
use wire::protobuf::put_bytes;

type Shared<T> = Arc<Mutex<T>>;

/// What queries answer, what was written, and the control group.
#[derive(Clone, Default)]
struct World {
    /// By expression: label `l` and value.
    found: Shared<HashMap<String, Vec<(&'static str, Value)>>>,
    /// What range queries answer, by expression.
    before: Shared<HashMap<String, Vec<&'static str>>>,
    written: Shared<Vec<String>>,
    refuses: Shared<bool>,
    leases: Shared<leases::Leases>,
    commits: Shared<usize>,
}

#[tonic::async_trait]
impl Rules for World {
    async fn commit(
        &self,
        request: tonic::Request<CommitRequest>,
    ) -> Result<tonic::Response<CommitReply>, tonic::Status> {
        *self.commits.lock().expect("not poisoned") += 1;
        let reply = self.leases.lock().expect("not poisoned").apply(&request.into_inner().command).encode();
        Ok(tonic::Response::new(CommitReply { reply: reply.into() }))
    }
}

impl World {
    fn routes(&self) -> Router {
        let (instant, range, push) = (self.clone(), self.clone(), self.clone());
        let query = async move |headers: http::HeaderMap, Form(form): Form<HashMap<String, String>>| {
            assert_eq!(headers["accept"], QUERY_RESULT);
            match instant.found.lock().expect("not poisoned").get(&form["query"]) {
                None => (http::StatusCode::SERVICE_UNAVAILABLE, b"away".to_vec()),
                Some(found) => (http::StatusCode::OK, answer(found)),
            }
        };
        let query_range = async move |Form(form): Form<HashMap<String, String>>| {
            let before = range.before.lock().expect("not poisoned").get(&form["query"]).cloned().unwrap_or_default();
            let one = |l: &str| serde_json::json!({"metric": {"l": l}, "values": []});
            let result: Vec<_> = before.into_iter().map(one).collect();
            serde_json::json!({"data": {"resultType": "matrix", "result": result}}).to_string()
        };
        let write = async move |body: axum::body::Bytes| {
            if *push.refuses.lock().expect("not poisoned") {
                return (http::StatusCode::BAD_REQUEST, "no");
            }
            push.written.lock().expect("not poisoned").extend(samples(&body));
            (http::StatusCode::NO_CONTENT, "")
        };
        Router::new()
            .route("/prometheus/api/v1/query", post(query))
            .route("/prometheus/api/v1/query_range", post(query_range))
            .route("/api/v1/push", post(write))
    }

    fn finds(&self, expr: &str, found: &[(&'static str, f64)]) {
        let found = found.iter().map(|(l, value)| (*l, Value::Float(*value))).collect();
        self.found.lock().expect("not poisoned").insert(expr.into(), found);
    }

    fn written(&self) -> Vec<String> {
        let mut written = std::mem::take(&mut *self.written.lock().expect("not poisoned"));
        written.sort();
        written
    }
}

/// A querier's answer.
fn answer(found: &[(&str, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (l, value) in found {
        let mut message = Vec::new();
        put_labels(&mut message, &Labels::from_pairs([("l", *l), ("__name__", "m")]));
        match value {
            Value::Float(value) => put_sample(&mut message, 0, *value),
            Value::Histogram(value) => put_histogram(&mut message, 0, value),
        }
        put_bytes(&mut out, 1, &message);
    }
    out
}

/// `labels value@time`, with `stale` for the marker, and sum, count and first bucket of a histogram.
fn samples(body: &[u8]) -> Vec<String> {
    let raw = snap::raw::Decoder::new().decompress_vec(body).expect("snappy");
    let mut out = Vec::new();
    for series in series(&raw, Version::V1) {
        let series = series.expect("a series");
        let labels = Labels::from_pairs(series.labels().map(|pair| pair.expect("a label")));
        for sample in series.samples() {
            let Sample { value, time, .. } = sample.expect("a sample");
            let stale = value.to_bits() == model::rows::STALE_NAN_BITS;
            out.push(if stale { format!("{labels} stale@{time}") } else { format!("{labels} {value}@{time}") });
        }
        for sample in series.histograms() {
            let HistogramSample { value, time, .. } = sample.expect("a histogram");
            out.push(format!("{labels} {}/{} {:?}@{time}", value.sum, value.count, value.positive));
        }
    }
    out
}

struct Story {
    world: World,
    evaluator: Evaluator,
    group: Group,
    lease: Lease,
    leases: Leases,
    memory: Memory,
    noted: Option<Arc<str>>,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Story {
    async fn begin(rules: &str) -> Story {
        let world = World::default();
        let text = format!("groups:\n- name: g\n  interval: 15s\n  rules:\n{rules}");
        let name = (TenantId::anonymous(), "f.yaml".to_owned());
        let group = crate::files::groups(&name, &text, PATIENCE).expect("good rules")[0].as_ref().clone();
        let routes = tonic::service::Routes::new(RulesServer::new(world.clone())).prepare();
        let link = transport::link::in_memory(tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            let routes = routes.clone();
            async move { tower::ServiceExt::oneshot(routes, request).await.map(|r| r.map(tonic::body::Body::new)) }
        }));
        let mut leases = Leases::new(crate::lease::Control::new(link), "me".into(), PATIENCE, false);
        leases.beat(&[group.slot()].into(), &[]).await.expect("beats");
        let lease = leases.held()[&group.slot()].clone();
        let evaluator = Evaluator {
            door: Door::InProcess(world.routes()),
            settings: Settings::default(),
            notifier: Notifier::default(),
            meters: Arc::default(),
            places: Semaphore::new(1),
        };
        let memory = Memory::restore(&group, None);
        Story { world, evaluator, group, lease, leases, memory, noted: None }
    }

    fn run(&mut self) -> Run<'_> {
        let Story { evaluator, group, lease, memory, noted, .. } = self;
        Run { with: evaluator, group, lease, memory, noted }
    }

    /// Evaluates, and gives what was written.
    async fn at(&mut self, time: i64) -> Vec<String> {
        self.run().evaluate(time).await.expect("it is ours");
        self.world.written()
    }

    /// Another ruler goes on, with what was noted.
    fn moves(&mut self) {
        self.memory = Memory::restore(&self.group, self.noted.as_deref());
    }
}

#[tokio::test]
async fn recorded_series_end_where_the_rule_gives_none() {
    let mut story = Story::begin("  - {record: r, expr: e}\n").await;
    story.world.finds("e", &[("a", 1.0), ("b", 2.0)]);
    let (a, b) = (r#"{__name__="r", l="a"}"#, r#"{__name__="r", l="b"}"#);
    assert_eq!(story.at(15_000).await, [format!("{a} 1@15000"), format!("{b} 2@15000")]);
    story.world.finds("e", &[("a", 1.0)]);
    assert_eq!(story.at(30_000).await, [format!("{a} 1@30000"), format!("{b} stale@30000")]);
    assert_eq!(story.at(45_000).await, [format!("{a} 1@45000")], "once");
    // A querier that is away ends nothing.
    story.world.found.lock().expect("not poisoned").clear();
    assert_eq!(story.at(60_000).await, [""; 0]);
    assert!(story.memory.rules[0].view.error.as_ref().is_some_and(|error| error.contains("away")));
    // Another ruler asks what its predecessor gave.
    story.moves();
    story.world.before.lock().expect("not poisoned").insert("e".into(), vec!["a", "c"]);
    story.world.finds("e", &[("c", 3.0)]);
    let c = r#"{__name__="r", l="c"}"#;
    assert_eq!(story.at(75_000).await, [format!("{a} stale@75000"), format!("{c} 3@75000")]);
    story.run().end(80_000).await;
    assert_eq!(story.world.written(), [format!("{c} stale@80000")]);
}

#[tokio::test]
async fn histograms_are_recorded_and_end() {
    let mut story = Story::begin("  - {record: r, expr: e}\n  - {alert: A, expr: e}\n").await;
    let histogram = |count| {
        let positive_spans = vec![model::histogram::Span { offset: 3, length: 1 }];
        let value = model::Histogram { count, sum: 9.0, positive_spans, positive: vec![count], ..Default::default() };
        ("a", Value::Histogram(Box::new(value)))
    };
    let finds = |story: &Story, found| drop(story.world.found.lock().expect("not poisoned").insert("e".into(), found));
    let a = r#"{__name__="r", l="a"}"#;
    finds(&story, vec![histogram(2.5)]);
    assert_eq!(story.at(15_000).await, [format!("{a} 9/2.5 [2.5]@15000")], "no alert of what is no number");
    // One that cannot be stored is left out, and so its series ends.
    finds(&story, vec![histogram(-1.0)]);
    assert_eq!(story.at(30_000).await, [format!("{a} stale@30000")]);
    finds(&story, vec![histogram(4.0)]);
    assert_eq!(story.at(45_000).await, [format!("{a} 9/4 [4.0]@45000")]);
    // Another ruler ends what its predecessor began.
    story.moves();
    story.world.before.lock().expect("not poisoned").insert("e".into(), vec!["a"]);
    finds(&story, Vec::new());
    assert_eq!(story.at(60_000).await, [format!("{a} stale@60000")]);
}

#[tokio::test]
async fn what_could_not_be_written_is_ended_later() {
    let mut story = Story::begin("  - {record: r, expr: e}\n").await;
    story.world.finds("e", &[("a", 1.0)]);
    *story.world.refuses.lock().expect("not poisoned") = true;
    assert_eq!(story.at(15_000).await, [""; 0]);
    story.world.finds("e", &[]);
    assert_eq!(story.at(30_000).await, [""; 0]);
    *story.world.refuses.lock().expect("not poisoned") = false;
    assert_eq!(story.at(45_000).await, [r#"{__name__="r", l="a"} stale@45000"#]);
    assert_eq!(story.at(60_000).await, [""; 0]);
}

#[tokio::test]
async fn alerts_pend_fire_and_end_and_a_restart_resets_nothing() {
    let rule = "  - {alert: A, expr: e, for: 30s, labels: {s: '{{ $labels.l | toUpper }}'}, annotations: {v: '{{ $value }} {{ with query \"q\" }}{{ . | first | value }}{{ end }}'}}\n";
    let mut story = Story::begin(rule).await;
    story.world.finds("e", &[("a", 7.0)]);
    story.world.finds("q", &[("x", 9.0)]);
    let alerts = |state: &str, value: &str| {
        format!(r#"{{__name__="ALERTS", alertname="A", alertstate="{state}", l="a", s="A"}} {value}"#)
    };
    let since = |value: &str| format!(r#"{{__name__="ALERTS_FOR_STATE", alertname="A", l="a", s="A"}} {value}"#);
    assert_eq!(story.at(15_000).await, [alerts("pending", "1@15000"), since("15@15000")]);
    assert_eq!(story.memory.rules[0].view.alerts[0].annotations["v"], "7 9");
    let commits = *story.world.commits.lock().expect("not poisoned");
    assert_eq!(story.at(30_000).await, [alerts("pending", "1@30000"), since("15@30000")]);
    assert_eq!(*story.world.commits.lock().expect("not poisoned"), commits, "nothing has changed, nothing is noted");
    story.moves();
    assert_eq!(
        story.at(45_000).await,
        [alerts("firing", "1@45000"), alerts("pending", "stale@45000"), since("15@45000")]
    );
    assert_eq!(*story.world.commits.lock().expect("not poisoned"), commits + 1);
    story.moves();
    story.world.finds("e", &[]);
    assert_eq!(
        story.at(60_000).await,
        [alerts("firing", "stale@60000"), alerts("pending", "stale@60000"), since("stale@60000")]
    );
    assert_eq!(story.at(75_000).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_ruler_whose_time_is_over_neither_writes_nor_notes() {
    let mut story = Story::begin("  - {record: r, expr: e}\n  - {alert: A, expr: e}\n").await;
    story.world.finds("e", &[("a", 1.0)]);
    assert_eq!(story.at(15_000).await.len(), 3);
    let commits = *story.world.commits.lock().expect("not poisoned");
    tokio::time::advance(PATIENCE).await;
    story.world.finds("e", &[("b", 1.0)]);
    assert!(matches!(story.run().evaluate(30_000).await, Err(Error::Lost)));
    assert_eq!((story.world.written(), *story.world.commits.lock().expect("not poisoned")), (vec![], commits));
    // It is renewed, and another one was faster.
    story.leases.beat(&[story.group.slot()].into(), &[]).await.expect("beats");
    assert!(story.lease.check().is_ok());
    let lost = leases::Command::Leave { holder: "me".into() };
    story.world.leases.lock().expect("not poisoned").apply(&lost.encode());
    assert!(matches!(story.run().evaluate(45_000).await, Err(Error::Lost)), "the note is refused");
    let written = story.world.written();
    assert!(written.iter().all(|sample| sample.contains(r#""r""#)), "no alert is told: {written:?}");
}

#[tokio::test]
async fn limits_and_doubles_are_errors_of_the_rule() {
    let mut story = Story::begin("  - {alert: A, expr: e, labels: {l: same}}\n  - {record: r, expr: e}\n").await;
    story.world.finds("e", &[("a", 1.0), ("b", 2.0)]);
    story.group.limit = 1;
    assert_eq!(story.at(15_000).await, [""; 0]);
    let errors: Vec<_> = story.memory.rules.iter().map(|rule| rule.view.error.clone().expect("an error")).collect();
    assert!(errors[0].contains("same labelset") && errors[1].contains("limit of 1 with 2 series"), "{errors:?}");
}

#[test]
fn alerts_abroad_say_whose_they_are() {
    let external_labels = BTreeMap::from([("cluster".to_owned(), "c".to_owned()), ("a".to_owned(), "x".to_owned())]);
    let settings = Settings { external_labels, ..Settings::default() };
    let labels = Labels::from_pairs([("a", "own"), ("tenant", "another")]);
    let got = abroad(&settings, &TenantId::anonymous(), &labels);
    let got: Vec<String> = got.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(got, ["a=own", "cluster=c", "tenant=anonymous"]);
    let plain = Settings { tenant_label: String::new(), ..Settings::default() };
    assert_eq!(abroad(&plain, &TenantId::anonymous(), &labels)["tenant"], "another");
}
