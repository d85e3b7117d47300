//! Columns give the answers that lines give.

use super::visit;
use block::MemorySections;
use eval::source::{LogSelection, PageIter, PageSource, Rows, SourceError, Take, Visit};
use eval::value::{SampleValue, Value};
use logql::Options;
use logs::{Head, Payload, Reader, Selection};
use model::{BatchId, ByteSize, TenantId, TimeRange};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wire::batch::{Format, Header, StreamHeader};

const SECOND: i64 = 1_000_000_000;

struct Memory(bytes::Bytes);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<bytes::Bytes> {
        Ok(self.0.clone())
    }
}

/// One part of a segment with these lines: labels, nanoseconds, text.
fn part(lines: &[(&str, i64, String)]) -> Reader {
    let tenant = TenantId::new("acme").expect("a tenant");
    let settings = logs::Settings { row_group: ByteSize(64 << 10), page_rows: 50, verify: true, ..Default::default() };
    let head = Head::new(settings);
    for (number, chunk) in (1u64..).zip(lines.chunks(64)) {
        let mut builder = wire::loki::Builder::new();
        let (mut all, mut streams) = (TimeRange::EMPTY, Vec::new());
        for (labels, time, text) in chunk {
            builder.stream(labels);
            builder.entry(*time, text, std::iter::empty());
            let times = TimeRange::new(*time, *time);
            all = all.union(times);
            streams.push(StreamHeader { key: wire::loki::key(labels), rows: 1, times });
        }
        let body = builder.finish();
        let header = Header {
            id: BatchId(number.into()),
            tenant: tenant.clone(),
            format: Format::LokiPush,
            rows: chunk.len() as u32,
            body_len: body.len() as u32,
            times: all,
            streams,
        };
        let payload: bytes::Bytes = wire::snappy::compress(&body).into();
        head.apply(number, &header, &payload, Arc::new(Memory(payload.clone()))).expect("applies");
    }
    let part = head.cut(lines.len() as u64).encode().next().expect("a part").expect("encodes");
    Reader::open(Arc::new(MemorySections(part.sections))).expect("opens")
}

/// Gives lines only.
struct Lines<'r>(&'r Reader);

/// Gives columns, too, and counts the rows that it gives so.
struct Apart<'r>(&'r Reader, AtomicUsize);

fn selection(selection: &LogSelection) -> Selection {
    let LogSelection { matchers, range, contains, lines, .. } = selection.clone();
    Selection { matchers, range, contains, lines }
}

impl PageSource for Lines<'_> {
    fn select(&self, wanted: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(self.0.pages(&selection(wanted)).map(|page| Ok(page.expect("a page")))))
    }
}

impl PageSource for Apart<'_> {
    fn select(&self, wanted: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(self.0.pages(&selection(wanted)).map(|page| Ok(page.expect("a page")))))
    }

    fn visits(&self, wanted: &LogSelection, _: bool, _: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        let pages = self.0.pages(&selection(wanted));
        let run = Box::new(|take: Take<'_>| {
            let mut count = |rows: Rows<'_>| {
                if let Rows::Shredded(part) = &rows {
                    self.1.fetch_add(part.times().len(), Relaxed);
                }
                take(rows)
            };
            visit(pages, 0, &mut count).map(|_| ()).map_err(super::failed)
        });
        Ok(vec![run])
    }
}

/// Which row of several that fail is named depends on the order in which they are met, and so does a sum's last digit.
fn text(result: Result<Value, logql::Error>) -> String {
    let close = |value: f64| format!("{value:.9e}");
    match result {
        Ok(Value::Matrix(series)) => series
            .iter()
            .map(|s| {
                format!("{:?} {:?}\n", s.labels, s.points.iter().map(|(t, v)| (*t, close(*v))).collect::<Vec<_>>())
            })
            .collect(),
        Ok(Value::Vector(samples)) => samples
            .iter()
            .map(|s| match s.value {
                SampleValue::Float(value) => format!("{} {}\n", s.labels, close(value)),
                SampleValue::Histogram(_) => format!("{} a histogram\n", s.labels),
            })
            .collect(),
        Ok(other) => format!("{other:?}"),
        Err(_) => "an error".to_owned(),
    }
}

