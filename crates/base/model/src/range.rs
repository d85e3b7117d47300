//! A span of time in a signal's own unit.

/// From `min` to `max`, both included; empty when `max < min`. Nanoseconds for logs, milliseconds for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub min: i64,
    pub max: i64,
}

impl TimeRange {
    pub const ALL: TimeRange = TimeRange { min: i64::MIN, max: i64::MAX };
    /// Holds nothing; grows with `include`.
    pub const EMPTY: TimeRange = TimeRange { min: i64::MAX, max: i64::MIN };

    pub fn new(min: i64, max: i64) -> TimeRange {
        TimeRange { min, max }
    }

    pub fn is_empty(self) -> bool {
        self.max < self.min
    }

    pub fn contains(self, time: i64) -> bool {
        self.min <= time && time <= self.max
    }

    pub fn overlaps(self, other: TimeRange) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    pub fn include(&mut self, time: i64) {
        self.min = self.min.min(time);
        self.max = self.max.max(time);
    }

    /// What both have; empty if that is nothing.
    pub fn intersect(self, other: TimeRange) -> TimeRange {
        TimeRange { min: self.min.max(other.min), max: self.max.min(other.max) }
    }

    /// The smallest range that holds both.
    pub fn union(self, other: TimeRange) -> TimeRange {
        TimeRange { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
