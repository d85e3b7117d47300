//! One binary operator applied to two values of one step.

use crate::{
    binary::Op,
    column::Cell,
    histogram::Native,
    note::{Note, Notes, report},
};
use std::sync::Arc;

/// What an operator makes of two values.
#[derive(Debug, Clone)]
pub enum Outcome {
    Float(f64),
    Histogram(Arc<Native>),
    /// A comparison that is false, or types that the operator cannot combine.
    Nothing,
}

impl Outcome {
    pub fn as_cell(&self) -> Cell<'_> {
        match self {
            Outcome::Float(value) => Cell::Float(*value),
            Outcome::Histogram(histogram) => Cell::Histogram(histogram),
            Outcome::Nothing => Cell::Absent,
        }
    }
}

/// Applies `op`. A comparison keeps the left value where it is true; with `truth` it answers 1 or 0 instead.
/// `keep_right`: a comparison keeps the right value (the vector, in `1 < vector`).
pub fn combine(op: Op, left: Cell<'_>, right: Cell<'_>, truth: bool, keep_right: bool, notes: Notes<'_>) -> Outcome {
    let verdict = |is_true: bool| match (truth, is_true) {
        (true, _) => Outcome::Float(if is_true { 1.0 } else { 0.0 }),
        (false, true) => keep(if keep_right { right } else { left }),
        (false, false) => Outcome::Nothing,
    };
    let mut unknown = |left, right| {
        notes(Note::IncompatibleTypes { operator: op.symbol(), left, right });
        Outcome::Nothing
    };
    match (left, right) {
        (Cell::Absent, _) | (_, Cell::Absent) => Outcome::Nothing,
        (Cell::Float(a), Cell::Float(b)) if op.is_comparison() => verdict(op.numbers(a, b) == 1.0),
        (Cell::Float(_), Cell::Float(_)) if matches!(op, Op::TrimUpper | Op::TrimLower) => unknown("float", "float"),
        (Cell::Float(a), Cell::Float(b)) => Outcome::Float(op.numbers(a, b)),
        (Cell::Float(factor), Cell::Histogram(h)) | (Cell::Histogram(h), Cell::Float(factor)) if op == Op::Mul => {
            changed(h, |h| h.scale(factor))
        }
        (Cell::Histogram(h), Cell::Float(divisor)) if op == Op::Div => changed(h, |h| h.divide(divisor)),
        (Cell::Histogram(h), Cell::Float(at)) if op == Op::TrimUpper => changed(h, |h| h.trim_upper(at)),
        (Cell::Histogram(h), Cell::Float(at)) if op == Op::TrimLower => changed(h, |h| h.trim_lower(at)),
        (Cell::Float(_), Cell::Histogram(_)) => unknown("float", "histogram"),
        (Cell::Histogram(_), Cell::Float(_)) => unknown("histogram", "float"),
        (Cell::Histogram(a), Cell::Histogram(b)) => match op {
            Op::Add | Op::Sub => {
                let mut result = Native::clone(a);
                let (done, during) = match op {
                    Op::Add => (result.add(b), "addition"),
                    _ => {
                        let done = result.sub(b);
                        result.reset = model::histogram::ResetHint::Gauge;
                        (done, "subtraction")
                    }
                };
                match done {
                    Ok(bent) => {
                        report(bent, during, notes);
                        Outcome::Histogram(Arc::new(result))
                    }
                    Err(_) => {
                        notes(Note::IncompatibleLayouts { operator: op.symbol() });
                        Outcome::Nothing
                    }
                }
            }
            Op::Equal => verdict(a.same(b)),
            Op::NotEqual => verdict(!a.same(b)),
            _ => unknown("histogram", "histogram"),
        },
    }
}

fn keep(cell: Cell<'_>) -> Outcome {
    match cell {
        Cell::Absent => Outcome::Nothing,
        Cell::Float(value) => Outcome::Float(value),
        Cell::Histogram(histogram) => Outcome::Histogram(Arc::clone(histogram)),
    }
}

fn changed(histogram: &Native, change: impl FnOnce(&mut Native)) -> Outcome {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    Outcome::Histogram(Arc::new(histogram))
}