const QUERIES: [&str; 16] = [
    r#"sum by (status) (count_over_time({app="a"} | json [20s]))"#,
    r#"sum by (status) (rate({app=~".+"} | json status="status" [7s]))"#,
    r#"count_over_time({app=~".+"} | json status="status", where="at.zone" [10s])"#,
    r#"sum by (at_zone, app) (count_over_time({app=~".+"} | json | status >= 300 [20s]))"#,
    r#"sum by (at_zone) (count_over_time({app=~".+"} | json | status >= 300 | __error__="" [20s]))"#,
    r#"sum by (app) (count_over_time({app=~".+"} | json | __error__!="" or status=~"2.." | drop __error__, __error_details__ [20s]))"#,
    r#"quantile_over_time(0.9, {app=~".+"} | json took="took" | unwrap took | __error__="" [20s]) by (app)"#,
    r#"avg_over_time({app="a"} | json | unwrap took | __error__="" [20s]) by (status)"#,
    r#"max_over_time({app=~".+"} | json | unwrap took [20s]) by (app)"#,
    r#"avg_over_time({app=~".+"} | json | __error__="" | at_zone!="" | unwrap duration(wait) | __error__="" [20s]) by (pod)"#,
    r#"sum by (took_extracted, took) (count_over_time({app=~".+"} | json | __error__="" [20s]))"#,
    r#"sum by (list, text) (count_over_time({app=~".+"} | json list="list", text="text" | __error__="" [20s]))"#,
    r#"sum by (text) (count_over_time({app=~".+"} | json | __error__="" | text!="" | drop text="a" [20s]))"#,
    r#"absent_over_time({app="a"} | json | status="999" [20s])"#,
    r#"sum by (none) (first_over_time({app=~".+"} | json none="nope", took="took" | unwrap took | __error__="" [20s]))"#,
    r#"sum without (status, took, text, wait) (count_over_time({app="a"} | json status="status", took="took" [20s]))"#,
];

const PAIRS: [&str; 12] = [
    r#"sum by (status) (count_over_time({app="a"} | logfmt [20s]))"#,
    r#"sum by (status, level) (rate({app=~".+"} | logfmt status="status", level [7s]))"#,
    r#"sum by (level) (count_over_time({app=~".+"} | logfmt | status >= 300 [20s]))"#,
    r#"sum by (level) (count_over_time({app=~".+"} | logfmt --strict | status >= 300 | __error__="" [20s]))"#,
    r#"sum by (app, none) (count_over_time({app=~".+"} | logfmt --keep-empty | none="" [20s]))"#,
    r#"quantile_over_time(0.9, {app=~".+"} | logfmt took="took" | unwrap took | __error__="" [20s]) by (app)"#,
    r#"avg_over_time({app="a"} | logfmt | unwrap took | __error__="" [20s]) by (status)"#,
    r#"max_over_time({app=~".+"} | logfmt | unwrap took [20s]) by (app)"#,
    r#"avg_over_time({app=~".+"} | logfmt | level!="" | unwrap duration(wait) | __error__="" [20s]) by (pod)"#,
    r#"sum by (took_extracted, took) (count_over_time({app=~".+"} | logfmt [20s]))"#,
    r#"sum by (text, msg) (count_over_time({app=~".+"} | logfmt | text!="" | drop text="a" [20s]))"#,
    r#"sum by (a, b) (count_over_time({app=~".+"} | logfmt a="status", b="status", c="none" [20s]))"#,
];

