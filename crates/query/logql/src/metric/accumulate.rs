//! What a series keeps of its samples until its column is made.

use super::counting::Windows;
use crate::ast::{RangeAggregation, RangeOp};
use eval::column::{Column, Grid};
use eval::number::{Deviation, Kahan, Mean, quantile};
use serde::{Deserialize, Serialize};
use std::mem::discriminant;

/// The state of one series over all steps. A sample counts at each step whose window it is in.
#[derive(Serialize, Deserialize)]
pub(super) enum Accumulator {
    /// How many more samples (and how much more of their sum) each step has than the one before: a sample costs the
    /// same however many windows it is in. Exact, because counts and sizes are whole numbers.
    Whole {
        counts: Vec<i64>,
        sums: Vec<i64>,
    },
    Sums(Vec<Option<Kahan>>),
    Means(Vec<Mean>),
    Extremes {
        max: bool,
        best: Vec<Option<f64>>,
    },
    /// The earliest or the latest sample.
    Edges {
        latest: bool,
        edge: Vec<Option<(i64, f64)>>,
    },
    Deviations(Vec<Deviation>),
    /// All samples, for what needs them in order.
    Samples(Vec<(i64, f64)>),
}

impl Accumulator {
    pub(super) fn new(aggregation: &RangeAggregation, steps: usize) -> Accumulator {
        match aggregation.op {
            RangeOp::Rate if aggregation.unwrap.is_some() => Accumulator::Sums(vec![None; steps]),
            RangeOp::Count | RangeOp::Rate | RangeOp::Absent => {
                Accumulator::Whole { counts: vec![0; steps + 1], sums: Vec::new() }
            }
            RangeOp::Bytes | RangeOp::BytesRate => {
                Accumulator::Whole { counts: vec![0; steps + 1], sums: vec![0; steps + 1] }
            }
            RangeOp::Sum => Accumulator::Sums(vec![None; steps]),
            RangeOp::Avg => Accumulator::Means(vec![Mean::default(); steps]),
            RangeOp::Max | RangeOp::Min => {
                Accumulator::Extremes { max: aggregation.op == RangeOp::Max, best: vec![None; steps] }
            }
            RangeOp::First | RangeOp::Last => {
                Accumulator::Edges { latest: aggregation.op == RangeOp::Last, edge: vec![None; steps] }
            }
            RangeOp::Stddev | RangeOp::Stdvar => Accumulator::Deviations(vec![Deviation::default(); steps]),
            RangeOp::Quantile | RangeOp::RateCounter => Accumulator::Samples(Vec::new()),
        }
    }

    /// About how many bytes this takes before any sample.
    pub(super) fn size(&self) -> usize {
        match self {
            Accumulator::Whole { counts, sums } => 8 * (counts.len() + sums.len()),
            Accumulator::Sums(v) => size_of::<Option<Kahan>>() * v.len(),
            Accumulator::Means(v) => size_of::<Mean>() * v.len(),
            Accumulator::Extremes { best, .. } => 16 * best.len(),
            Accumulator::Edges { edge, .. } => 24 * edge.len(),
            Accumulator::Deviations(v) => size_of::<Deviation>() * v.len(),
            Accumulator::Samples(_) => 0,
        }
    }

    /// Takes a sample for the steps `first..=last`; answers how many bytes more are kept now, if any.
    pub(super) fn add(&mut self, time: i64, value: f64, (first, last): (usize, usize)) -> Option<usize> {
        match self {
            Accumulator::Whole { counts, sums } => {
                counts[first] += 1;
                counts[last + 1] -= 1;
                if !sums.is_empty() {
                    sums[first] += value as i64;
                    sums[last + 1] -= value as i64;
                }
            }
            Accumulator::Sums(sums) => {
                for sum in &mut sums[first..=last] {
                    match sum {
                        Some(sum) => sum.add(value),
                        None => *sum = Some(Kahan::new(value)),
                    }
                }
            }
            Accumulator::Means(means) => means[first..=last].iter_mut().for_each(|mean| mean.add(value)),
            Accumulator::Extremes { max, best } => {
                best[first..=last].iter_mut().for_each(|best| *best = better(*max, *best, Some(value)));
            }
            Accumulator::Edges { latest, edge } => {
                edge[first..=last].iter_mut().for_each(|edge| *edge = outer(*latest, *edge, Some((time, value))));
            }
            Accumulator::Deviations(deviations) => deviations[first..=last].iter_mut().for_each(|d| d.add(value)),
            Accumulator::Samples(samples) => {
                let before = samples.capacity();
                samples.push((time, value));
                return (samples.capacity() != before).then(|| 16 * (samples.capacity() - before));
            }
        }
        None
    }

