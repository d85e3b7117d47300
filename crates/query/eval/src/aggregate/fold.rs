//! Groups that need only a few numbers a step: sum, avg, min, max, count, group, stddev, stdvar.

use crate::{
    aggregate::Op,
    column::{ABSENT, Cell, Column, is_absent},
    histogram::Native,
    note::{Note, Notes, report},
    number::{Deviation, Kahan, Mean},
};
use model::{Labels, histogram::ResetHint};
use serde::{Deserialize, Serialize};
use std::{mem::discriminant, sync::Arc};

/// The state of one group over all steps.
#[derive(Serialize, Deserialize)]
pub struct Fold {
    op: Op,
    numbers: Numbers,
    /// Made when the first histogram comes.
    histograms: Vec<Histograms>,
    /// The name of a metric that has histograms, for remarks.
    metric: String,
}

/// One element a step. Where nothing came yet, sums and extremes are [`ABSENT`], which no arithmetic makes.
#[derive(Serialize, Deserialize)]
enum Numbers {
    Sums(Vec<Kahan>),
    Means(Vec<Mean>),
    Extremes(Vec<f64>),
    Counts(Vec<f64>),
    Deviations(Vec<Deviation>),
}

/// The histograms of one step.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Histograms {
    total: Option<Box<Native>>,
    /// The sum of `total`, kept apart so that small parts survive.
    sum: Kahan,
    count: f64,
    /// Exponential and custom ones met.
    incompatible: bool,
    reset: bool,
    not_reset: bool,
}

impl Histograms {
    fn add(&mut self, histogram: &Native, metric: &str, notes: Notes<'_>) {
        let Some(total) = &mut self.total else {
            self.total = Some(Box::new(histogram.clone()));
            return;
        };
        if self.incompatible {
            return;
        }
        match total.add(histogram) {
            Ok(bent) => {
                // Contradicting hints are reported once, at the end.
                let bent = crate::histogram::Bent { collision: false, ..bent };
                report(bent, "aggregation", notes);
            }
            Err(_) => {
                self.incompatible = true;
                notes(Note::MixedSchemas { metric: metric.to_owned() });
            }
        }
    }
}

impl Fold {
    pub fn new(op: Op, steps: usize) -> Fold {
        let numbers = match op {
            Op::Sum => Numbers::Sums(vec![Kahan::new(ABSENT); steps]),
            Op::Avg => Numbers::Means(vec![Mean::default(); steps]),
            Op::Min | Op::Max => Numbers::Extremes(vec![ABSENT; steps]),
            Op::Stddev | Op::Stdvar => Numbers::Deviations(vec![Deviation::default(); steps]),
            _ => Numbers::Counts(vec![0.0; steps]),
        };
        Fold { op, numbers, histograms: Vec::new(), metric: String::new() }
    }

    /// How many bytes a step takes, without histograms.
    pub fn size_of_step(op: Op) -> usize {
        match op {
            Op::Sum => size_of::<Kahan>(),
            Op::Avg => size_of::<Mean>(),
            Op::Stddev | Op::Stdvar => size_of::<Deviation>(),
            _ => size_of::<f64>(),
        }
    }

    pub fn push(&mut self, column: &Column, notes: Notes<'_>) {
        if !column.has_histograms() {
            return self.push_floats(column.floats());
        }
        for step in 0..column.steps() {
            match column.get(step) {
                Cell::Absent => {}
                Cell::Float(value) => self.push_float(step, value),
                Cell::Histogram(histogram) => self.push_histogram(step, histogram, column, notes),
            }
        }
    }

    /// A column without histograms, by far the most frequent case.
    fn push_floats(&mut self, values: &[f64]) {
        let is_min = self.op == Op::Min;
        fn each<T>(all: &mut [T], values: &[f64], mut add: impl FnMut(&mut T, f64)) {
            for (state, &value) in all.iter_mut().zip(values).filter(|(_, value)| !is_absent(**value)) {
                add(state, value);
            }
        }
        match &mut self.numbers {
            Numbers::Sums(sums) => each(sums, values, add_to_sum),
            Numbers::Means(means) => each(means, values, Mean::add),
            Numbers::Extremes(extremes) if is_min => each(extremes, values, |best, value| keep_best(best, value, true)),
            Numbers::Extremes(extremes) => each(extremes, values, |best, value| keep_best(best, value, false)),
            Numbers::Counts(counts) => each(counts, values, |count, _| *count += 1.0),
            Numbers::Deviations(deviations) => each(deviations, values, Deviation::add),
        }
    }

    fn push_float(&mut self, step: usize, value: f64) {
        match &mut self.numbers {
            Numbers::Sums(sums) => add_to_sum(&mut sums[step], value),
            Numbers::Means(means) => means[step].add(value),
            Numbers::Extremes(extremes) => keep_best(&mut extremes[step], value, self.op == Op::Min),
            Numbers::Counts(counts) => counts[step] += 1.0,
            Numbers::Deviations(deviations) => deviations[step].add(value),
        }
    }

