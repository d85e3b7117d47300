//! What queries answer over a handful of series, written as `name{labels} values`.

#[path = "evaluate/elsewhere.rs"]
mod elsewhere;
#[path = "evaluate/notation.rs"]
mod notation;

use elsewhere::Elsewhere;
use eval::{
    EvalError,
    source::{Delegated, SeriesIter, SeriesSource, SourceError},
    value::Value,
};
use model::{Matcher, Reason, TimeRange};
use notation::{answer, load, text};
use ouro_promql::{Options, ast::Type, instant, parse, range};
use proptest::prelude::*;
use std::cell::RefCell;

/// Loads series with a sample a minute from 0 on, evaluates at the time of the last one, and compares all series.
#[track_caller]
fn check(query: &str, series: &[&str], want: &[&str]) {
    let source = load(series);
    let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let options = Options { experimental: true, ..Options::default() };
    let got = instant(&source, &expr, source.last, &options).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(answer(&got.value), want, "{query}");
    let shared = Options { text: Some(query.into()), ..options };
    let there = instant(&Elsewhere(&source), &expr, source.last, &shared).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(answer(&there.value), want, "elsewhere: {query}");
    assert_eq!(there.warnings, got.warnings, "elsewhere: {query}");
}

/// The same over all minutes from 0 to the last sample.
#[track_caller]
fn check_range(query: &str, series: &[&str], want: &[&str]) {
    let source = load(series);
    let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let options = Options { experimental: true, ..Options::default() };
    let got = range(&source, &expr, 0, source.last, 60_000, &options).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(answer(&got.value), want, "{query}");
    let shared = Options { text: Some(query.into()), ..options };
    let there = range(&Elsewhere(&source), &expr, 0, source.last, 60_000, &shared);
    let there = there.unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(answer(&there.value), want, "elsewhere: {query}");
    assert_eq!(there.warnings, got.warnings, "elsewhere: {query}");
}

#[track_caller]
fn fails(query: &str, series: &[&str], reason: Reason, part: &str) {
    let source = load(series);
    let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let error = instant(&source, &expr, source.last, &Options::default()).expect_err(query);
    assert_eq!(error.reason(), reason, "{query}: {error}");
    assert!(error.to_string().contains(part), "{query}: {error}");
}

const AB: [&str; 2] = ["m{l=\"a\"} 0+10x5", "m{l=\"b\"} 0+20x5"];

#[test]
fn selectors() {
    check("m", &AB, &["m{l=\"a\"} 50", "m{l=\"b\"} 100"]);
    check("m{l!=\"a\"}", &AB, &["m{l=\"b\"} 100"]);
    check("m{l=~\"a|c\"} offset 1m", &AB, &["m{l=\"a\"} 40"]);
    check("m{l=\"a\"} @ 60", &AB, &["m{l=\"a\"} 10"]);
    check("m{l=\"a\"} @ start() offset 1m", &["m{l=\"a\"} 1 2 3"], &["m{l=\"a\"} 2"]);
    check("m[2m]", &["m 1 2 3 4"], &["m 3@120 4@180"]);
    check("m[3m:1m]", &["m 1 2 3 4"], &["m 2@60 3@120 4@180"]);
}

#[test]
fn staleness_and_lookback() {
    check_range("m", &["m 1 _ stale 4"], &["m 1@0 1@60 4@180"]);
    check_range("m", &["m 1 _ _ _ _ _ _ 2"], &["m 1@0 1@60 1@120 1@180 1@240 2@420"]);
    check_range("count_over_time(m[2m])", &["m 1 stale 3 4"], &[" 1@0 1@60 1@120 2@180"]);
}

