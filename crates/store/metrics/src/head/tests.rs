//! What a head promises, by example and against a model.

mod bodies;
mod model_test;

use super::*;
use bodies::{Sent, Value, body};
use model::{BatchId, Exemplar, Histogram, Labels, Matcher, Metadata, Series};
use std::time::Duration;
use wire::batch::{Format, Header};

fn header(tenant: &TenantId, format: Format, body: &[u8]) -> Header {
    Header {
        id: BatchId(0),
        tenant: tenant.clone(),
        format,
        rows: 0,
        body_len: body.len() as u32,
        times: TimeRange::EMPTY,
        streams: Vec::new(),
    }
}

fn apply(head: &Head, format: Format, all: &[Sent]) -> Outcome {
    let body = body(format, all, &[]);
    let tenant = TenantId::anonymous();
    head.apply(1, &header(&tenant, format, &body), &body).expect("applies")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn up(job: &str) -> Labels {
    labels(&[("__name__", "up"), ("job", job)])
}

fn select(head: &Head, matchers: &[Matcher]) -> Vec<Series> {
    let mut all: Vec<Series> = head.snapshot().select(&TenantId::anonymous(), matchers, TimeRange::ALL).collect();
    all.sort_by_key(Series::labels);
    all
}

#[test]
fn samples_are_read_by_matchers_and_range() {
    let head = Head::new(Settings::default());
    let all = [Sent::new(&up("a")).float(10, 1.0).float(20, 2.0), Sent::new(&up("b")).float(10, 3.0)];
    let outcome = apply(&head, Format::PromV1, &all);
    assert_eq!(outcome, Outcome { rows: 3, new_series: 2, ..Outcome::default() });
    let view = head.snapshot();
    let check = |matchers: &[Matcher], range: (i64, i64), want: &[(&str, &[i64])]| {
        let range = TimeRange::new(range.0, range.1);
        let mut got: Vec<(String, Vec<i64>)> = view
            .select(&TenantId::anonymous(), matchers, range)
            .map(|s| (s.labels().value("job").to_owned(), s.times.to_vec()))
            .collect();
        got.sort();
        let want: Vec<(String, Vec<i64>)> = want.iter().map(|(job, times)| (job.to_string(), times.to_vec())).collect();
        assert_eq!(got, want, "{matchers:?} {range:?}");
        let mut names: Vec<String> = view
            .series(&TenantId::anonymous(), matchers, range)
            .iter()
            .map(|labels| labels.value("job").to_owned())
            .collect();
        names.sort();
        assert_eq!(names, want.iter().map(|(job, _)| job.clone()).collect::<Vec<_>>());
    };
    let not = |name: &str, value: &str| Matcher::new(name, model::MatchOp::NotEqual, value).expect("valid");
    check(&[], (0, 100), &[("a", &[10, 20]), ("b", &[10])]);
    check(&[Matcher::equal("__name__", "up")], (0, 15), &[("a", &[10]), ("b", &[10])]);
    check(&[Matcher::equal("job", "b")], (0, 100), &[("b", &[10])]);
    check(&[not("job", "b")], (0, 100), &[("a", &[10, 20])]);
    check(&[Matcher::equal("absent", "")], (11, 100), &[("a", &[20])]);
    check(&[Matcher::equal("absent", "x")], (0, 100), &[]);
    check(&[Matcher::equal("__name__", "down")], (0, 100), &[]);
    check(&[], (21, 100), &[]);
    assert_eq!(view.select(&TenantId::new("other").expect("a name"), &[], TimeRange::ALL).count(), 0);
}

/// What is before the oldest sample is known not to be here; as long as a tenant's own samples are far from a range, those
/// of others do not matter.
#[test]
fn a_head_says_where_a_tenants_samples_begin() {
    let head = Head::new(Settings::default());
    let (me, other) = (TenantId::anonymous(), TenantId::new("other").expect("a name"));
    let oldest = |tenant: &TenantId, min, max| head.snapshot().oldest(tenant, TimeRange::new(min, max));
    assert_eq!(oldest(&me, i64::MIN, i64::MAX), None);
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(500, 1.0), Sent::new(&up("b")).float(400, 1.0)]);
    assert_eq!((oldest(&me, 0, 399), oldest(&me, 0, 400), oldest(&me, 450, 600)), (None, Some(400), Some(400)));
    assert_eq!(oldest(&other, 0, 1000), None);
    // A late one, also once it is frozen, until a segment has it.
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(100, 2.0)]);
    assert_eq!((oldest(&me, 0, 200), oldest(&me, 0, 99)), (Some(100), None));
    head.cut(7);
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(900, 1.0)]);
    assert_eq!((oldest(&me, 0, 200), oldest(&me, 600, 1000)), (Some(100), Some(900)));
    head.drop_frozen(7);
    assert_eq!((oldest(&me, 0, 800), oldest(&me, 0, 900)), (None, Some(900)));
}

