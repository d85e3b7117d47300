//! Folds columns into groups: sum, avg, topk and their like, one input series at a time.
//!
//! An [`Aggregation`] takes columns one by one and keeps only its groups (and for `topk` and its like the columns that
//! are still among the chosen), so an aggregation over many series costs memory for its groups alone.

mod fold;
mod parts;
mod pick;

use crate::{
    budget::Budget,
    column::{Cell, Column},
    error::EvalError,
    note::{Note, Notes},
    number::{plain, quantile},
};
use fold::Fold;
use model::{Labels, LabelsBuilder, labels::METRIC_NAME};
use pick::Picked;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Quantile,
    CountValues,
    TopK,
    BottomK,
    LimitK,
    LimitRatio,
}

impl Op {
    pub const ALL: [Op; 14] = [
        Op::Sum,
        Op::Avg,
        Op::Min,
        Op::Max,
        Op::Count,
        Op::Group,
        Op::Stddev,
        Op::Stdvar,
        Op::Quantile,
        Op::CountValues,
        Op::TopK,
        Op::BottomK,
        Op::LimitK,
        Op::LimitRatio,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Op::Sum => "sum",
            Op::Avg => "avg",
            Op::Min => "min",
            Op::Max => "max",
            Op::Count => "count",
            Op::Group => "group",
            Op::Stddev => "stddev",
            Op::Stdvar => "stdvar",
            Op::Quantile => "quantile",
            Op::CountValues => "count_values",
            Op::TopK => "topk",
            Op::BottomK => "bottomk",
            Op::LimitK => "limitk",
            Op::LimitRatio => "limit_ratio",
        }
    }

    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }

    /// Whether it takes a parameter before its vector.
    pub fn has_param(self) -> bool {
        matches!(self, Op::Quantile | Op::CountValues | Op::TopK | Op::BottomK | Op::LimitK | Op::LimitRatio)
    }

    /// Whether it answers some of its input series, unchanged.
    pub fn picks(self) -> bool {
        matches!(self, Op::TopK | Op::BottomK | Op::LimitK | Op::LimitRatio)
    }
}

/// `by (…)` or `without (…)`. The default, `by ()`, makes one group of everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

impl Grouping {
    /// The labels of the group that a series belongs to.
    pub fn key(&self, labels: &Labels) -> Labels {
        let named = |name: &str| self.labels.iter().any(|l| l == name);
        match self.without {
            true => labels.without(|name| is_reserved(name) || named(name)),
            false if self.labels.is_empty() => Labels::empty(),
            false => labels.keep(named),
        }
    }
}

/// Labels that describe a metric as a whole and that go away when a value is no longer one of that metric.
pub fn is_reserved(name: &str) -> bool {
    name == METRIC_NAME || name == "__type__" || name == "__unit__"
}

/// The parameter of an aggregation.
#[derive(Debug, Clone)]
pub enum Param {
    None,
    /// One number a step: k, φ or a ratio.
    Numbers(Vec<f64>),
    /// The label of `count_values`.
    Label(String),
}

/// An aggregation at work.
pub struct Aggregation<'a> {
    op: Op,
    grouping: Grouping,
    steps: usize,
    numbers: Vec<f64>,
    label: String,
    groups: HashMap<Labels, usize>,
    state: Vec<Group>,
    budget: &'a Budget<'a>,
}

struct Group {
    labels: Labels,
    drop_name: bool,
    kind: Kind,
}

enum Kind {
    Fold(Box<Fold>),
    /// All values of a step.
    Values(Vec<Vec<f64>>),
    Counts(HashMap<String, Column>),
    Picked(Box<Picked>),
}

