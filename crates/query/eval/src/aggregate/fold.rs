//! Groups that need only a few numbers a step: sum, avg, min, max, count, group, stddev, stdvar.

use crate::{
    aggregate::Op,
    column::{Cell, Column},
    histogram::Native,
    note::{Note, Notes, report},
    number::{Deviation, Kahan, Mean},
};
use model::{Labels, histogram::ResetHint};
use std::sync::Arc;

/// The state of one group over all steps.
pub struct Fold {
    op: Op,
    numbers: Numbers,
    /// Made when the first histogram comes.
    histograms: Vec<Histograms>,
}

enum Numbers {
    Sums(Vec<Option<Kahan>>),
    Means(Vec<Mean>),
    Extremes(Vec<Option<f64>>),
    Counts(Vec<f64>),
    Deviations(Vec<Deviation>),
}

/// The histograms of one step.
#[derive(Default, Clone)]
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

impl Fold {
    pub fn new(op: Op, steps: usize) -> Fold {
        let numbers = match op {
            Op::Sum => Numbers::Sums(vec![None; steps]),
            Op::Avg => Numbers::Means(vec![Mean::default(); steps]),
            Op::Min | Op::Max => Numbers::Extremes(vec![None; steps]),
            Op::Stddev | Op::Stdvar => Numbers::Deviations(vec![Deviation::default(); steps]),
            _ => Numbers::Counts(vec![0.0; steps]),
        };
        Fold { op, numbers, histograms: Vec::new() }
    }

    pub fn push(&mut self, column: &Column, notes: Notes<'_>) {
        for step in 0..column.steps() {
            match column.get(step) {
                Cell::Absent => {}
                Cell::Float(value) => self.push_float(step, value),
                Cell::Histogram(histogram) => self.push_histogram(step, histogram, column, notes),
            }
        }
    }

    fn push_float(&mut self, step: usize, value: f64) {
        match &mut self.numbers {
            Numbers::Sums(sums) => match &mut sums[step] {
                Some(sum) => sum.add(value),
                empty => *empty = Some(Kahan::new(value)),
            },
            Numbers::Means(means) => means[step].add(value),
            Numbers::Extremes(extremes) => {
                let keep = match extremes[step] {
                    None => false,
                    Some(known) if known.is_nan() => false,
                    Some(known) if self.op == Op::Min => known <= value || value.is_nan(),
                    Some(known) => known >= value || value.is_nan(),
                };
                if !keep {
                    extremes[step] = Some(value);
                }
            }
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
        }
        let state = &mut self.histograms[step];
        state.reset |= histogram.reset == ResetHint::Yes;
        state.not_reset |= histogram.reset == ResetHint::No;
        state.count += 1.0;
        state.sum.add(histogram.sum);
        let Some(total) = &mut state.total else {
            state.total = Some(Box::new(Native::clone(histogram)));
            return;
        };
        if state.incompatible {
            return;
        }
        match total.add(histogram) {
            Ok(bent) => {
                // Contradicting hints are reported once, at the end.
                let bent = crate::histogram::Bent { collision: false, ..bent };
                report(bent, "aggregation", notes);
            }
            Err(_) => {
                state.incompatible = true;
                notes(Note::MixedSchemas { metric: column.labels.metric_name().to_owned() });
            }
        }
    }

    pub fn finish(self, labels: Labels, notes: Notes<'_>) -> Column {
        let steps = match &self.numbers {
            Numbers::Sums(v) => v.len(),
            Numbers::Means(v) => v.len(),
            Numbers::Extremes(v) => v.len(),
            Numbers::Counts(v) => v.len(),
            Numbers::Deviations(v) => v.len(),
        };
        let mut column = Column::new(labels, steps);
        for step in 0..steps {
            let number = match &self.numbers {
                Numbers::Sums(sums) => sums[step].map(|sum| sum.value()),
                Numbers::Means(means) => (means[step].count() > 0.0).then(|| means[step].value()),
                Numbers::Extremes(extremes) => extremes[step],
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