#[test]
fn rates() {
    check("rate(m[5m])", &AB, &["{l=\"a\"} 0.166667", "{l=\"b\"} 0.333333"]);
    check("increase(m[5m])", &["m 0 60 120 0 60 120"], &[" 225"]);
    check("irate(m[5m])", &["m 0 60 30"], &[" 0.5"]);
    check("delta(m[5m])", &["m 5 4 3 2 1 0"], &[" -5"]);
    check("idelta(m[5m])", &["m 5 4 2"], &[" -2"]);
    check("deriv(m[5m])", &["m 0+60x5"], &[" 1"]);
    check("predict_linear(m[5m], 60)", &["m 0+60x5"], &[" 360"]);
    check("resets(m[10m])", &["m 1 2 0 3 1"], &[" 2"]);
    check("changes(m[10m])", &["m 1 1 2 2 3"], &[" 2"]);
    check("rate(m[5m])", &["m 1"], &[]);
}

#[test]
fn over_time() {
    let m = ["m 1 5 3 4"];
    for (function, want) in [
        ("sum", "13"),
        ("avg", "3.25"),
        ("min", "1"),
        ("max", "5"),
        ("count", "4"),
        ("stdvar", "2.1875"),
        ("stddev", "1.47902"),
        ("present", "1"),
        ("mad", "1"),
    ] {
        check(&format!("{function}_over_time(m[5m])"), &m, &[&format!(" {want}")]);
    }
    check("last_over_time(m[5m])", &m, &["m 4"]);
    check("first_over_time(m[5m])", &m, &["m 1"]);
    check("quantile_over_time(0.5, m[5m])", &m, &[" 3.5"]);
    check("ts_of_max_over_time(m[5m])", &m, &[" 60"]);
    check("absent_over_time(m[5m])", &m, &[]);
    check("absent_over_time(nope{a=\"b\", c=~\"d\"}[5m])", &m, &["{a=\"b\"} 1"]);
    check("double_exponential_smoothing(m[5m], 0.5, 0.5)", &["m 0+1x5"], &[" 5"]);
    check("max_over_time(rate(m[2m])[4m:1m])", &["m 0+60x9"], &[" 1"]);
}

#[test]
fn aggregations() {
    let m = ["m{g=\"x\", i=\"1\"} 1", "m{g=\"x\", i=\"2\"} 2", "m{g=\"y\", i=\"3\"} 4"];
    check("sum(m)", &m, &[" 7"]);
    check("sum by (g) (m)", &m, &["{g=\"x\"} 3", "{g=\"y\"} 4"]);
    check("avg without (i) (m)", &m, &["{g=\"x\"} 1.5", "{g=\"y\"} 4"]);
    check("topk(2, m)", &m, &["m{g=\"y\", i=\"3\"} 4", "m{g=\"x\", i=\"2\"} 2"]);
    check("bottomk by (g) (1, m)", &m, &["m{g=\"x\", i=\"1\"} 1", "m{g=\"y\", i=\"3\"} 4"]);
    check("quantile(0.5, m)", &m, &[" 2"]);
    check("count_values(\"v\", m)", &m, &["{v=\"1\"} 1", "{v=\"2\"} 1", "{v=\"4\"} 1"]);
    check("group(m)", &m, &[" 1"]);
    check("stdvar(m)", &m, &[" 1.55556"]);
    check("count(limitk(2, m))", &m, &[" 2"]);
}