impl<'a> Aggregation<'a> {
    /// Checks the parameter. `steps` is the length of every column to come.
    pub fn new(
        op: Op,
        grouping: Grouping,
        param: Param,
        steps: usize,
        budget: &'a Budget<'a>,
        notes: Notes<'_>,
    ) -> Result<Aggregation<'a>, EvalError> {
        let (mut numbers, mut label) = (Vec::new(), String::new());
        match param {
            Param::None => {}
            Param::Numbers(values) => numbers = values,
            Param::Label(name) => label = name,
        }
        for number in &mut numbers {
            check_number(op, number, notes)?;
        }
        Ok(Aggregation { op, grouping, steps, numbers, label, groups: HashMap::new(), state: Vec::new(), budget })
    }

    /// The same aggregation, which was given nothing yet: for a part of the input series, to be merged with the others.
    pub fn fork(&self) -> Aggregation<'a> {
        Aggregation {
            op: self.op,
            grouping: self.grouping.clone(),
            steps: self.steps,
            numbers: self.numbers.clone(),
            label: self.label.clone(),
            groups: HashMap::new(),
            state: Vec::new(),
            budget: self.budget,
        }
    }

    /// Takes over what a fork was given after this one. The same as if this one had been given all of it, but for the
    /// last bits of sums.
    pub fn merge(&mut self, other: Aggregation<'a>, notes: Notes<'_>) -> Result<(), EvalError> {
        for group in other.state {
            self.budget.release(self.size_of_group(&group.labels));
            let at = self.group(group.labels, group.drop_name)?;
            match (&mut self.state[at].kind, group.kind) {
                (Kind::Fold(fold), Kind::Fold(other)) => fold.merge(*other, notes),
                (Kind::Values(values), Kind::Values(others)) => {
                    values.iter_mut().zip(others).for_each(|(values, mut others)| values.append(&mut others));
                }
                (Kind::Counts(counts), Kind::Counts(others)) => {
                    for (text, other) in others {
                        self.budget.release(other.size() + text.len());
                        add_counts(counts, text, other, self.budget)?;
                    }
                }
                (Kind::Picked(picked), Kind::Picked(other)) => {
                    picked.merge(*other, &self.numbers, self.budget, notes)?;
                }
                _ => debug_assert!(false, "aggregations of two operations"),
            }
        }
        Ok(())
    }

    /// Takes one input series.
    pub fn push(&mut self, column: Column, notes: Notes<'_>) -> Result<(), EvalError> {
        if column.is_empty() {
            return Ok(());
        }
        let group = self.group(self.key(&column.labels), column.drop_name)?;
        let state = &mut self.state[group];
        match &mut state.kind {
            Kind::Fold(fold) => fold.push(&column, notes),
            Kind::Values(values) => {
                for (step, values) in values.iter_mut().enumerate() {
                    match column.get(step) {
                        Cell::Absent => {}
                        Cell::Float(value) => {
                            self.budget.charge(8)?;
                            values.push(value);
                        }
                        Cell::Histogram(_) => notes(Note::HistogramIgnored { aggregation: self.op.name() }),
                    }
                }
            }
            Kind::Counts(counts) => {
                for step in 0..self.steps {
                    let text = match column.get(step) {
                        Cell::Absent => continue,
                        Cell::Float(value) => plain(value),
                        Cell::Histogram(histogram) => histogram.text(),
                    };
                    if !counts.contains_key(&text) {
                        let counted = Column::new(state.labels.with(&self.label, &text), self.steps);
                        self.budget.charge(counted.size() + text.len())?;
                        counts.insert(text.clone(), counted);
                    }
                    if let Some(counted) = counts.get_mut(&text) {
                        counted.set(step, counted.float(step).unwrap_or(0.0) + 1.0);
                    }
                }
            }
            Kind::Picked(picked) => picked.push(column, &self.numbers, self.budget, notes)?,
        }
        Ok(())
    }

    /// The groups' columns, in the order in which the groups first came up; those of chosen series in the order of the
    /// groups' labels.
    pub fn finish(mut self, notes: Notes<'_>) -> Vec<Column> {
        if self.op.picks() {
            self.state.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        let mut out = Vec::with_capacity(self.state.len());
        for group in self.state {
            let first = out.len();
            match group.kind {
                Kind::Fold(fold) => out.push(fold.finish(group.labels, notes)),
                Kind::Values(values) => {
                    let mut column = Column::new(group.labels, self.steps);
                    for (step, mut values) in values.into_iter().enumerate() {
                        if !values.is_empty() {
                            column.set(step, quantile(self.numbers[step], &mut values));
                        }
                    }
                    out.push(column);
                }
                Kind::Counts(counts) => {
                    let mut counts: Vec<Column> = counts.into_values().collect();
                    counts.sort_by(|a, b| a.labels.cmp(&b.labels));
                    out.extend(counts);
                }
                Kind::Picked(picked) => {
                    out.extend(picked.finish());
                    continue;
                }
            }
            for column in &mut out[first..] {
                column.drop_name = group.drop_name;
            }
        }
        out
    }

    fn key(&self, labels: &Labels) -> Labels {
        let labels = self.grouping.key(labels);
        match self.op {
            // The counted label replaces one of the group's own.
            Op::CountValues => LabelsBuilder::from(&labels).remove(&self.label).build(),
            _ => labels,
        }
    }

    /// What a group costs from its beginning on.
    fn size_of_group(&self, labels: &Labels) -> usize {
        let step = match self.op {
            op if op.picks() || op == Op::Quantile => size_of::<Vec<f64>>(),
            Op::CountValues => 0,
            op => Fold::size_of_step(op),
        };
        self.steps * step + 2 * labels.packed().len() + 160
    }

    fn group(&mut self, labels: Labels, drop_name: bool) -> Result<usize, EvalError> {
        if let Some(&group) = self.groups.get(&labels) {
            self.state[group].drop_name |= drop_name;
            return Ok(group);
        }
        self.budget.charge(self.size_of_group(&labels))?;
        let kind = match self.op {
            Op::Quantile => Kind::Values(vec![Vec::new(); self.steps]),
            Op::CountValues => Kind::Counts(HashMap::new()),
            op if op.picks() => Kind::Picked(Box::new(Picked::new(op, self.steps))),
            op => Kind::Fold(Box::new(Fold::new(op, self.steps))),
        };
        self.state.push(Group { labels: labels.clone(), drop_name, kind });
        self.groups.insert(labels, self.state.len() - 1);
        Ok(self.state.len() - 1)
    }
}

