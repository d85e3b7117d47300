//! Finds the fields that lines have: structured metadata, what a query parsed, and what `json` or `logfmt` would parse.

use crate::ast::Expr;
use crate::entries::{StreamEntries, entries};
use crate::error::Error;
use crate::options::Options;
use crate::parse::parse;
use crate::row::label_name;
use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError};
use model::{Labels, LogPage};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A field that some lines have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub kind: Kind,
    pub values: BTreeSet<String>,
    /// The stages that find it in a line: `json`, `logfmt`, or none.
    pub parsers: BTreeSet<&'static str>,
    /// The names by which `json` comes to it, from the outermost object; empty if it does not.
    pub path: Vec<String>,
}

/// What all values of a field can be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Int,
    Float,
    Duration,
    Bytes,
    String,
}

impl Kind {
    /// As Loki's API names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Duration => "duration",
            Kind::Bytes => "bytes",
            Kind::String => "string",
        }
    }

    fn of(value: &str) -> Kind {
        if value == "true" || value == "false" {
            return Kind::Boolean;
        }
        if value.parse::<i64>().is_ok() {
            return Kind::Int;
        }
        let is_number = value.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        if !is_number {
            return Kind::String;
        }
        if value.parse::<f64>().is_ok() {
            return Kind::Float;
        }
        let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || "+-.".contains(c)).trim_start();
        match unit.to_ascii_lowercase().as_str() {
            "b" | "kb" | "mb" | "gb" | "tb" | "pb" | "kib" | "mib" | "gib" | "tib" | "pib" => Kind::Bytes,
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" => Kind::Duration,
            _ => Kind::String,
        }
    }

    fn with(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Int | Kind::Float, Kind::Int | Kind::Float) => Kind::Float,
            _ => Kind::String,
        }
    }
}

/// The fields of lines that a log query found, by name. Labels of the streams are none.
///
/// # Errors
/// As [`entries`]: the query is over its budget, or nobody waits for it.
pub fn fields(found: &[StreamEntries], options: &Options) -> Result<BTreeMap<String, Field>, Error> {
    let mut all = BTreeMap::new();
    let (mut json, mut logfmt) = (LogPage::new(Labels::empty()), LogPage::new(Labels::empty()));
    for stream in found {
        for entry in &stream.entries {
            let own = entry.structured_metadata.iter().chain(&entry.parsed);
            own.for_each(|(name, value)| add(&mut all, name, value, None));
            let page = if entry.line.trim_start().starts_with('{') { &mut json } else { &mut logfmt };
            page.push(entry.time_ns, &entry.line, Labels::empty());
        }
    }
    let paths = paths(&json);
    for (parser, page) in [("json", json), ("logfmt", logfmt)] {
        for entry in parsed(parser, page, options)?.iter().flat_map(|stream| &stream.entries) {
            if entry.parsed.get("__error__").is_none() {
                entry.parsed.iter().for_each(|(name, value)| add(&mut all, name, value, Some(parser)));
            }
        }
    }
    for (name, path) in paths {
        if let Some(field) = all.get_mut(&name).filter(|field| field.parsers.contains("json")) {
            field.path = path;
        }
    }
    Ok(all)
}

/// Where fields of JSON lines are, by the names that `json` gives them.
fn paths(lines: &LogPage) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for row in 0..lines.len() {
        if let Ok(Value::Object(fields)) = serde_json::from_str(lines.line(row)) {
            walk(&fields, &mut Vec::new(), &mut found);
        }
    }
    found
}

/// `serde_json` goes no deeper than 128 objects.
fn walk(fields: &Map<String, Value>, path: &mut Vec<String>, found: &mut BTreeMap<String, Vec<String>>) {
    for (name, value) in fields {
        path.push(name.clone());
        match value {
            Value::Object(inner) => walk(inner, path, found),
            _ => {
                let label = label_name(&path.join("_")).into_owned();
                found.entry(label).or_insert_with(|| path.clone());
            }
        }
        path.pop();
    }
}

