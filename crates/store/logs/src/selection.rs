//! Which lines a reader wants.

use model::{Matcher, Packed, TimeRange};
use std::collections::BinaryHeap;

/// Rows of the streams that meet all matchers, within a time range.
#[derive(Debug, Clone)]
pub struct Selection {
    pub matchers: Vec<Matcher>,
    /// Nanoseconds, both ends included.
    pub range: TimeRange,
    /// Every wanted line contains all of these texts. Rows that do not may be given all the same.
    pub contains: Vec<String>,
    /// Whether the texts of lines are wanted. Without them a segment reads times only, and lines come empty, unless
    /// rows have structured metadata.
    pub lines: bool,
}

impl Selection {
    /// Every row of every stream.
    pub fn all() -> Selection {
        Selection { matchers: Vec::new(), range: TimeRange::ALL, contains: Vec::new(), lines: true }
    }

    pub(crate) fn matches(&self, labels: Packed<'_>) -> bool {
        Matcher::all(&self.matchers, labels)
    }
}

/// Knows when enough of the newest, or oldest, rows were seen.
pub(crate) struct Quota {
    limit: usize,
    newest: bool,
    /// Distances of the best rows so far: the farthest on top.
    best: BinaryHeap<i64>,
}

impl Quota {
    pub fn new(limit: usize, newest: bool) -> Quota {
        Quota { limit, newest, best: BinaryHeap::new() }
    }

    /// How far a time is from the wanted end.
    fn distance(&self, time: i64) -> i64 {
        if self.newest { !time } else { time }
    }

    /// The end of a span that is nearest to the wanted end.
    pub fn edge(&self, times: TimeRange) -> i64 {
        if self.newest { times.max } else { times.min }
    }

    /// The place of a span of rows in the order in which spans should be read.
    pub fn rank(&self, times: TimeRange) -> i64 {
        self.distance(self.edge(times))
    }

    pub fn note(&mut self, time: i64) {
        if self.limit == usize::MAX {
            return; // only the order counts
        }
        let distance = self.distance(time);
        if self.best.len() < self.limit {
            self.best.push(distance);
        } else if self.best.peek().is_some_and(|farthest| distance < *farthest) {
            self.best.pop();
            self.best.push(distance);
        }
    }

    /// Whether rows of this span can still be among the wanted ones.
    pub fn needs(&self, times: TimeRange) -> bool {
        self.best.len() < self.limit || self.best.peek().is_some_and(|farthest| self.rank(times) <= *farthest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_full_when_nothing_better_can_come() {
        let mut newest = Quota::new(2, true);
        assert!(newest.needs(TimeRange::new(0, 1)));
        [5, 9, 7].into_iter().for_each(|time| newest.note(time));
        assert!(newest.needs(TimeRange::new(0, 7)));
        assert!(!newest.needs(TimeRange::new(0, 6)));
        assert!(newest.rank(TimeRange::new(0, 9)) < newest.rank(TimeRange::new(0, 8)));
        let mut oldest = Quota::new(1, false);
        [i64::MAX, 3].into_iter().for_each(|time| oldest.note(time));
        assert!(oldest.needs(TimeRange::new(3, 9)));
        assert!(!oldest.needs(TimeRange::new(4, 9)));
    }
}
