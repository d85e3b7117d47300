//! One rule: how it is written, whether it makes sense, and what it does.

use super::LabelPair;
use md5::{Digest, Md5};
use regex::{Captures, Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a compiled expression may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;
const ANYTHING: &str = "(.*)";
const FIRST_GROUP: &str = "$1";

/// A rule of `limits.relabel`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelSettings {
    /// `limits.relabel[].source_labels`: the labels whose values are put together, with the separator between them.
    pub source_labels: Vec<String>,
    /// `limits.relabel[].separator`: what stands between the values.
    pub separator: String,
    /// `limits.relabel[].target_label`: the label that is set; for `replace` it may name groups of the expression, as
    /// `$1`.
    pub target_label: String,
    /// `limits.relabel[].regex`: what the values put together must be as a whole, or what names must be.
    pub regex: String,
    /// `limits.relabel[].modulus`: what hashes are divided by.
    pub modulus: u64,
    /// `limits.relabel[].replacement`: the value, or name, that is set; may name groups of the expression.
    pub replacement: String,
    /// `limits.relabel[].action`: what the rule does.
    pub action: RelabelAction,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Sets the target to the replacement, where the expression matches.
    #[default]
    Replace,
    /// Leaves out series that do not match.
    Keep,
    /// Leaves out series that match.
    Drop,
    /// Leaves out series whose target is another than the values put together.
    KeepEqual,
    /// Leaves out series whose target is the values put together.
    DropEqual,
    /// Sets the target to the rest of a hash of the values, divided by the modulus.
    HashMod,
    /// Copies labels whose names match to names made by the replacement.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes all others.
    LabelKeep,
    /// Sets the target to the values in small letters.
    Lowercase,
    /// Sets the target to the values in capitals.
    Uppercase,
}

impl Default for RelabelSettings {
    fn default() -> RelabelSettings {
        RelabelSettings {
            source_labels: Vec::new(),
            separator: ";".into(),
            target_label: String::new(),
            regex: ANYTHING.into(),
            modulus: 0,
            replacement: FIRST_GROUP.into(),
            action: RelabelAction::Replace,
        }
    }
}

/// A rule with its compiled expression.
#[derive(Debug)]
pub struct Rule {
    written: RelabelSettings,
    regex: Regex,
}

impl RelabelSettings {
    /// Says what does not make sense, in Prometheus's terms.
    fn check(&self) -> Result<(), String> {
        use RelabelAction::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, Lowercase, Replace, Uppercase};
        let RelabelSettings { action, .. } = self;
        let defaults = RelabelSettings::default();
        let name = serde_json::to_value(action).ok();
        let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
        if *action == HashMod && self.modulus == 0 {
            return Err("hashmod needs a modulus that is not 0".into());
        }
        let sets = matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if sets && self.target_label.is_empty() {
            return Err(format!("{name} needs a target_label"));
        }
        if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && self.replacement != defaults.replacement {
            return Err(format!("{name} takes no replacement"));
        }
        if *action == RelabelAction::LabelMap && self.replacement.is_empty() {
            return Err("labelmap needs a replacement".into());
        }
        let plain = RelabelSettings {
            source_labels: self.source_labels.clone(),
            target_label: self.target_label.clone(),
            action: *action,
            ..defaults.clone()
        };
        if matches!(action, KeepEqual | DropEqual) && *self != plain {
            return Err(format!("{name} takes source_labels and target_label, and nothing else"));
        }
        let names = RelabelSettings { regex: self.regex.clone(), action: *action, ..defaults };
        match matches!(action, LabelDrop | LabelKeep) && *self != names {
            true => Err(format!("{name} takes a regex, and nothing else")),
            false => Ok(()),
        }
    }
}

impl Rule {
    pub fn of(written: &RelabelSettings) -> Result<Rule, String> {
        written.check()?;
        let anchored = format!("^(?s:{})$", written.regex);
        let regex = RegexBuilder::new(&anchored).size_limit(REGEX_SIZE).build();
        let regex = regex.map_err(|error| format!("the regex {:?} cannot be used: {error}", written.regex))?;
        Ok(Rule { written: written.clone(), regex })
    }