fn add(all: &mut BTreeMap<String, Field>, name: &str, value: &str, parser: Option<&'static str>) {
    if name.starts_with("__") {
        return;
    }
    let kind = Kind::of(value);
    let field = all.entry(name.to_owned()).or_insert_with(|| Field {
        kind,
        values: BTreeSet::new(),
        parsers: BTreeSet::new(),
        path: Vec::new(),
    });
    field.kind = field.kind.with(kind);
    field.values.insert(value.to_owned());
    field.parsers.extend(parser);
}

/// One page, whatever is asked for.
struct OnePage(LogPage);

impl PageSource for OnePage {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(std::iter::once(Ok(self.0.clone()))))
    }
}

fn parsed(parser: &str, page: LogPage, options: &Options) -> Result<Vec<StreamEntries>, Error> {
    let limit = page.len();
    if limit == 0 {
        return Ok(Vec::new());
    }
    // The selector is never looked at.
    let expr: Expr = parse(&format!("{{of=\"lines\"}} | {parser}"))?;
    entries(&OnePage(page), &expr, i64::MIN, i64::MAX, limit, Order::Forward, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::Entry;

    fn check(lines: &[&str], want: &[(&str, Kind, usize, &[&str])]) {
        let entry = |line: &&str| Entry {
            time_ns: 1,
            line: (*line).to_owned(),
            structured_metadata: Labels::from_pairs([("trace_id", "x")]),
            parsed: Labels::empty(),
        };
        let stream = StreamEntries { labels: Labels::empty(), entries: lines.iter().map(entry).collect() };
        let mut found = fields(&[stream], &Options::default()).expect("fields");
        let metadata = found.remove("trace_id").expect("structured metadata");
        assert!(metadata.parsers.is_empty() && metadata.kind == Kind::String);
        let found: Vec<_> = found.iter().map(|(n, f)| (&**n, f.kind, f.values.len(), f.parsers.clone())).collect();
        let want: Vec<_> = want.iter().map(|(n, k, c, p)| (*n, *k, *c, p.iter().copied().collect())).collect();
        assert_eq!(found, want, "{lines:?}");
    }

    #[test]
    fn fields_of_json_say_where_they_are() {
        let line = r#"{"a": {"b-c": {"d": 1}}, "e": 2, "f": [3]}"#.to_owned();
        let (structured_metadata, parsed) = (Labels::empty(), Labels::empty());
        let entry = Entry { time_ns: 1, line, structured_metadata, parsed };
        let stream = StreamEntries { labels: Labels::empty(), entries: vec![entry] };
        let found = fields(&[stream], &Options::default()).expect("fields");
        assert_eq!(
            (&found["a_b_c_d"].path[..], &found["e"].path[..]),
            (&["a", "b-c", "d"].map(String::from)[..], &["e".to_owned()][..])
        );
    }

    #[test]
    fn fields_are_those_that_parsers_find() {
        check(
            &[r#"{"status": 200, "took": "12ms", "ok": true}"#, r#"{"status": 404, "took": "1s", "ok": false}"#],
            &[
                ("ok", Kind::Boolean, 2, &["json"]),
                ("status", Kind::Int, 2, &["json"]),
                ("took", Kind::Duration, 2, &["json"]),
            ],
        );
        check(
            &["size=10KB ratio=1 user=ann", "size=1MB ratio=0.5 user=7"],
            &[
                ("ratio", Kind::Float, 2, &["logfmt"]),
                ("size", Kind::Bytes, 2, &["logfmt"]),
                ("user", Kind::String, 2, &["logfmt"]),
            ],
        );
        check(&["a=1", r#"{"a": 2}"#], &[("a", Kind::Int, 2, &["json", "logfmt"])]);
        check(&["{broken", ""], &[]);
    }
}
