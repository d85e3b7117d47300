//! The stages as far as random queries use them, straight from their definition: row by row, in maps.

use crate::quantities::{bytes, duration};
use crate::random::templates::{Scope, render};
use crate::random::{Row, STREAMS};
use model::{MatchOp, Matcher};
use ouro_logql::ast::{
    Comparison, Extraction, FormatValue, LabelFilter, LabelSelector, LineFilter, LineMatch, LineOp, LogExpr, Stage,
};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub type Map = BTreeMap<String, String>;

pub const ERROR: &str = "__error__";

/// A row on its way through the stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub time: i64,
    pub line: String,
    /// Of all kinds.
    pub labels: Map,
}

impl Seen {
    fn scope(&self) -> Scope<'_> {
        Scope { labels: &self.labels, line: &self.line, time: self.time }
    }
}

/// What the stages leave of a row.
pub fn run(row: &Row, log: &LogExpr) -> Option<Seen> {
    let stream: Map = STREAMS[row.stream].iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    if !log.matchers.iter().all(|m| meets(m, stream.get(&m.name).map_or("", String::as_str))) {
        return None;
    }
    let mut seen = Seen { time: row.time, line: row.line.clone(), labels: stream.clone() };
    seen.labels.extend(row.trace.map(|trace| ("trace".to_owned(), trace.to_owned())));
    // What a parser finds under a name that the row brings along is called otherwise.
    let brought = seen.labels.clone();
    let stays = log.stages.iter().all(|stage| pass(&mut seen, &brought, stage));
    seen.labels.retain(|_, value| !value.is_empty());
    stays.then_some(seen)
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

fn pass(seen: &mut Seen, brought: &Map, stage: &Stage) -> bool {
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
            extract(seen, brought, pairs);
        }
        Stage::Logfmt { extractions, .. } => {
            let all = logfmt(&seen.line);
            let pairs = if extractions.is_empty() { all } else { chosen(&all, extractions) };
            extract(seen, brought, pairs);
        }
        Stage::Regexp(regex) => {
            let regex = Regex::new(regex).expect("good");
            let names = || regex.capture_names().flatten();
            let found = regex.captures(&seen.line);
            let pairs = found.iter().flat_map(|found| names().map(|name| (name.to_owned(), found[name].to_owned())));
            let pairs = pairs.collect();
            extract(seen, brought, pairs);
        }
        Stage::Pattern(pattern) => {
            let pairs = captured(pattern, &seen.line);
            extract(seen, brought, pairs);
        }
        Stage::Unpack => {
            let Ok(Value::Object(fields)) = serde_json::from_str(&seen.line) else {
                seen.labels.insert(ERROR.into(), "JSONParserErr".into());
                return true;
            };
            let Some(Value::String(entry)) = fields.get("_entry") else { return true };
            let texts = fields.iter().filter(|(name, _)| *name != "_entry");
            let pairs = texts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
            extract(seen, brought, pairs);
            seen.line = entry.clone();
        }
        Stage::Decolorize => {
            // Random lines have no escapes but those of colors.
            let color = Regex::new("\u{1b}\\[[0-9;]*m").expect("good");
            seen.line = color.replace_all(&seen.line, "").into_owned();
        }
        Stage::LineFormat(template) => seen.line = render(template, &seen.scope()),
        Stage::LabelFormat(formats) => {
            // All templates see the labels as they were.
            let before = seen.clone();
            for one in formats {
                match &one.value {
                    FormatValue::Rename(from) => {
                        if let Some(value) = seen.labels.remove(from) {
                            seen.labels.insert(one.name.clone(), value);
                        }
                    }
                    FormatValue::Template(template) => {
                        let value = render(template, &before.scope());
                        seen.labels.insert(one.name.clone(), value);
                    }
                }
            }
        }
        Stage::Drop(selectors) => seen.labels.retain(|name, value| !selectors.iter().any(|s| selects(s, name, value))),
        Stage::Keep(selectors) => {
            seen.labels.retain(|name, value| name == ERROR || selectors.iter().any(|s| selects(s, name, value)));
        }
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
        (LineMatch::Text(text), LineOp::Pattern | LineOp::NotPattern) => covers(text, line),
        (LineMatch::Ip(wanted), _) => addresses(line).into_iter().any(|address| is_within(wanted, address)),
    };
    filter.alternatives.iter().any(found) != filter.op.is_negative()
}

