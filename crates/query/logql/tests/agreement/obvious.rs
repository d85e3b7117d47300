//! The language as far as random queries use it, straight from its definition: row by row, window by window, in maps.

use crate::random::{Row, STREAMS};
use model::{MatchOp, Matcher};
use ouro_logql::ast::{
    BinaryOp, Comparison, Extraction, FormatValue, Grouping, LabelFilter, LabelSelector, LineFilter, LineMatch, LineOp,
    LogExpr, Metric, RangeAggregation, RangeOp, Stage, VectorOp,
};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;

pub type Map = BTreeMap<String, String>;
pub type Vector = BTreeMap<Map, f64>;

const ERROR: &str = "__error__";

/// A metric query met a line that a stage could not handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// A row on its way through the stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub time: i64,
    pub line: String,
    /// Of all kinds.
    pub labels: Map,
}

/// What the stages leave of a row.
pub fn run(row: &Row, log: &LogExpr) -> Option<Seen> {
    let stream: Map = STREAMS[row.stream].iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    if !log.matchers.iter().all(|m| meets(m, stream.get(&m.name).map_or("", String::as_str))) {
        return None;
    }
    let mut seen = Seen { time: row.time, line: row.line.clone(), labels: stream.clone() };
    seen.labels.extend(row.trace.map(|trace| ("trace".to_owned(), trace.to_owned())));
    log.stages.iter().all(|stage| pass(&mut seen, &stream, stage)).then_some(seen)
}

fn meets(matcher: &Matcher, value: &str) -> bool {
    let regex = || Regex::new(&format!("^(?s:{})$", matcher.value)).expect("a regular expression").is_match(value);
    match matcher.op {
        MatchOp::Equal => value == matcher.value,
        MatchOp::NotEqual => value != matcher.value,
        MatchOp::Regex => regex(),
        MatchOp::NotRegex => !regex(),
    }
}

fn pass(seen: &mut Seen, stream: &Map, stage: &Stage) -> bool {
    match stage {
        Stage::Line(filter) => return line_filter(&seen.line, filter),
        Stage::Label(filter) => return label_filter(&mut seen.labels, filter),
        Stage::Json(wanted) => {
            let found = serde_json::from_str(&seen.line).ok().filter(Value::is_object);
            let Some(value) = found else {
                seen.labels.insert(ERROR.into(), "JSONParserErr".into());
                return true;
            };
            let mut all = Map::new();
            flatten("", ".", &value, &mut all);
            let pairs = if wanted.is_empty() { renamed(&all, "_") } else { chosen(&all, wanted) };
            extract(seen, stream, pairs);
        }
        Stage::Logfmt { extractions, .. } => {
            let all = logfmt(&seen.line);
            let pairs = if extractions.is_empty() { all } else { chosen(&all, extractions) };
            extract(seen, stream, pairs);
        }
        Stage::Regexp(regex) => {
            let regex = Regex::new(regex).expect("good");
            let names = || regex.capture_names().flatten();
            let found = regex.captures(&seen.line);
            let pairs = found.iter().flat_map(|found| names().map(|name| (name.to_owned(), found[name].to_owned())));
            let pairs = pairs.collect();
            extract(seen, stream, pairs);
        }
        Stage::Pattern(pattern) => {
            // Three captures between two spaces.
            let names: Vec<&str> = pattern.split(' ').map(|name| name.trim_matches(['<', '>'])).collect();
            let parts = seen.line.splitn(3, ' ').map(str::to_owned);
            let pairs = names.into_iter().zip(parts).filter(|(name, _)| *name != "_");
            let pairs = pairs.map(|(name, part)| (name.to_owned(), part)).collect();
            extract(seen, stream, pairs);
        }
        Stage::LineFormat(template) => seen.line = format(template, &seen.labels),
        Stage::LabelFormat(formats) => {
            for one in formats {
                match &one.value {
                    FormatValue::Rename(from) => {
                        if let Some(value) = seen.labels.remove(from) {
                            seen.labels.insert(one.name.clone(), value);
                        }
                    }
                    FormatValue::Template(template) => {
                        let value = format(template, &seen.labels);
                        seen.labels.insert(one.name.clone(), value);
                    }
                }
            }
        }
        Stage::Drop(selectors) => seen.labels.retain(|name, value| !selectors.iter().any(|s| selects(s, name, value))),
        Stage::Keep(selectors) => {
            seen.labels.retain(|name, value| name == ERROR || selectors.iter().any(|s| selects(s, name, value)));
        }
        other => panic!("{other:?} is not among random stages"),
    }
    true
}

