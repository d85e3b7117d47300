//! Rules that change labels of samples, or leave series out: those of Prometheus's `metric_relabel_configs`.
//!
//! As Prometheus documents them: <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config>.

mod rule;

pub use rule::{RelabelAction, RelabelSettings};

use rule::Rule;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Rules that are ready to be used. Cheap to clone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<RelabelSettings>", into = "Vec<RelabelSettings>")]
pub struct Relabel(Arc<Ready>);

#[derive(Debug, Default)]
struct Ready {
    written: Vec<RelabelSettings>,
    rules: Vec<Rule>,
    fingerprint: u64,
}

/// A label as a rule finds it or makes it.
pub type LabelPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What rules make of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relabeled<'a> {
    Same,
    /// In the order of the names, none of them twice, none without a value.
    Changed(Vec<LabelPair<'a>>),
    /// It is not to be stored.
    Dropped,
}

impl Relabel {
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// Tells rules apart: what was found out under other rules does not hold.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    /// What becomes of a series. `labels` are in the order of their names, none of them twice.
    pub fn apply<'a>(&self, labels: &[(&'a str, &'a str)]) -> Relabeled<'a> {
        // A label without a value is none.
        let given = labels.iter().filter(|(_, value)| !value.is_empty());
        let mut now: Vec<LabelPair<'a>> = given.map(|(name, value)| (Cow::from(*name), Cow::from(*value))).collect();
        if !self.0.rules.iter().all(|rule| rule.apply(&mut now)) || now.is_empty() {
            return Relabeled::Dropped;
        }
        let same = |(now, given): (&LabelPair<'a>, &(&str, &str))| now.0 == given.0 && now.1 == given.1;
        match now.len() == labels.len() && now.iter().zip(labels).all(same) {
            true => Relabeled::Same,
            false => Relabeled::Changed(now),
        }
    }
}

impl PartialEq for Relabel {
    fn eq(&self, other: &Relabel) -> bool {
        self.0.written == other.0.written
    }
}

impl TryFrom<Vec<RelabelSettings>> for Relabel {
    type Error = String;
    fn try_from(written: Vec<RelabelSettings>) -> Result<Relabel, String> {
        let ready = |(at, settings): (usize, &RelabelSettings)| {
            Rule::of(settings).map_err(|why| format!("rule {at} of relabel: {why}"))
        };
        let rules = (1..).zip(&written).map(ready).collect::<Result<Vec<Rule>, String>>()?;
        let mut hasher = DefaultHasher::new();
        written.hash(&mut hasher);
        let fingerprint = if written.is_empty() { 0 } else { hasher.finish() };
        Ok(Relabel(Arc::new(Ready { written, rules, fingerprint })))
    }
}

impl From<Relabel> for Vec<RelabelSettings> {
    fn from(relabel: Relabel) -> Vec<RelabelSettings> {
        relabel.0.written.clone()
    }
}

#[cfg(test)]
mod tests;
