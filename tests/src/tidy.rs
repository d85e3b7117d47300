//! The rules of the house, as functions from text to complaints.
//!
//! Each rule says file, line and rule. Rules read text line by line and not syntax: what they hold is written plainly
//! in this tree, and a rule that can be read is a rule that is kept.

use std::collections::BTreeMap;
use std::fmt;

/// A file by its path from the workspace's root, with `/` between the parts.
pub struct File {
    pub path: String,
    pub text: String,
}

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub path: String,
    /// From 1.
    pub line: usize,
    pub rule: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

const MOST_LINES: usize = 800;
const VAGUE: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers"];
/// Crates that compute and nothing else.
pub const PURE: [&str; 9] = ["model", "block", "logs", "metrics", "catalog", "leases", "eval", "promql", "logql"];
// In two parts, so that this file does not break its own rule.
const UNFINISHED: [&str; 3] = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];

impl File {
    fn complain(&self, line: usize, rule: impl Into<String>) -> Complaint {
        Complaint { path: self.path.clone(), line, rule: rule.into() }
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

/// What holds for every Rust file.
pub fn source(file: &File) -> Vec<Complaint> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        found.push(
            file.complain(lines, format!("a file has at most {MOST_LINES} lines: split it as foo.rs and foo/bar.rs")),
        );
    }
    if !file.text.starts_with("//! ") {
        found.push(file.complain(1, "a file opens with a `//!` sentence that says what it is for"));
    }
    if file.name() == "mod.rs" {
        found.push(file.complain(1, "write foo.rs beside foo/, not mod.rs"));
    }
    for part in file.path.trim_end_matches(".rs").split('/') {
        if VAGUE.iter().any(|vague| part.split(['_', '-']).any(|word| word == *vague)) {
            found.push(file.complain(1, format!("{part:?} says nothing: name what is inside")));
        }
    }
    for (number, line) in file.lines() {
        let code = line.split("//").next().unwrap_or_default();
        for word in UNFINISHED {
            if code.contains(word) {
                found.push(file.complain(number, format!("`{word}…)` stays out of the tree")));
            }
        }
    }
    found
}

/// Every field of a settings struct has a doc line, since the settings page is made of them.
pub fn documented_settings(file: &File) -> Vec<Complaint> {
    let mut found = Vec::new();
    let (mut inside, mut documented, mut depth): (Option<&str>, bool, usize) = (None, false, 0);
    for (number, line) in file.lines() {
        let text = line.trim();
        let Some(name) = inside else {
            let name = text
                .strip_prefix("pub struct ")
                .map(|rest| rest.split(['<', ' ', '{', '(', ';']).next().unwrap_or(rest));
            let settings = name.filter(|name| name.ends_with("Settings") || name.ends_with("Limits"));
            inside = settings.filter(|_| text.ends_with('{'));
            (documented, depth) = (false, 0);
            continue;
        };
        if text == "}" && depth == 0 {
            inside = None;
            continue;
        }
        // Attributes may go over several lines.
        if depth > 0 || text.starts_with("#[") {
            depth += text.matches(['[', '(']).count();
            depth = depth.saturating_sub(text.matches([']', ')']).count());
            continue;
        }
        if text.starts_with("///") {
            documented = true;
        } else if let Some(field) = text.strip_suffix(',').and_then(|text| text.split_once(':')) {
            if !documented {
                let field = field.0.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                found.push(file.complain(number, format!("{name}.{field} has no doc line")));
            }
            documented = false;
        }
    }
    found
}

/// A member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its folder.
    pub path: String,
    /// The package's name.
    pub package: String,
    /// Workspace names of what it depends on, not for tests or builds only, each with its line.
    pub uses: Vec<(String, usize)>,
}

/// The members' folders, in the order of the manifest, each with its line.
pub fn members(manifest: &File) -> Vec<(String, usize)> {
    let inside = manifest.lines().skip_while(|(_, line)| !line.starts_with("members")).skip(1);
    let entries = inside.take_while(|(_, line)| !line.starts_with(']'));
    entries
        .filter_map(|(number, line)| Some((line.trim().strip_prefix('"')?.split('"').next()?.to_owned(), number)))
        .collect()
}

/// Reads a member's manifest.
pub fn member(manifest: &File) -> Result<Member, Complaint> {
    let table: toml::Table =
        manifest.text.parse().map_err(|error| manifest.complain(1, format!("is not TOML: {error}")))?;
    let package = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    let package = package.ok_or_else(|| manifest.complain(1, "has no package name"))?.to_owned();
    let normal = table.get("dependencies").and_then(toml::Value::as_table).into_iter().flatten();
    let targets = table.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, target)| target.get("dependencies")?.as_table()).flatten();
    let line = |name: &str| {
        let found = manifest.lines().find(|(_, line)| line.trim_start().starts_with(name));
        found.map_or(1, |(number, _)| number)
    };
    let uses = normal.chain(of_targets).map(|(name, value)| {
        let renamed = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
        (renamed.trim_start_matches("ouro-").to_owned(), line(name))
    });
    let path = manifest.path.trim_end_matches("/Cargo.toml").to_owned();
    Ok(Member { path, package, uses: uses.collect() })
}

/// The word by which a package is known in the workspace.
fn short(package: &str) -> &str {
    package.strip_prefix("ouro-").unwrap_or(package)
}

/// The manifest is the map: a crate uses only crates listed above it.
pub fn bottom_up(members: &[Member]) -> Vec<Complaint> {
    let order: BTreeMap<&str, usize> =
        members.iter().enumerate().map(|(at, member)| (short(&member.package), at)).collect();
    let mut found = Vec::new();
    for (at, member) in members.iter().enumerate() {
        for (name, line) in &member.uses {
            if order.get(name.as_str()).is_some_and(|other| *other >= at) {
                let rule = format!(
                    "{} uses {name}, which is listed after it: a crate uses only crates listed above it",
                    member.package
                );
                found.push(Complaint { path: format!("{}/Cargo.toml", member.path), line: *line, rule });
            }
        }
    }
    found
}

/// Crates that compute stay without a runtime, so that each of their tests is a pure function.
pub fn pure(members: &[Member]) -> Vec<Complaint> {
    let mut found = Vec::new();
    for member in members.iter().filter(|member| PURE.contains(&short(&member.package))) {
        for (name, line) in member.uses.iter().filter(|(name, _)| name.split('-').next() == Some("tokio")) {
            let rule = format!("{} computes and nothing else: no {name} in it", member.package);
            found.push(Complaint { path: format!("{}/Cargo.toml", member.path), line: *line, rule });
        }
    }
    found
}

/// A page that describes the tree names every crate, in backquotes or as part of a path or a drawing.
pub fn mentions(page: &File, members: &[Member]) -> Vec<Complaint> {
    let words: Vec<&str> = page.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').collect();
    let missing = members.iter().filter(|member| {
        let folder = member.path.rsplit('/').next().unwrap_or(&member.path);
        !words.contains(&folder) && !words.contains(&member.package.as_str())
    });
    let last = page.text.lines().count().max(1);
    missing
        .map(|member| page.complain(last, format!("does not mention the crate {} ({})", member.package, member.path)))
        .collect()
}

#[cfg(test)]
mod tests;