/// What stands where a pattern has names. A line that ends early gives its rest to the name that it ended in.
fn captured(pattern: &str, line: &str) -> Map {
    let (mut rest, mut pairs) = (line, Map::new());
    for part in pattern.split('<').skip(1) {
        let (name, until) = part.split_once('>').expect("a name");
        let end = if until.is_empty() { None } else { rest.find(until) };
        let value = end.map_or(rest, |end| &rest[..end]);
        if name != "_" {
            pairs.insert(name.to_owned(), value.to_owned());
        }
        let Some(end) = end else { break };
        rest = &rest[end + until.len()..];
    }
    pairs
}

/// Whether texts with `<_>` between them make up the line: each is where it first comes up after at least one character,
/// and the line ends with the pattern. A text at the beginning may come up anywhere.
fn covers(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    for (at, text) in pattern.split("<_>").enumerate() {
        if at > 0 && text.is_empty() {
            return !rest.is_empty();
        }
        match rest.find(text) {
            Some(place) if at == 0 || place > 0 => rest = &rest[place + text.len()..],
            _ => return false,
        }
    }
    rest.is_empty()
}

/// The addresses in a text, between what cannot be in one.
fn addresses(text: &str) -> Vec<IpAddr> {
    let of = |separates: fn(char) -> bool| text.split(separates).filter_map(|part| part.parse().ok());
    let v4 = of(|c| !c.is_ascii_digit() && c != '.').filter(IpAddr::is_ipv4);
    let v6 = of(|c| !c.is_ascii_hexdigit() && c != ':').filter(IpAddr::is_ipv6);
    v4.chain(v6).collect()
}

/// An address, two with a dash between them, or a network.
fn is_within(wanted: &str, address: IpAddr) -> bool {
    let read = |text: &str| text.parse::<IpAddr>().expect("an address");
    if let Some((first, last)) = wanted.split_once('-') {
        return first.contains(':') == address.is_ipv6() && read(first) <= address && address <= read(last);
    }
    let Some((network, bits)) = wanted.split_once('/') else { return read(wanted) == address };
    let bits: usize = bits.parse().expect("a number");
    let digits = |address: IpAddr| -> String {
        match address {
            IpAddr::V4(address) => format!("4{:032b}", u32::from(address)),
            IpAddr::V6(address) => format!("6{:0128b}", u128::from(address)),
        }
    };
    digits(read(network))[..=bits] == digits(address)[..=bits]
}

pub fn label_filter(labels: &mut Map, filter: &LabelFilter) -> bool {
    match filter {
        LabelFilter::And(left, right) => label_filter(labels, left) && label_filter(labels, right),
        LabelFilter::Or(left, right) => label_filter(labels, left) || label_filter(labels, right),
        LabelFilter::Text(matcher) => meets(matcher, labels.get(&matcher.name).map_or("", String::as_str)),
        LabelFilter::Number { name, op, value } => compare(labels, name, *op, *value, |text| text.parse().ok()),
        LabelFilter::Duration { name, op, value } => compare(labels, name, *op, *value as f64 / 1e9, duration),
        LabelFilter::Bytes { name, op, value } => compare(labels, name, *op, *value as f64, bytes),
        // Unlike the others, this one keeps a row that failed also if it has no such label.
        LabelFilter::Ip { .. } if labels.contains_key(ERROR) => true,
        LabelFilter::Ip { name, equal, pattern } => labels
            .get(name)
            .is_some_and(|text| addresses(text).into_iter().any(|one| is_within(pattern, one)) == *equal),
    }
}

fn compare(labels: &mut Map, name: &str, op: Comparison, right: f64, read: impl Fn(&str) -> Option<f64>) -> bool {
    let Some(text) = labels.get(name) else { return false };
    if labels.contains_key(ERROR) {
        return true;
    }
    let Some(left) = read(text) else {
        labels.insert(ERROR.into(), "LabelFilterErr".into());
        return true;
    };
    match op {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        Comparison::Greater => left > right,
        Comparison::GreaterEqual => left >= right,
        Comparison::Less => left < right,
        Comparison::LessEqual => left <= right,
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

fn extract(seen: &mut Seen, brought: &Map, pairs: Map) {
    for (name, value) in pairs {
        let name = if brought.contains_key(&name) { format!("{name}_extracted") } else { name };
        seen.labels.insert(name, value);
    }
    seen.labels.retain(|_, value| !value.is_empty());
}