fn selects(selector: &LabelSelector, name: &str, value: &str) -> bool {
    match selector {
        LabelSelector::Name(wanted) => name == wanted,
        LabelSelector::Matching(matcher) => name == matcher.name && meets(matcher, value),
    }
}

fn line_filter(line: &str, filter: &LineFilter) -> bool {
    let found = |one: &LineMatch| match (one, filter.op) {
        (LineMatch::Text(text), LineOp::Contains | LineOp::NotContains) => line.contains(text.as_str()),
        (LineMatch::Text(text), LineOp::Matches | LineOp::NotMatches) => Regex::new(text).expect("good").is_match(line),
        other => panic!("{other:?} is not among random filters"),
    };
    filter.alternatives.iter().any(found) != filter.op.is_negative()
}

fn label_filter(labels: &mut Map, filter: &LabelFilter) -> bool {
    match filter {
        LabelFilter::And(left, right) => label_filter(labels, left) && label_filter(labels, right),
        LabelFilter::Or(left, right) => label_filter(labels, left) || label_filter(labels, right),
        LabelFilter::Text(matcher) => meets(matcher, labels.get(&matcher.name).map_or("", String::as_str)),
        LabelFilter::Number { name, op, value } => match labels.get(name).map(|text| text.parse::<f64>()) {
            None => false,
            Some(_) if labels.contains_key(ERROR) => true,
            Some(Ok(number)) => op.holds(number, *value),
            Some(Err(_)) => {
                labels.insert(ERROR.into(), "LabelFilterErr".into());
                true
            }
        },
        other => panic!("{other:?} is not among random filters"),
    }
}

/// The leaves of a JSON object by their paths.
fn flatten(path: &str, between: &str, value: &Value, out: &mut Map) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}{between}{name}") };
                flatten(&path, between, value, out);
            }
        }
        Value::String(text) => drop(out.insert(path.into(), text.clone())),
        // Trailing zeros are kept: the lines were written so.
        other => drop(out.insert(path.into(), other.to_string())),
    }
}

fn renamed(all: &Map, between: &str) -> Map {
    all.iter().map(|(path, value)| (path.replace('.', between), value.clone())).collect()
}

fn chosen(all: &Map, wanted: &[Extraction]) -> Map {
    wanted.iter().filter_map(|one| Some((one.name.clone(), all.get(&one.expression)?.clone()))).collect()
}