    fn push_histogram(&mut self, step: usize, histogram: &Arc<Native>, column: &Column, notes: Notes<'_>) {
        match &mut self.numbers {
            Numbers::Counts(counts) => return counts[step] += 1.0,
            Numbers::Sums(_) | Numbers::Means(_) => {}
            _ => return notes(Note::HistogramIgnored { aggregation: self.op.name() }),
        }
        if self.histograms.is_empty() {
            self.histograms = vec![Histograms::default(); column.steps()];
            self.metric = column.labels.metric_name().to_owned();
        }
        let state = &mut self.histograms[step];
        state.reset |= histogram.reset == ResetHint::Yes;
        state.not_reset |= histogram.reset == ResetHint::No;
        state.count += 1.0;
        state.sum.add(histogram.sum);
        state.add(histogram, column.labels.metric_name(), notes);
    }

    /// Takes over what another one of the same operation and as many steps was given after this one.
    pub fn merge(&mut self, other: Fold, notes: Notes<'_>) {
        fn each<T, U>(all: &mut [T], others: Vec<U>, mut add: impl FnMut(&mut T, U)) {
            all.iter_mut().zip(others).for_each(|(state, other)| add(state, other));
        }
        let is_min = self.op == Op::Min;
        match (&mut self.numbers, other.numbers) {
            (Numbers::Sums(all), Numbers::Sums(others)) => {
                each(all, others, |sum, other: Kahan| match is_absent(sum.sum) {
                    true => *sum = other,
                    false if is_absent(other.sum) => {}
                    false => sum.merge(other),
                })
            }
            (Numbers::Means(all), Numbers::Means(others)) => each(all, others, Mean::merge),
            (Numbers::Extremes(all), Numbers::Extremes(others)) => each(all, others, |best, other| {
                if !is_absent(other) {
                    keep_best(best, other, is_min);
                }
            }),
            (Numbers::Counts(all), Numbers::Counts(others)) => each(all, others, |count, other| *count += other),
            (Numbers::Deviations(all), Numbers::Deviations(others)) => each(all, others, Deviation::merge),
            _ => debug_assert!(false, "folds of two operations"),
        }
        if self.histograms.is_empty() {
            (self.histograms, self.metric) = (other.histograms, other.metric);
            return;
        }
        for (state, other_state) in self.histograms.iter_mut().zip(other.histograms) {
            let Histograms { total, sum, count, incompatible, reset, not_reset } = other_state;
            state.reset |= reset;
            state.not_reset |= not_reset;
            state.count += count;
            state.sum.merge(sum);
            state.incompatible |= incompatible;
            if let Some(total) = total {
                state.add(&total, &other.metric, notes);
            }
        }
    }

    /// Whether a state of unknown origin is one of this operation and so many steps.
    pub fn fits(&self, op: Op, steps: usize) -> bool {
        let like = discriminant(&Fold::new(op, 0).numbers);
        let histograms = self.histograms.len();
        self.op == op
            && like == discriminant(&self.numbers)
            && self.steps() == steps
            && (histograms == 0 || histograms == steps)
    }

    /// About how many bytes its histograms take, for budgets.
    pub fn size_of_histograms(&self) -> usize {
        let size = |state: &Histograms| size_of::<Histograms>() + state.total.as_ref().map_or(0, |total| total.size());
        self.histograms.iter().map(size).sum()
    }

    fn steps(&self) -> usize {
        match &self.numbers {
            Numbers::Sums(v) => v.len(),
            Numbers::Means(v) => v.len(),
            Numbers::Extremes(v) => v.len(),
            Numbers::Counts(v) => v.len(),
            Numbers::Deviations(v) => v.len(),
        }
    }

    pub fn finish(self, labels: Labels, notes: Notes<'_>) -> Column {
        let steps = self.steps();
        let mut column = Column::new(labels, steps);
        for step in 0..steps {
            let number = match &self.numbers {
                Numbers::Sums(sums) => (!is_absent(sums[step].sum)).then(|| sums[step].value()),
                Numbers::Means(means) => (means[step].count() > 0.0).then(|| means[step].value()),
                Numbers::Extremes(extremes) => (!is_absent(extremes[step])).then_some(extremes[step]),
                Numbers::Counts(counts) => {
                    (counts[step] > 0.0).then(|| if self.op == Op::Group { 1.0 } else { counts[step] })
                }
                Numbers::Deviations(deviations) => (deviations[step].count() > 0.0).then(|| match self.op {
                    Op::Stddev => deviations[step].variance().sqrt(),
                    _ => deviations[step].variance(),
                }),
            };
            let histograms = self.histograms.get(step);
            let total = histograms.and_then(|h| h.total.as_ref());
            match (number, histograms.zip(total)) {
                (Some(_), Some(_)) => notes(Note::MixedInAggregation),
                (Some(number), None) => column.set(step, number),
                (None, Some((state, total))) if !state.incompatible => {
                    if state.reset && state.not_reset {
                        notes(Note::ResetCollision { during: "aggregation" });
                    }
                    let mut total = Native::clone(total);
                    total.sum = state.sum.value();
                    if self.op == Op::Avg {
                        total.divide(state.count);
                    }
                    column.set_histogram(step, Arc::new(total));
                }
                _ => {}
            }
        }
        column
    }
}

fn add_to_sum(sum: &mut Kahan, value: f64) {
    match is_absent(sum.sum) {
        true => *sum = Kahan::new(value),
        false => sum.add(value),
    }
}

/// NaN counts only where there is nothing else; the state of nothing is a NaN too.
fn keep_best(best: &mut f64, value: f64, is_min: bool) {
    let better = if is_min { value < *best } else { value > *best };
    if better || best.is_nan() {
        *best = value;
    }
}