#[test]
fn binary_operators() {
    let m = ["a{x=\"1\"} 6", "a{x=\"2\"} 7", "b{x=\"1\"} 4", "c{x=\"1\", y=\"p\"} 2", "c{x=\"1\", y=\"q\"} 3"];
    check("a + b", &m, &["{x=\"1\"} 10"]);
    check("a % b", &m, &["{x=\"1\"} 2"]);
    check("a > 6", &m, &["a{x=\"2\"} 7"]);
    check("6 < a", &m, &["a{x=\"2\"} 7"]);
    check("a > bool 6", &m, &["{x=\"1\"} 0", "{x=\"2\"} 1"]);
    check("-a ^ 2", &m, &["{x=\"1\"} -36", "{x=\"2\"} -49"]);
    check("2 ^ 3 ^ 2", &m, &["512"]);
    check("c * on(x) group_left a", &m, &["{x=\"1\", y=\"p\"} 12", "{x=\"1\", y=\"q\"} 18"]);
    check("b * on(x) group_right(z) c", &m, &["{x=\"1\", y=\"p\"} 8", "{x=\"1\", y=\"q\"} 12"]);
    check("a and b", &m, &["a{x=\"1\"} 6"]);
    check("a unless b", &m, &["a{x=\"2\"} 7"]);
    check("b or a", &m, &["a{x=\"2\"} 7", "b{x=\"1\"} 4"]);
    check("b + fill(0) a", &m, &["{x=\"1\"} 10", "{x=\"2\"} 7"]);
    fails("a * on(x) c", &m, Reason::Unprocessable, "many-to-many matching not allowed");
    fails("c * on(x) a", &m, Reason::Unprocessable, "many-to-one matching must be explicit");
}

#[test]
fn functions_of_values() {
    let m = ["m{l=\"a\"} -1.5"];
    for (query, want) in [
        ("abs(m)", "1.5"),
        ("ceil(m)", "-1"),
        ("floor(m)", "-2"),
        ("round(m)", "-1"),
        ("round(m, 2)", "-2"),
        ("sgn(m)", "-1"),
        ("clamp(m, -1, 1)", "-1"),
        ("clamp_min(m, 0)", "0"),
        ("clamp_max(m, -2)", "-2"),
        ("exp(m * 0)", "1"),
        ("sqrt(m * m)", "1.5"),
        ("ln(m * 0 + 1)", "0"),
        ("deg(m * 0 + 0)", "0"),
    ] {
        check(query, &m, &[&format!("{{l=\"a\"}} {want}")]);
    }
    check("timestamp(m)", &["m{l=\"a\"} 1 2"], &["{l=\"a\"} 60"]);
    check("scalar(m)", &m, &["-1.5"]);
    check("scalar(nope)", &m, &["NaN"]);
    check("vector(1)", &m, &[" 1"]);
    check("hour(vector(3661))", &m, &[" 1"]);
    check("absent(m)", &m, &[]);
    check("absent(nope{l=\"a\"})", &m, &["{l=\"a\"} 1"]);
    check("label_replace(m, \"n\", \"<$1>\", \"l\", \"(.)\")", &m, &["m{l=\"a\", n=\"<a>\"} -1.5"]);
    check("label_join(m, \"n\", \"-\", \"l\", \"l\")", &m, &["m{l=\"a\", n=\"a-a\"} -1.5"]);
    check("sort_desc(x)", &["x{a=\"1\"} 1", "x{a=\"2\"} 2"], &["x{a=\"2\"} 2", "x{a=\"1\"} 1"]);
    check("sort_by_label(x, \"a\")", &["x{a=\"v10\"} 1", "x{a=\"v9\"} 2"], &["x{a=\"v9\"} 2", "x{a=\"v10\"} 1"]);
    check("\"text\"", &m, &["text"]);
}

#[test]
fn classic_histograms() {
    let h = ["h_bucket{le=\"1\"} 10", "h_bucket{le=\"2\"} 30", "h_bucket{le=\"+Inf\"} 40", "h_bucket{le=\"bad\"} 1"];
    check("histogram_quantile(0.5, h_bucket)", &h, &[" 1.5"]);
    check("histogram_quantile(0.9, h_bucket)", &h, &[" 2"]);
    check("histogram_fraction(1, 2, h_bucket)", &h, &[" 0.5"]);
    let source = load(&h);
    let expr = parse("histogram_quantile(2, h_bucket)").expect("a query");
    let got = instant(&source, &expr, 0, &Options::default()).expect("an answer");
    assert_eq!(
        got.warnings.warnings,
        [
            "PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)",
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"bad\" for metric name \"h_bucket\" (1:23)",
        ]
    );
}