fn pairs() -> impl Strategy<Value = String> {
    let took = prop_oneof![150 => (0..90_000i64).prop_map(|n| format!("{}.{:03}", n / 1000, n % 1000)), 1 => value(), 1 => Just("nope".to_owned())];
    let text = prop::sample::select(vec!["a1", "b2", "a/b", "c\\\"d1", "x=1", "é", "", "a 1", "\u{fffd}1"]);
    let level = prop::sample::select(vec!["info", "warn"]);
    let shape = prop_oneof![12 => Just(0), 4 => Just(1), 1 => 2..7usize];
    (shape, value(), took, text, level).prop_map(|(shape, status, took, text, level)| match shape {
        0 => format!("level={level} status={status} took={took} msg=\"took {took} s\" wait={took}s"),
        1 => format!("took={took} none= status={status} text={text} flag"),
        2 => format!("status={status} status={took} took={took}"),
        3 => format!("GET /{took} text=\"{text}\" status={status}"),
        4 => format!("status={status} took=\"{took}"),
        5 => format!(r#"{{"status":{status},"took":{took}}}"#),
        _ => String::new(),
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["200", "204", "301", "500"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["null", "\"null\"", "\"404\"", "[1, \"x\"]", "true", "-0", "1e3", "007", "\"\""]).prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let took = prop_oneof![150 => (0..90_000i64).prop_map(|n| format!("{}.{:03}", n / 1000, n % 1000)), 1 => value(), 1 => Just("nope".to_owned())];
    let text = prop::sample::select(vec!["a", "b", "a b", "c\\\"d", "\\u0041", "\\q", "é", ""]);
    let zone = prop::sample::select(vec!["x", "y", "z"]);
    let shape = prop_oneof![12 => Just(0), 4 => Just(1), 1 => 2..7usize];
    (shape, value(), took, text, zone).prop_map(|(shape, status, took, text, zone)| match shape {
        0 => {
            format!(r#"{{"status":{status},"took":{took},"text":"{text}","at":{{"zone":"{zone}"}},"wait":"{took}s"}}"#)
        }
        1 => format!(r#"{{"took":{took},"list":[{status}],"status":{status},"text":"{text}"}}"#),
        2 => format!(r#"{{"status":{status},"status":"{text}","took":{took}}}"#),
        3 => format!(r#"{{"status":{status},"took":{took}}} trailing"#),
        4 => format!(r#"{{"status":{status},"took":"{took}"#),
        5 => format!("status={status} took={took} text={text}"),
        _ => String::new(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn columns_answer_as_lines_do(lines in prop::collection::vec((0..4usize, 0..100i64, line()), 400..700)) {
        check(lines, &QUERIES)?;
    }

    #[test]
    fn columns_of_pairs_answer_as_lines_do(lines in prop::collection::vec((0..4usize, 0..100i64, pairs()), 400..700)) {
        check(lines, &PAIRS)?;
    }
}

/// Asks the same of lines and of columns. Of patterns, all lines must be counted.
fn check(lines: Vec<(usize, i64, String)>, queries: &[&str]) -> Result<(), TestCaseError> {
    let labels = [r#"{app="a"}"#, r#"{app="a", pod="p"}"#, r#"{app="b", took="9"}"#, r#"{app="c", status="s"}"#];
    let stamped = (0..).zip(lines).map(|(at, (stream, time, line))| (labels[stream], time * SECOND + at, line));
    let lines: Vec<_> = stamped.collect();
    let reader = part(&lines);
    let apart = Apart(&reader, AtomicUsize::new(0));
    let options = Options::default();
    for query in queries {
        let expr = logql::parse(query).expect(query);
        let ask = |source: &dyn PageSource| {
            let range = logql::range(source, &expr, 0, 100 * SECOND, 10 * SECOND, &options);
            let instant = logql::instant(source, &expr, 77 * SECOND, &options);
            (text(range), text(instant))
        };
        prop_assert_eq!(ask(&apart), ask(&Lines(&reader)), "{}", query);
    }
    prop_assert!(apart.1.load(Relaxed) > 0, "no rows were taken apart");
    let all = logql::parse(r#"{app=~".+"}"#).expect("a query");
    let found = logql::patterns(&apart, &all, (0, 101 * SECOND), 10 * SECOND, &options).expect("patterns");
    for step in (0..110).step_by(10).map(|start| start * SECOND) {
        let counted: u64 = found.iter().filter_map(|template| template.counts.get(&step)).sum();
        let there = lines.iter().filter(|(_, time, _)| (step..step + 10 * SECOND).contains(time)).count();
        prop_assert_eq!(counted, there as u64, "at {}", step);
    }
    Ok(())
}
