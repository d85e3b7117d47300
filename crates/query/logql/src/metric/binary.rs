//! Operators between numbers and series.

use super::{Evaluation, Output};
use crate::ast::{Binary, BinaryOp, Comparison, Matching};
use crate::error::Error;
use eval::EvalError;
use eval::binary::matching::{Join, Style};
use eval::binary::sets::Present;
use eval::binary::{self, Cardinality};
use eval::column::Column;
use eval::merged::Merged;

impl Evaluation<'_> {
    pub(super) fn binary(&self, binary: &Binary) -> Result<Vec<Column>, Error> {
        let (left, right) = (self.eval(&binary.left)?, self.eval(&binary.right)?);
        match (left, right) {
            (Output::Columns(left), Output::Columns(right)) if binary.op.is_set() => {
                self.set_operator(binary, left, right)
            }
            (Output::Columns(left), Output::Columns(right)) => self.join(binary, left, right),
            (Output::Columns(columns), Output::Number(number)) => Ok(with_number(binary, columns, number, false)),
            (Output::Number(number), Output::Columns(columns)) => Ok(with_number(binary, columns, number, true)),
            (Output::Number(left), Output::Number(right)) => {
                let value = binary.op.apply(left, right);
                self.columns(&crate::ast::Metric::Literal(value))
            }
        }
    }

    fn set_operator(&self, binary: &Binary, left: Vec<Column>, right: Vec<Column>) -> Result<Vec<Column>, Error> {
        let matching = matching(binary.matching.as_ref(), true);
        let mut present = Present::new(&matching, self.budget);
        let (noted, mut filtered, op) = match binary.op {
            BinaryOp::And => (right, left, binary::Op::And),
            BinaryOp::Unless => (right, left, binary::Op::Unless),
            _ => (left, right, binary::Op::Or),
        };
        for column in &noted {
            present.note(column)?;
        }
        for column in &mut filtered {
            present.filter(op, column);
        }
        filtered.retain(|column| !column.is_empty());
        let mut columns = if op == binary::Op::Or { noted } else { Vec::new() };
        columns.append(&mut filtered);
        Ok(columns)
    }

    fn join(&self, binary: &Binary, left: Vec<Column>, mut right: Vec<Column>) -> Result<Vec<Column>, Error> {
        if matches!(binary.op, BinaryOp::Div | BinaryOp::Mod) {
            // Division by zero has no number here, and nothing divided by NaN has one.
            for column in &mut right {
                column.map_floats(|value| if value == 0.0 { f64::NAN } else { value });
            }
        }
        let matching = matching(binary.matching.as_ref(), false);
        let style = Style { op: operator(binary.op), truth: binary.returns_bool, delay_names: false };
        let mut join = Join::new(style, &matching, self.grid.steps, self.budget);
        let mut merged = Merged::new(self.budget);
        let (one, many) = if matching.one_is_left() { (left, right) } else { (right, left) };
        for column in one {
            join.push_one(column)?;
        }
        for column in &many {
            join.push_many(column, &mut |_| {}, &mut |c| merged.push(c)).map_err(|e| refused(e, &matching))?;
        }
        join.finish(&mut |_| {}, &mut |c| merged.push(c)).map_err(|e| refused(e, &matching))?;
        Ok(merged.into_columns())
    }
}

/// LogQL's text for series that can't be told apart names no labels.
fn refused(error: EvalError, matching: &binary::Matching) -> EvalError {
    match error {
        EvalError::Execution(text) if text.starts_with("found duplicate series") => {
            let side = if matching.one_is_left() { "left" } else { "right" };
            EvalError::Execution(format!(
                "found duplicate series on the {side} hand-side;many-to-many matching not allowed: \
                 matching labels must be unique on one side"
            ))
        }
        other => other,
    }
}

/// An operator between series and one number: `first` says that the number is on the left.
fn with_number(binary: &Binary, mut columns: Vec<Column>, number: f64, first: bool) -> Vec<Column> {
    for column in &mut columns {
        for step in 0..column.steps() {
            let Some(value) = column.float(step) else { continue };
            let (left, right) = if first { (number, value) } else { (value, number) };
            let result = binary.op.apply(left, right);
            match binary.op {
                BinaryOp::Compare(_) if binary.returns_bool => column.set(step, result),
                BinaryOp::Compare(_) if result == 0.0 => column.clear(step),
                BinaryOp::Compare(_) => {}
                _ => column.set(step, result),
            }
        }
    }
    columns.retain(|column| !column.is_empty());
    columns
}

fn matching(matching: Option<&Matching>, set: bool) -> binary::Matching {
    let Some(matching) = matching else {
        let cardinality = if set { Cardinality::ManyToMany } else { Cardinality::OneToOne };
        return binary::Matching { cardinality, ..binary::Matching::default() };
    };
    let cardinality = match &matching.group {
        _ if set => Cardinality::ManyToMany,
        None => Cardinality::OneToOne,
        Some(group) if group.left => Cardinality::ManyToOne,
        Some(_) => Cardinality::OneToMany,
    };
    binary::Matching {
        cardinality,
        on: matching.on,
        labels: matching.labels.clone(),
        include: matching.group.as_ref().map(|group| group.include.clone()).unwrap_or_default(),
        ..binary::Matching::default()
    }
}

fn operator(op: BinaryOp) -> binary::Op {
    match op {
        BinaryOp::Add => binary::Op::Add,
        BinaryOp::Sub => binary::Op::Sub,
        BinaryOp::Mul => binary::Op::Mul,
        BinaryOp::Div => binary::Op::Div,
        BinaryOp::Mod => binary::Op::Mod,
        BinaryOp::Pow => binary::Op::Pow,
        BinaryOp::Compare(Comparison::Equal) => binary::Op::Equal,
        BinaryOp::Compare(Comparison::NotEqual) => binary::Op::NotEqual,
        BinaryOp::Compare(Comparison::Greater) => binary::Op::Greater,
        BinaryOp::Compare(Comparison::GreaterEqual) => binary::Op::GreaterEqual,
        BinaryOp::Compare(Comparison::Less) => binary::Op::Less,
        BinaryOp::Compare(Comparison::LessEqual) => binary::Op::LessEqual,
        BinaryOp::And => binary::Op::And,
        BinaryOp::Or => binary::Op::Or,
        BinaryOp::Unless => binary::Op::Unless,
    }
}