/// Pairs without spaces, or in quotes without escapes but for the quote itself.
fn logfmt(line: &str) -> Map {
    let pair = Regex::new(r#"(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))"#).expect("good");
    let value = |c: &regex::Captures<'_>| c.get(2).or(c.get(3)).map_or("", |m| m.as_str()).replace("\\\"", "\"");
    pair.captures_iter(line).map(|c| (c[1].to_owned(), value(&c))).collect()
}

fn extract(seen: &mut Seen, stream: &Map, pairs: Map) {
    for (name, value) in pairs {
        let name = if stream.contains_key(&name) { format!("{name}_extracted") } else { name };
        seen.labels.insert(name, value);
    }
    seen.labels.retain(|_, value| !value.is_empty());
}

/// A template whose only actions are labels.
fn format(template: &str, labels: &Map) -> String {
    let action = Regex::new(r"\{\{\.(\w+)\}\}").expect("good");
    action.replace_all(template, |c: &regex::Captures<'_>| labels.get(&c[1]).cloned().unwrap_or_default()).into_owned()
}

/// The vector at a time.
pub fn vector(rows: &[Row], metric: &Metric, time: i64) -> Result<Vector, Failed> {
    match metric {
        Metric::Range(range) => window(rows, range, time),
        Metric::Aggregation(fold) => {
            let mut groups: BTreeMap<Map, Vec<f64>> = BTreeMap::new();
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
            for (labels, value) in inner {
                let key = grouped(&labels, by);
                groups.entry(key).or_default().push(value);
            }
            Ok(groups.into_iter().map(|(labels, values)| (labels, folded(fold.op, &values))).collect())
        }
        Metric::Binary(binary) => {
            if let Metric::Literal(number) = binary.right {
                let left = vector(rows, &binary.left, time)?;
                return Ok(left.into_iter().filter_map(|(l, v)| Some((l, apply(binary.op, v, number)?))).collect());
            }
            let (left, right) = (vector(rows, &binary.left, time)?, vector(rows, &binary.right, time)?);
            Ok(match binary.op {
                BinaryOp::And => left.into_iter().filter(|(labels, _)| right.contains_key(labels)).collect(),
                BinaryOp::Unless => left.into_iter().filter(|(labels, _)| !right.contains_key(labels)).collect(),
                BinaryOp::Or => right.into_iter().chain(left).collect(),
                op => {
                    let pair = |(labels, value): (Map, f64)| {
                        let value = apply(op, value, *right.get(&labels)?)?;
                        Some((labels, value))
                    };
                    left.into_iter().filter_map(pair).collect()
                }
            })
        }
        other => panic!("{other:?} is not among random queries"),
    }
}

/// Nothing where a comparison does not hold.
fn apply(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    match op {
        BinaryOp::Compare(Comparison::Greater) => (left > right).then_some(left),
        BinaryOp::Compare(Comparison::LessEqual) => (left <= right).then_some(left),
        BinaryOp::Add => Some(left + right),
        BinaryOp::Sub => Some(left - right),
        BinaryOp::Mul => Some(left * right),
        BinaryOp::Div => Some(if right == 0.0 { f64::NAN } else { left / right }),
        other => panic!("{other:?} is not among random operators"),
    }
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
        other => panic!("{other:?} is not among random aggregations"),
    }
}

fn window(rows: &[Row], range: &RangeAggregation, time: i64) -> Result<Vector, Failed> {
    let end = time - range.offset;
    let mut all: BTreeMap<Map, Vec<(i64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| end - range.range < row.time && row.time <= end) {
        let Some(mut seen) = run(row, &range.log) else { continue };
        let mut number = seen.line.len() as f64;
        if let Some(unwrap) = &range.unwrap {
            let Some(text) = seen.labels.get(&unwrap.label) else { continue };
            match text.parse() {
                Ok(value) => number = value,
                Err(_) => drop(seen.labels.entry(ERROR.into()).or_insert("SampleExtractionErr".into())),
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
    let value = |(labels, mut samples): (Map, Vec<(i64, f64)>)| {
        samples.sort_by_key(|(time, _)| *time);
        (labels, over(range, &samples))
    };
    Ok(all.into_iter().map(value).collect())
}

fn over(range: &RangeAggregation, samples: &[(i64, f64)]) -> f64 {
    let (count, seconds) = (samples.len() as f64, range.range as f64 / 1e9);
    let numbers = || samples.iter().map(|(_, number)| *number);
    let sum: f64 = numbers().sum();
    match range.op {
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
            let mut sorted: Vec<f64> = numbers().collect();
            sorted.sort_by(f64::total_cmp);
            let rank = range.param.unwrap_or(0.0) * (count - 1.0);
            let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            below + (above - below) * rank.fract()
        }
        RangeOp::Stddev => (numbers().map(|n| (n - sum / count).powi(2)).sum::<f64>() / count).sqrt(),
        other => panic!("{other:?} is not among random aggregations"),
    }
}
