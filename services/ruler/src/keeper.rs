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
#[derive(Debug, Clone, PartialEq)]
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
        // As if it had just been evaluated: the next multiple of the interval is the first one that is due.
        let (mut last, mut evaluated) = (unix_millis(), 0);
        loop {
            let order = orders.borrow_and_update().clone();
            match order {
                Order::Evaluate(group) if group == self.group => {}
                Order::Evaluate(group) => {
                    self.memory.adopt(&group);
                    self.group = group;
                    self.show(Duration::ZERO, evaluated);
                }
                Order::HandOver => return,
                Order::End => return self.end(last).await,
            }
            tokio::select! {
                changed = orders.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = tokio::time::sleep(until_next(unix_millis(), last, interval(&self.group))) => {}
            }
            let (now, interval) = (unix_millis(), interval(&self.group));
            let time = now - now.rem_euclid(interval);
            if time == last {
                // The sleep ended early.
                continue;
            }
            self.with.meters.missed.fetch_add(missed(last, time, interval), Ordering::Relaxed);
            (last, evaluated) = (time, time);
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

    async fn end(mut self, last: i64) {
        // After the last samples, whatever the clock says.
        let time = (last + 1).max(unix_millis());
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

fn interval(group: &Group) -> i64 {
    (group.interval.as_millis() as i64).max(1)
}

fn unix_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// How many evaluations were left out between two.
fn missed(last: i64, time: i64, interval: i64) -> u64 {
    ((time - last) / interval - 1).max(0) as u64
}

/// Evaluations fall on multiples of the interval, so a restart does not shift the recorded series. Reckoned from the
/// last one, so that one that is due is not passed over, unless the clock was set back.
fn until_next(now: i64, last: i64, interval: i64) -> Duration {
    let after = |time: i64| time - time.rem_euclid(interval) + interval;
    let left = after(last) - now;
    let left = if left > interval { after(now) - now } else { left };
    Duration::from_millis(left.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_fall_on_multiples_of_the_interval() {
        for (now, last, interval, want) in [
            (60, 60, 15, 15),
            (61, 60, 15, 14),
            (74, 60, 15, 1),
            // It is due, and not to be passed over.
            (75, 60, 15, 0),
            (80, 60, 15, 0),
            // The interval has changed, the clock was set back.
            (61, 60, 7, 2),
            (31, 60, 15, 14),
        ] {
            assert_eq!(until_next(now, last, interval), Duration::from_millis(want), "{now} {last} {interval}");
        }
    }

    #[test]
    fn what_is_missed_is_counted() {
        for (last, time, want) in [(45, 60, 0), (15, 60, 2), (50, 60, 0), (60, 45, 0)] {
            assert_eq!(missed(last, time, 15), want, "{last} {time}");
        }
    }
}
