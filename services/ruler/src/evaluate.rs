//! Evaluates one group: asks, records, takes its alerts further, and marks the series that have ended.
//!
//! Samples lie at the time of the evaluation, which is a multiple of the interval on every clock. So a group that two
//! rulers evaluate for a moment, as when one was stopped and goes on, gives the same samples twice, which are stored
//! once; where the two saw something else, the first one counts and the second is refused.
//!
//! Which series the evaluation before gave is known from memory, or else asked for: the rule's own expression over the
//! last minutes, for as long as a series without a marker is seen. So nothing of it has to be kept anywhere, and
//! whichever ruler comes next ends what its predecessor began.

use crate::alert::{self, Found, State};
use crate::door::Door;
use crate::error::Error;
use crate::group::{Alerting, Group, Rule};
use crate::lease::Lease;
use crate::memory::{self, Memory};
use crate::meters::{Meters, count};
use crate::notify::{Notifier, Told};
use crate::record::{self, Sample, Value};
use crate::settings::Settings;
use crate::template::{self, Answers, Facts, Lack};
use crate::view;
use model::{Labels, LabelsBuilder, TenantId};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long a series without a marker is seen, in milliseconds: the look-back of queries.
const LOOK_BACK: i64 = 5 * 60 * 1000;

/// What all groups of a ruler share.
pub struct Evaluator {
    pub door: Door,
    pub settings: Settings,
    pub notifier: Notifier,
    pub meters: Arc<Meters>,
    /// Groups that may be evaluated at a time.
    pub places: Semaphore,
}

/// A group under evaluation.
pub struct Run<'r> {
    pub with: &'r Evaluator,
    pub group: &'r Group,
    pub lease: &'r Lease,
    pub memory: &'r mut Memory,
    /// As it was noted last.
    pub noted: &'r mut Option<Arc<str>>,
}