#[test]
fn info_metrics() {
    let m = ["m{instance=\"a\", job=\"j\"} 1", "target_info{instance=\"a\", job=\"j\", v=\"2\"} 1"];
    check("info(m)", &m, &["m{instance=\"a\", job=\"j\", v=\"2\"} 1"]);
    check("info(m, {w=~\".*\"})", &m, &["m{instance=\"a\", job=\"j\"} 1"]);
    check("info(m, {w=~\".+\"})", &m, &[]);
    check("info(m, {v=\"3\"})", &m, &[]);
}

#[test]
fn ranges() {
    check_range("sum(m)", &AB, &[" 0@0 30@60 60@120 90@180 120@240 150@300"]);
    check_range("time()", &["m 1 2"], &[" 0@0 60@60"]);
    check_range("m @ 60", &["m 1 2 3"], &["m 2@0 2@60 2@120"]);
    check_range("end() - start()", &["m 1 2"], &[" 60@0 60@60"]);
    check_range("topk(1, m)", &["m{l=\"a\"} 1 5", "m{l=\"b\"} 2 3"], &["m{l=\"a\"} 5@60", "m{l=\"b\"} 2@0"]);
}

#[test]
fn equal_labels_are_an_error() {
    let m = ["a{l=\"x\"} 1", "b{l=\"x\"} 2"];
    fails("abs({l=\"x\"})", &m, Reason::Unprocessable, "vector cannot contain metrics with the same labelset");
    fails("sum(abs({l=\"x\"}))", &m, Reason::Unprocessable, "vector cannot contain metrics with the same labelset");
    fails("label_replace({l=\"x\"}, \"__name__\", \"c\", \"\", \"\")", &m, Reason::Unprocessable, "the same labelset");
}

#[test]
fn what_options_forbid() {
    fails("limitk(1, m)", &AB, Reason::BadInput, "experimental aggregation");
    fails("info(m)", &AB, Reason::BadInput, "experimental function \"info\" is not enabled");
    fails("rate(m[5m] smoothed)", &AB, Reason::BadInput, "experimental modifier");
    let source = load(&AB);
    let expr = parse("m").expect("a query");
    let error = range(&source, &expr, 0, 12_000_000, 1000, &Options::default()).expect_err("too many steps");
    assert!(error.to_string().starts_with("exceeded maximum resolution of 11,000 points per timeseries."), "{error}");
    assert_eq!(error.reason(), Reason::BadInput);
    for (start, end, step) in [(0, 1, 0), (0, 1, -5), (2, 1, 1), (i64::MIN, i64::MAX, 1), (i64::MAX - 1, i64::MAX, 1)] {
        assert!(range(&source, &expr, start, end, step, &Options::default()).is_err(), "{start} {end} {step}");
    }
}

#[test]
fn memory_is_bounded_and_streams_do_not_need_it() {
    let series: Vec<String> = (0..1000).map(|i| format!("m{{i=\"{i}\"}} 0+1x20")).collect();
    let series: Vec<&str> = series.iter().map(String::as_str).collect();
    let source = load(&series);
    let options = Options { max_memory: 30_000, ..Options::default() };
    let run = |query: &str| range(&source, &parse(query).expect("a query"), 0, source.last, 60_000, &options);
    assert_eq!(run("sum(rate(m[5m]))").map(|a| answer(&a.value).len()), Ok(1));
    let error = run("rate(m[5m])").expect_err("a thousand series do not fit");
    assert_eq!(error.reason(), Reason::OverLimit);
    assert!(error.to_string().contains("limits.query_memory is 30000"), "{error}");
    // Far more steps in a subquery than there is memory for.
    assert!(matches!(run("max_over_time(vector(1)[1y:1ms])"), Err(EvalError::Memory { .. })));
}

