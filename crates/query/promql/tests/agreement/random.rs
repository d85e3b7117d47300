//! Random series, and random expressions over them.

use model::{Labels, Series, labels::METRIC_NAME, rows::STALE_NAN_BITS};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => (0..40i32).prop_map(f64::from),
        2 => -5.0..5.0f64,
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ]
}

/// A sample every ten seconds or so, with gaps.
fn series(name: &'static str, a: &'static str, b: &'static str) -> impl Strategy<Value = Series> {
    prop::collection::vec((1_000..25_000i64, value(), prop::bool::weighted(0.05)), 5..60).prop_map(move |samples| {
        let mut series = Series::new(Labels::from_pairs([(METRIC_NAME, name), ("a", a), ("b", b)]));
        let mut time = 0;
        for (wait, value, gap) in samples {
            time += if gap { 100_000 } else { wait };
            series.times.push(time);
            series.values.push(value);
        }
        series
    })
}

/// Of metrics `m` and `n`.
pub fn all_series() -> impl Strategy<Value = Vec<Series>> {
    (series("m", "1", "x"), series("m", "1", "y"), series("m", "2", "x"), series("n", "1", "x"), series("n", "2", ""))
        .prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

const WINDOWS: [&str; 16] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "resets",
    "changes",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "stddev_over_time",
    "deriv",
    "present_over_time",
];

fn selector() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["m", "n", "m{b=\"x\"}", "m{a=~\"1|2\"}", "n{a=~\"1.*\"}", "m{b!~\"x|z\"}"])
        .prop_map(str::to_owned)
}

fn shift() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", "", " offset 20s", " offset -15s", " @ 150"])
}

/// An expression that gives a vector.
pub fn vector() -> impl Strategy<Value = String> {
    let window = (prop::sample::select(WINDOWS.to_vec()), selector(), 5..90u32, shift())
        .prop_map(|(f, selector, seconds, shift)| format!("{f}({selector}[{seconds}s]{shift})"));
    let leaf = prop_oneof![(selector(), shift()).prop_map(|(s, shift)| s + shift), window];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let fold = prop::sample::select(vec![
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "topk(2, ",
            "bottomk(1, ",
            "quantile(0.3, ",
        ]);
        let grouping = prop::sample::select(vec!["", " by (a)", " by (a, b)", " without (b)"]);
        let op = prop::sample::select(vec!["+", "-", "*", "/", "==", "> bool", "<"]);
        let set = prop::sample::select(vec!["and on (a)", "or", "unless on (a, b)"]);
        let matching = prop::sample::select(vec!["on (a, b)", "on (a) group_left ()", "ignoring (b) group_right (b)"]);
        prop_oneof![
            3 => (fold, grouping, inner.clone()).prop_map(|(fold, by, arg)| match fold.ends_with(' ') {
                true => format!("{fold}{arg}){by}"),
                false => format!("{fold}{by} ({arg})"),
            }),
            2 => (inner.clone(), op.clone(), 0..9u8).prop_map(|(a, op, number)| format!("({a}) {op} {number}")),
            2 => (inner.clone(), op, matching, inner.clone())
                .prop_map(|(a, op, matching, b)| format!("({a}) {op} {matching} ({b})")),
            1 => (inner.clone(), set, inner.clone()).prop_map(|(a, set, b)| format!("({a}) {set} ({b})")),
            1 => inner.clone().prop_map(|a| format!("({a}) / (({a}) + on (a, b) ({a}))")),
            1 => (prop::sample::select(WINDOWS.to_vec()), inner.clone(), 20..120u32)
                .prop_map(|(f, arg, seconds)| format!("{f}(({arg})[{seconds}s:7s])")),
            1 => inner.prop_map(|a| format!("abs(-({a}))")),
        ]
    })
}
