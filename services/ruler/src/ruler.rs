//! Evaluates every group at its interval.

use crate::door::Door;
use crate::error::Error;
use crate::files::{self, Group, Rule};
use crate::record;
use crate::settings::Settings;
use model::TenantId;
use node::Stopping;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Exposition;
use tokio::task::JoinSet;

/// Cheap to clone.
#[derive(Clone)]
pub struct Ruler {
    inner: Arc<Inner>,
}

struct Inner {
    groups: Vec<Group>,
    door: Door,
    evaluations: AtomicU64,
    failures: AtomicU64,
}

impl Ruler {
    /// Reads the rules; one that cannot be evaluated is an error now, not later.
    pub fn open(settings: &Settings, door: Door) -> Result<Ruler, Error> {
        let groups = files::read(&settings.folder, settings.interval)?;
        let (evaluations, failures) = Default::default();
        Ok(Ruler { inner: Arc::new(Inner { groups, door, evaluations, failures }) })
    }

    pub async fn run(self, stopping: Stopping) {
        let mut running = JoinSet::new();
        for at in 0..self.inner.groups.len() {
            running.spawn(self.clone().keep(at, stopping.clone()));
        }
        while running.join_next().await.is_some() {}
    }

    async fn keep(self, at: usize, mut stopping: Stopping) {
        let group = &self.inner.groups[at];
        loop {
            // Evaluations fall on multiples of the interval, so a restart does not shift the recorded series.
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(until_next(unix_time(), group.interval)) => {}
            }
            let time = unix_time().as_millis() as i64;
            for rule in &group.rules {
                self.inner.evaluations.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = self.evaluate(&group.tenant, rule, time).await {
                    self.inner.failures.fetch_add(1, Ordering::Relaxed);
                    let (tenant, group) = (&group.tenant, &group.name);
                    tracing::warn!(%tenant, group, rule = rule.record, %error, "a rule was not recorded");
                }
            }
        }
    }

    async fn evaluate(&self, tenant: &TenantId, rule: &Rule, time: i64) -> Result<(), Error> {
        let answer = self.inner.door.ask(tenant, query_form(&rule.expr, time)).await?;
        let series = record::series(rule, &answer)?;
        if series.is_empty() {
            return Ok(());
        }
        self.inner.door.write(tenant, record::body(&series, time)).await
    }

    /// Writes this ruler's meters.
    pub fn meters(&self, out: &mut Exposition) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let inner = &self.inner;
        out.counter("ouro_rule_evaluations_total", "Rules that were evaluated.", &[], load(&inner.evaluations));
        out.counter("ouro_rule_failures_total", "Rules that could not be recorded.", &[], load(&inner.failures));
    }
}

fn query_form(query: &str, time: i64) -> String {
    let seconds = format!("{}.{:03}", time / 1000, time % 1000);
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    // What is recorded is not marked as partial, so it must not be.
    form.append_pair("query", query).append_pair("time", &seconds).append_pair("partial_response", "false").finish()
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn until_next(now: Duration, interval: Duration) -> Duration {
    let nanos = interval.as_nanos().max(1_000_000_000);
    Duration::from_nanos((nanos - now.as_nanos() % nanos) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_fall_on_multiples_of_the_interval() {
        let check = |now, interval, want| {
            let got = until_next(Duration::from_secs(now), Duration::from_secs(interval));
            assert_eq!(got, Duration::from_secs(want), "{now} {interval}");
        };
        check(60, 15, 15);
        check(61, 15, 14);
        check(74, 15, 1);
        check(10, 0, 1);
    }
}
