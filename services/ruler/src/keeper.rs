//! Evaluates one group at its interval, for as long as this ruler holds it.

use crate::error::Error;
use crate::evaluate::{Evaluator, Run};
use crate::group::Group;
use crate::lease::Lease;
use crate::memory::Memory;
use crate::view::GroupView;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;

/// What is wanted of a keeper.
#[derive(Debug, Clone)]
pub enum Order {
    /// Evaluate this.
    Evaluate(Arc<Group>),
    /// Stop; another ruler goes on.
    HandOver,
    /// Stop; nobody goes on.
    End,
}

pub struct Keeper {
    with: Arc<Evaluator>,
    group: Arc<Group>,
    lease: Lease,
    memory: Memory,
    noted: Option<Arc<str>>,
    view: Arc<Mutex<GroupView>>,
}

impl Keeper {
    /// `note`: what was noted of the group. The view shows how it is.
    pub fn new(
        with: Arc<Evaluator>,
        group: Arc<Group>,
        lease: Lease,
        note: Option<Arc<str>>,
    ) -> (Keeper, Arc<Mutex<GroupView>>) {
        let memory = Memory::restore(&group, note.as_deref());
        let view = Arc::<Mutex<GroupView>>::default();
        let keeper = Keeper { with, group, lease, memory, noted: note, view: view.clone() };
        keeper.show(Duration::ZERO, 0);
        (keeper, view)
    }

    /// Ends when it is told to, or when the group is another ruler's.
    pub async fn run(mut self, mut orders: watch::Receiver<Order>) {
        let mut last: Option<i64> = None;
        loop {
            let order = orders.borrow_and_update().clone();
            match order {
                Order::Evaluate(group) if group == self.group => {}
                Order::Evaluate(group) => {
                    self.memory.adopt(&group);
                    self.group = group;
                    self.show(Duration::ZERO, last.unwrap_or(0));
                }
                Order::HandOver => return,
                Order::End => return self.end(last).await,
            }
            tokio::select! {
                changed = orders.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = tokio::time::sleep(until_next(unix_time(), self.group.interval)) => {}
            }
            let interval = (self.group.interval.as_millis() as i64).max(1);
            let now = unix_time().as_millis() as i64;
            let time = now - now.rem_euclid(interval);
            // A sleep may end early, and a clock may be set back.
            let Some(missed) = due(last, time, interval) else { continue };
            self.with.meters.missed.fetch_add(missed, Ordering::Relaxed);
            last = Some(time);
            if let Err(error) = self.evaluate(time).await {
                let (tenant, group) = (&self.group.tenant, &self.group.name);
                tracing::info!(%tenant, group, %error, "stopped evaluating a group");
                return;
            }
        }
    }

    async fn evaluate(&mut self, time: i64) -> Result<(), Error> {
        let with = self.with.clone();
        let _place = with.places.acquire().await;
        self.lease.check()?;
        let begun = Instant::now();
        let (group, lease) = (self.group.clone(), self.lease.clone());
        let mut run =
            Run { with: &with, group: &group, lease: &lease, memory: &mut self.memory, noted: &mut self.noted };
        run.evaluate(time).await?;
        with.meters.evaluated(begun.elapsed());
        self.show(begun.elapsed(), time);
        Ok(())
    }

    async fn end(mut self, last: Option<i64>) {
        // After the last samples, whatever the clock says.
        let time = last.map_or(0, |last| last + 1).max(unix_time().as_millis() as i64);
        let (with, group, lease) = (self.with.clone(), self.group.clone(), self.lease.clone());
        Run { with: &with, group: &group, lease: &lease, memory: &mut self.memory, noted: &mut self.noted }
            .end(time)
            .await;
    }

    fn show(&self, took: Duration, time: i64) {
        let rules = self.memory.rules.iter().map(|rule| rule.view.clone()).collect();
        let shown = GroupView { took: took.as_secs_f64(), evaluated: time, rules };
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

/// How many evaluations were missed before the one of this time; nothing if it is not due.
fn due(last: Option<i64>, time: i64, interval: i64) -> Option<u64> {
    match last {
        Some(last) if time <= last => None,
        Some(last) => Some(((time - last) / interval - 1).max(0) as u64),
        None => Some(0),
    }
}

pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Evaluations fall on multiples of the interval, so a restart does not shift the recorded series.
fn until_next(now: Duration, interval: Duration) -> Duration {
    let nanos = interval.as_nanos().max(1_000_000);
    Duration::from_nanos((nanos - now.as_nanos() % nanos) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_fall_on_multiples_of_the_interval() {
        let check = |now, interval, want| {
            let got = until_next(Duration::from_millis(now), Duration::from_millis(interval));
            assert_eq!(got, Duration::from_millis(want), "{now} {interval}");
        };
        check(60_000, 15_000, 15_000);
        check(61_000, 15_000, 14_000);
        check(74_000, 15_000, 1_000);
        check(10_000, 0, 1);
    }

    #[test]
    fn what_is_missed_is_counted_and_nothing_is_done_twice() {
        for (last, time, want) in [
            (None, 60, Some(0)),
            (Some(45), 60, Some(0)),
            (Some(60), 60, None),
            (Some(60), 45, None),
            (Some(15), 60, Some(2)),
            // The interval was shorter before.
            (Some(50), 60, Some(0)),
        ] {
            assert_eq!(due(last, time, 15), want, "{last:?} {time}");
        }
    }
}