/// Adds how often a value came up elsewhere.
fn add_counts(
    counts: &mut HashMap<String, Column>,
    text: String,
    other: Column,
    budget: &Budget<'_>,
) -> Result<(), EvalError> {
    let Some(counted) = counts.get_mut(&text) else {
        budget.charge(other.size() + text.len())?;
        counts.insert(text, other);
        return Ok(());
    };
    for step in 0..other.steps() {
        if let Some(count) = other.float(step) {
            counted.set(step, counted.float(step).unwrap_or(0.0) + count);
        }
    }
    Ok(())
}

fn check_number(op: Op, number: &mut f64, notes: Notes<'_>) -> Result<(), EvalError> {
    match op {
        Op::Quantile if !(0.0..=1.0).contains(number) => notes(Note::InvalidQuantile(*number)),
        Op::TopK | Op::BottomK | Op::LimitK => {
            if number.is_nan() {
                return Err(EvalError::execution("Parameter value is NaN"));
            }
            if *number >= i64::MAX as f64 {
                return Err(EvalError::execution(format!("Scalar value {} overflows int64", plain(*number))));
            }
            if *number <= i64::MIN as f64 {
                return Err(EvalError::execution(format!("Scalar value {} underflows int64", plain(*number))));
            }
        }
        Op::LimitRatio => {
            if number.is_nan() {
                return Err(EvalError::execution("Ratio value is NaN"));
            }
            let capped = number.clamp(-1.0, 1.0);
            if capped != *number {
                notes(Note::InvalidRatio { ratio: *number, capped });
                *number = capped;
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
