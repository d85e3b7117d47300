//! Subqueries: an expression evaluated on a grid of its own, whose values then count as samples.

use crate::{
    ast::{Expr, Kind, Subquery},
    engine::{Engine, windows::RangeSpec},
};
use eval::{
    EvalError,
    column::{Column, Grid},
};

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
        self.grid(start, through, step, &subquery.expr)
    }

    /// Each series of a subquery's expression, whole: one by one where no two can have the same labels.
    pub(super) fn subquery_series(
        &self,
        expr: &Expr,
        grid: Grid,
        each: &mut dyn FnMut(Column) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        if self.gives_each_once(expr) {
            return self.stream(expr, grid, each);
        }
        self.collect(expr, grid)?.into_iter().try_for_each(each)
    }

    fn gives_each_once(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Paren(inner) => self.gives_each_once(inner),
            Kind::Selector(_) => true,
            Kind::Aggregate { op, .. } => !op.picks(),
            // A function of the windows of one metric.
            Kind::Call { args, .. } => {
                let of_range = args.iter().any(|arg| matches!(arg.inner().kind, Kind::Range(..)));
                of_range && expr.selectors().len() == 1 && !self.may_collide(expr)
            }
            _ => false,
        }
    }
}
