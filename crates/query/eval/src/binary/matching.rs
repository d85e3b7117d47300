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
/// the "many" side one by one, then call `finish`. Results go on at once, so columns of equal labels may come several
/// times, each with other steps. Only the "one" side is kept.
pub struct Join<'a> {
    style: Style,
    matching: &'a Matching,
    steps: usize,
    budget: &'a Budget<'a>,
    groups: HashMap<Labels, Side>,
    /// Steps at which two series of the "one" side have one signature: an error, if the "many" side has anything there.
    duplicate: Vec<Option<String>>,
    /// Whether there is any of those.
    is_ambiguous: bool,
    /// For the labels of each result, at which steps it was made; only where two series could make one.
    made: HashMap<Labels, Steps>,
}

/// The "one" side of one signature.
#[derive(Default)]
struct Side {
    columns: Vec<Column>,
    /// The steps at which a series of the "many" side came by.
    taken: Steps,
}

/// A set of steps, a bit each.
#[derive(Default, Clone)]
struct Steps(Vec<u64>);

impl Steps {
    fn new(steps: usize) -> Steps {
        Steps(vec![0; steps.div_ceil(64)])
    }

    fn has(&self, step: usize) -> bool {
        self.0.get(step / 64).is_some_and(|bits| bits >> (step % 64) & 1 == 1)
    }

    fn add(&mut self, step: usize) {
        self.0[step / 64] |= 1 << (step % 64);
    }

    fn size(steps: usize) -> usize {
        steps.div_ceil(64) * 8
    }
}

/// Takes what a join makes.
pub type Sink<'s> = &'s mut dyn FnMut(Column) -> Result<(), EvalError>;

/// The columns that come of one series. They are few.
struct Results {
    columns: Vec<Column>,
    /// Which of them each partner leads to: looked up once, not at every step.
    of_partner: Vec<Option<usize>>,
}

impl Results {
    fn new(partners: usize) -> Results {
        Results { columns: Vec::new(), of_partner: vec![None; partners] }
    }
}

impl<'a> Join<'a> {
    pub fn new(style: Style, matching: &'a Matching, steps: usize, budget: &'a Budget<'a>) -> Join<'a> {
        Join {
            style,
            matching,
            steps,
            budget,
            groups: HashMap::new(),
            duplicate: vec![None; steps],
            is_ambiguous: false,
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
            if let Some(other) = side.columns.iter().find(|c| c.present(step))
                && self.duplicate[step].is_none()
            {
                self.is_ambiguous = true;
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

    /// Takes a series of the "many" side and gives on what comes of it.
    pub fn push_many(&mut self, column: &Column, notes: Notes<'_>, sink: Sink<'_>) -> Result<(), EvalError> {
        let signature = self.matching.signature(&column.labels);
        if self.is_ambiguous {
            for step in (0..self.steps).filter(|step| column.present(*step)) {
                if let Some(text) = &self.duplicate[step] {
                    return Err(EvalError::execution(text.clone()));
                }
            }
        }
        let fill = self.fill_one();
        let mut side = match self.groups.remove(&signature) {
            Some(side) => side,
            // Series without a partner are remembered too where they may be filled.
            None if fill.is_some() => Side::default(),
            None => return Ok(()),
        };
        if side.taken.0.is_empty() {
            self.budget.charge(Steps::size(self.steps))?;
            side.taken = Steps::new(self.steps);
        }
        let outcome = self.join_steps(column, &mut side, &signature, fill, notes);
        self.groups.insert(signature, side);
        // One to one, a signature has one series at a step, so results cannot meet.
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let mut results = outcome?.into_iter().filter(|column| !column.is_empty());
        if one_to_one {
            results.try_for_each(sink)
        } else {
            results.try_for_each(|column| self.give(column, &mut *sink))
        }
    }

    /// The partner changes over time; all stretches with one partner make one result column.
    fn join_steps(
        &mut self,
        column: &Column,
        side: &mut Side,
        signature: &Labels,
        fill: Option<f64>,
        notes: Notes<'_>,
    ) -> Result<Vec<Column>, EvalError> {
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let one_is_left = self.matching.one_is_left();
        let mut results = Results::new(side.columns.len() + 1);
        for step in 0..self.steps {
            let many = column.get(step);
            if many.is_absent() {
                continue;
            }
            let partner = side.columns.iter().position(|one| one.present(step));
            let one = match (partner, fill) {
                (Some(at), _) => side.columns[at].get(step),
                (None, Some(value)) => Cell::Float(value),
                (None, None) => continue,
            };
            if one_to_one && side.taken.has(step) {
                return Err(EvalError::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            side.taken.add(step);
            let (left, right) = if one_is_left { (one, many) } else { (many, one) };
            let outcome = combine(self.style.op, left, right, self.style.truth, false, notes);
            let slot = partner.unwrap_or(side.columns.len());
            let result = match results.of_partner[slot] {
                Some(result) => result,
                None => {
                    let (labels, drop_name) = match partner {
                        Some(at) => (&side.columns[at].labels, side.columns[at].drop_name),
                        None => (signature, false),
                    };
                    let drop_name = self.drops(if one_is_left { drop_name } else { column.drop_name });
                    let name = self.name(&column.labels, labels);
                    self.result(&mut results, slot, name, drop_name)
                }
            };
            results.columns[result].copy(step, outcome.as_cell());
        }
        Ok(results.columns)
    }

    /// The result column of these labels, made when there is none yet.
    fn result(&self, results: &mut Results, slot: usize, labels: Labels, drop_name: bool) -> usize {
        let known = results.columns.iter().position(|c| c.labels == labels && c.drop_name == drop_name);
        let at = known.unwrap_or_else(|| {
            let mut column = Column::new(labels, self.steps);
            column.drop_name = drop_name;
            results.columns.push(column);
            results.columns.len() - 1
        });
        results.of_partner[slot] = Some(at);
        at
    }

    /// Gives a result on, unless another one of its labels has a value at a step of its.
    fn give(&mut self, column: Column, sink: Sink<'_>) -> Result<(), EvalError> {
        if column.is_empty() {
            return Ok(());
        }
        if !self.made.contains_key(&column.labels) {
            self.budget.charge(Steps::size(self.steps) + 2 * column.labels.packed().len() + 64)?;
        }
        let made = self.made.entry(column.labels.clone()).or_insert_with(|| Steps::new(self.steps));
        for step in (0..self.steps).filter(|step| column.present(*step)) {
            if made.has(step) {
                return Err(EvalError::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            made.add(step);
        }
        sink(column)
    }

    /// Fills series that only the "one" side has.
    pub fn finish(mut self, notes: Notes<'_>, sink: Sink<'_>) -> Result<(), EvalError> {
        let Some(value) = self.fill_many() else { return Ok(()) };
        let one_is_left = self.matching.one_is_left();
        for (signature, side) in std::mem::take(&mut self.groups) {
            for one in &side.columns {
                let drop_name = self.drops(false);
                let mut result = Column::new(self.name(&signature, &one.labels), self.steps);
                result.drop_name = drop_name;
                for step in (0..self.steps).filter(|step| one.present(*step) && !side.taken.has(*step)) {
                    if let Some(text) = &self.duplicate[step] {
                        return Err(EvalError::execution(text.clone()));
                    }
                    let cells = (one.get(step), Cell::Float(value));
                    let (left, right) = if one_is_left { cells } else { (cells.1, cells.0) };
                    let outcome = combine(self.style.op, left, right, self.style.truth, false, notes);
                    result.copy(step, outcome.as_cell());
                }
                self.give(result, sink)?;
            }
        }
        Ok(())
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