    /// Takes so many rows for the steps `first..=last`, in whose place nothing but their number is wanted.
    pub(super) fn count(&mut self, rows: usize, (first, last): (usize, usize)) {
        debug_assert!(matches!(self, Accumulator::Whole { sums, .. } if sums.is_empty()));
        if let Accumulator::Whole { counts, .. } = self {
            counts[first] += rows as i64;
            counts[last + 1] -= rows as i64;
        }
    }

    /// Whether one of unknown origin is one of this aggregation and so many steps.
    pub(super) fn fits(&self, aggregation: &RangeAggregation, steps: usize) -> bool {
        let like = Accumulator::new(aggregation, steps);
        let samples = matches!(self, Accumulator::Samples(_));
        let extremes = |of: &Accumulator| matches!(of, Accumulator::Extremes { max: true, .. });
        let edges = |of: &Accumulator| matches!(of, Accumulator::Edges { latest: true, .. });
        let counts = |of: &Accumulator| if let Accumulator::Whole { counts, .. } = of { counts.len() } else { 0 };
        discriminant(self) == discriminant(&like)
            && (samples || self.size() == like.size())
            && extremes(self) == extremes(&like)
            && edges(self) == edges(&like)
            && counts(self) == counts(&like)
    }

    /// Takes over what another one of the same kind was given after this one; answers how many bytes more are kept now.
    pub(super) fn merge(&mut self, other: Accumulator) -> usize {
        fn each<T>(all: &mut [T], others: Vec<T>, mut merge: impl FnMut(&mut T, T)) {
            all.iter_mut().zip(others).for_each(|(one, other)| merge(one, other));
        }
        match (self, other) {
            (Accumulator::Whole { counts, sums }, Accumulator::Whole { counts: others, sums: other_sums }) => {
                each(counts, others, |count, more| *count = count.wrapping_add(more));
                each(sums, other_sums, |sum, more| *sum = sum.wrapping_add(more));
            }
            (Accumulator::Sums(sums), Accumulator::Sums(others)) => {
                each(sums, others, |sum, other| match (sum, other) {
                    (Some(sum), Some(other)) => sum.merge(other),
                    (sum @ None, other) => *sum = other,
                    (Some(_), None) => {}
                })
            }
            (Accumulator::Means(means), Accumulator::Means(others)) => each(means, others, Mean::merge),
            (Accumulator::Extremes { max, best }, Accumulator::Extremes { best: others, .. }) => {
                each(best, others, |best, other| *best = better(*max, *best, other));
            }
            (Accumulator::Edges { latest, edge }, Accumulator::Edges { edge: others, .. }) => {
                each(edge, others, |edge, other| *edge = outer(*latest, *edge, other));
            }
            (Accumulator::Deviations(all), Accumulator::Deviations(others)) => each(all, others, Deviation::merge),
            (Accumulator::Samples(samples), Accumulator::Samples(mut others)) => {
                let before = samples.capacity();
                samples.append(&mut others);
                return 16 * (samples.capacity() - before);
            }
            _ => debug_assert!(false, "accumulators of two kinds"),
        }
        0
    }