    /// Changes labels, which are in the order of their names; says whether the series is kept.
    pub fn apply(&self, labels: &mut Vec<LabelPair<'_>>) -> bool {
        let RelabelSettings { target_label: target, action, .. } = &self.written;
        match action {
            RelabelAction::Keep => return self.regex.is_match(&self.source(labels)),
            RelabelAction::Drop => return !self.regex.is_match(&self.source(labels)),
            RelabelAction::KeepEqual => return get(labels, target) == self.source(labels),
            RelabelAction::DropEqual => return get(labels, target) != self.source(labels),
            RelabelAction::Replace => self.replace(labels),
            RelabelAction::HashMod => {
                let hash = Md5::digest(self.source(labels).as_bytes());
                // Prometheus takes the last eight bytes.
                let hash = hash[8..].iter().fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
                set(labels, target, (hash % self.written.modulus.max(1)).to_string());
            }
            RelabelAction::LabelMap => {
                let map = |(name, value): &LabelPair<'_>| {
                    let groups = self.regex.captures(name)?;
                    Some((expand(&groups, &self.written.replacement), value.clone().into_owned()))
                };
                let mapped: Vec<(String, String)> = labels.iter().filter_map(map).collect();
                mapped.into_iter().for_each(|(name, value)| set(labels, &name, value));
            }
            RelabelAction::LabelDrop => labels.retain(|(name, _)| !self.regex.is_match(name)),
            RelabelAction::LabelKeep => labels.retain(|(name, _)| self.regex.is_match(name)),
            RelabelAction::Lowercase => {
                let value = cased(&self.source(labels), |c| single(c, c.to_lowercase()));
                set(labels, target, value);
            }
            RelabelAction::Uppercase => {
                let value = cased(&self.source(labels), |c| single(c, c.to_uppercase()));
                set(labels, target, value);
            }
        }
        true
    }

    fn replace(&self, labels: &mut Vec<LabelPair<'_>>) {
        let source = self.source(labels).into_owned();
        let Some(groups) = self.regex.captures(&source) else { return };
        let target = expand(&groups, &self.written.target_label);
        if !target.is_empty() {
            set(labels, &target, expand(&groups, &self.written.replacement));
        }
    }

    /// The values of the source labels, put together.
    fn source<'l>(&self, labels: &'l [LabelPair<'_>]) -> Cow<'l, str> {
        match self.written.source_labels.as_slice() {
            [one] => Cow::from(get(labels, one)),
            several => {
                let values: Vec<&str> = several.iter().map(|name| get(labels, name)).collect();
                Cow::from(values.join(&self.written.separator))
            }
        }
    }
}

fn expand(groups: &Captures<'_>, template: &str) -> String {
    let mut out = String::new();
    groups.expand(template, &mut out);
    out
}

/// The value of a label; empty when it is not there.
fn get<'l>(labels: &'l [LabelPair<'_>], name: &str) -> &'l str {
    labels.binary_search_by(|(other, _)| other.as_ref().cmp(name)).map_or("", |at| labels[at].1.as_ref())
}

/// Sets a label, or removes it when there is no value.
fn set(labels: &mut Vec<LabelPair<'_>>, name: &str, value: String) {
    match labels.binary_search_by(|(other, _)| other.as_ref().cmp(name)) {
        Ok(at) if value.is_empty() => drop(labels.remove(at)),
        Ok(at) => labels[at].1 = Cow::from(value),
        Err(_) if value.is_empty() || name.is_empty() => {}
        Err(at) => labels.insert(at, (Cow::from(name.to_owned()), Cow::from(value))),
    }
}

fn cased(text: &str, case: impl Fn(char) -> char) -> String {
    text.chars().map(case).collect()
}

/// Letter by letter, as Go does it: one that would become several stays.
fn single(letter: char, mut cased: impl ExactSizeIterator<Item = char>) -> char {
    match cased.len() {
        1 => cased.next().unwrap_or(letter),
        _ => letter,
    }
}
