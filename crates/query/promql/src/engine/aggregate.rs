//! Aggregations: folds the series of their argument as they come, where they are.

use crate::{
    ast::{Expr, Kind},
    engine::{Engine, Sink},
    lexer::go_quote,
};
use eval::{
    EvalError,
    aggregate::{Aggregation, Param},
    column::{Column, Grid},
};
use model::{MatchOp, Matcher, labels::METRIC_NAME};
use std::collections::HashMap;

impl<'a> Engine<'a> {
    pub(super) fn aggregate(&self, expr: &Expr, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        let Kind::Aggregate { arg, .. } = &expr.kind else { return Ok(()) };
        let columns = |grid| Ok::<_, EvalError>(self.aggregated(expr, grid)?.finish(&mut self.notes(arg.at)));
        let columns = match self.steps_of_others(expr, grid)? {
            None => columns(grid)?,
            // The steps at the end are for others to do: those before them would keep them from it.
            Some(first) => {
                let before = columns(Grid { steps: first, ..grid })?;
                let after = columns(Grid { start: grid.time(first), steps: grid.steps - first, ..grid })?;
                self.one_after_the_other(before, after, grid.steps)?
            }
        };
        columns.into_iter().filter(|column| !column.is_empty()).try_for_each(sink)
    }

    /// Columns of some steps and of those after them, as columns of all.
    fn one_after_the_other(
        &self,
        before: Vec<Column>,
        after: Vec<Column>,
        steps: usize,
    ) -> Result<Vec<Column>, EvalError> {
        let (mut all, mut places) = (Vec::new(), HashMap::new());
        for (columns, is_after) in [(before, false), (after, true)] {
            for column in columns {
                let first = if is_after { steps - column.steps() } else { 0 };
                let place = *places.entry((column.labels.clone(), column.drop_name)).or_insert(all.len());
                if place == all.len() {
                    let mut whole = Column::new(column.labels.clone(), steps);
                    whole.drop_name = column.drop_name;
                    self.budget.charge(whole.size())?;
                    all.push(whole);
                }
                (0..column.steps()).for_each(|step| all[place].copy(first + step, column.get(step)));
            }
        }
        all.iter().for_each(|column| self.budget.release(column.size()));
        Ok(all)
    }

    /// What an aggregation comes to, if there were no more series.
    pub(super) fn aggregated(&self, expr: &Expr, grid: Grid) -> Result<Aggregation<'a>, EvalError> {
        let Kind::Aggregate { op, grouping, param, arg } = &expr.kind else {
            return Err(EvalError::execution("a part of a query that is no aggregation"));
        };
        let (mut at, mut given) = (arg.at, Param::None);
        if let Some(param) = param {
            at = param.at;
            given = match &param.inner().kind {
                Kind::String(text) => Param::Label(label_name(text)?),
                _ => Param::Numbers(self.scalar(param, grid)?),
            };
        }
        let mut aggregation =
            Aggregation::new(*op, grouping.clone(), given, grid.steps, self.budget, &mut self.notes(at))?;
        if self.may_collide(arg) {
            for column in self.collect(arg, grid)? {
                aggregation.push(column, &mut self.notes(arg.at))?;
            }
            return Ok(aggregation);
        }
        let push = |engine: &Engine<'_>, aggregation: &mut Aggregation<'_>, column: Column| {
            aggregation.push(column, &mut engine.notes(arg.at))
        };
        let begin = || aggregation.fork();
        let (states, said) = match self.delegate(expr, grid)? {
            Some(delegated) => self.with_others(delegated, arg, grid, begin, push)?,
            None => (self.fan_out(arg, grid, begin, push)?, Vec::new()),
        };
        let mut states = states.into_iter();
        aggregation = states.next().unwrap_or(aggregation);
        for state in states {
            aggregation.merge(state, &mut self.notes(arg.at))?;
        }
        for message in said {
            self.hear(&message, &mut aggregation, arg)?;
        }
        Ok(aggregation)
    }
}

impl Engine<'_> {
    /// Whether series of several metrics can lose their names in an expression and become equal, which is an error that
    /// only shows when all of them are seen. Not with names that are dropped at the end.
    pub(super) fn may_collide(&self, expr: &Expr) -> bool {
        let named = |matchers: &[Matcher]| matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
        let bare = matches!(expr.inner().kind, Kind::Selector(_));
        !self.options.delayed_name_removal && !bare && !expr.selectors().into_iter().all(named)
    }
}

/// Any UTF-8 text but the empty one is a label name.
fn label_name(text: &[u8]) -> Result<String, EvalError> {
    match std::str::from_utf8(text) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(EvalError::execution(format!("invalid label name {}", go_quote(text)))),
    }
}
