//! How groups are, as rulers tell it to each other and to those who ask.

use crate::alert::{Alerts, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// By a group's file and name.
pub type Views = BTreeMap<String, GroupView>;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupView {
    /// How long the last evaluation took, in seconds.
    pub took: f64,
    /// Unix milliseconds; never if zero.
    pub evaluated: i64,
    pub rules: Vec<RuleView>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RuleView {
    pub took: f64,
    pub evaluated: i64,
    /// Nothing when it went well.
    pub error: Option<String>,
    pub alerts: Vec<AlertView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub state: State,
    pub active_at: i64,
    pub keep_since: Option<i64>,
    /// As Prometheus writes it.
    pub value: String,
}

impl RuleView {
    /// `unknown` before the first evaluation, as Prometheus has it.
    pub fn health(&self) -> &'static str {
        match (&self.error, self.evaluated) {
            (Some(_), _) => "err",
            (None, 0) => "unknown",
            (None, _) => "ok",
        }
    }
}

/// The pending and the firing ones, by their labels.
pub fn alerts(alerts: &Alerts) -> Vec<AlertView> {
    let mut active: Vec<_> = alerts.iter().filter(|(_, alert)| alert.is_active()).collect();
    active.sort_by(|a, b| a.0.cmp(b.0));
    let view = |(labels, alert): (&model::Labels, &crate::alert::Alert)| AlertView {
        labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        annotations: alert.annotations.clone(),
        state: alert.course.state,
        active_at: alert.course.active_at,
        keep_since: alert.course.keep_since,
        value: exponent(alert.value),
    };
    active.into_iter().map(view).collect()
}

/// Go's `%e` with the fewest digits: `1e+00`.
fn exponent(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_prometheus_does() {
        for (value, want) in
            [(1.0, "1e+00"), (0.0, "0e+00"), (-1234.5, "-1.2345e+03"), (1e-7, "1e-07"), (1e123, "1e+123")]
        {
            assert_eq!(exponent(value), want);
        }
    }
}
