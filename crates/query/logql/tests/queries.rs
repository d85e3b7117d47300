//! Queries over a few streams in memory, and what they answer.

#[path = "source/memory.rs"]
mod memory;

use eval::EvalError;
use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError};
use eval::value::{SampleValue, Value};
use memory::Memory;
use model::Reason;
use ouro_logql::{Error, Options, entries, instant, parse, patterns, range};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

/// Six lines each of a JSON and a logfmt stream, at 10 s, 20 s, … 60 s, out of order, and a stream with metadata.
fn source() -> Memory {
    let mut memory = Memory::default();
    for at in [3, 1, 2, 6, 5, 4] {
        let status = if at % 3 == 0 { 500 } else { 200 };
        let json = format!(r#"{{"status":{status},"took":"{at}ms","size":"{at}KB","http":{{"path":"/p{}"}}}}"#, at % 2);
        memory.push(&map(&[("app", "api"), ("pod", "a")]), at * 10 * SECOND, &json, &map(&[]));
        let line = format!("level=info status={status} took={at}s v={at} msg=\"line {at}\"");
        memory.push(&map(&[("app", "web"), ("level", "x")]), at * 10 * SECOND, &line, &map(&[]));
    }
    memory.push(&map(&[("app", "meta")]), 10 * SECOND, "one", &map(&[("trace", "t1")]));
    memory.push(&map(&[("app", "meta")]), 20 * SECOND, "broken", &map(&[("trace", "t2"), ("app", "m")]));
    memory
}

/// An instant query at one minute: each series as `{labels} value`.
fn check(query: &str, want: &[&str]) {
    let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let got: Vec<String> = match instant(&source(), &expr, 60 * SECOND, &Options::default()) {
        Ok(Value::Vector(samples)) => samples
            .iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => format!("{} {value}", sample.labels),
                SampleValue::Histogram(_) => panic!("logs have no histograms"),
            })
            .collect(),
        Ok(Value::Scalar(points)) => points.iter().map(|(_, value)| value.to_string()).collect(),
        Ok(other) => vec![format!("{other:?}")],
        Err(error) => vec![error.to_string().lines().next().unwrap_or("").to_owned()],
    };
    assert_eq!(got, want, "{query}");
}