#[test]
fn the_first_of_two_samples_stays_whatever_their_kinds() {
    let head = Head::new(Settings::default());
    let histogram = Value::Histogram(Histogram { count: 4.0, sum: 1.0, ..Histogram::default() });
    let mut sent = Sent::new(&up("a")).float(10, 1.0).float(10, 2.0).float(30, 3.0);
    sent.samples.push((20, 0, histogram.clone()));
    sent.samples.push((30, 0, histogram.clone()));
    let outcome = apply(&head, Format::PromV1, &[sent]);
    assert_eq!((outcome.rows, outcome.late, outcome.duplicates), (3, 1, 2));
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(20, 9.0).float(5, 0.5).float(15, 1.5).float(40, 4.0)]);
    let got = &select(&head, &[])[0];
    assert_eq!((&got.times[..], &got.values[..]), (&[5, 10, 15, 30, 40][..], &[0.5, 1.0, 1.5, 3.0, 4.0][..]));
    assert_eq!(got.histograms.iter().map(|h| h.time).collect::<Vec<_>>(), [20]);
}

#[test]
fn one_series_may_be_sent_in_many_ways() {
    let head = Head::new(Settings::default());
    let one = Sent::new(&up("a")).float(1, 1.0);
    let mut other = Sent::new(&up("a")).float(2, 2.0);
    other.labels.reverse();
    apply(&head, Format::PromV1, &[one]);
    apply(&head, Format::PromV1, &[other]);
    apply(&head, Format::PromV2, &[Sent::new(&up("a")).float(3, 3.0)]);
    assert_eq!(head.stats().series, 1);
    assert_eq!(select(&head, &[])[0].times, [1, 2, 3]);
}

#[test]
fn bits_and_starts_survive_head_and_segment() {
    let head = Head::new(Settings::default());
    let stale = f64::from_bits(model::rows::STALE_NAN_BITS);
    let values = [1.5, stale, -0.0, f64::INFINITY, 0.1 + 0.2, 3.0, f64::from_bits(0x7ff8_dead_beef_0001)];
    let mut sent = Sent::new(&up("a"));
    for (at, value) in (1i64..).zip(values) {
        sent.samples.push((at * 1000, if at > 3 { 500 } else { 0 }, Value::Float(value)));
    }
    apply(&head, Format::PromV2, &[sent]);
    let part = head.cut(1).encode().next().expect("a part").expect("encodes");
    let reader = crate::Reader::open(Arc::new(block::MemorySections(part.sections))).expect("opens");
    let stored = reader.select(&[], TimeRange::ALL).expect("selects").next().expect("a series").expect("decodes");
    for got in [&select(&head, &[])[0], &stored] {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got.values), bits(&values));
        assert_eq!(got.starts, [0, 0, 0, 500, 500, 500, 500]);
    }
}

#[test]
fn views_keep_what_they_saw() {
    let head = Head::new(Settings::default());
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(1, 1.0)]);
    let times = |view: &View| {
        let all = view.select(&TenantId::anonymous(), &[], TimeRange::ALL).next();
        all.map(|s| s.times.to_vec()).unwrap_or_default()
    };
    let before = head.snapshot();
    let frozen = head.cut(7);
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(2, 2.0)]);
    let between = head.snapshot();
    assert_eq!((frozen.through(), frozen.rows()), (7, 1));
    head.drop_frozen(7);
    assert_eq!((times(&before), times(&between), times(&head.snapshot())), (vec![1], vec![1, 2], vec![2]));
    assert_eq!((between.dropped_through(), head.snapshot().dropped_through()), (0, 7));
    // A view holds its series too: only when it is gone may they be forgotten.
    head.cut(8);
    head.drop_frozen(8);
    assert_eq!(head.sweep(100), 0);
    assert_eq!(times(&between), [1, 2]);
    drop((before, between, frozen));
    assert_eq!(head.sweep(100), 1);
    assert_eq!((head.stats().series, head.stats().symbols, head.stats().rows), (0, 0, 0));
}