impl Run<'_> {
    /// Evaluates all rules. `time`: Unix milliseconds. Fails only when the group is another ruler's.
    pub async fn evaluate(&mut self, time: i64) -> Result<(), Error> {
        let at = time - millis(self.group.offset);
        let (mut told, mut ended) = (Vec::new(), std::mem::take(&mut self.memory.ended));
        let group = self.group;
        for (n, rule) in group.rules.iter().enumerate() {
            let begun = Instant::now();
            let given = match &rule.alert {
                None => self.record(n, rule, at).await,
                Some(alerting) => self.alerts(n, rule, alerting, at, time, &mut told).await,
            };
            count(&self.with.meters.evaluations);
            let error = match given {
                Ok(given) => {
                    let before = self.memory.rules[n].given.replace(given);
                    ended.extend(before.into_iter().flatten());
                    None
                }
                Err(Error::Lost) => return Err(Error::Lost),
                Err(error) => Some(self.failed(&rule.name, &error)),
            };
            let remembered = &mut self.memory.rules[n];
            remembered.view.alerts = view::alerts(&remembered.alerts);
            (remembered.view.took, remembered.view.evaluated) = (begun.elapsed().as_secs_f64(), time);
            remembered.view.error = error;
        }
        // Before anybody hears of it: whoever evaluates next must know at least as much.
        self.note().await?;
        ended.retain(|labels| !self.memory.gives(labels));
        told.extend(ended.iter().map(|labels| (labels.clone(), Value::stale())));
        match self.write(&told, at).await {
            Ok(()) => {}
            Err(Error::Lost) => return Err(Error::Lost),
            Err(error) => {
                self.failed("ALERTS and markers", &error);
                self.memory.ended = ended;
            }
        }
        self.lease.check()?;
        self.notify(time);
        Ok(())
    }

    /// Ends all series of a group that is no more, at this time.
    pub async fn end(&mut self, time: i64) {
        let memory = std::mem::take(self.memory);
        let given = memory.rules.into_iter().filter_map(|rule| rule.given).flatten();
        let markers: Vec<_> = given.chain(memory.ended).map(|labels| (labels, Value::stale())).collect();
        if let Err(error) = self.write(&markers, time - millis(self.group.offset)).await {
            self.failed("markers", &error);
        }
        if self.noted.is_some()
            && let Err(error) = self.note().await
        {
            tracing::debug!(%error, "what was noted of a group that is no more is removed later");
        }
    }

    fn failed(&self, rule: &str, error: &Error) -> String {
        count(&self.with.meters.failures);
        let (tenant, group) = (&self.group.tenant, &self.group.name);
        tracing::warn!(%tenant, group, rule, %error, "a rule was not evaluated");
        error.to_string()
    }

    /// Gives the series that were recorded.
    async fn record(&mut self, n: usize, rule: &Rule, at: i64) -> Result<HashSet<Labels>, Error> {
        if self.memory.rules[n].given.is_none() {
            self.memory.rules[n].given = Some(self.with.before(self.group, rule, at).await?);
        }
        let found = record::samples(&self.with.instant(&self.group.tenant, &rule.expr, at).await?)?;
        let series = record::series(rule, found, self.group.limit)?;
        let written = self.write(&series, at).await;
        let given: HashSet<Labels> = series.into_iter().map(|(labels, _)| labels).collect();
        if let (Err(_), Some(before)) = (&written, &mut self.memory.rules[n].given) {
            // Some may have been stored, so all may have to be ended.
            before.extend(given.iter().cloned());
        }
        written.map(|()| given)
    }

    /// Takes a rule's alerts further; what is to be told of them goes into `told`. Gives the series of that.
    async fn alerts(
        &mut self,
        n: usize,
        rule: &Rule,
        alerting: &Alerting,
        at: i64,
        time: i64,
        told: &mut Vec<(Labels, Value)>,
    ) -> Result<HashSet<Labels>, Error> {
        let found = self.with.find(self.group, rule, alerting, at).await?;
        let alerts = &mut self.memory.rules[n].alerts;
        alert::advance(alerts, alerting, found, time);
        if let Err(error) = record::check_limit(alerts.len(), self.group.limit, "alerts") {
            alerts.clear();
            return Err(error);
        }
        let mut given = HashSet::new();
        for (labels, alert) in alerts.iter().filter(|(_, alert)| alert.is_active()) {
            let state = if alert.course.state == State::Firing { "firing" } else { "pending" };
            let since = alert.course.active_at.div_euclid(1000) as f64;
            for (series, value) in
                [(memory::alerts_series(labels, state), 1.0), (memory::for_state_series(labels), since)]
            {
                given.insert(series.clone());
                told.push((series, Value::Float(value)));
            }
        }
        Ok(given)
    }

    /// Notes the alerts in the control group if they have changed. Where it is away or full, rules go on without.
    async fn note(&mut self) -> Result<(), Error> {
        let note = self.memory.note();
        if note == *self.noted {
            return Ok(());
        }
        match self.lease.note(self.group.key(), note.clone()).await {
            Ok(()) => *self.noted = note,
            Err(Error::Lost) => return Err(Error::Lost),
            Err(error) => {
                count(&self.with.meters.unnoted);
                let (tenant, group) = (&self.group.tenant, &self.group.name);
                tracing::warn!(%tenant, group, %error, "alerts were not noted: another ruler would not know of the change");
            }
        }
        Ok(())
    }

    async fn write(&self, series: &[(Labels, Value)], at: i64) -> Result<(), Error> {
        for body in record::bodies(series, at) {
            self.lease.check()?;
            self.with.door.write(&self.group.tenant, body, self.with.settings.timeout).await?;
        }
        Ok(())
    }

    /// Tells Alertmanagers what is due.
    fn notify(&mut self, time: i64) {
        let (settings, group) = (&self.with.settings, self.group);
        let until = time + 4 * millis(settings.resend_delay.max(group.interval));
        let mut due = Vec::new();
        for (rule, memory) in group.rules.iter().zip(&mut self.memory.rules) {
            for (labels, alert) in memory.alerts.iter_mut().filter(|(_, a)| a.is_due(time, settings.resend_delay)) {
                alert.sent_at = Some(time);
                due.push(Told {
                    labels: abroad(settings, &group.tenant, labels),
                    annotations: alert.annotations.clone(),
                    starts_at: rfc3339(alert.course.fired_at.unwrap_or(time)),
                    ends_at: rfc3339(alert.course.resolved_at.unwrap_or(until)),
                    generator_url: link(settings, &rule.expr),
                });
            }
        }
        self.with.notifier.tell(&due);
    }
}

