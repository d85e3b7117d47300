//! The `…_over_time` functions.

use crate::functions::window::{IGNORED_IN_MIX, MIXED, MIXED_SCHEMAS, Point, Remarks, Window};
use eval::{
    binary::Outcome,
    histogram::Native,
    note::Note,
    number::{Deviation, Kahan, Mean, quantile},
};
use model::histogram::ResetHint;
use std::{collections::VecDeque, sync::Arc};

/// Applies one of the functions that need nothing but the window. Minimum and maximum have [`Extremes`].
pub fn apply(name: &str, window: &Window<'_>, remarks: &mut Remarks<'_>) -> Option<Outcome> {
    let seconds = |millis: i64| Outcome::Float(millis as f64 / 1000.0);
    if window.is_empty() {
        return Some(Outcome::Nothing);
    }
    Some(match name {
        "sum_over_time" => total(window, false, remarks),
        "avg_over_time" => total(window, true, remarks),
        "count_over_time" => Outcome::Float(window.len() as f64),
        "present_over_time" => Outcome::Float(1.0),
        "last_over_time" => point(window.last().map(|p| p.2)),
        "first_over_time" => point(window.first().map(|p| p.2)),
        "ts_of_first_over_time" => window.first().map_or(Outcome::Nothing, |p| seconds(p.0)),
        "ts_of_last_over_time" => window.last().map_or(Outcome::Nothing, |p| seconds(p.0)),
        // Of equal extremes the last one counts.
        "ts_of_min_over_time" => {
            floats(window, remarks, |times, values| times[fold(values, |best, v| v <= best).0] as f64 / 1000.0)
        }
        "ts_of_max_over_time" => {
            floats(window, remarks, |times, values| times[fold(values, |best, v| v >= best).0] as f64 / 1000.0)
        }
        "stddev_over_time" => floats(window, remarks, |_, values| deviation(values).variance().sqrt()),
        "stdvar_over_time" => floats(window, remarks, |_, values| deviation(values).variance()),
        "mad_over_time" => floats(window, remarks, |_, values| {
            if values.iter().any(|v| v.is_nan()) {
                return f64::NAN;
            }
            let mut values = values.to_vec();
            let median = quantile(0.5, &mut values);
            values.iter_mut().for_each(|v| *v = (*v - median).abs());
            quantile(0.5, &mut values)
        }),
        _ => return None,
    })
}

/// Minimum or maximum over windows of one series that only move on: the samples that may still become the extreme, best
/// first, so that a step costs what is new in its window and not what is in it.
pub struct Extremes {
    max: bool,
    /// Places in the series; later ones are worse or equal.
    candidates: VecDeque<usize>,
    /// Samples before this place were looked at.
    seen: usize,
}

impl Extremes {
    pub fn new(max: bool) -> Extremes {
        Extremes { max, candidates: VecDeque::new(), seen: 0 }
    }

    /// Another series begins.
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.seen = 0;
    }

    /// The extreme of a window with floats; NaN only when there is nothing else.
    pub fn of(&mut self, window: &Window<'_>) -> f64 {
        let (start, end) = (window.offset, window.offset + window.values.len());
        let value = |place: usize| window.values[place - start];
        while self.candidates.front().is_some_and(|place| *place < start) {
            self.candidates.pop_front();
        }
        for place in self.seen.max(start)..end {
            let new = value(place);
            if new.is_nan() {
                continue;
            }
            while self.candidates.back().is_some_and(|old| if self.max { new > value(*old) } else { new < value(*old) })
            {
                self.candidates.pop_back();
            }
            self.candidates.push_back(place);
        }
        self.seen = end;
        self.candidates.front().map_or(f64::NAN, |place| value(*place))
    }
}

/// `quantile_over_time`
pub fn quantile_over_time(q: f64, window: &Window<'_>, remarks: &mut Remarks<'_>) -> Outcome {
    floats(window, remarks, |_, values| quantile(q, &mut values.to_vec()))
}

/// Applies a function of floats, telling when there are histograms among them.
pub fn floats(window: &Window<'_>, remarks: &mut Remarks<'_>, f: impl FnOnce(&[i64], &[f64]) -> f64) -> Outcome {
    if window.times.is_empty() {
        return Outcome::Nothing;
    }
    if !window.histograms.is_empty() {
        remarks.inform_of(IGNORED_IN_MIX);
    }
    Outcome::Float(f(window.times, window.values))
}

fn point(point: Option<Point<'_>>) -> Outcome {
    match point {
        None => Outcome::Nothing,
        Some(Point::Float(value)) => Outcome::Float(value),
        Some(Point::Histogram(histogram)) => Outcome::Histogram(Arc::clone(histogram)),
    }
}

/// The place and value of the best; NaN only when there is nothing else.
fn fold(values: &[f64], better: impl Fn(f64, f64) -> bool) -> (usize, f64) {
    let mut best = (0, values[0]);
    for (at, &value) in values.iter().enumerate().skip(1) {
        if better(best.1, value) || best.1.is_nan() {
            best = (at, value);
        }
    }
    best
}

fn deviation(values: &[f64]) -> Deviation {
    let mut deviation = Deviation::default();
    values.iter().for_each(|v| deviation.add(*v));
    deviation
}

fn total(window: &Window<'_>, mean: bool, remarks: &mut Remarks<'_>) -> Outcome {
    if window.is_mixed() {
        remarks.warn_of(MIXED);
        return Outcome::Nothing;
    }
    let Some(first) = window.histograms.first() else {
        let mut sum = Kahan::default();
        window.values.iter().for_each(|value| sum.add(*value));
        if !mean {
            return Outcome::Float(sum.value());
        }
        let count = window.values.len() as f64;
        if sum.sum.is_finite() {
            // What `Mean` answers when the sum never overflows.
            return Outcome::Float(sum.sum / count + sum.compensation / count);
        }
        let mut average = Mean::default();
        window.values.iter().for_each(|value| average.add(*value));
        return Outcome::Float(average.value());
    };
    let mut sum = Native::clone(&first.value);
    let mut observed = Kahan::default();
    window.histograms.iter().for_each(|h| observed.add(h.value.sum));
    let says = |hint: ResetHint| window.histograms.iter().any(|h| h.value.reset == hint);
    for point in &window.histograms[1..] {
        match sum.add(&point.value) {
            Ok(bent) if bent.reconciled => remarks.reconciled("aggregation"),
            Ok(_) => {}
            Err(_) => {
                remarks.warn_of(MIXED_SCHEMAS);
                return Outcome::Nothing;
            }
        }
    }
    if says(ResetHint::Yes) && says(ResetHint::No) {
        remarks.warn(Note::ResetCollision { during: "aggregation" }.text());
    }
    sum.sum = observed.value();
    if mean {
        sum.divide(window.histograms.len() as f64);
    }
    Outcome::Histogram(Arc::new(sum))
}

/// The names that `apply` knows.
pub const NAMES: [&str; 13] = [
    "sum_over_time",
    "avg_over_time",
    "count_over_time",
    "present_over_time",
    "last_over_time",
    "first_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "mad_over_time",
];