#[test]
fn a_leader_refuses_what_contradicts_or_is_too_old() {
    let head = Head::new(Settings::default());
    let tenant = TenantId::anonymous();
    apply(&head, Format::PromV1, &[Sent::new(&up("a")).float(1_000, 1.0).float(100_000, 2.0)]);
    let check = |sent: Sent, window: Option<u64>, refused: usize, duplicates: u32, words: &[&str]| {
        for format in [Format::PromV1, Format::PromV2] {
            let body = body(format, std::slice::from_ref(&sent), &[]);
            let bounds = Bounds { window: window.map(Duration::from_secs), ..Bounds::default() };
            let got = head.admit(&tenant, format, &body, &bounds).expect("admits");
            assert_eq!((got.refused.len(), got.duplicates), (refused, duplicates), "{sent:?}: {got:?}");
            for word in words {
                let told = got.refusals.iter().any(|refusal| refusal.text.contains(word));
                assert!(told, "{word:?} is not in {:?}", got.refusals);
            }
        }
    };
    let a = || Sent::new(&up("a"));
    check(a().float(200_000, 1.0).float(300_000, 1.0), Some(10), 0, 0, &[]);
    check(a().float(100_000, 2.0), Some(10), 0, 1, &[]);
    check(
        a().float(100_000, 3.0),
        Some(10),
        1,
        0,
        &[r#"sample of {__name__="up", job="a"} at 100000 has value 3, stored before: 2"#],
    );
    check(
        a().float(89_999, 1.0),
        Some(10),
        1,
        0,
        &["at 89999 is older than its newest sample, at 100000, by more than 10s"],
    );
    check(a().float(90_000, 1.0), Some(10), 0, 0, &[]);
    check(a().float(1_000, 2.0), None, 1, 0, &["stored before: 1"]);
    check(a().float(2_000, 2.0).float(1_500, 1.0).float(2_000, 5.0), None, 1, 0, &["has value 5, stored before: 2"]);
    check(Sent::new(&up("b")).float(5, 1.0).float(5, 2.0), None, 1, 0, &["stored before: 1"]);
    let mut kinds = a();
    kinds.samples.push((100_000, 0, Value::Histogram(Histogram::default())));
    check(kinds, None, 1, 0, &["is a histogram, stored before: the value 2"]);
    // A frozen sample is still in the head, a dropped one is not; its time is.
    head.cut(1);
    check(a().float(1_000, 2.0), None, 1, 0, &[]);
    head.drop_frozen(1);
    check(a().float(1_000, 2.0), None, 0, 0, &[]);
    check(a().float(1_000, 2.0), Some(10), 1, 0, &["100000"]);
}

#[test]
fn metadata_and_exemplars_reach_the_segment() {
    let head = Head::new(Settings { exemplars_per_series: 2, ..Settings::default() });
    let metadata = |family: &str, kind: &str, help: &str| Metadata {
        family: family.into(),
        kind: kind.into(),
        help: help.into(),
        unit: "seconds".into(),
    };
    let exemplar = |time: i64| Exemplar { labels: labels(&[("trace_id", "x")]), value: 0.5, time };
    let mut bucket = Sent::new(&labels(&[("__name__", "latency_bucket"), ("le", "1")])).float(1, 1.0);
    bucket.metadata = Some(metadata("", "histogram", "how long"));
    bucket.exemplars = vec![exemplar(3), exemplar(1), exemplar(1), exemplar(2)];
    apply(&head, Format::PromV2, &[bucket]);
    let body = body(Format::PromV1, &[], &[metadata("up", "gauge", "old"), metadata("up", "gauge", "new")]);
    let tenant = TenantId::anonymous();
    head.apply(2, &header(&tenant, Format::PromV1, &body), &body).expect("applies");
    let want = [metadata("latency", "histogram", "how long"), metadata("up", "gauge", "new")];
    let view = head.snapshot();
    assert_eq!(view.metadata(&tenant), want);
    let part = head.cut(2).encode().next().expect("a part").expect("encodes");
    let reader = crate::Reader::open(Arc::new(block::MemorySections(part.sections))).expect("opens");
    assert_eq!(reader.metadata().expect("reads"), want);
    let le = [Matcher::equal("le", "1")];
    let got = reader.exemplars(&le, TimeRange::ALL).expect("reads");
    assert_eq!(got, view.exemplars(&tenant, &le, TimeRange::ALL));
    assert_eq!(got[0].1, [exemplar(1), exemplar(2)]);
    assert!(reader.exemplars(&le, TimeRange::new(5, 9)).expect("reads").is_empty());
}

#[test]
fn small_tenants_are_cheap() {
    let head = Head::new(Settings::default());
    for tenant in 0..500 {
        let tenant = TenantId::new(&format!("tenant-{tenant}")).expect("a name");
        let all: Vec<Sent> =
            (0..10).map(|at| Sent::new(&up(&format!("job-{at}"))).float(1, 1.0).float(2, 2.0)).collect();
        let body = body(Format::PromV1, &all, &[]);
        head.apply(1, &header(&tenant, Format::PromV1, &body), &body).expect("applies");
    }
    let bytes = head.stats().memory_bytes / 500;
    assert!(bytes < 4096, "a tenant of ten series takes {bytes} bytes");
    let parts: Vec<_> = head.cut(1).encode().collect::<Result<_, _>>().expect("encodes");
    assert_eq!(parts.len(), 500);
    assert!(parts.windows(2).all(|pair| pair[0].tenant < pair[1].tenant));
    let bytes: usize = parts[0].sections.iter().map(|(_, data)| data.len()).sum();
    assert!(bytes < 400, "its part takes {bytes} bytes");
}

#[test]
fn new_series_are_held_to_the_limits_and_others_go_on() {
    let head = Head::new(Settings::default());
    let tenant = TenantId::anonymous();
    let other = |name: &str, n: u32| labels(&[("__name__", name), ("n", &n.to_string())]);
    let check = |sent: &[Labels], bounds: Bounds, want: &[(Why, u32)], words: &[&str]| {
        let all: Vec<Sent> = sent.iter().map(|labels| Sent::new(labels).float(10, 1.0).float(20, 1.0)).collect();
        for format in [Format::PromV1, Format::PromV2] {
            let got = head.admit(&tenant, format, &body(format, &all, &[]), &bounds).expect("admits");
            let found: Vec<(Why, u32)> = got.refusals.iter().map(|refusal| (refusal.why, refusal.rows)).collect();
            assert_eq!(found, want, "{sent:?} {bounds:?}");
            assert_eq!(got.refused.len() as u32 * 2, found.iter().map(|(_, rows)| rows).sum::<u32>());
            let texts: String = got.refusals.iter().map(|refusal| refusal.text.as_str()).collect();
            words.iter().for_each(|word| assert!(texts.contains(word), "{word:?} is not in {texts:?}"));
        }
    };
    let series = |limit| Bounds { series: Some(limit), shards: 1, ..Bounds::default() };
    let metric = |limit| Bounds { series_per_metric: Some(limit), shards: 1, ..Bounds::default() };
    let all: Vec<Labels> = (0..5).map(|n| other("a", n)).collect();
    // Before anything of the tenant is here, within one batch.
    check(&all, series(5), &[], &[]);
    check(
        &all,
        series(3),
        &[(Why::SeriesLimit, 4)],
        &["a\", n=\"3\"} is new", "tenant anonymous", "3 (limits.max_series)"],
    );
    check(&[all[0].clone(), all[0].clone()], series(1), &[], &[]);
    check(&all, Bounds::default(), &[], &[]);
    let sent: Vec<Sent> = all.iter().map(|labels| Sent::new(labels).float(1, 1.0)).collect();
    apply(&head, Format::PromV1, &sent);
    check(&all, series(1), &[], &[]);
    check(&[other("b", 0), all[4].clone()], series(5), &[(Why::SeriesLimit, 2)], &["\"b\""]);
    check(&[other("b", 0)], series(6), &[], &[]);
    let words = &["metric \"a\" of tenant anonymous", "5 (limits.max_series_per_metric)"];
    check(&[other("a", 7), other("b", 0), other("b", 1)], metric(5), &[(Why::MetricSeriesLimit, 2)], words);
    let both = Bounds { series: Some(6), series_per_metric: Some(5), shards: 1, ..Bounds::default() };
    let sent = [other("a", 7), other("b", 0), other("b", 1)];
    check(&sent, both, &[(Why::MetricSeriesLimit, 2), (Why::SeriesLimit, 2)], &[]);
    // Each shard takes its part, rounded up.
    let parts = |limit| Bounds { shards: 4, ..series(limit) };
    check(&[other("b", 0)], parts(21), &[], &[]);
    check(
        &[other("b", 0)],
        parts(20),
        &[(Why::SeriesLimit, 2)],
        &["20 (limits.max_series; each of its 4 shards takes 5)"],
    );
}

#[test]
fn bad_bodies_are_errors() {
    let head = Head::new(Settings::default());
    let tenant = TenantId::anonymous();
    let whole = body(Format::PromV1, &[Sent::new(&up("a")).float(1, 1.0), Sent::new(&up("b")).float(1, 1.0)], &[]);
    for format in [Format::PromV1, Format::PromV2] {
        for len in 0..whole.len() {
            let _ = head.apply(1, &header(&tenant, format, &whole), &whole[..len]);
            let bounds = Bounds { series: Some(1), series_per_metric: Some(1), ..Bounds::default() };
            let _ = head.admit(&tenant, format, &whole[..len], &bounds);
        }
    }
    let error = head.apply(1, &header(&tenant, Format::LokiPush, &whole), &whole).expect_err("refused");
    assert_eq!(error.to_string(), "a body of logs cannot be read as metrics");
    let mut twice = Sent::new(&up("a")).float(1, 1.0);
    twice.labels.push(("job".into(), "b".into()));
    let outcome = apply(&head, Format::PromV1, &[twice, Sent::default().float(1, 1.0)]);
    assert_eq!((outcome.invalid, outcome.rows), (2, 0));
}
