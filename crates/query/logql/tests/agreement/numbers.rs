//! Metric queries as far as random ones use them, straight from their definition: step by step, window by window, in maps.

use crate::obvious::{ERROR, Map, label_filter, run};
use crate::quantities::{bytes, duration};
use crate::random::Row;
use model::MatchOp;
use ouro_logql::ast::{
    Binary, BinaryOp, Comparison, Conversion, Grouping, LabelReplace, Matching, Metric, RangeAggregation, RangeOp,
    VectorAggregation, VectorOp,
};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

pub type Vector = BTreeMap<Map, f64>;

/// A line that a stage could not handle, or series that an operator cannot tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// The vector at a time.
pub fn vector(rows: &[Row], metric: &Metric, time: i64) -> Result<Vector, Failed> {
    match metric {
        Metric::Range(range) => window(rows, range, time),
        Metric::Aggregation(fold) => aggregate(rows, fold, time),
        Metric::Binary(binary) => between(rows, binary, time),
        Metric::LabelReplace(replace) => replaced(vector(rows, &replace.inner, time)?, replace),
        Metric::Literal(number) | Metric::Vector(number) => Ok(Vector::from([(Map::new(), *number)])),
    }
}

fn aggregate(rows: &[Row], fold: &VectorAggregation, time: i64) -> Result<Vector, Failed> {
    let none = Grouping { without: false, labels: Vec::new() };
    let by = fold.grouping.as_ref().unwrap_or(&none);
    // Loki groups the rows of sums at once, so that `by` may name the label which became the number.
    let inner = match &fold.inner {
        Metric::Range(range) if fold.op == VectorOp::Sum && !by.without && range.grouping.is_none() => {
            let mut range = range.clone();
            if matches!(range.op, RangeOp::Sum | RangeOp::Rate) && range.unwrap.is_some() {
                range.grouping = Some(by.clone());
            }
            window(rows, &range, time)?
        }
        inner => vector(rows, inner, time)?,
    };
    if matches!(fold.op, VectorOp::Sort | VectorOp::SortDesc) {
        return Ok(inner);
    }
    let mut groups: BTreeMap<Map, Vec<(Map, f64)>> = BTreeMap::new();
    for (labels, value) in inner {
        groups.entry(grouped(&labels, by)).or_default().push((labels, value));
    }
    let most = fold.param.unwrap_or(0) as usize;
    Ok(match fold.op {
        // The members of a group are in the order of their labels, which decides between equal values.
        VectorOp::Topk | VectorOp::ApproxTopk | VectorOp::Bottomk => {
            let best = |mut group: Vec<(Map, f64)>| {
                let down = fold.op != VectorOp::Bottomk;
                group.sort_by(|(_, a), (_, b)| {
                    let by_value = if down { b.total_cmp(a) } else { a.total_cmp(b) };
                    a.is_nan().cmp(&b.is_nan()).then(by_value)
                });
                group.truncate(most);
                group
            };
            groups.into_values().flat_map(best).collect()
        }
        op => {
            let values = |group: Vec<(Map, f64)>| group.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
            groups.into_iter().map(|(labels, group)| (labels, folded(op, &values(group)))).collect()
        }
    })
}

fn between(rows: &[Row], binary: &Binary, time: i64) -> Result<Vector, Failed> {
    if let Metric::Literal(number) = binary.right {
        let left = vector(rows, &binary.left, time)?;
        return Ok(left.into_iter().filter_map(|(l, v)| Some((l, apply(binary, v, number, v)?))).collect());
    }
    if let Metric::Literal(number) = binary.left {
        let right = vector(rows, &binary.right, time)?;
        return Ok(right.into_iter().filter_map(|(l, v)| Some((l, apply(binary, number, v, v)?))).collect());
    }
    let (left, right) = (vector(rows, &binary.left, time)?, vector(rows, &binary.right, time)?);
    let matching = binary.matching.as_ref();
    let has = |vector: &Vector, labels: &Map| {
        vector.keys().any(|other| signature(other, matching) == signature(labels, matching))
    };
    Ok(match binary.op {
        BinaryOp::And => left.into_iter().filter(|(labels, _)| has(&right, labels)).collect(),
        BinaryOp::Unless => left.into_iter().filter(|(labels, _)| !has(&right, labels)).collect(),
        BinaryOp::Or => {
            let more: Vec<_> = right.into_iter().filter(|(labels, _)| !has(&left, labels)).collect();
            left.into_iter().chain(more).collect()
        }
        _ => join(binary, &left, &right)?,
    })
}

