//! One output series over all steps of a query, and the steps themselves.

use crate::histogram::Native;
use model::{Labels, rows::STALE_NAN_BITS};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The steps of an evaluation, in the signal's own time unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    pub start: i64,
    /// Never zero.
    pub step: i64,
    pub steps: usize,
}

impl Grid {
    /// The single step of an instant query.
    pub fn instant(at: i64) -> Grid {
        Grid { start: at, step: 1, steps: 1 }
    }

    /// `start`, `start + step`, … up to and including `end`; no step when `end < start`. `step` below one counts as one.
    pub fn range(start: i64, end: i64, step: i64) -> Grid {
        let step = step.max(1);
        let steps = if end < start { 0 } else { end.saturating_sub(start) / step + 1 };
        Grid { start, step, steps: usize::try_from(steps).unwrap_or(0) }
    }

    pub fn time(&self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(step as i64))
    }

    /// The time of the last step; `start` when there is none.
    pub fn end(&self) -> i64 {
        self.time(self.steps.saturating_sub(1))
    }
}

/// Stands for "no value at this step" in a column: the bits of a stale marker, which no evaluated value ever has,
/// because selectors drop stale markers and arithmetic never makes them.
pub const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether these are the bits of [`ABSENT`] (and of a stale marker in stored samples).
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One series of a result: a dense column of floats over all steps, with histograms beside it where there are some.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    pub labels: Labels,
    /// The metric name (and type and unit) is to be dropped once the query is done. Until then matching and grouping
    /// by name still see it. Engines that drop names at once leave this false.
    pub drop_name: bool,
    /// One a step; [`ABSENT`] where there is no float.
    values: Vec<f64>,
    /// Empty, or one a step.
    histograms: Vec<Option<Arc<Native>>>,
}

/// What a column holds at one step.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    Absent,
    Float(f64),
    Histogram(&'a Arc<Native>),
}

impl Cell<'_> {
    pub fn is_absent(&self) -> bool {
        matches!(self, Cell::Absent)
    }
}

impl Column {
    /// A column without any value.
    pub fn new(labels: Labels, steps: usize) -> Column {
        Column { labels, drop_name: false, values: vec![ABSENT; steps], histograms: Vec::new() }
    }

    pub fn from_floats(labels: Labels, values: Vec<f64>) -> Column {
        Column { labels, drop_name: false, values, histograms: Vec::new() }
    }

    pub fn steps(&self) -> usize {
        self.values.len()
    }

    /// Whether a column of unknown origin is one of so many steps.
    pub fn has_steps(&self, steps: usize) -> bool {
        self.values.len() == steps && (self.histograms.is_empty() || self.histograms.len() == steps)
    }

    pub fn get(&self, step: usize) -> Cell<'_> {
        let value = self.values[step];
        if !is_absent(value) {
            return Cell::Float(value);
        }
        match self.histograms.get(step) {
            Some(Some(histogram)) => Cell::Histogram(histogram),
            _ => Cell::Absent,
        }
    }

    /// The float of a step, if there is one.
    pub fn float(&self, step: usize) -> Option<f64> {
        let value = self.values[step];
        (!is_absent(value)).then_some(value)
    }

    /// All floats, [`ABSENT`] where there is none.
    pub fn floats(&self) -> &[f64] {
        &self.values
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    pub fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = None;
        }
    }

    pub fn set_histogram(&mut self, step: usize, histogram: Arc<Native>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.values.len()];
        }
        self.values[step] = ABSENT;
        self.histograms[step] = Some(histogram);
    }

    pub fn clear(&mut self, step: usize) {
        self.set(step, ABSENT);
    }

    /// Copies the cell of another column.
    pub fn copy(&mut self, step: usize, from: Cell<'_>) {
        match from {
            Cell::Absent => self.clear(step),
            Cell::Float(value) => self.set(step, value),
            Cell::Histogram(histogram) => self.set_histogram(step, Arc::clone(histogram)),
        }
    }

    /// Changes each float in place and takes the histograms away.
    pub fn map_floats(&mut self, mut f: impl FnMut(f64) -> f64) {
        self.histograms = Vec::new();
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = f(*value);
            }
        }
    }

    /// Whether no step has a value.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|v| is_absent(*v)) && self.histograms.iter().all(Option::is_none)
    }

    pub fn present(&self, step: usize) -> bool {
        !self.get(step).is_absent()
    }

    /// Takes over the values of `other` at steps where this has none; answers the first step where both have one.
    pub fn merge(&mut self, other: &Column) -> Result<(), usize> {
        for step in 0..self.values.len() {
            let cell = other.get(step);
            if cell.is_absent() {
                continue;
            }
            if self.present(step) {
                return Err(step);
            }
            self.copy(step, cell);
        }
        Ok(())
    }

    /// About how many bytes this takes in memory, for budgets.
    pub fn size(&self) -> usize {
        let histograms: usize = self.histograms.iter().map(|h| 8 + h.as_ref().map_or(0, |h| h.size())).sum();
        96 + self.labels.packed().len() + 8 * self.values.len() + histograms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_grid() {
        let check = |start, end, step, want: &[i64]| {
            let grid = Grid::range(start, end, step);
            assert_eq!((0..grid.steps).map(|i| grid.time(i)).collect::<Vec<_>>(), want);
        };
        check(0, 30, 10, &[0, 10, 20, 30]);
        check(5, 29, 10, &[5, 15, 25]);
        check(5, 5, 10, &[5]);
        check(5, 4, 10, &[]);
        check(0, 2, 0, &[0, 1, 2]);
    }

    #[test]
    fn columns_merge_where_they_do_not_overlap() {
        let column = |values: &[f64]| Column::from_floats(Labels::empty(), values.to_vec());
        let mut merged = column(&[1.0, ABSENT, f64::NAN]);
        assert_eq!(merged.merge(&column(&[ABSENT, 2.0, ABSENT])), Ok(()));
        assert_eq!(merged.float(1), Some(2.0));
        assert!(merged.float(2).is_some_and(f64::is_nan));
        assert_eq!(merged.merge(&column(&[ABSENT, ABSENT, 1.0])), Err(2));
    }
}
