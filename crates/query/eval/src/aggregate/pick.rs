//! Aggregations that answer some of their input series: topk, bottomk, limitk, limit_ratio.

use crate::{
    aggregate::Op,
    budget::Budget,
    column::{Cell, Column},
    error::EvalError,
    note::{Note, Notes},
};
use model::Labels;
use std::{cmp::Ordering, collections::BTreeMap};
use xxhash_rust::xxh64::xxh64;

/// One group's chosen cells. A column is kept while at least one of its cells is chosen.
pub struct Picked {
    op: Op,
    /// Per step, worst first: the chosen values and whose they are.
    chosen: Vec<Vec<(f64, usize)>>,
    columns: BTreeMap<usize, Kept>,
    next: usize,
    /// The greatest of all labels that came. Of equal values, that of the lesser labels is better: so it does not matter
    /// who comes first.
    greatest: Option<Labels>,
}

/// A column that competes.
struct Candidate {
    id: usize,
    labels: Labels,
    /// Its labels are greater than those of all that came before.
    is_last: bool,
}

struct Kept {
    column: Column,
    cells: usize,
}

impl Picked {
    pub fn new(op: Op, steps: usize) -> Picked {
        Picked { op, chosen: vec![Vec::new(); steps], columns: BTreeMap::new(), next: 0, greatest: None }
    }

    pub fn push(
        &mut self,
        mut column: Column,
        numbers: &[f64],
        budget: &Budget<'_>,
        notes: Notes<'_>,
    ) -> Result<(), EvalError> {
        let (id, labels) = (self.next, column.labels.clone());
        self.next += 1;
        let is_last = self.greatest.as_ref().is_none_or(|greatest| labels > *greatest);
        if is_last {
            self.greatest = Some(labels.clone());
        }
        let candidate = Candidate { id, labels, is_last };
        let mut cells = 0;
        // Where this column's own place in [0, 1) lies, for ratios: its hash, so that it is always the same. Prometheus
        // hashes the same bytes with the same function (for names and values shorter than 127 bytes).
        let place = xxh64(column.labels.packed(), 0) as f64 / u64::MAX as f64;
        for (step, &number) in numbers.iter().enumerate() {
            let cell = column.get(step);
            let (chosen, evicted) = match (self.op, cell) {
                (_, Cell::Absent) => continue,
                (Op::LimitRatio, _) => {
                    let within = if number >= 0.0 { place < number || number == 1.0 } else { place >= 1.0 + number };
                    (within && number != 0.0, None)
                }
                (Op::LimitK, _) => {
                    let room = self.chosen[step].len() < number.max(0.0) as usize;
                    if room {
                        self.chosen[step].push((0.0, id));
                    }
                    (room, None)
                }
                (op, Cell::Histogram(_)) => {
                    notes(Note::HistogramIgnored { aggregation: op.name() });
                    (false, None)
                }
                (_, Cell::Float(value)) => self.compete(step, value, &candidate, number),
            };
            if chosen {
                cells += 1;
            } else {
                column.clear(step);
            }
            if let Some(loser) = evicted {
                self.evict(loser, step, budget);
            }
        }
        if cells > 0 {
            budget.charge(column.size())?;
            self.columns.insert(id, Kept { column, cells });
        }
        Ok(())
    }

    /// The chosen columns, in the order in which they came.
    pub fn into_columns(self) -> impl Iterator<Item = Column> {
        self.columns.into_values().map(|kept| kept.column)
    }

    /// Takes over what another one was given after this one: what it has not chosen would not be chosen here either.
    pub fn merge(
        &mut self,
        other: Picked,
        numbers: &[f64],
        budget: &Budget<'_>,
        notes: Notes<'_>,
    ) -> Result<(), EvalError> {
        for column in other.into_columns() {
            budget.release(column.size());
            self.push(column, numbers, budget, notes)?;
        }
        Ok(())
    }

    /// Whether a value is among the k best so far, and whom it pushes out.
    fn compete(&mut self, step: usize, value: f64, candidate: &Candidate, k: f64) -> (bool, Option<usize>) {
        if k < 1.0 {
            return (false, None);
        }
        let (top, columns, chosen) = (self.op == Op::TopK, &self.columns, &mut self.chosen[step]);
        let is_before = |id: &usize| columns.get(id).is_some_and(|kept| candidate.labels < kept.column.labels);
        let is_worse = |(other, id): &(f64, usize)| match order(top, *other, value) {
            Ordering::Equal => !candidate.is_last && is_before(id),
            ordering => ordering.is_lt(),
        };
        let full = chosen.len() >= k as usize;
        if full && !chosen.first().is_some_and(is_worse) {
            return (false, None);
        }
        let at = chosen.partition_point(is_worse);
        chosen.insert(at, (value, candidate.id));
        (true, full.then(|| chosen.remove(0).1))
    }

    fn evict(&mut self, loser: usize, step: usize, budget: &Budget<'_>) {
        let Some(kept) = self.columns.get_mut(&loser) else { return };
        kept.column.clear(step);
        kept.cells -= 1;
        if kept.cells == 0 {
            budget.release(kept.column.size());
            self.columns.remove(&loser);
        }
    }

    /// The chosen columns; of an instant query best first.
    pub fn finish(mut self) -> Vec<Column> {
        if self.chosen.len() == 1 && matches!(self.op, Op::TopK | Op::BottomK) {
            let best_first = self.chosen[0].iter().rev();
            return best_first.filter_map(|(_, id)| self.columns.remove(id)).map(|kept| kept.column).collect();
        }
        self.into_columns().collect()
    }
}

/// How good `a` is against `b`; NaN is worse than every number.
fn order(top: bool, a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => {
            let ordering = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if top { ordering } else { ordering.reverse() }
        }
    }
}
