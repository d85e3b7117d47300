//! What a group's evaluations leave for the next one: alerts, and the series that were given.

use crate::alert::{Alert, Alerts, Course};
use crate::group::Group;
use crate::view::RuleView;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

pub const ALERTS: &str = "ALERTS";
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// Of a group.
#[derive(Debug, Default)]
pub struct Memory {
    /// In the order of the group's rules.
    pub rules: Vec<RuleMemory>,
    /// Series that have ended and were not marked yet.
    pub ended: HashSet<Labels>,
}

#[derive(Debug, Default)]
pub struct RuleMemory {
    identity: String,
    pub alerts: Alerts,
    /// The series of the last evaluation; nothing if that was somewhere else.
    pub given: Option<HashSet<Labels>>,
    pub view: RuleView,
}

/// What is kept in the control group: alerts alone. Which series a recording rule gave last is found by asking (see
/// `evaluate`), and values and annotations come with the next evaluation.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    rules: Vec<NotedRule>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedRule {
    identity: String,
    alerts: Vec<(BTreeMap<String, String>, Course)>,
}

impl Memory {
    /// Of a group that another ruler, or another run of this one, evaluated before.
    pub fn restore(group: &Group, note: Option<&str>) -> Memory {
        let noted: Noted = note.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut noted: VecDeque<NotedRule> = noted.rules.into();
        let restore = |rule: &crate::group::Rule| {
            let identity = rule.identity();
            let found = noted.iter().position(|noted| noted.identity == identity).and_then(|at| noted.remove(at));
            let alerts = found.into_iter().flat_map(|noted| noted.alerts);
            let alerts: Alerts =
                alerts.map(|(labels, course)| (Labels::from_pairs(labels), Alert::remembered(course))).collect();
            // Both states of each: which one was written last is not known, and another marker harms nobody.
            let given = rule.alert.as_ref().map(|_| alerts.keys().flat_map(all_series).collect());
            RuleMemory { identity, alerts, given, view: RuleView::default() }
        };
        Memory { rules: group.rules.iter().map(restore).collect(), ended: HashSet::new() }
    }

    /// Goes on with other rules: what is the same rule keeps its memory, the series of others end.
    pub fn adopt(&mut self, group: &Group) {
        let mut before: VecDeque<RuleMemory> = std::mem::take(&mut self.rules).into();
        let adopt = |rule: &crate::group::Rule| {
            let identity = rule.identity();
            let found = before.iter().position(|before| before.identity == identity).and_then(|at| before.remove(at));
            found.unwrap_or_else(|| RuleMemory { identity, given: Some(HashSet::new()), ..RuleMemory::default() })
        };
        self.rules = group.rules.iter().map(adopt).collect();
        self.ended.extend(before.into_iter().filter_map(|rule| rule.given).flatten());
    }

    /// Whether the last evaluation gave this series.
    pub fn gives(&self, labels: &Labels) -> bool {
        self.rules.iter().any(|rule| rule.given.as_ref().is_some_and(|given| given.contains(labels)))
    }

    /// What is to be noted; nothing if there are no alerts.
    pub fn note(&self) -> Option<Arc<str>> {
        let rules = self.rules.iter().filter(|rule| !rule.alerts.is_empty());
        let noted = |rule: &RuleMemory| {
            let pairs = |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let mut alerts: Vec<(BTreeMap<_, _>, _)> =
                rule.alerts.iter().map(|(labels, alert)| (pairs(labels), alert.course.clone())).collect();
            alerts.sort_by(|a, b| a.0.cmp(&b.0));
            NotedRule { identity: rule.identity.clone(), alerts }
        };
        let rules: Vec<NotedRule> = rules.map(noted).collect();
        if rules.is_empty() {
            return None;
        }
        serde_json::to_string(&Noted { rules }).ok().map(Arc::from)
    }
}

/// The series that tell of an alert: `ALERTS` as pending and as firing, and `ALERTS_FOR_STATE`.
fn all_series(labels: &Labels) -> [Labels; 3] {
    [alerts_series(labels, "pending"), alerts_series(labels, "firing"), for_state_series(labels)]
}

