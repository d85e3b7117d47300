//! The rules of all tenants as they are in force, which follow the files.

use crate::files::{self, FileName};
use crate::group::{Group, Key};
use model::TenantId;
use node::Stopping;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What is in force.
#[derive(Debug, Default)]
pub struct Rules {
    pub groups: BTreeMap<Key, Arc<Group>>,
    /// What is wrong with files, each by its tenant. The groups of such a file are as they were before.
    pub faults: Vec<(TenantId, String)>,
    /// What is wrong with the folder.
    pub folder_faults: Vec<String>,
}

impl Rules {
    /// A tenant's groups, by file and name.
    pub fn of<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = (&'a Key, &'a Arc<Group>)> {
        self.groups.iter().filter(move |((owner, _), _)| owner == tenant)
    }

    pub fn faults(&self) -> usize {
        self.faults.len() + self.folder_faults.len()
    }
}

/// Looks at the files again and again.
pub struct Follow {
    folder: PathBuf,
    interval: Duration,
    every: Duration,
    seen: files::Texts,
    /// By file, as last found good.
    good: BTreeMap<FileName, Vec<Arc<Group>>>,
    rules: watch::Sender<Arc<Rules>>,
}

impl Follow {
    /// Reads the files once. A file that is not good is no reason not to start: others' rules are in others.
    pub fn new(folder: PathBuf, interval: Duration, every: Duration) -> Follow {
        let rules = watch::Sender::default();
        let (seen, good) = Default::default();
        let mut follow = Follow { folder, interval, every, seen, good, rules };
        let texts = files::read(&follow.folder);
        follow.take(texts);
        follow
    }

    pub fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    pub async fn run(mut self, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(self.every) => {}
            }
            let folder = self.folder.clone();
            if let Ok(texts) = tokio::task::spawn_blocking(move || files::read(&folder)).await {
                self.take(texts);
            }
        }
    }

    /// Takes what the files have now, if it is something else than before.
    fn take(&mut self, texts: files::Texts) {
        if texts == self.seen {
            return;
        }
        // A folder that cannot be read says nothing about the files in it.
        let whole = texts.faults.is_empty();
        let mut rules = Rules { folder_faults: texts.faults.clone(), ..Rules::default() };
        self.good.retain(|name, _| texts.files.contains_key(name) || !whole);
        for (name, text) in &texts.files {
            let read = match text {
                Ok(text) => files::groups(name, text, self.interval).map_err(|e| e.to_string()),
                Err(why) => Err(format!("rule file {} of {}: {why}", name.1, name.0)),
            };
            match read {
                Ok(groups) => drop(self.good.insert(name.clone(), groups)),
                Err(why) => rules.faults.push((name.0.clone(), why)),
            }
        }
        for fault in rules.faults.iter().map(|(_, why)| why).chain(&rules.folder_faults) {
            tracing::error!(fault, "rules stay as they were: this cannot be used");
        }
        let groups = self.good.values().flatten();
        rules.groups = groups.map(|group| (group.key(), group.clone())).collect();
        tracing::info!(groups = rules.groups.len(), faults = rules.faults(), "rules were read");
        self.rules.send_replace(Arc::new(rules));
        self.seen = texts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "groups:\n- name: g\n  rules: [{record: r, expr: up}]\n";
    const OTHER: &str = "groups:\n- name: h\n  rules: [{record: r, expr: up}]\n";

    #[test]
    fn bad_files_keep_the_old_groups_and_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str| dir.path().join("a").join(name);
        std::fs::create_dir(dir.path().join("a")).expect("created");
        let mut follow = Follow::new(dir.path().into(), Duration::from_secs(60), Duration::from_secs(1));
        let mut check = |change: &dyn Fn(), groups: &[&str], fault: &str| {
            change();
            let texts = files::read(dir.path());
            follow.take(texts);
            let rules = follow.rules().borrow().clone();
            let names: Vec<&str> = rules.groups.keys().map(|(_, name)| name.as_str()).collect();
            assert_eq!(names, groups);
            let faults: String = rules.faults.iter().map(|(_, why)| why.as_str()).collect();
            assert!(faults.contains(fault) && faults.is_empty() == fault.is_empty(), "{faults}");
        };
        let write = |name: &str, text: &str| std::fs::write(file(name), text).expect("written");
        check(&|| write("x.yaml", GOOD), &["x.yaml;g"], "");
        check(&|| write("y.yaml", "groups: 7"), &["x.yaml;g"], "y.yaml");
        check(&|| write("y.yaml", OTHER), &["x.yaml;g", "y.yaml;h"], "");
        check(
            &|| write("x.yaml", "groups:\n- name: g\n  rules: [{record: r, expr: 'up('}]\n"),
            &["x.yaml;g", "y.yaml;h"],
            "x.yaml",
        );
        check(&|| write("x.yaml", OTHER), &["x.yaml;h", "y.yaml;h"], "");
        check(&|| std::fs::remove_file(file("y.yaml")).expect("removed"), &["x.yaml;h"], "");
    }
}
