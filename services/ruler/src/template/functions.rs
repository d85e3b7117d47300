//! Prometheus's template functions (`template/template.go`), beside those that Go has.

use super::{Answers, humanize};
use crate::record::Sample;
use logql::template::Value;
use regex::Regex;
use std::cell::RefCell;

/// What `first` says of an empty list.
pub(super) const EMPTY: &str = "first() called on vector with no elements";

const OWN: [&str; 27] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "tmpl",
    "toLower",
    "toTime",
    "toUpper",
    "value",
];
/// Those of Go, which the templates of LogQL have, too.
const GO: [&str; 18] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "urlquery",
];

pub(super) fn known(name: &str) -> Option<&'static str> {
    OWN.iter().chain(&GO).find(|known| **known == name).copied()
}

/// Calls a function, unless it is one of Go's. A query without an answer is left in `lacking`.
pub(super) fn call(
    name: &str,
    args: &[Value],
    url: &str,
    answers: &Answers,
    lacking: &RefCell<Option<String>>,
) -> Option<Result<Value, String>> {
    if !OWN.contains(&name) {
        return None;
    }
    let want = match name {
        "externalURL" | "pathPrefix" | "args" => 0,
        "label" | "match" | "sortByLabel" => 2,
        "reReplaceAll" => 3,
        "tmpl" => args.len(),
        _ => 1,
    };
    if args.len() != want && name != "args" {
        return Some(Err(format!("wrong number of args for {name}: want {want} got {}", args.len())));
    }
    let text = |at: usize| args[at].show();
    let failed = |why: String| Err(format!("error calling {name}: {why}"));
    Some(match name {
        "query" => match answers.get(&text(0)) {
            Some(found) => Ok(Value::List(found.iter().map(sample).collect())),
            None => {
                *lacking.borrow_mut() = Some(text(0));
                failed("it was not asked yet".into())
            }
        },
        "first" => match &args[0] {
            Value::List(list) if !list.is_empty() => Ok(list[0].clone()),
            _ => failed(EMPTY.into()),
        },
        "label" => Ok(args[1].field("Labels").field(&text(0))),
        "value" => Ok(args[0].field("Value")),
        "strvalue" => Ok(args[0].field("Labels").field("__value__")),
        "sortByLabel" => match args[1].clone() {
            Value::List(mut list) => {
                list.sort_by_key(|one| one.field("Labels").field(&text(0)).show());
                Ok(Value::List(list))
            }
            _ => failed("it sorts what a query found".into()),
        },
        "args" => Ok(Value::Map(args.iter().enumerate().map(|(at, arg)| (format!("arg{at}"), arg.clone())).collect())),
        "tmpl" => failed("named templates are not supported".into()),
        "safeHtml" => Ok(args[0].clone()),
        "title" => Ok(Value::Text(title(&text(0)))),
        "toUpper" => Ok(Value::Text(text(0).to_uppercase())),
        "toLower" => Ok(Value::Text(text(0).to_lowercase())),
        "match" => match Regex::new(&text(0)) {
            Ok(regex) => Ok(Value::Bool(regex.is_match(&text(1)))),
            Err(error) => failed(error.to_string()),
        },
        "reReplaceAll" => match Regex::new(&text(0)) {
            Ok(regex) => Ok(Value::Text(regex.replace_all(&text(2), text(1).as_str()).into_owned())),
            Err(error) => failed(error.to_string()),
        },
        "graphLink" => Ok(Value::Text(link(&text(0), 0))),
        "tableLink" => Ok(Value::Text(link(&text(0), 1))),
        "externalURL" => Ok(Value::text(url)),
        "pathPrefix" => Ok(Value::text(path_of(url))),
        "stripPort" => Ok(Value::Text(split_port(&text(0)).map_or_else(|| text(0), |(host, _)| host.to_owned()))),
        "stripDomain" => Ok(Value::Text(strip_domain(&text(0)))),
        "parseDuration" => match settings::duration::parse(&text(0)) {
            Ok(duration) => Ok(Value::Float(duration.as_secs_f64())),
            Err(error) => failed(error.to_string()),
        },
        _ => match humanize::call(name, &args[0]) {
            Ok(value) => Ok(value),
            Err(why) => failed(why),
        },
    })
}

fn sample((labels, value): &Sample) -> Value {
    let labels = labels.iter().map(|(name, value)| (name.clone(), Value::text(value.as_str()))).collect();
    Value::Map(vec![("Labels".into(), Value::Map(labels)), ("Value".into(), Value::Float(*value))])
}

/// Each word with a capital, as Go's `strings.Title`.
fn title(text: &str) -> String {
    let mut after = false;
    let upper = |c: char| {
        let begins = !std::mem::replace(&mut after, c.is_alphanumeric() || c == '_' || c == '\'');
        if begins { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(upper).collect()
}

fn link(expr: &str, tab: u32) -> String {
    let expr: String = url::form_urlencoded::byte_serialize(expr.as_bytes()).collect();
    format!("/graph?g0.expr={expr}&g0.tab={tab}")
}

fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest[at..].trim_end_matches('/'))
}

fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => Some((host, port)),
        None => (!host.contains(':')).then_some((host, port)),
    }
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or(host);
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}
