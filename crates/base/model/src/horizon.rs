//! How far a reader still has to look when only the newest or the oldest rows are wanted: whoever takes rows draws it in.

use crate::TimeRange;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Shared by who takes rows and who reads them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Horizon {
    newest: bool,
    /// The last time that is of use: the earliest where the newest rows are wanted.
    last: Arc<AtomicI64>,
}

/// Two are one if they are drawn in together.
impl PartialEq for Horizon {
    fn eq(&self, other: &Horizon) -> bool {
        Arc::ptr_eq(&self.last, &other.last)
    }
}

impl Horizon {
    /// Everything is of use at first.
    pub fn new(newest: bool) -> Horizon {
        Horizon { newest, last: Arc::new(AtomicI64::new(if newest { i64::MIN } else { i64::MAX })) }
    }

    /// Whether the newest rows are wanted, which are then best read first.
    pub fn is_of_newest(&self) -> bool {
        self.newest
    }

    /// Rows of this time, and beyond it, are of no use any more.
    pub fn draw_in(&self, time: i64) {
        match self.newest {
            true => self.last.fetch_max(time.saturating_add(1), Relaxed),
            false => self.last.fetch_min(time.saturating_sub(1), Relaxed),
        };
    }

    /// What of a range is still of use.
    pub fn clip(&self, range: TimeRange) -> TimeRange {
        let last = self.last.load(Relaxed);
        match self.newest {
            true => TimeRange::new(range.min.max(last), range.max),
            false => TimeRange::new(range.min, range.max.min(last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_only_drawn_in() {
        let (newest, oldest, range) = (Horizon::new(true), Horizon::new(false), TimeRange::new(10, 20));
        assert_eq!([newest.clip(range), oldest.clip(range)], [range; 2]);
        [14, 12].into_iter().for_each(|time| newest.draw_in(time));
        [16, 18].into_iter().for_each(|time| oldest.draw_in(time));
        assert_eq!([newest.clip(range), oldest.clip(range)], [TimeRange::new(15, 20), TimeRange::new(10, 15)]);
        newest.draw_in(30);
        assert!(newest.clip(range).is_empty() && newest == newest.clone() && newest != oldest);
    }
}
