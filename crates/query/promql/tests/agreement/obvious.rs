//! A part of the language, evaluated one step at a time straight from its definition: slow, and without any state.

use eval::{aggregate::Op as Fold, binary::Op};
use model::{Labels, Matcher, Series, rows::STALE_NAN_BITS};
use ouro_promql::{
    Expr,
    ast::{At, Kind, Selector, SpanKind},
};
use std::collections::BTreeMap;

type Vector = BTreeMap<Labels, f64>;
/// A series' labels, the samples of its window, and where that ends.
type Looked = (Labels, Vec<(i64, f64)>, i64);

fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

fn millis(span: &ouro_promql::ast::Span) -> Option<i64> {
    match span.kind {
        SpanKind::Fixed(seconds) => Some((seconds * 1000.0) as i64),
        _ => None,
    }
}

fn nameless(labels: &Labels) -> Labels {
    labels.with("__name__", "")
}

/// Each matching series with its samples in `(time - length, time]`.
fn windows(all: &[Series], selector: &Selector, length: i64, time: i64) -> Option<Vec<Looked>> {
    let base = match selector.shift.at {
        None => time,
        Some(At::Time(at)) => at,
        Some(_) => return None,
    };
    let end = base - selector.shift.offset.as_ref().map_or(Some(0), millis)?;
    let chosen = all.iter().filter(|series| Matcher::all(&selector.matchers, &series.labels()));
    let window = |series: &Series| {
        let samples = series.times.iter().copied().zip(series.values.iter().copied());
        samples.filter(|(at, _)| *at > end - length && *at <= end).collect()
    };
    Some(chosen.map(|series| (series.labels(), window(series), end)).collect())
}

/// The vector at a time; nothing where the expression is not of the part that is known here.
pub fn vector(all: &[Series], expr: &Expr, time: i64) -> Option<Vector> {
    match &expr.kind {
        Kind::Paren(inner) => vector(all, inner, time),
        Kind::Selector(selector) => {
            let windows = windows(all, selector, 300_000, time)?;
            let last = |samples: Vec<(i64, f64)>| samples.last().map(|s| s.1).filter(|v| !is_stale(*v));
            Some(windows.into_iter().filter_map(|(labels, samples, _)| Some((labels, last(samples)?))).collect())
        }
        Kind::Call { function, args } => {
            let Kind::Range(selector, range) = &args.first()?.kind else { return None };
            let length = millis(range)?;
            let mut out = Vector::new();
            for (labels, mut samples, end) in windows(all, selector, length, time)? {
                samples.retain(|(_, value)| !is_stale(*value));
                let kept = if function.name == "last_over_time" { labels } else { nameless(&labels) };
                if let Some(value) = over(function.name, &samples, end, length)? {
                    out.insert(kept, value);
                }
            }
            Some(out)
        }
        Kind::Aggregate { op, grouping, param: None, arg } => {
            let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
            for (labels, value) in vector(all, arg, time)? {
                let named = |name: &str| grouping.labels.iter().any(|l| l == name);
                let key = match grouping.without {
                    true => labels.without(|name| name == "__name__" || named(name)),
                    false => labels.keep(named),
                };
                groups.entry(key).or_default().push(value);
            }
            groups.into_iter().map(|(labels, values)| Some((labels, fold(*op, &values)?))).collect()
        }
        Kind::Binary { op, left, right, truth: false, .. } => {
            let Kind::Number(number) = right.inner().kind else { return None };
            let vector = vector(all, left, time)?;
            match op {
                Op::Add | Op::Sub | Op::Mul | Op::Div => {
                    Some(vector.into_iter().map(|(l, v)| (nameless(&l), op.numbers(v, number))).collect())
                }
                Op::Less => Some(vector.into_iter().filter(|(_, v)| *v < number).collect()),
                Op::Equal => Some(vector.into_iter().filter(|(_, v)| *v == number).collect()),
                _ => None,
            }
        }
        _ => None,
    }
}

fn fold(op: Fold, values: &[f64]) -> Option<f64> {
    let numbers = || values.iter().copied().filter(|v| !v.is_nan());
    Some(match op {
        Fold::Sum => values.iter().sum(),
        Fold::Avg => values.iter().sum::<f64>() / values.len() as f64,
        Fold::Min => numbers().reduce(f64::min).unwrap_or(f64::NAN),
        Fold::Max => numbers().reduce(f64::max).unwrap_or(f64::NAN),
        Fold::Count => values.len() as f64,
        Fold::Group => 1.0,
        _ => return None,
    })
}

/// A function of a window: `None` when it is not known here, `Some(None)` when it has no answer.
fn over(name: &str, samples: &[(i64, f64)], end: i64, length: i64) -> Option<Option<f64>> {
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let pairs = || values.windows(2);
    let answer = match name {
        "count_over_time" => values.len() as f64,
        "present_over_time" => 1.0,
        "last_over_time" => *values.last().unwrap_or(&0.0),
        "sum_over_time" => values.iter().sum(),
        "avg_over_time" => values.iter().sum::<f64>() / values.len() as f64,
        "min_over_time" => fold(Fold::Min, &values)?,
        "max_over_time" => fold(Fold::Max, &values)?,
        "resets" => pairs().filter(|p| p[1] < p[0]).count() as f64,
        "changes" => pairs().filter(|p| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan())).count() as f64,
        "rate" | "increase" => return Some(grown(name, samples, end, length)),
        _ => return None,
    };
    Some((!values.is_empty()).then_some(answer))
}

/// The growth of a counter, extrapolated to the borders of its window.
fn grown(name: &str, samples: &[(i64, f64)], end: i64, length: i64) -> Option<f64> {
    let [(first, begin), .., (last, value)] = samples else { return None };
    let lost: f64 = samples.windows(2).filter(|p| p[1].1 < p[0].1).map(|p| p[0].1).sum();
    let grown = value - begin + lost;
    let sampled = (last - first) as f64;
    let average = sampled / (samples.len() - 1) as f64;
    let near = |gap: i64| if gap as f64 >= average * 1.1 { average / 2.0 } else { gap as f64 };
    let mut before = near(first - (end - length));
    if grown > 0.0 && *begin >= 0.0 {
        before = before.min(sampled * (begin / grown));
    }
    let whole = grown * ((sampled + before + near(end - last)) / sampled);
    Some(if name == "rate" { whole / (length as f64 / 1000.0) } else { whole })
}
