//! Random lines, and random queries of them.

#[path = "templates.rs"]
#[allow(dead_code, reason = "who only asks does not need the meanings")]
pub mod templates;

use proptest::prelude::*;
use proptest::sample::select;

pub const SECOND: i64 = 1_000_000_000;

/// The labels of the streams that rows are of: JSON in the first two, logfmt in the third, texts in the fourth, packed lines
/// in the last.
pub const STREAMS: [&[(&str, &str)]; 5] = [
    &[("app", "api"), ("pod", "a")],
    &[("app", "api"), ("pod", "b"), ("status", "9")],
    &[("app", "web"), ("level", "x")],
    &[("app", "text")],
    &[("app", "edge"), ("pod", "c")],
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
    let wait = select(vec!["12ms", "12ms", "1.5s", "2m", "0s", "1h0m3s", "250us", "soon"]);
    let size = select(vec!["512B", "2KiB", "2kB", "1.5MB", "7", "7", "big"]);
    let addr = select(vec!["10.0.0.7", "10.9.1.1", "192.168.4.6", "2001:db8::8", "::1", "nowhere"]);
    let inner = (status, took, text, zone, wait, size, addr);
    (0..5usize, 0..100i64, inner, trace, broken).prop_map(
        |(stream, second, (status, took, text, zone, wait, size, addr), trace, broken)| {
            let quoted = if took == "nope" { "\"nope\"".to_owned() } else { took.clone() };
            let line = match stream {
                0 if !broken => {
                    format!(r#"{{"status":{status},"took":{quoted},"text":"{text}","at":{{"zone":"{zone}"}},"wait":"{wait}","ip":"{addr}"}}"#)
                }
                1 if !broken => format!(r#"{{"took":{quoted},"status":"{status}","at":{{"zone":"{zone}","n":7}},"size":"{size}"}}"#),
                2 if !broken => format!("status={status} took={took} text=\"{text}\" zone={zone} wait={wait} size={size} ip={addr}"),
                3 if zone == "z" => format!("{text} {status} {addr}:80"),
                4 if !broken => format!(r#"{{"_entry":"\u001b[1;31m{text}\u001b[0m from {addr}","zone":"{zone}","pod":"{zone}","status":{status},"trace":"t9"}}"#),
                4 => format!("\u{1b}[31m{text}\u{1b}[0m {status} {zone}"),
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
    let filters = vec![
        r#" |= "5""#,
        r#" |= "a" or "b""#,
        r#" != "x""#,
        r#" |~ "[45]0[0-9]""#,
        r#" !~ "(?i)X$""#,
        r#" |~ "é|z""#,
        r#" |= ip("10.0.0.0/8")"#,
        r#" != ip("::1") or "5xx""#,
        r#" |= "x" or ip("192.168.4.5-192.168.4.20")"#,
        r#" |= ip("2001:db8::/32")"#,
        " |> `<_>0<_>`",
        " |> `it's <_>` or `x <_> y`",
        " !> `<_>4 x`",
        " !> `<_> <_>:80`",
        r#" |~ "x" or "5.x""#,
        r#" != "a" or "b" or "x""#,
    ];
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
    let packed = (
        select(vec![r#"{app="edge"}"#, r#"{app=~"edge|text"}"#]),
        lines(),
        select(vec![
            " | unpack",
            " | decolorize",
            " | unpack | decolorize",
            " | decolorize | unpack | decolorize",
            r#" | unpack |= "from" != ip("10.0.0.7")"#,
            " | unpack | decolorize | pattern `<text> from <ip>`",
        ]),
    );
    let join = |(selector, lines, parser): (&str, String, &str)| format!("{selector}{lines}{parser}");
    prop_oneof![
        6 => json.prop_map(join),
        4 => logfmt.prop_map(join),
        1 => texts.prop_map(join),
        1 => any.prop_map(join),
        2 => packed.prop_map(join),
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
        " | wait > 20ms",
        " | wait <= 1m or status=`200`",
        " | wait == 1500ms",
        " | size >= 2kB",
        " | size < 2KiB, status != 204",
        " | (size > 1MB or wait < 1ms) and app != `x`",
        r#" | ip = ip("10.0.0.0/8")"#,
        r#" | ip != ip("2001:db8::/32")"#,
        r#" | ip = ip("10.0.0.1-10.0.0.9") or wait > 1h"#,
        r#" | pod_extracted != "y""#,
        r#" | trace_extracted = "" or status = 500"#,
    ];
    several(filters, 3)
}

fn changes() -> impl Strategy<Value = String> {
    let fixed = vec![
        " | label_format place=at_zone",
        " | label_format text=status, status=took",
        " | label_format nothing=absent",
        " | drop status, took",
        r#" | drop status="200""#,
        r#" | drop status=~"2..", app!="api""#,
        " | keep app, status",
        r#" | keep app, status=~"2..""#,
        r#" | keep app="api", status!~"4..", trace"#,
        " | decolorize",
        r#" |= "a""#,
        " | drop __error__, __error_details__",
        r#" | drop __error__="JSONParserErr", __error_details__"#,
    ];
    let line = select(templates::texts()).prop_map(|text| format!(" | line_format `{text}`"));
    let label =
        (select(vec!["text", "made", "app"]), select(templates::texts()), select(vec!["", ", more=`{{.text}}`"]))
            .prop_map(|(name, text, more)| format!(" | label_format {name}=`{text}`{more}"));
    let change = prop_oneof![3 => select(fixed).prop_map(str::to_owned), 1 => line, 1 => label];
    prop::collection::vec(change, 0..=2).prop_map(|changes| changes.concat())
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
        select(vec![
            "count_over_time",
            "count_over_time",
            "rate",
            "rate",
            "bytes_over_time",
            "bytes_rate",
            "absent_over_time",
        ]),
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
        "stdvar_over_time",
        "quantile_over_time",
        "rate",
        "rate_counter",
        "absent_over_time",
    ];
    let label = select(vec!["took", "took", "status", "duration(wait)", "duration_seconds(wait)", "bytes(size)"]);
    let by = select(vec!["", " by (app)", " by (status, pod)", " without (took, text, status)"]);
    let after = select(vec!["", "", " | took < 40", r#" | __error__!="SampleExtractionErr""#]);
    let quantile = select(vec!["0.3", "0", "1", "0.99", "1.5"]);
    let number = ((select(ops), quantile), parsed(), labels(), (label, after), window(), by).prop_map(
        move |((op, quantile), parsed, labels, (label, after), window, by)| {
            let by = if matches!(op, "sum_over_time" | "rate" | "rate_counter" | "absent_over_time") { "" } else { by };
            let quantile = if op == "quantile_over_time" { format!("{quantile}, ") } else { String::new() };
            format!("{op}({quantile}{parsed}{labels} | unwrap {label}{after}{good} {window}){by}")
        },
    );
    // Whatever depends on which of two numbers is greater has numbers that do not depend on the order of sums.
    let whole = (select(vec!["count_over_time", "bytes_over_time", "absent_over_time"]), log(), window())
        .prop_map(move |(op, log, window)| format!("{op}({log}{good} {window})"));
    let by = select(vec!["", " by (app)", " by (status, pod)", " without (took, text, status)"]);
    let ops = select(vec!["min_over_time", "max_over_time", "first_over_time", "last_over_time"]);
    let one = (ops, parsed(), labels(), select(vec!["took", "status"]), window(), by).prop_map(
        move |(op, parsed, labels, label, window, by)| {
            format!("{op}({parsed}{labels} | unwrap {label}{good} {window}){by}")
        },
    );
    let folded = |ops: Vec<&'static str>, leaf: BoxedStrategy<String>| {
        let by = vec![
            "",
            " by (app)",
            " by (status)",
            " by (at_zone, app)",
            " by (app, pod)",
            " without (status, took, text)",
        ];
        (select(ops), select(by), leaf).prop_map(|(fold, by, inner)| format!("{fold}{by}({inner})")).boxed()
    };
    let (whole, one) = (whole.boxed(), one.boxed());
    let exact = prop_oneof![
        2 => folded(vec!["sum", "min", "max", "count"], whole.clone()),
        1 => folded(vec!["min", "max", "count"], one.clone()),
        1 => whole,
        1 => one,
    ]
    .boxed();
    let picked = folded(
        vec!["topk", "bottomk"],
        (1..4u32, exact.clone()).prop_map(|(k, inner)| format!("{k}, {inner}")).boxed(),
    );
    let ordered = (select(vec!["sort(", "sort_desc(", "approx_topk(2, "]), exact.clone())
        .prop_map(|(op, inner)| format!("{op}{inner})"));
    let leaf = prop_oneof![3 => count, 2 => number].boxed();
    let any = folded(vec!["sum", "avg", "min", "max", "count", "stddev", "stdvar"], leaf.clone());
    let texts = vec![
        r#""app", "$1", "app", "(.).*""#,
        r#""size", "$1-$2", "status", "(.)(.*)""#,
        r#""pod", "", "app", "api""#,
        r#""app", "none", "app", """#,
        r#""new", "all", "nothing", ".*""#,
    ];
    let renamed = (prop_oneof![any.clone(), leaf.clone()], select(texts))
        .prop_map(|(inner, texts)| format!("label_replace({inner}, {texts})"))
        .boxed();
    let number = select(vec!["* 3", "/ 0", "- 1", "^ 2"]);
    let limit = select(vec!["> 2", "<= 1.5", "% 2", "== bool 1", "> bool 1", "!= 2", ">= 2", "< 3"]);
    let left = select(vec!["1 /", "2 -", "2 ^", "vector(2) *", "vector(1) or"]);
    let beyond = select(vec!["2 >", "3 <= bool", "7 %", "1 =="]);
    let sets =
        vec!["and", "or", "unless", "and on (app)", "or on (pod)", "unless ignoring (status)", "or ignoring (pod)"];
    let matching = vec![
        "",
        "",
        " on (app)",
        " ignoring (pod)",
        " on (app) group_left",
        " on (app) group_left (status)",
        " ignoring (status) group_right",
        " on (app) group_right (pod, at_zone)",
    ];
    let joins = |ops: Vec<&'static str>| {
        (select(ops), select(matching.clone())).prop_map(|(op, matching)| format!("{op}{matching}"))
    };
    let side = prop_oneof![4 => any.clone(), 1 => picked.clone(), 1 => leaf.clone()].boxed();
    prop_oneof![
        4 => leaf,
        6 => any.clone(),
        2 => picked,
        1 => ordered,
        1 => renamed.clone(),
        1 => folded(vec!["sum", "max"], renamed),
        1 => folded(vec!["avg", "stddev", "count"], any),
        1 => (side.clone(), number).prop_map(|(a, by)| format!("{a} {by}")),
        1 => (exact.clone(), limit).prop_map(|(a, by)| format!("{a} {by}")),
        1 => (left, side.clone()).prop_map(|(left, a)| format!("{left} {a}")),
        1 => (beyond, exact.clone()).prop_map(|(left, a)| format!("{left} {a}")),
        1 => (side.clone(), select(sets), side.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (side.clone(), joins(vec!["+", "/", "*", "-"]), side).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (exact.clone(), joins(vec![">", "==", "!=", ">= bool", "%"]), exact).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
    ]
}
