//! Operators between two vectors whose series are matched by labels: one to one, many to one, one to many.

use crate::{
    aggregate::is_reserved,
    binary::{Cardinality, Matching, Op, cell::combine},
    budget::Budget,
    column::{Cell, Column},
    error::EvalError,
    note::Notes,
};
use model::{Labels, LabelsBuilder};
use std::collections::HashMap;

impl Matching {
    /// What two series must have in common to match.
    pub fn signature(&self, labels: &Labels) -> Labels {
        let named = |name: &str| self.labels.iter().any(|l| l == name);
        match self.on {
            true => labels.keep(named),
            false => labels.without(|name| is_reserved(name) || named(name)),
        }
    }

    /// Whether the "one" side is the left one.
    pub fn one_is_left(&self) -> bool {
        self.cardinality == Cardinality::OneToMany
    }
}

/// How an operator treats what it makes.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub op: Op,
    /// The `bool` modifier.
    pub truth: bool,
    /// Leave names on and mark the columns, see [`Column::drop_name`].
    pub delay_names: bool,
}

/// Joins two vectors. First give all series of the "one" side (the right one, except for `group_right`), then those of
/// the "many" side one by one, then call `finish`. Only the "one" side and the results are kept.
pub struct Join<'a> {
    style: Style,
    matching: &'a Matching,
    steps: usize,
    budget: &'a Budget<'a>,
    groups: HashMap<Labels, Side>,
    /// Steps at which the "one" side has anything.
    one_present: Vec<bool>,
    /// Steps at which two series of the "one" side have one signature: an error, if the "many" side has anything there.
    duplicate: Vec<Option<String>>,
    results: HashMap<(Labels, bool), Column>,
    order: Vec<(Labels, bool)>,
    /// For each result, at which steps it was made, filtered away or not.
    made: HashMap<Labels, Vec<bool>>,
}

/// The "one" side of one signature.
#[derive(Default)]
struct Side {
    columns: Vec<Column>,
    /// One-to-one: the steps at which a series of the "many" side came by.
    seen: Vec<bool>,
    taken: Vec<bool>,
}