#[test]
fn range_aggregations() {
    check(r#"count_over_time({app="web"}[1m])"#, &[r#"{app="web", level="x"} 6"#]);
    check(r#"count_over_time({app="web"}[30s])"#, &[r#"{app="web", level="x"} 3"#]);
    check(r#"count_over_time({app="web"}[30s] offset 30s)"#, &[r#"{app="web", level="x"} 3"#]);
    check(r#"count_over_time({app="web"} |= "line 4" [1m])"#, &[r#"{app="web", level="x"} 1"#]);
    check(r#"rate({app="web"}[1m])"#, &[r#"{app="web", level="x"} 0.1"#]);
    check(
        r#"bytes_over_time({app="meta"}[1m])"#,
        &[r#"{app="meta", app_extracted="m", trace="t2"} 6"#, r#"{app="meta", trace="t1"} 3"#],
    );
    check(r#"count_over_time({app="meta"} | keep app [1m])"#, &[r#"{app="meta"} 2"#]);
    check(r#"bytes_rate({app="web"} | line_format "xx" [1m])"#, &[r#"{app="web", level="x"} 0.2"#]);
    check(r#"absent_over_time({app="none", a="b"}[1m])"#, &[r#"{a="b", app="none"} 1"#]);
    check(r#"absent_over_time({app="web"}[1m])"#, &[]);
}

#[test]
fn unwrapped_aggregations() {
    let check = |op: &str, want: &str| {
        check(
            &format!(r#"{op}{{app="web"}} | logfmt | unwrap v [1m]) by (app)"#),
            &[&format!(r#"{{app="web"}} {want}"#)],
        );
    };
    for (op, want) in [
        ("avg_over_time(", "3.5"),
        ("min_over_time(", "1"),
        ("max_over_time(", "6"),
        ("first_over_time(", "1"),
        ("last_over_time(", "6"),
        ("quantile_over_time(0.5, ", "3.5"),
        ("stdvar_over_time(", "2.9166666666666665"),
    ] {
        check(op, want);
    }
}

#[test]
fn conversions() {
    check(r#"sum(sum_over_time({app="web"} | logfmt | unwrap duration(took) [1m]))"#, &["{} 21"]);
    check(r#"sum(sum_over_time({app="api"} | json | unwrap bytes(size) [1m]))"#, &["{} 21000"]);
    check(r#"sum(rate_counter({app="web"} | logfmt v | unwrap v [1m]))"#, &["{} 0.1"]);
    check(r#"sum(sum_over_time({app="web"} | logfmt | unwrap v | v > 3 [1m]))"#, &["{} 15"]);
    check(
        r#"sum_over_time({app="web"} | logfmt | unwrap msg [1m])"#,
        &[
            r#"pipeline error: 'SampleExtractionErr' for series: '{__error__="SampleExtractionErr", __error_details__="strconv.ParseFloat: parsing \"line 3\": invalid syntax", app="web", level="x", level_extracted="info", msg="line 3", status="500", took="3s", v="3"}'."#,
        ],
    );
    check(r#"sum_over_time({app="web"} | logfmt | unwrap msg | __error__="" [1m])"#, &[]);
}

#[test]
fn vector_aggregations() {
    let by_status = |op: &str| format!(r#"{op}(count_over_time({{app="api"}} | json [1m]))"#);
    check(&by_status("sum by (status)"), &[r#"{status="200"} 4"#, r#"{status="500"} 2"#]);
    check(&by_status("sum by (http_path)"), &[r#"{http_path="/p0"} 3"#, r#"{http_path="/p1"} 3"#]);
    check(&by_status("sum"), &["{} 6"]);
    check(
        &by_status("count without (took, size, pod, app)"),
        &[
            r#"{http_path="/p0", status="200"} 2"#,
            r#"{http_path="/p0", status="500"} 1"#,
            r#"{http_path="/p1", status="200"} 2"#,
            r#"{http_path="/p1", status="500"} 1"#,
        ],
    );
    let values =
        r#"sum by (v) (sum_over_time({app="web"} | logfmt | status >= 500 | label_format w=v | unwrap w [1m]))"#;
    check(&format!("topk(1, {values})"), &[r#"{} 9"#]);
    let per_app = r#"sum by (app) (count_over_time({app=~".+"}[1m]))"#;
    check(&format!("topk(2, {per_app})"), &[r#"{app="api"} 6"#, r#"{app="web"} 6"#]);
    check(&format!("bottomk(1, {per_app})"), &[r#"{app="meta"} 2"#]);
    check(&format!("sort({per_app})"), &[r#"{app="meta"} 2"#, r#"{app="api"} 6"#, r#"{app="web"} 6"#]);
    check(&format!("avg({per_app})"), &["{} 4.666666666666667"]);
    check(&format!("max({per_app}) - min({per_app})"), &["{} 4"]);
}

#[test]
fn operators() {
    check("1 + 2 * 3 ^ 2", &["19"]);
    check("1 / 0", &["NaN"]);
    check("vector(1) / vector(0)", &["{} NaN"]);
    let count = |app: &str| format!(r#"sum by (app) (count_over_time({{app=~"{app}"}}[1m]))"#);
    let (web, all) = (count("web"), count(".+"));
    check(&format!("{all} > 2"), &[r#"{app="api"} 6"#, r#"{app="web"} 6"#]);
    check(&format!("3 > bool {all}"), &[r#"{app="api"} 0"#, r#"{app="meta"} 1"#, r#"{app="web"} 0"#]);
    check(&format!("{all} and {web}"), &[r#"{app="web"} 6"#]);
    check(&format!("{all} unless {web}"), &[r#"{app="api"} 6"#, r#"{app="meta"} 2"#]);
    check(&format!("{web} or {all}"), &[r#"{app="web"} 6"#, r#"{app="api"} 6"#, r#"{app="meta"} 2"#]);
    check(
        &format!("{all} / on () group_left sum({all})"),
        &[
            r#"{app="api"} 0.42857142857142855"#,
            r#"{app="meta"} 0.14285714285714285"#,
            r#"{app="web"} 0.42857142857142855"#,
        ],
    );
    check(
        &format!("sum({all}) + on () {all}"),
        &[
            "found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be unique on one side",
        ],
    );
    check(&format!(r#"label_replace({web}, "x", "$1", "app", "(.).*")"#), &[r#"{app="web", x="w"} 6"#]);
    check(
        &format!(r#"label_replace({all}, "app", "", "app", ".*")"#),
        &["vector cannot contain metrics with the same labelset"],
    );
}

/// A log query over two minutes: each line with its parsed labels.
fn check_lines(query: &str, order: Order, limit: usize, want: &[&str]) {
    let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let streams = entries(&source(), &expr, 0, 60 * SECOND, limit, order, &Options::default()).expect(query);
    let lines: Vec<String> = streams
        .iter()
        .flat_map(|s| &s.entries)
        .map(|e| format!("{} {} {}", e.time_ns / SECOND, e.line, e.parsed))
        .collect();
    assert_eq!(lines, want, "{query}");
}

#[test]
fn the_first_or_last_lines() {
    let web = r#"{app="web"} | line_format "x""#;
    // The end is not part of the range.
    check_lines(web, Order::Backward, 2, &["50 x {}", "40 x {}"]);
    check_lines(web, Order::Forward, 2, &["10 x {}", "20 x {}"]);
    check_lines(r#"{app="web"} |= "line 3" | line_format "x""#, Order::Forward, 1, &["30 x {}"]);
    check_lines(web, Order::Forward, 0, &[]);
}

#[test]
fn stages_over_lines() {
    let check =
        |stages: &str, want: &[&str]| check_lines(&format!(r#"{{app="web"}} {stages}"#), Order::Forward, 1, want);
    check(
        r#"| logfmt | keep took, level_extracted | line_format "{{.took}}""#,
        &[r#"10 1s {level_extracted="info", took="1s"}"#],
    );
    check(r#"| logfmt status, t="took" | line_format "-""#, &[r#"10 - {status="200", t="1s"}"#]);
    check(r#"| regexp "msg=\"(?P<m>[^\"]+)" | line_format "-""#, &[r#"10 - {m="line 1"}"#]);
    check(r#"| pattern "<_> status=<s> <_>" | line_format "-""#, &[r#"10 - {s="200"}"#]);
    check(
        r#"| json | line_format "-""#,
        &[
            r#"10 - {__error__="JSONParserErr", __error_details__="Value looks like object, but can't find closing '}' symbol"}"#,
        ],
    );
    check(r#"| json | __error__ = """#, &[]);
    check(
        r#"| logfmt | drop status, took, msg | line_format "-" | v >= 2 and v < 3"#,
        &[r#"20 - {level_extracted="info", v="2"}"#],
    );
    check(r#"| label_format app="{{.app}}!", lvl=level | line_format "-""#, &[r#"10 - {app="web!", lvl="x"}"#]);
    check(r#"| logfmt | took > 2s | keep took | line_format "-""#, &[r#"30 - {took="3s"}"#]);
}

#[test]
fn labels_keep_their_categories() {
    let expr = parse(r#"{app="meta"} | label_format new="v""#).expect("a good query");
    let streams =
        entries(&source(), &expr, 0, 60 * SECOND, 10, Order::Forward, &Options::default()).expect("an answer");
    let stream = &streams[0];
    let entry = &stream.entries[0];
    assert_eq!(stream.labels.to_string(), r#"{app="meta", app_extracted="m", new="v", trace="t2"}"#);
    assert_eq!(entry.structured_metadata.to_string(), r#"{app_extracted="m", trace="t2"}"#);
    assert_eq!(entry.parsed.to_string(), r#"{new="v"}"#);
    assert_eq!(stream.stream_labels(entry).to_string(), r#"{app="meta"}"#);
}

#[test]
fn windows_of_a_range_query_are_open_at_their_start() {
    let expr = parse(r#"sum(count_over_time({app="web"}[20s]))"#).expect("a good query");
    let Ok(Value::Matrix(series)) = range(&source(), &expr, 0, 90 * SECOND, 10 * SECOND, &Options::default()) else {
        panic!("a matrix");
    };
    let want = [(10, 1.0), (20, 2.0), (30, 2.0), (40, 2.0), (50, 2.0), (60, 2.0), (70, 1.0)];
    assert_eq!(series[0].points, want.map(|(t, v)| (t * 1_000, v)));
}

#[test]
fn replaced_labels_may_be_the_same_at_different_times() {
    // The metadata of the two lines differ, and each is alone in its window.
    let query = r#"label_replace(sum by (trace) (count_over_time({app="meta"}[10s])), "trace", "", "trace", ".*")"#;
    let expr = parse(query).expect("a good query");
    let Ok(Value::Matrix(series)) = range(&source(), &expr, 0, 20 * SECOND, 10 * SECOND, &Options::default()) else {
        panic!("a matrix");
    };
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].points, [(10_000, 1.0), (20_000, 1.0)]);
    let expr = parse(&query.replace("10s", "20s")).expect("a good query");
    assert!(range(&source(), &expr, 0, 20 * SECOND, 10 * SECOND, &Options::default()).is_err());
}

/// Remembers what it was asked for.
struct Asked(RefCell<Vec<LogSelection>>);

impl PageSource for Asked {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        self.0.borrow_mut().push(selection.clone());
        Ok(Box::new(std::iter::empty()))
    }
}

#[test]
fn the_source_is_told_what_lines_contain() {
    for (query, contains, limit) in [
        (r#"{a="b"}"#, &[][..], Some(5)),
        (r#"{a="b"} |= "x" |~ "y" != "z" |~ "v.wxy""#, &["x", "wxy"][..], None),
        (r#"{a="b"} |= "x" or "y""#, &[][..], None),
        (r#"{a="b"} | json |= "x" | line_format "{{.c}}" |= "y""#, &["x"][..], None),
    ] {
        let asked = Asked(RefCell::default());
        let expr = parse(query).expect(query);
        entries(&asked, &expr, 10, 20, 5, Order::Backward, &Options::default()).expect(query);
        let selection = asked.0.borrow()[0].clone();
        assert_eq!(
            (selection.contains.as_slice(), selection.limit),
            (contains.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().as_slice(), limit),
            "{query}"
        );
        assert_eq!((selection.range.min, selection.range.max, selection.order), (10, 19, Order::Backward));
    }
    let asked = Asked(RefCell::default());
    let expr = parse(r#"rate({a="b"}[1s] offset 5s)"#).expect("a good query");
    range(&asked, &expr, 20 * SECOND, 40 * SECOND, 10 * SECOND, &Options::default()).expect("an answer");
    let times = asked.0.borrow()[0].range;
    assert_eq!((times.min, times.max), (14 * SECOND + 1, 35 * SECOND));
}

#[test]
fn limits_are_named() {
    let many = parse(r#"count_over_time({app="web"} | logfmt [1m])"#).expect("a good query");
    let run = |options: Options| instant(&source(), &many, 60 * SECOND, &options).expect_err("over a limit");
    let error = run(Options { max_series: 5, ..Options::default() });
    assert_eq!((error.to_string().contains("more than 5 series"), error.reason()), (true, Reason::OverLimit));
    let error = run(Options { max_memory: 500, ..Options::default() });
    assert_eq!((error.to_string().contains("limits.query_memory is 500"), error.reason()), (true, Reason::OverLimit));
    let error = run(Options { cancelled: Arc::new(|| true), ..Options::default() });
    assert_eq!((error.clone(), error.reason()), (Error::Eval(EvalError::Cancelled), Reason::Timeout));
    let error = range(&source(), &many, 0, i64::MAX, 1, &Options::default()).expect_err("too many steps");
    assert_eq!(error, Error::Eval(EvalError::Steps { limit: 11_000 }));
    let lines = parse(r#"{app=~".+"}"#).expect("a good query");
    let options = Options { max_memory: 300, ..Options::default() };
    let error = entries(&source(), &lines, 0, i64::MAX, 100, Order::Forward, &options).expect_err("over a limit");
    assert_eq!(error.reason(), Reason::OverLimit);
}

#[test]
fn the_wrong_kind_of_query_is_refused() {
    let (lines, numbers) = (parse(r#"{a="b"}"#).expect("good"), parse("1").expect("good"));
    assert!(!lines.is_metric() && numbers.is_metric());
    assert_eq!(instant(&source(), &lines, 0, &Options::default()).map_err(|e| e.reason()), Err(Reason::BadInput));
    assert!(entries(&source(), &numbers, 0, 1, 1, Order::Forward, &Options::default()).is_err());
    assert!(range(&source(), &numbers, 0, 1, 0, &Options::default()).is_err());
}

#[test]
fn extreme_times_are_no_trouble() {
    let expr = parse(r#"rate({app=~".+"}[100y] offset -100y)"#).expect("a good query");
    for at in [i64::MIN, 0, i64::MAX] {
        instant(&source(), &expr, at, &Options::default()).expect("an answer");
        range(&source(), &expr, at, i64::MAX, i64::MAX / 4, &Options::default()).expect("an answer");
    }
}

#[test]
fn templates_of_lines() {
    let check = |query: &str, want: &[(&str, &[(i64, u64)])]| {
        let expr = parse(query).expect(query);
        let found = patterns(&source(), &expr, (20 * SECOND, 60 * SECOND), 20 * SECOND, &Options::default());
        let found: Vec<(String, Vec<(i64, u64)>)> = found
            .expect(query)
            .iter()
            .map(|template| (template.text(), template.counts.iter().map(|(t, n)| (t / SECOND, *n)).collect()))
            .collect();
        let want: Vec<(String, Vec<(i64, u64)>)> =
            want.iter().map(|(text, counts)| ((*text).to_owned(), counts.to_vec())).collect();
        assert_eq!(found, want, "{query}");
    };
    check(r#"{app="web"}"#, &[("level=info <_> msg=\"line <_>", &[(20, 2), (40, 2)])]);
    check(r#"{app="web"} |= "status=500" "#, &[("level=info <_> msg=\"line <_>", &[(20, 1)])]);
    check(r#"{app="web"} | logfmt | line_format "at {{.v}}" "#, &[("at <_>", &[(20, 2), (40, 2)])]);
    check(r#"{app="meta"}"#, &[("broken", &[(20, 1)])]);
    check(r#"{app="none"}"#, &[]);
    let numbers = parse(r#"rate({app="web"}[1m])"#).expect("a query");
    let error = patterns(&source(), &numbers, (0, SECOND), SECOND, &Options::default());
    assert!(matches!(error, Err(Error::Kind(_))), "{error:?}");
}
