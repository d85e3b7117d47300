//! Reads Prometheus rule files.

use crate::error::Error;
use model::TenantId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A group whose rules are evaluated one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub tenant: TenantId,
    pub name: String,
    pub interval: Duration,
    pub rules: Vec<Rule>,
}

/// A recording rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub record: String,
    pub expr: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    groups: Vec<GroupText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: String,
    interval: Option<String>,
    #[serde(default)]
    rules: Vec<RuleText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// All groups of all tenants. An empty folder name means no rules.
pub fn read(folder: &Path, interval: Duration) -> Result<Vec<Group>, Error> {
    let mut groups = Vec::new();
    if folder.as_os_str().is_empty() {
        return Ok(groups);
    }
    for tenant in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = tenant.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let id = TenantId::new(name).map_err(|e| Error::Folder { path: tenant.clone(), why: e.to_string() })?;
        for file in entries(&tenant)? {
            if file.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                groups.extend(read_file(&file, &id, interval)?);
            }
        }
    }
    Ok(groups)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |e: std::io::Error| Error::Folder { path: folder.to_owned(), why: e.to_string() };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read_file(path: &Path, tenant: &TenantId, interval: Duration) -> Result<Vec<Group>, Error> {
    let failed = |why: String| Error::File { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    let file: FileText = serde_yaml_ng::from_str(&text).map_err(|e| failed(e.to_string()))?;
    file.groups.into_iter().map(|group| group.check(path, tenant, interval)).collect()
}

impl GroupText {
    fn check(self, path: &Path, tenant: &TenantId, default: Duration) -> Result<Group, Error> {
        let bad = |rule: &str, why: String| Error::Rule {
            path: path.to_owned(),
            group: self.name.clone(),
            rule: rule.to_owned(),
            why,
        };
        let interval = match &self.interval {
            None => default,
            Some(text) => settings::duration::parse(text).map_err(|e| bad("interval", e.to_string()))?,
        };
        let mut rules = Vec::new();
        for rule in &self.rules {
            let name = rule.record.as_deref().or(rule.alert.as_deref()).unwrap_or("without a name");
            if rule.alert.is_some() {
                return Err(bad(name, "alerting rules are not supported yet".into()));
            }
            let record = rule.record.clone().ok_or_else(|| bad(name, "it has no `record`".into()))?;
            promql::parse(&rule.expr).map_err(|e| bad(name, e.to_string()))?;
            rules.push(Rule { record, expr: rule.expr.clone(), labels: rule.labels.clone() });
        }
        Ok(Group { tenant: tenant.clone(), name: self.name.clone(), interval, rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Group>, Error> {
        let dir = tempfile::tempdir().expect("a folder");
        let tenant = dir.path().join("team-a");
        std::fs::create_dir(&tenant).expect("created");
        std::fs::write(tenant.join("rules.yaml"), text).expect("written");
        read(dir.path(), Duration::from_secs(60))
    }

    #[test]
    fn rule_files_are_those_of_prometheus() {
        let groups = read_text("groups:\n- name: g\n  interval: 15s\n  rules:\n  - record: job:up:sum\n    expr: sum by (job) (up)\n    labels: {tier: a}\n").expect("reads");
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].tenant.as_str(), groups[0].interval), ("team-a", Duration::from_secs(15)));
        assert_eq!(groups[0].rules[0].record, "job:up:sum");
    }

    #[test]
    fn mistakes_name_file_group_and_rule() {
        for (text, words) in [
            ("groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n", &["Down", "not supported yet"][..]),
            ("groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(\n", &["group g", "rule r"]),
            ("groups:\n- name: g\n  rules:\n  - expr: up\n", &["record"]),
            ("groups:\n- name: g\n  interval: soon\n", &["interval", "soon"]),
            ("rules: []\n", &["rules.yaml"]),
        ] {
            let error = read_text(text).expect_err("refused").to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        }
    }
}
