//! Bodies of OTLP, and what becomes of them.

use super::logs::Mapping;
use super::metrics::Translated;
use super::*;
use crate::error::DecodeError;
use crate::loki::streams;
use crate::prometheus::{TimeSeries, Version, series};
use model::histogram::ResetHint;
use model::rows::STALE_NAN_BITS;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenancy::{Delta, DiscoverySettings, Naming, OtlpSettings};

const NOW: i64 = 1_700_000_000_000_000_000;

fn logs_with(body: &Value, otlp: &OtlpSettings, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let body = from_json(body.to_string().as_bytes(), Request::Logs).expect("JSON reads");
    let discover = DiscoverySettings::default();
    logs::translate(&body, Mapping { otlp, discover: &discover, now: NOW, limit })
}

/// Each line as `{labels} time line {metadata}`, the metadata sorted: objects of JSON have no order.
fn lines(body: &Value, otlp: &OtlpSettings) -> Vec<String> {
    let push = logs_with(body, otlp, 1 << 20).expect("translates");
    let mut lines = Vec::new();
    for stream in streams(&push) {
        let stream = stream.expect("a stream");
        for entry in stream.entries() {
            let entry = entry.expect("an entry");
            let mut pairs: Vec<String> = entry
                .metadata()
                .map(|pair| pair.expect("a pair"))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.sort();
            lines.push(format!("{} {} {} {{{}}}", stream.labels, entry.time, entry.line, pairs.join(",")));
        }
    }
    lines
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn log(resource: Value, record: Value) -> Value {
    json!({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": [record]}]}]})
}

#[test]
fn attributes_become_labels_or_metadata() {
    let otlp = OtlpSettings { drop_attributes: vec!["secret".into(), "noise.*".into()], ..OtlpSettings::default() };
    let body = json!({"resourceLogs": [{
    "resource": {"attributes": [text("service.name", "shop"), text("host.name", "h1"), text("secret", "x")],
                 "droppedAttributesCount": 2},
    "scopeLogs": [
        {"scope": {"name": "lib", "version": "2", "attributes": [text("op", "buy")]},
         "logRecords": [{"timeUnixNano": "5", "observedTimeUnixNano": 7, "severityNumber": 17, "severityText": "ERROR",
            "body": {"stringValue": "it broke"}, "flags": 1, "traceId": "0102030405060708090a0b0c0d0e0f10",
            "spanId": "a1b2c3d4e5f60708", "attributes": [text("noise.a", "x"), {"key": "n", "value": {"intValue": "3"}}]}]},
        {"logRecords": [{"body": {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": [
            {"boolValue": true}, {"doubleValue": 0.5}, {"bytesValue": "AQI="}, {}]}}}]}}}]},
    ]}]});
    assert_eq!(
        lines(&body, &otlp),
        [
            "{service_name=\"shop\"} 5 it broke {detected_level=error,flags=1,host_name=h1,n=3,observed_timestamp=7,op=buy,\
             resource_dropped_attributes_count=2,scope_name=lib,scope_version=2,severity_number=17,severity_text=ERROR,\
             span_id=a1b2c3d4e5f60708,trace_id=0102030405060708090a0b0c0d0e0f10}",
            "{service_name=\"shop\"} 1700000000000000000 {\"a\":[true,0.5,\"AQI=\",null]} \
             {detected_level=unknown,host_name=h1,resource_dropped_attributes_count=2}",
        ]
    );
}

#[test]
fn a_record_may_have_labels_of_its_own() {
    let otlp =
        OtlpSettings { index_log_attributes: vec!["severity_text".into(), "user".into()], ..OtlpSettings::default() };
    let record =
        |user: &str| json!({"observedTimeUnixNano": "9", "severityText": "INFO", "attributes": [text("user", user)]});
    let found = lines(&log(json!([]), record("u")), &otlp);
    let labels = "{service_name=\"unknown_service\", severity_text=\"INFO\", user=\"u\"}";
    assert_eq!(found, [format!("{labels} 9  {{detected_level=info,observed_timestamp=9,severity_text=INFO}}")]);
}