impl Evaluator {
    /// The answer as `record` reads it.
    async fn instant(&self, tenant: &TenantId, query: &str, at: i64) -> Result<Vec<u8>, Error> {
        let form = form(query, &[("time", at)], None);
        self.door.ask("/prometheus/api/v1/query", tenant, form, self.settings.timeout).await
    }

    async fn floats(&self, tenant: &TenantId, query: &str, at: i64) -> Result<Vec<Sample>, Error> {
        record::floats(&self.instant(tenant, query, at).await?)
    }

    /// The series that the evaluations before this one have given and that may still be seen.
    async fn before(&self, group: &Group, rule: &Rule, at: i64) -> Result<HashSet<Labels>, Error> {
        let interval = millis(group.interval);
        let first = at - (LOOK_BACK - 1) / interval * interval;
        if first >= at {
            return Ok(HashSet::new());
        }
        // A range query has a bounded number of steps.
        let step = interval.max(1000);
        let form = form(&rule.expr, &[("start", first), ("end", at - interval)], Some(step));
        let answer =
            self.door.ask("/prometheus/api/v1/query_range", &group.tenant, form, self.settings.timeout).await?;
        Ok(record::label_sets(&answer)?.iter().map(|metric| record::recorded(rule, metric)).collect())
    }

    /// What an alerting rule finds: labels, annotations, values.
    async fn find(&self, group: &Group, rule: &Rule, alerting: &Alerting, at: i64) -> Result<Vec<Found>, Error> {
        let mut answers = Answers::default();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for (metric, value) in self.floats(&group.tenant, &rule.expr, at).await? {
            let labels = Labels::from_pairs(metric.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let facts = Facts {
                labels: &labels,
                external_labels: &self.settings.external_labels,
                external_url: &self.settings.external_url,
                value,
            };
            let mut built = LabelsBuilder::from(&labels);
            built.remove(model::labels::METRIC_NAME);
            for (name, text) in &rule.labels {
                built.set(name.as_str(), self.text(group, name, text, &facts, &mut answers, at).await);
            }
            let built = built.set("alertname", rule.name.as_str()).build();
            let mut annotations = BTreeMap::new();
            for (name, text) in &alerting.annotations {
                annotations.insert(name.clone(), self.text(group, name, text, &facts, &mut answers, at).await);
            }
            if !seen.insert(built.clone()) {
                return Err(Error::Duplicate("alert"));
            }
            found.push((built, annotations, value));
        }
        Ok(found)
    }

    /// The text that a template makes, or, as Prometheus has it, what is wrong with it.
    async fn text(
        &self,
        group: &Group,
        name: &str,
        text: &str,
        facts: &Facts<'_>,
        answers: &mut Answers,
        at: i64,
    ) -> String {
        loop {
            match template::expand(name, text, facts, answers) {
                Ok(made) => return made,
                Err(Lack::Query(query)) => match self.floats(&group.tenant, &query, at).await {
                    Ok(found) => drop(answers.insert(query, found)),
                    Err(error) => return format!("<error expanding template: {error}>"),
                },
                Err(Lack::Fault(why)) => return format!("<error expanding template: {why}>"),
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

fn form(query: &str, times: &[(&str, i64)], step: Option<i64>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", query);
    for (name, time) in times.iter().copied().chain(step.map(|step| ("step", step))) {
        form.append_pair(name, &seconds(time));
    }
    // What is recorded is not marked as partial, so it must not be.
    form.append_pair("partial_response", "false").finish()
}

pub fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// An alert's labels on their way to Alertmanagers.
fn abroad(settings: &Settings, tenant: &TenantId, labels: &Labels) -> BTreeMap<String, String> {
    let mut all = settings.external_labels.clone();
    all.extend(labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    if !settings.tenant_label.is_empty() {
        all.insert(settings.tenant_label.clone(), tenant.as_str().to_owned());
    }
    all
}

fn link(settings: &Settings, expr: &str) -> String {
    let expr: String = url::form_urlencoded::byte_serialize(expr.as_bytes()).collect();
    format!("{}/graph?g0.expr={expr}&g0.tab=1", settings.external_url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
