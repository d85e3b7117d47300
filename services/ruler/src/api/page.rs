//! What of the rules was asked for: filters, and pages of groups.

use crate::group::{Group, Rule};
use model::Matcher;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Alerting,
    Recording,
}

#[derive(Debug, PartialEq)]
pub struct Asked {
    kind: Option<Kind>,
    rules: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    /// Conditions on the labels that rules are given, of which those of one entry must hold.
    labels: Vec<Vec<Matcher>>,
    /// Alerts are to be shown.
    pub alerts: bool,
    /// Groups of a page; zero for all.
    limit: usize,
    after: Option<String>,
}

/// Says where a page ends, and the next one begins after it.
pub fn token(group: &Group) -> String {
    format!("{:032x}", xxh3_128(group.key().1.as_bytes()))
}

impl Asked {
    /// Reads a query string, as Prometheus has its parameters.
    pub fn read(query: &str) -> Result<Asked, String> {
        let (rules, groups, files, labels) = Default::default();
        let mut asked = Asked { kind: None, rules, groups, files, labels, alerts: true, limit: 0, after: None };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "type" => {
                    asked.kind = Some(match value.as_ref() {
                        "alert" => Kind::Alerting,
                        "record" => Kind::Recording,
                        other => return Err(format!("not supported value {other:?}")),
                    });
                }
                "rule_name[]" => asked.rules.push(value.into()),
                "rule_group[]" => asked.groups.push(value.into()),
                "file[]" => asked.files.push(value.into()),
                "exclude_alerts" => {
                    asked.alerts = match value.as_ref() {
                        "true" | "1" => false,
                        "false" | "0" => true,
                        other => return Err(format!("invalid parameter \"exclude_alerts\": {other:?}")),
                    };
                }
                "group_limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    asked.limit = limit.ok_or_else(|| format!("invalid group limit value {value:?}"))?;
                }
                "group_next_token" => asked.after = Some(value.into()),
                "match[]" => {
                    let selector = promql::parse_selector(&value);
                    asked.labels.push(selector.map_err(|e| format!("invalid parameter \"match[]\": {e}"))?);
                }
                _ => {}
            }
        }
        if asked.after.is_some() && asked.limit == 0 {
            return Err("group_limit needs to be present in order to paginate over the groups".into());
        }
        Ok(asked)
    }

    pub fn filters(&self) -> bool {
        self.kind.is_some() || !self.rules.is_empty() || !self.labels.is_empty()
    }

    pub fn wants(&self, group: &Group) -> bool {
        let any = |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
        any(&self.groups, &group.name) && any(&self.files, &group.file)
    }

    pub fn wants_rule(&self, rule: &Rule) -> bool {
        let kind = if rule.alert.is_some() { Kind::Alerting } else { Kind::Recording };
        let label = |name: &str| rule.labels.get(name).map_or("", String::as_str);
        let meets = |matchers: &Vec<Matcher>| matchers.iter().all(|m| m.matches(label(&m.name)));
        self.kind.is_none_or(|wanted| wanted == kind)
            && (self.rules.is_empty() || self.rules.contains(&rule.name))
            && (self.labels.is_empty() || self.labels.iter().any(meets))
    }

    /// The page, and the token of the next one. The groups are in the order of their files and names.
    pub fn page(&self, groups: Vec<(String, Value)>) -> Result<(Vec<Value>, Option<String>), String> {
        let first = match &self.after {
            None => 0,
            Some(after) => {
                let at = groups.iter().position(|(token, _)| token == after);
                1 + at.ok_or_else(|| format!("invalid group_next_token '{after}': were rule groups changed?"))?
            }
        };
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let more = groups.len() - first > limit;
        let page: Vec<(String, Value)> = groups.into_iter().skip(first).take(limit).collect();
        let next = page.last().filter(|_| more).map(|(token, _)| token.clone());
        Ok((page.into_iter().map(|(_, group)| group).collect(), next))
    }
}
