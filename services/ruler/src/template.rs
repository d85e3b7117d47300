//! Alerts' templates: Go's text templates with Prometheus's functions, on annotations and labels.
//!
//! A run is pure. `{{ query "…" }}` is answered by what was asked before: a run that lacks an answer says which, and is
//! repeated with it.

mod functions;
mod humanize;

use crate::record::Sample;
use logql::template::{Scope, Template, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// The most queries that one text may ask.
const MAX_QUERIES: usize = 10;

/// What an alert's texts can name.
pub struct Facts<'a> {
    pub labels: &'a model::Labels,
    pub external_labels: &'a BTreeMap<String, String>,
    /// Where people find this ruler's expressions.
    pub external_url: &'a str,
    pub value: f64,
}

/// Answers by query.
pub type Answers = HashMap<String, Vec<Sample>>;

/// Why a text cannot be made.
#[derive(Debug, PartialEq)]
pub enum Lack {
    /// This query has to be answered first.
    Query(String),
    /// As Go says it.
    Fault(String),
}

/// Whether a text is a template at all.
pub fn is_plain(text: &str) -> bool {
    !text.contains("{{")
}

/// Makes the text.
pub fn expand(name: &str, text: &str, facts: &Facts<'_>, answers: &Answers) -> Result<String, Lack> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let template = Template::parse_with(name, text, functions::known).map_err(Lack::Fault)?;
    let map = |pairs: &mut dyn Iterator<Item = (String, String)>| {
        Value::Map(pairs.map(|(name, value)| (name, Value::Text(value))).collect())
    };
    let labels = map(&mut facts.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let external = map(&mut facts.external_labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    let url = Value::Text(facts.external_url.to_owned());
    let lacking = RefCell::new(None);
    let call = |name: &str, args: &[Value]| functions::call(name, args, facts.external_url, answers, &lacking);
    let dot = [
        ("ExternalLabels", external.clone()),
        ("ExternalURL", url.clone()),
        ("Labels", labels.clone()),
        ("Value", Value::Float(facts.value)),
    ];
    let scope = Scope {
        line: "",
        time: 0,
        now: 0,
        label: &|_| None,
        labels: &Vec::new,
        functions: Some(&call),
        dot: Some(Value::Map(dot.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        variables: vec![
            ("labels", labels),
            ("externalLabels", external),
            ("externalURL", url),
            ("value", Value::Float(facts.value)),
        ],
    };
    let made = template.run(&scope);
    match lacking.into_inner() {
        Some(_) if answers.len() >= MAX_QUERIES => {
            Err(Lack::Fault(format!("template: {name}: it asks more than {MAX_QUERIES} queries")))
        }
        Some(query) => Err(Lack::Query(query)),
        None => made.map_err(Lack::Fault),
    }
}

/// What is wrong with a text whatever its alert: run with nothing in it, and queries that find nothing.
pub fn check(name: &str, text: &str) -> Result<(), String> {
    let mut answers = Answers::default();
    let (labels, none) = (model::Labels::empty(), BTreeMap::new());
    loop {
        let facts = Facts { labels: &labels, external_labels: &none, external_url: "", value: 0.0 };
        match expand(name, text, &facts, &answers) {
            Err(Lack::Query(query)) => {
                promql::parse(&query).map_err(|e| format!("template: {name}: the query {query:?}: {e}"))?;
                answers.insert(query, Vec::new());
            }
            // Of an empty list there is no first one, which says nothing about the template.
            Err(Lack::Fault(why)) if why.contains(functions::EMPTY) => return Ok(()),
            Err(Lack::Fault(why)) => return Err(why),
            Ok(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
