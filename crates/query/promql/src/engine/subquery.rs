//! Subqueries: an expression evaluated on a grid of its own, whose values then count as samples.

use crate::{
    ast::Subquery,
    engine::{Engine, windows::RangeSpec},
};
use eval::{EvalError, column::Grid};

impl Engine<'_> {
    /// The steps of a subquery: all multiples of its step that some window of the outer grid can see.
    pub(super) fn subquery_grid(&self, subquery: &Subquery, spec: &RangeSpec, grid: Grid) -> Result<Grid, EvalError> {
        let step = match &subquery.step {
            Some(span) => self.positive_millis(span)?,
            None => i64::try_from(self.options.default_step.as_millis()).unwrap_or(i64::MAX).max(1),
        };
        let (after, through) = Self::reach(spec, grid);
        let mut start = step.saturating_mul(after / step);
        if start <= after {
            start = start.saturating_add(step);
        }
        self.grid(start, through, step)
    }
}
