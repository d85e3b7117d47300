//! An alerting rule's alerts: pending, firing, resolved, as Prometheus has them (`rules/alerting.go`). Pure: the time
//! is that of the evaluation, so an evaluation that is repeated elsewhere comes to the same.

use crate::group::Alerting;
use model::Labels;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long a resolved alert is remembered, and told to Alertmanager again and again.
const RESOLVED_FOR: i64 = 15 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Firing,
    /// It was firing, and is resolved.
    Inactive,
}

/// What is remembered of an alert wherever it is evaluated next. Times are Unix milliseconds of evaluations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    pub state: State,
    pub active_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_since: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub course: Course,
    pub annotations: BTreeMap<String, String>,
    pub value: f64,
    /// When Alertmanager was told last, in the same time; never by this ruler if nothing.
    pub sent_at: Option<i64>,
}

/// Alerts by their labels, `alertname` included.
pub type Alerts = HashMap<Labels, Alert>;

/// What an expression found: labels, annotations, value.
pub type Found = (Labels, BTreeMap<String, String>, f64);

/// Takes the alerts to the next evaluation.
pub fn advance(alerts: &mut Alerts, rule: &Alerting, found: Vec<Found>, now: i64) {
    let mut seen = std::collections::HashSet::with_capacity(found.len());
    for (labels, annotations, value) in found {
        seen.insert(labels.clone());
        match alerts.get_mut(&labels) {
            Some(alert) if alert.course.state != State::Inactive => {
                (alert.annotations, alert.value) = (annotations, value)
            }
            _ => {
                let course = Course {
                    state: State::Pending,
                    active_at: now,
                    fired_at: None,
                    resolved_at: None,
                    keep_since: None,
                };
                alerts.insert(labels, Alert { course, annotations, value, sent_at: None });
            }
        }
    }
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    alerts.retain(|labels, alert| {
        let course = &mut alert.course;
        if seen.contains(labels) {
            course.keep_since = None;
        } else {
            if course.state == State::Firing && now - *course.keep_since.get_or_insert(now) < millis(rule.keep) {
                return true;
            }
            match course.state {
                State::Pending => return false,
                State::Inactive => return course.resolved_at.is_some_and(|at| now - at <= RESOLVED_FOR),
                State::Firing => {
                    (course.state, course.resolved_at, course.keep_since) = (State::Inactive, Some(now), None);
                }
            }
        }
        if course.state == State::Pending && now - course.active_at >= millis(rule.hold) {
            (course.state, course.fired_at) = (State::Firing, Some(now));
        }
        true
    });
}

impl Alert {
    /// An alert that was remembered: what else it has comes with the next evaluation.
    pub fn remembered(course: Course) -> Alert {
        Alert { course, annotations: BTreeMap::new(), value: 0.0, sent_at: None }
    }

    pub fn is_active(&self) -> bool {
        self.course.state != State::Inactive
    }

    /// Whether Alertmanager should be told now.
    pub fn is_due(&self, now: i64, delay: Duration) -> bool {
        let Course { state, resolved_at, .. } = self.course;
        let Some(sent) = self.sent_at else { return state != State::Pending };
        state != State::Pending && (resolved_at.is_some_and(|at| at > sent) || sent + (delay.as_millis() as i64) < now)
    }
}

#[cfg(test)]
mod tests;