impl<'a> Join<'a> {
    pub fn new(style: Style, matching: &'a Matching, steps: usize, budget: &'a Budget<'a>) -> Join<'a> {
        Join {
            style,
            matching,
            steps,
            budget,
            groups: HashMap::new(),
            one_present: vec![false; steps],
            duplicate: vec![None; steps],
            results: HashMap::new(),
            order: Vec::new(),
            made: HashMap::new(),
        }
    }

    /// Takes a series of the "one" side.
    pub fn push_one(&mut self, column: Column) -> Result<(), EvalError> {
        self.budget.charge(column.size())?;
        let signature = self.matching.signature(&column.labels);
        let side = self.groups.entry(signature.clone()).or_default();
        for step in 0..self.steps {
            if !column.present(step) {
                continue;
            }
            self.one_present[step] = true;
            if let Some(other) = side.columns.iter().find(|c| c.present(step))
                && self.duplicate[step].is_none()
            {
                let which = if self.matching.one_is_left() { "left" } else { "right" };
                self.duplicate[step] = Some(format!(
                    "found duplicate series for the match group {signature} on the {which} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    column.labels, other.labels
                ));
            }
        }
        side.columns.push(column);
        Ok(())
    }

    /// Takes a series of the "many" side.
    pub fn push_many(&mut self, column: &Column, notes: Notes<'_>) -> Result<(), EvalError> {
        let signature = self.matching.signature(&column.labels);
        for step in 0..self.steps {
            if column.present(step)
                && let Some(text) = &self.duplicate[step]
            {
                return Err(EvalError::execution(text.clone()));
            }
        }
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let fill = self.fill_one();
        let mut side = match self.groups.remove(&signature) {
            Some(side) => side,
            // Series without a partner are remembered too where they may be filled or met twice.
            None if fill.is_some() || one_to_one => Side::default(),
            None => return Ok(()),
        };
        side.seen.resize(self.steps, false);
        side.taken.resize(self.steps, false);
        // The partner changes over time; each stretch with one partner makes one result column.
        let outcome = self.join_steps(column, &mut side, &signature, fill, one_to_one, notes);
        self.groups.insert(signature, side);
        outcome
    }

    fn join_steps(
        &mut self,
        column: &Column,
        side: &mut Side,
        signature: &Labels,
        fill: Option<f64>,
        one_to_one: bool,
        notes: Notes<'_>,
    ) -> Result<(), EvalError> {
        let mut names: Vec<Option<Labels>> = vec![None; side.columns.len() + 1];
        for step in 0..self.steps {
            if !column.present(step) {
                continue;
            }
            let partner = side.columns.iter().position(|one| one.present(step));
            let (one, labels, drop_name) = match (partner, fill) {
                (Some(at), _) => (side.columns[at].get(step), &side.columns[at].labels, side.columns[at].drop_name),
                (None, Some(value)) => (Cell::Float(value), signature, false),
                (None, None) => continue,
            };
            side.seen[step] = true;
            if one_to_one && side.taken[step] {
                return Err(EvalError::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            side.taken[step] = true;
            let name =
                names[partner.unwrap_or(side.columns.len())].get_or_insert_with(|| self.name(&column.labels, labels));
            let name = name.clone();
            let (left, right) =
                if self.matching.one_is_left() { (one, column.get(step)) } else { (column.get(step), one) };
            let outcome = combine(self.style.op, left, right, self.style.truth, false, notes);
            let drop_name = self.drops(if self.matching.one_is_left() { drop_name } else { column.drop_name });
            self.put(name, drop_name, step, outcome.as_cell(), !one_to_one)?;
        }
        Ok(())
    }

    /// Fills series that only the "one" side has, and gives all results in the order in which they first came up.
    pub fn finish(mut self, notes: Notes<'_>) -> Result<Vec<Column>, EvalError> {
        if let Some(value) = self.fill_many() {
            let groups = std::mem::take(&mut self.groups);
            for (signature, side) in &groups {
                for one in &side.columns {
                    for step in 0..self.steps {
                        if !one.present(step) || side.seen.get(step).copied().unwrap_or(false) {
                            continue;
                        }
                        if let Some(text) = &self.duplicate[step] {
                            return Err(EvalError::execution(text.clone()));
                        }
                        let name = self.name(signature, &one.labels);
                        let (left, right) = if self.matching.one_is_left() {
                            (one.get(step), Cell::Float(value))
                        } else {
                            (Cell::Float(value), one.get(step))
                        };
                        let outcome = combine(self.style.op, left, right, self.style.truth, false, notes);
                        let drop_name = self.drops(false);
                        self.put(name, drop_name, step, outcome.as_cell(), true)?;
                    }
                }
            }
        }
        let mut results = self.results;
        Ok(self.order.iter().filter_map(|key| results.remove(key)).collect())
    }

    /// What stands in for a series of the "one" side. With `group_right`, as in Prometheus, "left" in the names of the
    /// fill modifiers still means the "many" side, which then is written on the right.
    fn fill_one(&self) -> Option<f64> {
        self.matching.fill_right
    }

    fn fill_many(&self) -> Option<f64> {
        self.matching.fill_left
    }

    fn drops(&self, before: bool) -> bool {
        self.style.delay_names && (before || self.style.truth || self.style.op.drops_name())
    }

    fn put(
        &mut self,
        labels: Labels,
        drop_name: bool,
        step: usize,
        cell: Cell<'_>,
        unique: bool,
    ) -> Result<(), EvalError> {
        if unique {
            let steps = self.steps;
            let made = self.made.entry(labels.clone()).or_insert_with(|| vec![false; steps]);
            if made[step] && !cell.is_absent() {
                return Err(EvalError::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            made[step] |= !cell.is_absent();
        }
        if cell.is_absent() {
            return Ok(());
        }
        let key = (labels, drop_name);
        if !self.results.contains_key(&key) {
            let mut column = Column::new(key.0.clone(), self.steps);
            column.drop_name = drop_name;
            self.budget.charge(column.size())?;
            self.order.push(key.clone());
            self.results.insert(key.clone(), column);
        }
        if let Some(column) = self.results.get_mut(&key) {
            column.copy(step, cell);
        }
        Ok(())
    }

    /// The labels of what comes of a series of the "many" side and one of the "one" side.
    fn name(&self, many: &Labels, one: &Labels) -> Labels {
        let drop_now = !self.style.delay_names && (self.style.op.drops_name() || self.style.truth);
        let base = if drop_now { many.without(is_reserved) } else { many.clone() };
        let named = |name: &str| self.matching.labels.iter().any(|l| l == name);
        if self.matching.cardinality == Cardinality::OneToOne {
            return if self.matching.on { base.keep(named) } else { base.without(named) };
        }
        if self.matching.include.is_empty() {
            return base;
        }
        let mut builder = LabelsBuilder::from(&base);
        for label in &self.matching.include {
            builder.set(label.as_str(), one.value(label));
        }
        builder.build()
    }
}