    /// Writes the numbers of the steps that have any.
    pub(super) fn finish(self, aggregation: &RangeAggregation, grid: Grid, column: &mut Column) {
        let seconds = aggregation.range as f64 / 1e9;
        let per_second = matches!(aggregation.op, RangeOp::Rate | RangeOp::BytesRate);
        let scaled = |value: f64| if per_second { value / seconds } else { value };
        match self {
            Accumulator::Whole { counts, sums } => {
                let (mut count, mut sum) = (0, 0);
                for (step, more) in counts.iter().take(grid.steps).enumerate() {
                    count += more;
                    sum += sums.get(step).copied().unwrap_or(0);
                    if count > 0 {
                        column.set(step, scaled(if sums.is_empty() { count as f64 } else { sum as f64 }));
                    }
                }
            }
            Accumulator::Sums(sums) => put(column, sums.into_iter().map(|sum| sum.map(|sum| scaled(sum.value())))),
            Accumulator::Means(means) => put(column, means.into_iter().map(|m| (m.count() > 0.0).then(|| m.value()))),
            Accumulator::Extremes { best, .. } => put(column, best),
            Accumulator::Edges { edge, .. } => put(column, edge.into_iter().map(|edge| edge.map(|(_, value)| value))),
            Accumulator::Deviations(deviations) => {
                let root = aggregation.op == RangeOp::Stddev;
                let number = |d: &Deviation| if root { d.variance().sqrt() } else { d.variance() };
                put(column, deviations.iter().map(|d| (d.count() > 0.0).then(|| number(d))));
            }
            Accumulator::Samples(samples)
                if aggregation.op == RangeOp::Quantile && (grid.steps == 1 || aggregation.range <= grid.step) =>
            {
                // Each is in one window, and no order is needed.
                let (mut windows, mut each) = (Windows::new(aggregation, grid), vec![Vec::new(); grid.steps]);
                for (time, value) in samples {
                    if let Some((step, _)) = windows.of(time) {
                        each[step].push(value);
                    }
                }
                let number = |mut values: Vec<f64>| {
                    (!values.is_empty()).then(|| quantile(aggregation.param.unwrap_or(0.0), &mut values))
                };
                put(column, each.into_iter().map(number));
            }
            Accumulator::Samples(mut samples) => {
                samples.sort_by_key(|(time, _)| *time);
                for step in 0..grid.steps {
                    let end = grid.time(step).saturating_sub(aggregation.offset);
                    let start = end.saturating_sub(aggregation.range);
                    let from = samples.partition_point(|(time, _)| *time <= start);
                    let to = samples.partition_point(|(time, _)| *time <= end);
                    let window = &samples[from..to];
                    let number = match aggregation.op {
                        RangeOp::Quantile if !window.is_empty() => {
                            let mut values: Vec<f64> = window.iter().map(|(_, value)| *value).collect();
                            Some(quantile(aggregation.param.unwrap_or(0.0), &mut values))
                        }
                        RangeOp::RateCounter => counter_rate(window, start, end),
                        _ => None,
                    };
                    if let Some(number) = number {
                        column.set(step, number);
                    }
                }
            }
        }
    }
}

/// The greater or lesser of two numbers; NaN only if there is nothing else.
fn better(max: bool, known: Option<f64>, other: Option<f64>) -> Option<f64> {
    let is_better = |known: f64, other: f64| known.is_nan() || if max { other > known } else { other < known };
    match (known, other) {
        (Some(a), Some(b)) if !is_better(a, b) => known,
        (_, None) => known,
        _ => other,
    }
}

/// The later or earlier of two samples; of one time, the one that came later is the later one.
fn outer(latest: bool, known: Option<(i64, f64)>, other: Option<(i64, f64)>) -> Option<(i64, f64)> {
    match (known, other) {
        (Some((a, _)), Some((b, _))) if if latest { b < a } else { b >= a } => known,
        (_, None) => known,
        _ => other,
    }
}

fn put(column: &mut Column, numbers: impl IntoIterator<Item = Option<f64>>) {
    for (step, number) in numbers.into_iter().enumerate() {
        if let Some(number) = number {
            column.set(step, number);
        }
    }
}

/// The increase per second of a counter that may start again at 0, extrapolated to the ends of the window as
/// Prometheus' `rate` does.
fn counter_rate(window: &[(i64, f64)], start: i64, end: i64) -> Option<f64> {
    let (first, last) = (window.first()?, window.last()?);
    if window.len() < 2 || first.0 == last.0 {
        return None;
    }
    let mut increase = last.1 - first.1;
    for pair in window.windows(2) {
        if pair[1].1 < pair[0].1 {
            increase += pair[0].1;
        }
    }
    let seconds = |from: i64, to: i64| to.saturating_sub(from) as f64 / 1e9;
    let (mut before, mut after) = (seconds(start, first.0), seconds(last.0, end));
    let sampled = seconds(first.0, last.0);
    let average = sampled / (window.len() - 1) as f64;
    if before >= average * 1.1 {
        before = average / 2.0;
    }
    if increase > 0.0 && first.1 >= 0.0 {
        before = before.min(sampled * (first.1 / increase));
    }
    if after >= average * 1.1 {
        after = average / 2.0;
    }
    Some(increase * ((sampled + before + after) / sampled) / seconds(start, end))
}
