//! Binary operators with at least one vector.

use crate::{
    ast::{Expr, Kind, Type},
    engine::{Engine, Sink},
};
use eval::{
    EvalError,
    binary::{
        Op, combine,
        matching::{Join, Style},
        sets::Present,
    },
    column::{Cell, Column, Grid},
};
use std::sync::Arc;

/// A column with every value multiplied, histograms too.
pub(super) fn scaled(mut column: Column, factor: f64) -> Column {
    for step in 0..column.steps() {
        match column.get(step) {
            Cell::Absent => {}
            Cell::Float(value) => column.set(step, value * factor),
            Cell::Histogram(histogram) => {
                let mut histogram = eval::histogram::Native::clone(histogram);
                histogram.scale(factor);
                column.set_histogram(step, Arc::new(histogram));
            }
        }
    }
    column
}

impl Engine<'_> {
    pub(super) fn binary(&self, expr: &Expr, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        let Kind::Binary { op, left, right, truth, matching } = &expr.kind else {
            return Err(EvalError::execution("not a binary expression"));
        };
        match (left.kind_type(), right.kind_type()) {
            (Type::Vector, Type::Scalar) => self.with_number(expr, left, right, false, grid, sink),
            (Type::Scalar, Type::Vector) => self.with_number(expr, right, left, true, grid, sink),
            _ if op.is_set() => {
                let mut present = Present::new(matching, self.budget);
                if *op == Op::Or {
                    self.stream(left, grid, &mut |column| {
                        present.note(&column)?;
                        sink(column)
                    })?;
                } else {
                    self.stream(right, grid, &mut |column| present.note(&column))?;
                }
                self.stream(if *op == Op::Or { right } else { left }, grid, &mut |mut column| {
                    present.filter(*op, &mut column);
                    if column.is_empty() { Ok(()) } else { sink(column) }
                })
            }
            _ => {
                let style = Style { op: *op, truth: *truth, delay_names: self.options.delayed_name_removal };
                let mut join = Join::new(style, matching, grid.steps, self.budget);
                let (one, many) = if matching.one_is_left() { (left, right) } else { (right, left) };
                self.stream(one, grid, &mut |column| join.push_one(column))?;
                self.stream(many, grid, &mut |column| join.push_many(&column, &mut self.notes(expr.at), sink))?;
                join.finish(&mut self.notes(expr.at), sink)
            }
        }
    }

    /// A vector and a number. `turned`: the number is on the left.
    fn with_number(
        &self,
        expr: &Expr,
        vector: &Expr,
        number: &Expr,
        turned: bool,
        grid: Grid,
        sink: Sink<'_>,
    ) -> Result<(), EvalError> {
        let Kind::Binary { op, truth, .. } = &expr.kind else {
            return Err(EvalError::execution("not a binary expression"));
        };
        let numbers = self.scalar(number, grid)?;
        let plain = !matches!(op, Op::TrimUpper | Op::TrimLower);
        let filters = op.is_comparison() && !truth;
        self.stream(vector, grid, &mut |mut column| {
            for (step, &number) in numbers.iter().enumerate() {
                // Two floats are by far the most frequent case.
                if plain && let Some(value) = column.float(step) {
                    let result = if turned { op.numbers(number, value) } else { op.numbers(value, number) };
                    match filters {
                        false => column.set(step, result),
                        true if result != 1.0 => column.clear(step),
                        true => {}
                    }
                    continue;
                }
                let cell = column.get(step);
                let (a, b) = if turned { (Cell::Float(number), cell) } else { (cell, Cell::Float(number)) };
                let outcome = combine(*op, a, b, *truth, turned, &mut self.notes(expr.at));
                column.copy(step, outcome.as_cell());
            }
            if *truth || op.drops_name() {
                self.drop_name(&mut column);
            }
            if column.is_empty() { Ok(()) } else { sink(column) }
        })
    }
}