/// What two series must have in common.
fn signature(labels: &Map, matching: Option<&Matching>) -> Map {
    let counts = |name: &String| matching.is_none_or(|m| m.labels.contains(name) == m.on);
    labels.iter().filter(|(name, _)| counts(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// Each series of the side that may have many finds its one on the other side. Where a side has none, nothing is looked at,
/// as in Prometheus.
fn join(binary: &Binary, left: &Vector, right: &Vector) -> Result<Vector, Failed> {
    let matching = binary.matching.as_ref();
    let group = matching.and_then(|matching| matching.group.as_ref());
    let many_is_left = group.is_none_or(|group| group.left);
    let (many, one) = if many_is_left { (left, right) } else { (right, left) };
    if many.is_empty() || one.is_empty() {
        return Ok(Vector::new());
    }
    let mut ones: BTreeMap<Map, (&Map, f64)> = BTreeMap::new();
    for (labels, value) in one {
        if ones.insert(signature(labels, matching), (labels, *value)).is_some() {
            return Err(Failed);
        }
    }
    let (mut out, mut taken) = (Vector::new(), BTreeSet::new());
    for (labels, value) in many {
        let own = signature(labels, matching);
        let Some((other, other_value)) = ones.get(&own) else { continue };
        // Two that find the same one are a mistake, whatever becomes of them, unless `group_left` or `group_right` allow it.
        if !taken.insert(own) && group.is_none() {
            return Err(Failed);
        }
        let (a, b) = if many_is_left { (*value, *other_value) } else { (*other_value, *value) };
        let Some(result) = apply(binary, a, b, a) else { continue };
        let mut labels = if group.is_some() { labels.clone() } else { signature(labels, matching) };
        for name in group.iter().flat_map(|group| &group.include) {
            labels.remove(name);
            labels.extend(other.get(name).map(|value| (name.clone(), value.clone())));
        }
        if out.insert(labels, result).is_some() {
            return Err(Failed);
        }
    }
    Ok(out)
}

/// Nothing where a comparison does not hold, else what it keeps.
fn apply(binary: &Binary, left: f64, right: f64, kept: f64) -> Option<f64> {
    let holds = match binary.op {
        BinaryOp::Add => return Some(left + right),
        BinaryOp::Sub => return Some(left - right),
        BinaryOp::Mul => return Some(left * right),
        BinaryOp::Div => return Some(if right == 0.0 { f64::NAN } else { left / right }),
        BinaryOp::Mod => return Some(if right == 0.0 { f64::NAN } else { left % right }),
        BinaryOp::Pow => return Some(left.powf(right)),
        BinaryOp::Compare(Comparison::Equal) => left == right,
        BinaryOp::Compare(Comparison::NotEqual) => left != right,
        BinaryOp::Compare(Comparison::Greater) => left > right,
        BinaryOp::Compare(Comparison::GreaterEqual) => left >= right,
        BinaryOp::Compare(Comparison::Less) => left < right,
        BinaryOp::Compare(Comparison::LessEqual) => left <= right,
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => panic!("{:?} is of vectors", binary.op),
    };
    match binary.returns_bool {
        true => Some(f64::from(holds)),
        false => holds.then_some(kept),
    }
}

/// A label that a regular expression makes of another one, where all of that one's value matches.
fn replaced(vector: Vector, replace: &LabelReplace) -> Result<Vector, Failed> {
    let regex = Regex::new(&format!("^(?:{})$", replace.regex)).expect("good");
    let mut out = Vector::new();
    for (mut labels, value) in vector {
        let source = labels.get(&replace.source).cloned().unwrap_or_default();
        if let Some(found) = regex.captures(&source) {
            let mut text = replace.replacement.clone();
            for at in 0..10 {
                text = text.replace(&format!("${at}"), found.get(at).map_or("", |found| found.as_str()));
            }
            labels.insert(replace.destination.clone(), text);
            labels.retain(|_, value| !value.is_empty());
        }
        if out.insert(labels, value).is_some() {
            return Err(Failed);
        }
    }
    Ok(out)
}

fn grouped(labels: &Map, grouping: &Grouping) -> Map {
    let named = |name: &String| grouping.labels.contains(name) != grouping.without;
    labels.iter().filter(|(name, _)| named(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

fn folded(op: VectorOp, values: &[f64]) -> f64 {
    let sum = values.iter().sum::<f64>();
    match op {
        VectorOp::Sum => sum,
        VectorOp::Avg => sum / values.len() as f64,
        VectorOp::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        VectorOp::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        VectorOp::Count => values.len() as f64,
        VectorOp::Stdvar => variance(values),
        VectorOp::Stddev => variance(values).sqrt(),
        other => panic!("{other:?} does not make one number of many"),
    }
}

fn variance(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

fn window(rows: &[Row], range: &RangeAggregation, time: i64) -> Result<Vector, Failed> {
    let end = time - range.offset;
    let mut all: BTreeMap<Map, Vec<(i64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| end - range.range < row.time && row.time <= end) {
        let Some(mut seen) = run(row, &range.log) else { continue };
        let mut number = seen.line.len() as f64;
        if let Some(unwrap) = &range.unwrap {
            let Some(text) = seen.labels.get(&unwrap.label) else { continue };
            let read = match unwrap.conversion {
                None => text.parse().ok(),
                Some(Conversion::Bytes) => bytes(text),
                Some(Conversion::Duration | Conversion::DurationSeconds) => duration(text),
            };
            match read {
                Some(value) => number = value,
                None => drop(seen.labels.entry(ERROR.into()).or_insert("SampleExtractionErr".into())),
            }
            if !unwrap.filters.iter().all(|filter| label_filter(&mut seen.labels, filter)) {
                continue;
            }
        }
        if seen.labels.contains_key(ERROR) {
            return Err(Failed);
        }
        // Only `by` can keep the label that became the number.
        let key = match (&range.grouping, &range.unwrap) {
            (Some(by), _) if !by.without => grouped(&seen.labels, by),
            (without, unwrap) => {
                seen.labels.retain(|name, _| !unwrap.iter().any(|unwrap| unwrap.label == *name));
                without.as_ref().map_or(seen.labels.clone(), |without| grouped(&seen.labels, without))
            }
        };
        all.entry(key).or_default().push((seen.time, number));
    }
    if range.op == RangeOp::Absent {
        return Ok(if all.is_empty() { Vector::from([(named(range), 1.0)]) } else { Vector::new() });
    }
    let value = |(labels, mut samples): (Map, Vec<(i64, f64)>)| {
        samples.sort_by_key(|(time, _)| *time);
        Some((labels, over(range, &samples, end)?))
    };
    Ok(all.into_iter().filter_map(value).collect())
}

/// The labels of which a selector says what they are, once.
fn named(range: &RangeAggregation) -> Map {
    let matchers = &range.log.matchers;
    let once = |name: &String| matchers.iter().filter(|m| m.name == *name).count() == 1;
    let equal = matchers.iter().filter(|m| m.op == MatchOp::Equal && once(&m.name));
    equal.map(|m| (m.name.clone(), m.value.clone())).collect()
}

/// The number of a window that ends at `end`, if it has one.
fn over(range: &RangeAggregation, samples: &[(i64, f64)], end: i64) -> Option<f64> {
    let (count, seconds) = (samples.len() as f64, range.range as f64 / 1e9);
    let numbers = || samples.iter().map(|(_, number)| *number);
    let sum: f64 = numbers().sum();
    Some(match range.op {
        RangeOp::Count => count,
        RangeOp::Rate if range.unwrap.is_none() => count / seconds,
        RangeOp::Rate | RangeOp::BytesRate => sum / seconds,
        RangeOp::Bytes | RangeOp::Sum => sum,
        RangeOp::Avg => sum / count,
        RangeOp::Min => numbers().fold(f64::INFINITY, f64::min),
        RangeOp::Max => numbers().fold(f64::NEG_INFINITY, f64::max),
        RangeOp::First => samples[0].1,
        RangeOp::Last => samples[samples.len() - 1].1,
        RangeOp::Quantile => {
            let quantile = range.param.unwrap_or(0.0);
            if !(0.0..=1.0).contains(&quantile) {
                return Some(if quantile < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY });
            }
            let mut sorted: Vec<f64> = numbers().collect();
            sorted.sort_by(f64::total_cmp);
            let rank = quantile * (count - 1.0);
            let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            below + (above - below) * rank.fract()
        }
        RangeOp::Stddev => variance(&numbers().collect::<Vec<_>>()).sqrt(),
        RangeOp::Stdvar => variance(&numbers().collect::<Vec<_>>()),
        RangeOp::RateCounter => return counter_rate(samples, end, seconds),
        RangeOp::Absent => panic!("nothing has no samples"),
    })
}

/// Prometheus' `rate`: what a counter that may start again grew by, drawn out to the window's edges, but by no more than
/// half an average gap where the edge is further away than 1.1 of those, and not below zero.
fn counter_rate(samples: &[(i64, f64)], end: i64, seconds: f64) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    if first.0 == last.0 {
        return None;
    }
    let grown: f64 = samples.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 }).sum();
    let (to_start, to_end) = (seconds - (end - first.0) as f64 / 1e9, (end - last.0) as f64 / 1e9);
    let covered = (last.0 - first.0) as f64 / 1e9;
    let gap = covered / (samples.len() - 1) as f64;
    let drawn = |edge: f64| if edge >= gap * 1.1 { gap / 2.0 } else { edge };
    let mut before = drawn(to_start);
    if grown > 0.0 && first.1 >= 0.0 {
        before = before.min(covered * first.1 / grown);
    }
    Some(grown * (covered + before + drawn(to_end)) / covered / seconds)
}
