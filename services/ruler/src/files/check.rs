//! What a rule file may say: the format of Prometheus, held as `promtool check rules` holds it.

use super::FileName;
use crate::error::Error;
use crate::group::{Alerting, Group, Rule};
use crate::template;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    groups: Vec<GroupText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: String,
    interval: Option<String>,
    query_offset: Option<String>,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    labels: Texts,
    #[serde(default)]
    rules: Vec<RuleText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: Texts,
    #[serde(default)]
    annotations: Texts,
}

pub(super) fn groups(name: &FileName, text: &str, interval: Duration) -> Result<Vec<Arc<Group>>, Error> {
    let (tenant, file) = name;
    let failed = |why: String| Error::File { tenant: tenant.clone(), file: file.clone(), why };
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let read: FileText = serde_yaml_ng::from_str(text).map_err(|e| failed(e.to_string()))?;
    let (mut groups, mut names) = (Vec::new(), BTreeSet::new());
    for group in read.groups {
        if group.name.is_empty() {
            return Err(failed("a group has no name".into()));
        }
        if !names.insert(group.name.clone()) {
            return Err(failed(format!("the group {} is there twice", group.name)));
        }
        let bad = |rule: &str, why: String| Error::Rule {
            tenant: tenant.clone(),
            file: file.clone(),
            group: group.name.clone(),
            rule: rule.to_owned(),
            why,
        };
        let interval = duration(&group.interval, interval).map_err(|why| bad("interval", why))?;
        if interval < Duration::from_millis(1) {
            return Err(bad("interval", "it must be at least 1ms".into()));
        }
        let offset = duration(&group.query_offset, Duration::ZERO).map_err(|why| bad("query_offset", why))?;
        label_names(&group.labels).map_err(|why| bad("labels", why))?;
        let mut rules = Vec::new();
        for rule in &group.rules {
            let name = rule.record.as_deref().or(rule.alert.as_deref()).unwrap_or("without a name");
            rules.push(rule.check(&group.labels).map_err(|why| bad(name, why))?);
        }
        let (tenant, file, name, limit) = (tenant.clone(), file.clone(), group.name, group.limit);
        groups.push(Arc::new(Group { tenant, file, name, interval, limit, offset, rules }));
    }
    Ok(groups)
}

fn duration(text: &Option<String>, default: Duration) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    let duration = settings::duration::parse(text).map_err(|e| e.to_string())?;
    // Beyond a thousand years no time can be reckoned with.
    match duration < Duration::from_secs(1000 * 366 * 86_400) {
        true => Ok(duration),
        false => Err(format!("{text:?} is too long")),
    }
}

fn label_names(labels: &Texts) -> Result<(), String> {
    let good = |name: &str| {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic());
        first && name != model::labels::METRIC_NAME && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
    };
    match labels.keys().find(|name| !good(name)) {
        Some(name) => Err(format!("invalid label name: {name}")),
        None => Ok(()),
    }
}

fn metric_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b == b'_' || b == b':' || b.is_ascii_alphabetic());
    match first && bytes.all(|b| b == b'_' || b == b':' || b.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(format!("invalid recording rule name: {name}")),
    }
}

impl RuleText {
    fn check(&self, shared: &Texts) -> Result<Rule, String> {
        let expr = promql::parse(&self.expr).map_err(|e| format!("could not parse expression: {e}"))?;
        label_names(&self.labels)?;
        label_names(&self.annotations).map_err(|why| why.replace("label", "annotation"))?;
        let mut labels = shared.clone();
        labels.extend(self.labels.clone());
        let filled = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let (name, alert) = match (filled(&self.record), filled(&self.alert)) {
            (Some(_), Some(_)) => return Err("only one of 'record' and 'alert' must be set".into()),
            (None, None) => return Err("one of 'record' or 'alert' must be set".into()),
            (Some(name), None) => {
                metric_name(&name)?;
                for (field, set) in [
                    ("for", self.hold.is_some()),
                    ("keep_firing_for", self.keep_firing_for.is_some()),
                    ("annotations", !self.annotations.is_empty()),
                ] {
                    if set {
                        return Err(format!("invalid field '{field}' in recording rule"));
                    }
                }
                (name, None)
            }
            (None, Some(name)) => {
                for (field, text) in labels.iter().chain(&self.annotations) {
                    template::check(field, text)?;
                }
                let hold = duration(&self.hold, Duration::ZERO)?;
                let keep = duration(&self.keep_firing_for, Duration::ZERO)?;
                (name, Some(Alerting { hold, keep, annotations: self.annotations.clone() }))
            }
        };
        Ok(Rule { name, expr: self.expr.trim().to_owned(), query: expr.to_string(), labels, alert })
    }
}
