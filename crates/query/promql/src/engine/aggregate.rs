//! Aggregations: folds the series of their argument as they come.

use crate::{
    ast::{Expr, Kind},
    engine::{Engine, Sink},
    lexer::go_quote,
};
use eval::{
    EvalError,
    aggregate::{Aggregation, Grouping, Op, Param},
    column::{Column, Grid},
};
use model::{MatchOp, Matcher, labels::METRIC_NAME};

impl Engine<'_> {
    pub(super) fn aggregate(
        &self,
        op: Op,
        grouping: &Grouping,
        param: Option<&Expr>,
        arg: &Expr,
        grid: Grid,
        sink: Sink<'_>,
    ) -> Result<(), EvalError> {
        let (mut at, mut given) = (arg.at, Param::None);
        if let Some(param) = param {
            at = param.at;
            given = match &param.inner().kind {
                Kind::String(text) => Param::Label(label_name(text)?),
                _ => Param::Numbers(self.scalar(param, grid)?),
            };
        }
        let mut aggregation =
            Aggregation::new(op, grouping.clone(), given, grid.steps, self.budget, &mut self.notes(at))?;
        if self.may_collide(arg) {
            for column in self.collect(arg, grid)? {
                aggregation.push(column, &mut self.notes(arg.at))?;
            }
        } else {
            let push = |engine: &Engine<'_>, aggregation: &mut Aggregation<'_>, column: Column| {
                aggregation.push(column, &mut engine.notes(arg.at))
            };
            let mut runs = self.fan_out(arg, grid, || aggregation.fork(), push)?.into_iter();
            aggregation = runs.next().unwrap_or(aggregation);
            for run in runs {
                aggregation.merge(run, &mut self.notes(arg.at))?;
            }
        }
        for column in aggregation.finish(&mut self.notes(arg.at)) {
            if !column.is_empty() {
                sink(column)?;
            }
        }
        Ok(())
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