#[test]
fn a_cancelled_query_ends() {
    let source = load(&AB);
    let options = Options { cancelled: std::sync::Arc::new(|| true), ..Options::default() };
    let error = instant(&source, &parse("m").expect("a query"), 0, &options).expect_err("cancelled");
    assert_eq!(error.reason(), Reason::Timeout);
}

/// In a thread with the smallest stack that a runtime gives its threads.
#[test]
fn the_deepest_queries_fit_the_stack() {
    for query in [
        "m + ".repeat(198) + "m",
        "m or ".repeat(198) + "m",
        "-(".repeat(30) + "m" + &")".repeat(30),
        "abs(".repeat(60) + "m" + &")".repeat(60),
        "sum(".repeat(60) + "m" + &")".repeat(60),
        "histogram_quantile(0.5,".repeat(60) + "m" + &")".repeat(60),
        "max_over_time(".repeat(30) + "m" + &"[2m:1m])".repeat(30),
    ] {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let run = move || {
            let source = load(&AB);
            let expr = parse(&query).unwrap_or_else(|e| panic!("{query}: {e}"));
            instant(&source, &expr, 0, &Options::default()).map(|a| matches!(a.value, Value::Vector(_)))
        };
        assert_eq!(thread.spawn(run).expect("a thread").join().expect("no overflow"), Ok(true));
    }
}

/// Every function and operator over floats, histograms of all layouts, mixes, stale markers and hostile numbers.
#[test]
fn nothing_panics() {
    let mut source = load(&[
        "m{l=\"a\", le=\"1\"} 1 2 0 stale 5",
        "m{l=\"a\", le=\"+Inf\"} 3 NaN inf -inf 1e308",
        "m{l=\"b\"} 1e308 1e308 -1e308 5e-324 0",
        "one 1 1 1 1 1",
    ]);
    source.add_histograms("h", &["exponential", "finer", "custom", "other custom", "gauge", "broken"]);
    source.add_histograms("m{l=\"c\"}", &["exponential", "broken", "custom"]);
    source.add_histograms("e", &["exponential", "reset", "finer", "wide zero"]);
    let vectors = ["m", "h", "{__name__=~\".+\"}", "e", "one", "nope"];
    let numbers = ["0.5", "-1", "NaN", "Inf", "1e300", "0"];
    let mut queries = Vec::new();
    for function in ouro_promql::signature::FUNCTIONS {
        for at in 0..6 {
            let args: Vec<String> = (0..function.min_args().max(function.args.len()))
                .map(|i| match function.arg(i) {
                    Some(Type::Scalar) => numbers[(at + i) % 6].to_owned(),
                    Some(Type::Matrix) => format!("{}[{}]", vectors[at], ["5m", "1h:7s", "1ms", "2m:1m"][at % 4]),
                    Some(Type::String) => ["\"l\"", "\"$1\"", "\"(.*)\""][i % 3].to_owned(),
                    _ if function.name == "info" && i == 1 => "{l=~\".*\"}".into(),
                    _ => vectors[at].to_owned(),
                })
                .collect();
            queries.push(format!("{}({})", function.name, args.join(", ")));
        }
    }
    for a in vectors {
        for b in vectors.iter().chain(&numbers) {
            for op in [
                "+",
                "-",
                "*",
                "/",
                "%",
                "^",
                "atan2",
                "==",
                "!=",
                "<",
                ">=",
                "> bool",
                "and",
                "or",
                "unless",
                "</",
                ">/",
                "+ on() group_left",
                "* fill(1)",
            ] {
                queries.push(format!("{a} {op} {b}"));
                queries.push(format!("{b} {op} {a}"));
            }
        }
        for op in eval::aggregate::Op::ALL {
            for number in numbers {
                let param = match op {
                    eval::aggregate::Op::CountValues => "\"v\", ".into(),
                    _ if op.has_param() => format!("{number}, "),
                    _ => String::new(),
                };
                queries.push(format!("{}({param}{a})", op.name()));
            }
        }
        queries.extend(["rate", "increase", "delta"].map(|f| format!("{f}({a}[2m] smoothed)")));
        queries.extend(["rate", "increase", "delta", "changes", "resets"].map(|f| format!("{f}({a}[90s] anchored)")));
        queries.extend([
            format!("{a} smoothed"),
            format!("-{a}"),
            format!("{a}[5m]"),
            format!("{a} offset 1y"),
            format!("{a} @ -9e14"),
        ]);
    }
    let mut answered = 0;
    for delayed_name_removal in [false, true] {
        let options = Options { experimental: true, delayed_name_removal, ..Options::default() };
        for query in &queries {
            let Ok(expr) = parse(query) else { continue };
            answered += usize::from(instant(&source, &expr, source.last, &options).is_ok());
            answered += usize::from(range(&source, &expr, -60_000, source.last + 60_000, 30_000, &options).is_ok());
        }
    }
    assert!(answered > 2_000, "only {answered} queries were answered");
}