#[test]
fn nested_attributes_have_a_name_each() {
    let nested = json!([{"key": "1a.b", "value": {"kvlistValue": {"values": [text("c d", "x"), text("e", "")]}}}]);
    let found = lines(&log(nested, json!({"body": {"intValue": 7}})), &OtlpSettings::default());
    assert_eq!(
        found,
        [format!("{{service_name=\"unknown_service\"}} {NOW} 7 {{detected_level=unknown,key_1a_b_c_d=x}}")]
    );
}

#[test]
fn nothing_comes_of_nothing() {
    for body in [json!({}), json!({"resourceLogs": []}), json!({"resourceLogs": [{"resource": null}]})] {
        assert_eq!(logs_with(&body, &OtlpSettings::default(), 10), Ok(Vec::new()));
    }
}

#[test]
fn what_a_body_comes_to_is_limited() {
    let record = json!({"body": {"stringValue": "x"}});
    let records: Vec<&Value> = std::iter::repeat_n(&record, 1000).collect();
    let long = "y".repeat(1000);
    let body = json!({"resourceLogs": [{"resource": {"attributes": [text("k", &long)]},
                      "scopeLogs": [{"logRecords": records}]}]});
    let error = logs_with(&body, &OtlpSettings::default(), 50_000).expect_err("refused");
    assert!(matches!(error, DecodeError::TooLarge { len: 50_000..52_000, limit: 50_000 }), "{error}");
    let deep = (0..34).fold(json!({"stringValue": "x"}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
    let error = logs_with(&log(json!([]), json!({"body": deep})), &OtlpSettings::default(), 1 << 20);
    assert!(error.expect_err("refused").to_string().contains("nested over 32 times"));
}

#[test]
fn mistakes_in_json_name_the_field() {
    for (json, words) in [
        (r#"{"resourceLogs": 5}"#, "resourceLogs: 5 is not expected"),
        (
            r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "x"}]}]}]}"#,
            "timeUnixNano: \"x\" is not",
        ),
        (r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "xy"}]}]}]}"#, "traceId: not hexadecimal"),
        (
            r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"bytesValue": "?"}}]}]}]}"#,
            "bytesValue: not base64",
        ),
        (r#"{"resourceLogs": [{"resource": "x"}]}"#, "resource: text is not expected"),
        ("[1]", "an object with resourceLogs"),
        ("", "EOF"),
    ] {
        let error = from_json(json.as_bytes(), Request::Logs).expect_err("refused").to_string();
        assert!(error.contains(words), "{json}: {error}");
    }
    assert_eq!(from_json(br#"{"resource_logs": null, "other": [[{}]]}"#, Request::Logs), Ok(Vec::new()));
}

fn translated(resource: Value, metrics: Value, settings: &OtlpSettings) -> Translated {
    let body = json!({"resourceMetrics": [{"resource": {"attributes": resource},
                      "scopeMetrics": [{"scope": {"name": "lib"}, "metrics": metrics}]}]});
    let body = from_json(body.to_string().as_bytes(), Request::Metrics).expect("JSON reads");
    metrics::translate(&body, settings, 1 << 20).expect("translates")
}

/// Each sample as `name{labels} value @time`.
fn samples(body: &[u8]) -> Vec<String> {
    let mut samples = Vec::new();
    for series in series(body, Version::V2) {
        let series = series.expect("a series");
        let labels: Vec<(&str, &str)> = series.labels().map(|label| label.expect("a label")).collect();
        assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{labels:?}");
        let name = labels.iter().find(|label| label.0 == "__name__").expect("a name").1;
        let pairs: Vec<String> = labels
            .iter()
            .filter(|label| label.0 != "__name__")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        for sample in series.samples() {
            let sample = sample.expect("a sample");
            samples.push(format!("{name}{{{}}} {} @{}", pairs.join(","), sample.value, sample.time));
        }
        for histogram in series.histograms() {
            let found = histogram.expect("a histogram");
            let buckets = |spans: &[model::histogram::Span], counts: &[f64]| {
                format!("{:?} {counts:?}", spans.iter().map(|span| (span.offset, span.length)).collect::<Vec<_>>())
            };
            let value = found.value;
            samples.push(format!(
                "{name}{{{}}} schema {} count {} sum {} zero {} up to {:e} +{} -{} @{}",
                pairs.join(","),
                value.schema,
                value.count,
                value.sum,
                value.zero_count,
                value.zero_threshold,
                buckets(&value.positive_spans, &value.positive),
                buckets(&value.negative_spans, &value.negative),
                found.time,
            ));
        }
    }
    samples
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn point(value: Value) -> Value {
    let mut point = json!({"timeUnixNano": "3000000", "startTimeUnixNano": "1000000"});
    point.as_object_mut().expect("an object").extend(value.as_object().expect("an object").clone());
    point
}

#[test]
fn sums_and_gauges_become_series_with_their_target() {
    let resource = json!([
        text("service.name", "shop"),
        text("service.namespace", "ns"),
        text("service.instance.id", "i1"),
        text("host.name", "h1")
    ]);
    let metrics = json!([
        {"name": "requests", "unit": "1", "description": "All.", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [point(json!({"asInt": "5", "attributes": [text("a.b", "1"), text("a-b", "2"), text("job", "x")]}))]}},
        {"name": "temp", "unit": "Cel", "gauge": {"dataPoints": [point(json!({"asDouble": -1.5})), point(json!({"flags": 1}))]}},
        {"name": "lost", "sum": {"aggregationTemporality": 1, "dataPoints": [point(json!({"asInt": 1})), point(json!({"asInt": 2}))]}},
    ]);
    let settings = OtlpSettings { promote_resource_attributes: vec!["host.name".into()], ..OtlpSettings::default() };
    let found = translated(resource, metrics, &settings);
    assert_eq!(
        samples(&found.body),
        [
            "requests_total{a_b=1;2,host_name=h1,instance=i1,job=ns/shop} 5 @3",
            "temp_celsius{host_name=h1,instance=i1,job=ns/shop} -1.5 @3",
            "temp_celsius{host_name=h1,instance=i1,job=ns/shop} NaN @3",
            "target_info{host_name=h1,instance=i1,job=ns/shop} 1 @3",
        ]
    );
    let all: Vec<_> = series(&found.body, Version::V2).map(|series| series.expect("a series")).collect();
    assert_eq!(all[0].metadata().map(|m| (m.kind, m.help, m.unit)), Some(("counter", "All.", "1")));
    assert_eq!(all[0].samples().next().expect("one").expect("reads").start, 1);
    assert_eq!(all[2].samples().next().expect("one").expect("reads").value.to_bits(), STALE_NAN_BITS);
    assert_eq!(found.refused, 2);
    assert!(found.why.is_some_and(|why| why.contains("\"lost\"") && why.contains("delta")));
}

#[test]
fn deltas_are_kept_where_the_tenant_wants_them() {
    let of = |temporality: u32| {
        json!([
            {"name": "requests", "sum": {"aggregationTemporality": temporality, "isMonotonic": true,
                "dataPoints": [point(json!({"asInt": "5"})), point(json!({"flags": 1}))]}},
            {"name": "queue", "unit": "1", "sum": {"aggregationTemporality": temporality, "dataPoints": [point(json!({"asInt": "-2"}))]}},
            {"name": "h", "histogram": {"aggregationTemporality": temporality, "dataPoints": [
                point(json!({"count": "3", "sum": 9.5, "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}))]}},
            {"name": "e", "exponentialHistogram": {"aggregationTemporality": temporality, "dataPoints": [
                point(json!({"count": 2, "sum": 4.5, "positive": {"bucketCounts": [2]}}))]}},
        ])
    };
    let keep = OtlpSettings { delta: Delta::Keep, ..OtlpSettings::default() };
    let (delta, cumulative) = (translated(json!([]), of(1), &keep), translated(json!([]), of(2), &keep));
    assert_eq!((delta.refused, samples(&delta.body)), (0, samples(&cumulative.body)));
    assert_eq!(samples(&delta.body)[..3], ["requests_total{} 5 @3", "requests_total{} NaN @3", "queue_ratio{} -2 @3"]);
    let hints = |body: &[u8]| -> Vec<ResetHint> {
        let all = series(body, Version::V2).map(|series| series.expect("a series"));
        all.flat_map(|series| series.histograms().map(|h| h.expect("a histogram").value.reset)).collect()
    };
    assert_eq!((hints(&delta.body), hints(&cumulative.body)), (vec![ResetHint::Gauge], vec![ResetHint::Unknown]));
    let kinds = |body: &[u8]| -> BTreeSet<String> {
        let kind = |series: TimeSeries<'_>| series.metadata().expect("metadata").kind.to_owned();
        series(body, Version::V2).map(|series| kind(series.expect("a series"))).collect()
    };
    assert_eq!(kinds(&delta.body), BTreeSet::from(["unknown".to_owned()]));
    assert_eq!(kinds(&cumulative.body), ["counter", "gauge", "histogram"].map(str::to_owned).into());
    let starts: Vec<i64> = series(&delta.body, Version::V2)
        .flat_map(|series| series.expect("a series").samples().map(|s| s.expect("a sample").start).collect::<Vec<_>>())
        .collect();
    assert!(starts.iter().all(|start| *start == 1), "{starts:?}");
    for temporality in [0, 3] {
        let found = translated(json!([]), of(temporality), &keep);
        assert_eq!((found.body.len(), found.refused), (0, 5), "temporality {temporality}");
        assert!(found.why.is_some_and(|why| why.contains("unspecified") && why.contains("limits.otlp.delta")));
    }
}

#[test]
fn names_and_scopes_are_as_the_tenant_wants() {
    let settings = OtlpSettings {
        naming: Naming::NoTranslation,
        promote_scope_metadata: true,
        promote_all_resource_attributes: true,
        ..OtlpSettings::default()
    };
    let metrics = json!([{"name": "a.b", "unit": "s", "gauge": {"dataPoints": [point(json!({"asInt": 1, "attributes": [text("x.y", "1")]}))]}}]);
    let found = translated(json!([text("service.name", "shop")]), metrics, &settings);
    assert_eq!(samples(&found.body), ["a.b{job=shop,otel_scope_name=lib,service.name=shop,x.y=1} 1 @3"]);
}

#[test]
fn histograms_become_cumulative_buckets() {
    let metrics = json!([
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [point(json!({
            "count": "6", "sum": 9.5, "min": 0, "max": 3, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.5, 2],
            "exemplars": [{"asDouble": 1.5, "timeUnixNano": "2000000", "traceId": "0a", "spanId": "0b"}, {"asInt": 7}]}))]}},
        {"name": "s", "summary": {"dataPoints": [point(json!({"count": 2, "sum": 3, "quantileValues": [{"quantile": 0.99, "value": 2}]}))]}},
    ]);
    let found = translated(json!([]), metrics, &OtlpSettings::default());
    assert_eq!(
        sorted(samples(&found.body)),
        [
            "h_bucket{le=+Inf} 6 @3",
            "h_bucket{le=0.5} 1 @3",
            "h_bucket{le=2} 3 @3",
            "h_count{} 6 @3",
            "h_sum{} 9.5 @3",
            "s_count{} 2 @3",
            "s_sum{} 3 @3",
            "s{quantile=0.99} 2 @3",
        ]
    );
    let exemplars: Vec<Vec<String>> = series(&found.body, Version::V2)
        .map(|series| series.expect("a series").exemplars().map(|e| format!("{:?}", e.expect("one").labels)).collect())
        .collect();
    assert_eq!(exemplars.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 0, 0, 0]);
    assert!(exemplars[3][0].contains("trace_id") && exemplars[3][0].contains("0b"), "{exemplars:?}");
}

#[test]
fn exponential_histograms_become_native_ones() {
    let histogram = |point_: Value| json!([{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point(point_)]}}]);
    let check = |value: Value, want: &str| {
        let found = translated(json!([]), histogram(value), &OtlpSettings::default());
        assert_eq!(samples(&found.body), [format!("e{{}} {want} @3")]);
    };
    check(
        json!({"count": 9, "sum": 4.5, "scale": 1, "zeroCount": 1, "positive": {"offset": -3, "bucketCounts": [1, 0, 2, 0, 0, 0, 4]},
               "negative": {"offset": 5, "bucketCounts": [1]}}),
        "schema 1 count 9 sum 4.5 zero 1 up to 1e-128 +[(-2, 3), (3, 1)] [1.0, 0.0, 2.0, 4.0] -[(6, 1)] [1.0]",
    );
    // Two scales down: four buckets become one, and those below 0 as well.
    check(
        json!({"count": 7, "sum": 1, "scale": 10, "zeroThreshold": 0.25, "positive": {"offset": -5, "bucketCounts": [1, 1, 1, 1, 1, 1, 1]}}),
        "schema 8 count 7 sum 1 zero 0 up to 2.5e-1 +[(-1, 3)] [1.0, 4.0, 2.0] -[] []",
    );
    let found = translated(json!([]), histogram(json!({"scale": -5})), &OtlpSettings::default());
    assert_eq!((found.body.len(), found.refused), (0, 1));
    assert!(found.why.is_some_and(|why| why.contains("scale -5")));
    let far = json!({"count": 1, "scale": 0, "positive": {"offset": 2147483647, "bucketCounts": [0, 1]}});
    assert_eq!(translated(json!([]), histogram(far), &OtlpSettings::default()).refused, 1);
}

#[test]
fn answers_tell_what_was_refused() {
    assert_eq!(reply::success(Request::Logs, 0, None, false), b"");
    assert_eq!(reply::success(Request::Logs, 3, Some("why"), false), b"\x0a\x07\x08\x03\x12\x03why");
    let found: Value = serde_json::from_slice(&reply::success(Request::Metrics, 3, Some("why"), true)).expect("JSON");
    assert_eq!(found, json!({"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "why"}}));
    assert_eq!(reply::status(3, "no", false), b"\x08\x03\x12\x02no");
}

proptest! {
    #[test]
    fn base64_is_undone(bytes: Vec<u8>) {
        let mut text = String::new();
        value::Any::Bytes(&bytes).write(&mut text).expect("writes");
        prop_assert_eq!(value::from_base64(&text), Some(bytes));
    }

    /// Whatever comes: no panic, and never more than the limit and one row.
    #[test]
    fn arbitrary_bytes_end(bytes: Vec<u8>) {
        arbitrary(&bytes);
    }

    /// Fields that are likely to be read.
    #[test]
    fn arbitrary_fields_end(fields in fields()) {
        arbitrary(&fields);
    }
}

fn arbitrary(bytes: &[u8]) {
    let (otlp, discover) = (OtlpSettings::default(), DiscoverySettings::default());
    if let Ok(push) = logs::translate(bytes, Mapping { otlp: &otlp, discover: &discover, now: NOW, limit: 1000 }) {
        assert!(streams(&push).all(|stream| stream.is_ok_and(|stream| stream.entries().all(|entry| entry.is_ok()))));
    }
    let keep = OtlpSettings { delta: Delta::Keep, ..otlp.clone() };
    for write in [&otlp, &keep].into_iter().filter_map(|settings| metrics::translate(bytes, settings, 1000).ok()) {
        for series in series(&write.body, Version::V2) {
            let series = series.expect("a series");
            assert!(
                series.samples().all(|sample| sample.is_ok()) && series.exemplars().all(|exemplar| exemplar.is_ok())
            );
        }
    }
    let _ = from_json(bytes, Request::Metrics);
}

/// Messages within messages, with numbers of OTLP's fields.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        (1u32..16, any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            crate::protobuf::put_uint(&mut out, number, value);
            out
        }),
        (1u32..16, any::<u64>()).prop_map(|(number, bits)| {
            let mut out = Vec::new();
            crate::protobuf::put_double(&mut out, number, f64::from_bits(bits));
            out
        }),
        (1u32..16, "[a-z.]{0,8}").prop_map(|(number, text)| {
            let mut out = Vec::new();
            crate::protobuf::put_bytes(&mut out, number, text.as_bytes());
            out
        }),
    ];
    leaf.prop_recursive(8, 200, 6, |inner| {
        (1u32..12, prop::collection::vec(inner, 0..6)).prop_map(|(number, parts)| {
            let mut out = Vec::new();
            crate::protobuf::put_bytes(&mut out, number, &parts.concat());
            out
        })
    })
}