pub fn alerts_series(labels: &Labels, state: &str) -> Labels {
    LabelsBuilder::from(labels).set(METRIC_NAME, ALERTS).set("alertstate", state).build()
}

pub fn for_state_series(labels: &Labels) -> Labels {
    labels.with(METRIC_NAME, ALERTS_FOR_STATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::State;
    use crate::group::{Alerting, Rule};
    use model::TenantId;
    use std::time::Duration;

    fn rule(name: &str, alert: bool, expr: &str) -> Rule {
        let alerting = Alerting { hold: Duration::ZERO, keep: Duration::ZERO, annotations: BTreeMap::new() };
        Rule {
            name: name.into(),
            expr: expr.into(),
            query: expr.into(),
            labels: BTreeMap::new(),
            alert: alert.then_some(alerting),
        }
    }

    fn group(rules: Vec<Rule>) -> Group {
        let (interval, offset) = (Duration::from_secs(15), Duration::ZERO);
        Group { tenant: TenantId::anonymous(), file: "f".into(), name: "g".into(), interval, limit: 0, offset, rules }
    }

    fn firing() -> Alert {
        let course =
            Course { state: State::Firing, active_at: 5, fired_at: Some(7), resolved_at: None, keep_since: Some(9) };
        Alert { value: 3.0, sent_at: Some(8), ..Alert::remembered(course) }
    }

    #[test]
    fn alerts_are_restored_by_whichever_ruler_is_next() {
        let group = group(vec![rule("r", false, "up"), rule("A", true, "up == 0"), rule("A", true, "up == 1")]);
        let mut memory = Memory::restore(&group, None);
        assert_eq!(memory.note(), None);
        let labels = Labels::from_pairs([("alertname", "A"), ("x", "y")]);
        memory.rules[2].alerts.insert(labels.clone(), firing());
        let note = memory.note().expect("a note");
        let back = Memory::restore(&group, Some(&note));
        assert_eq!(back.note(), Some(note.clone()));
        // Two rules of one name and labels are told apart by their order, of those that have alerts.
        assert_eq!(back.rules[1].alerts[&labels].course, firing().course);
        let given = back.rules[1].given.as_ref().expect("known");
        let texts: HashSet<String> = given.iter().map(|labels| labels.to_string()).collect();
        let want = [
            r#"{__name__="ALERTS", alertname="A", alertstate="firing", x="y"}"#,
            r#"{__name__="ALERTS", alertname="A", alertstate="pending", x="y"}"#,
            r#"{__name__="ALERTS_FOR_STATE", alertname="A", x="y"}"#,
        ];
        assert_eq!(texts, want.map(str::to_owned).into());
        assert_eq!(back.rules[0].given, None, "a recording rule's series have to be asked for");
        for nonsense in ["", "{}", "7", r#"{"rules":[{"identity":"alert A {}","alerts":[[{},{"state":"odd"}]]}]}"#] {
            assert_eq!(Memory::restore(&group, Some(nonsense)).note(), None, "{nonsense}");
        }
    }

    #[test]
    fn a_changed_file_ends_the_series_of_rules_that_went() {
        let before = group(vec![rule("r", false, "up"), rule("s", false, "up"), rule("A", true, "up == 0")]);
        let mut memory = Memory::restore(&before, None);
        let series = |name: &str| Labels::from_pairs([("__name__", name)]);
        memory.rules[0].given = Some(HashSet::from([series("r")]));
        memory.rules[1].given = Some(HashSet::from([series("s")]));
        memory.rules[2].alerts.insert(series("a"), firing());
        memory.adopt(&group(vec![rule("A", true, "up < 1"), rule("s", false, "down"), rule("t", false, "up")]));
        assert_eq!(memory.ended, HashSet::from([series("r")]));
        assert_eq!(memory.rules[0].alerts.len(), 1, "a changed expression is the same alert");
        assert!(memory.gives(&series("s")) && !memory.gives(&series("r")));
        assert_eq!(memory.rules[2].given, Some(HashSet::new()), "a new rule has given nothing");
    }
}