#[test]
fn texts_of_values() {
    assert_eq!(text(0.1 + 0.2), "0.3");
    assert_eq!(text(f64::NAN), "NaN");
}

#[test]
fn a_rate_needs_two_samples() {
    // Also where the window begins before 1970.
    check_range("increase(m[26m])", &["m _ 0 0 0"], &[" 0@120 0@180"]);
}

/// Keeps the task that it is given.
struct Keeps<'s>(&'s dyn SeriesSource, RefCell<Vec<u8>>);

impl SeriesSource for Keeps<'_> {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.0.select(matchers, range)
    }

    fn delegate(&self, _: &[Matcher], _: TimeRange, work: &[u8]) -> Result<Option<Delegated<'_>>, SourceError> {
        *self.1.borrow_mut() = work.to_vec();
        Ok(None)
    }
}

fn task(query: &str) -> Vec<u8> {
    let source = load(&AB);
    let keeps = Keeps(&source, RefCell::default());
    let options = Options { text: Some(query.into()), ..Options::default() };
    instant(&keeps, &parse(query).expect("a query"), source.last, &options).expect("answers");
    keeps.1.into_inner()
}

#[test]
fn remarks_of_others_name_their_places() {
    let source = load(&AB);
    let options = Options { text: Some("  sum(quantile_over_time(2, m[2m]))".into()), ..Options::default() };
    let expr = parse("  sum(quantile_over_time(2, m[2m]))").expect("a query");
    let there = instant(&Elsewhere(&source), &expr, source.last, &options).expect("answers");
    assert_eq!(there.warnings.warnings, ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:26)"]);
}

#[test]
fn tasks_of_another_version_are_refused() {
    let good = task("2 * sum(m)");
    assert!(elsewhere::said(Vec::new(), &good).is_ok());
    // As if the query had been counted in another way.
    let text = "2 * sum(m)".len();
    let mut other = good.clone();
    assert_eq!(other[1 + text], 2, "the place of the aggregation");
    other[1 + text] = 1;
    let error = elsewhere::said(Vec::new(), &other).expect_err("is refused");
    assert_eq!(error.reason(), Reason::Internal);
    assert!(error.to_string().contains("another part of the query"), "{error}");
}

proptest! {
    #[test]
    fn strange_tasks_are_refused(
        query in prop::sample::select(vec!["sum by (l) (rate(m[5m]))", "topk(2, m)", "sum(m offset -7m)"]),
        at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut task = task(query);
        let place = at.index(task.len());
        task[place] = byte;
        let series = || load(&AB).select(&[], TimeRange::ALL).expect("series").map(|s| s.expect("one")).collect();
        let _ = elsewhere::said(series(), &task);
        task.truncate(cut.index(task.len()));
        let _ = elsewhere::said(series(), &task);
    }
}
