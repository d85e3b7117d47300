//! Random lines, and random queries of them.

use proptest::prelude::*;
use proptest::sample::select;

pub const SECOND: i64 = 1_000_000_000;

/// The labels of the streams that rows are of: JSON in the first two, logfmt in the third, texts in the last.
pub const STREAMS: [&[(&str, &str)]; 4] = [
    &[("app", "api"), ("pod", "a")],
    &[("app", "api"), ("pod", "b"), ("status", "9")],
    &[("app", "web"), ("level", "x")],
    &[("app", "text")],
];

#[derive(Debug, Clone)]
pub struct Row {
    pub stream: usize,
    /// Nanoseconds; no two rows have the same.
    pub time: i64,
    pub line: String,
    /// The value of `trace` in its structured metadata.
    pub trace: Option<&'static str>,
}

fn row() -> impl Strategy<Value = Row> {
    let status = select(vec!["200", "200", "204", "301", "404", "500"]);
    let took = prop_oneof![20 => (0..9_000i64).prop_map(|n| format!("{}.{}5", n / 100, n / 10 % 10)), 1 => Just("nope".into())];
    let text = select(vec!["a", "b", "it's", "c \\\" d", "é", "5xx", "x"]);
    let trace = prop_oneof![5 => Just(None), 1 => select(vec!["t1", "t2"]).prop_map(Some)];
    let zone = select(vec!["x", "y", "z"]);
    let broken = prop::bool::weighted(0.05);
    (0..4usize, 0..100i64, status, took, text, zone, trace, broken).prop_map(
        |(stream, second, status, took, text, zone, trace, broken)| {
            let quoted = if took == "nope" { "\"nope\"".to_owned() } else { took.clone() };
            let line = match stream {
                0 if !broken => {
                    format!(r#"{{"status":{status},"took":{quoted},"text":"{text}","at":{{"zone":"{zone}"}}}}"#)
                }
                1 if !broken => format!(r#"{{"took":{quoted},"status":"{status}","at":{{"zone":"{zone}","n":7}}}}"#),
                2 if !broken => format!("status={status} took={took} text=\"{text}\" zone={zone}"),
                _ => format!("{text} {status} {zone}"),
            };
            Row { stream, time: second * SECOND, line, trace }
        },
    )
}

pub fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(row(), count).prop_map(|mut rows| {
        (0..).zip(&mut rows).for_each(|(at, row)| row.time += at);
        rows
    })
}

fn several(stages: Vec<&'static str>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(select(stages), 0..=most).prop_map(|stages| stages.concat())
}

fn lines() -> impl Strategy<Value = String> {
    let filters =
        vec![r#" |= "5""#, r#" |= "a" or "b""#, r#" != "x""#, r#" |~ "[45]0[0-9]""#, r#" !~ "(?i)X$""#, r#" |~ "é|z""#];
    several(filters, 2)
}

/// A selector and a parser of its lines.
fn parsed() -> impl Strategy<Value = String> {
    let json = vec![" | json", " | json", r#" | json status="status", zone="at.zone""#, r#" | json t="took""#];
    let json =
        (select(vec![r#"{app="api"}"#, r#"{app=~".+"}"#, r#"{app=~"api|text", pod!="b"}"#]), lines(), select(json));
    let logfmt = (
        select(vec![r#"{app="web"}"#, r#"{app=~"web|text"}"#]),
        lines(),
        select(vec![" | logfmt", " | logfmt status, took"]),
    );
    let texts = (
        select(vec![r#"{app="text"}"#]),
        lines(),
        select(vec![" | pattern `<text> <status> <zone>`", " | pattern `<_> <app> <_>`"]),
    );
    let any = (
        select(vec![r#"{app=~".+"}"#, r#"{app=~"text|web"}"#]),
        lines(),
        select(vec![
            r" | regexp `(?P<status>[2-5]\d\d)\D.*?(?P<app>[a-z])`",
            " | regexp `^(?P<text>[^ ]+) (?P<took>.*)$`",
        ]),
    );
    let join = |(selector, lines, parser): (&str, String, &str)| format!("{selector}{lines}{parser}");
    prop_oneof![
        6 => json.prop_map(join),
        4 => logfmt.prop_map(join),
        1 => texts.prop_map(join),
        1 => any.prop_map(join),
    ]
}

fn labels() -> impl Strategy<Value = String> {
    let filters = vec![
        r#" | status="200""#,
        r#" | status=~"2..|404""#,
        r#" | status!="500""#,
        " | status >= 300",
        " | took < 45.5",
        r#" | took > 20 or app="web""#,
        r#" | status < 400, text!="""#,
        r#" | at_zone!~"x|y""#,
        r#" | trace="t1" or trace="""#,
        r#" | __error__="""#,
    ];
    several(filters, 3)
}

fn changes() -> impl Strategy<Value = String> {
    let changes = vec![
        r#" | line_format "{{.status}}-{{.app}}""#,
        r#" | line_format "{{.text}}""#,
        " | label_format place=at_zone",
        r#" | label_format text="{{.app}}!""#,
        " | drop status, took",
        r#" | drop status="200""#,
        " | keep app, status",
        r#" | keep app, status=~"2..""#,
    ];
    several(changes, 2)
}

/// A query of lines.
pub fn log() -> impl Strategy<Value = String> {
    let plain = (select(vec![r#"{app="text"}"#, r#"{app=~".+"}"#, r#"{app=~".+", app!="api"}"#]), lines());
    prop_oneof![
        1 => plain.prop_map(|(selector, lines)| format!("{selector}{lines}")),
        4 => (parsed(), labels(), changes()).prop_map(|(parsed, labels, changes)| parsed + &labels + &changes),
    ]
}

fn window() -> impl Strategy<Value = String> {
    (1..40u32, select(vec!["", "", "", " offset 7s", " offset -3s"]))
        .prop_map(|(seconds, offset)| format!("[{seconds}s]{offset}"))
}

/// A query of numbers.
pub fn metric() -> impl Strategy<Value = String> {
    let good = r#" | __error__="""#;
    let count = (
        select(vec!["count_over_time", "rate", "bytes_over_time", "bytes_rate"]),
        log(),
        select(vec![good, good, good, ""]),
        window(),
    )
        .prop_map(|(op, log, good, window)| format!("{op}({log}{good} {window})"));
    let ops = vec![
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "first_over_time",
        "last_over_time",
        "stddev_over_time",
        "quantile_over_time",
        "rate",
    ];
    let by = select(vec!["", " by (app)", " by (status, pod)", " without (took, text, status)"]);
    let number = (select(ops), parsed(), labels(), select(vec!["took", "status"]), window(), by).prop_map(
        move |(op, parsed, labels, label, window, by)| {
            let by = if matches!(op, "sum_over_time" | "rate") { "" } else { by };
            let quantile = if op == "quantile_over_time" { "0.3, " } else { "" };
            format!("{op}({quantile}{parsed}{labels} | unwrap {label}{good} {window}){by}")
        },
    );
    let leaf = prop_oneof![3 => count, 2 => number].boxed();
    let folded = |leaf: BoxedStrategy<String>| {
        let fold = select(vec!["sum", "avg", "min", "max", "count"]);
        let by = select(vec!["", " by (app)", " by (status)", " by (at_zone, app)", " without (status, took, text)"]);
        (fold, by, leaf).prop_map(|(fold, by, inner)| format!("{fold}{by}({inner})"))
    };
    prop_oneof![
        1 => leaf.clone(),
        3 => folded(leaf.clone()),
        1 => (folded(leaf.clone()), select(vec!["> 2", "* 3", "/ 0", "- 1", "<= 1.5"])).prop_map(|(a, by)| format!("{a} {by}")),
        1 => (folded(leaf.clone()), select(vec!["+", "/", ">", "and", "or", "unless"]), folded(leaf)).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
    ]
}
